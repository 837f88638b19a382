//! Tests of the whole crate. Tests of one module are in its file.

pub(crate) mod arbitrary;
mod core;
mod difference;
mod hostile;
mod kernel;
mod notation;
mod padding;
mod refusals;
mod round_trip;
mod sums;
mod values;
mod work;

/// Parses the notation of a test.
pub(super) fn ty(text: &str) -> super::Type {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Returns the plain form of `bytes`.
pub(super) fn plain(ty: &super::Type, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    super::print::plain(ty, bytes, &mut out);
    String::from_utf8(out).expect("printed text is UTF-8")
}

/// Returns the JSON form of `bytes`.
pub(super) fn json(ty: &super::Type, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    super::print::json(ty, bytes, &mut out);
    String::from_utf8(out).expect("printed text is UTF-8")
}
