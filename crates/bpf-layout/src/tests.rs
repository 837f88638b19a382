//! Properties of the room as a whole; tables of examples stand in the files that they are about.

mod arbitrary;
mod hostile;
mod kernel;
mod notation;
mod padding;
mod refusals;
mod round_trip;
mod sums;
mod values;

/// A type from its notation; the tests' own notation is right.
pub(super) fn ty(text: &str) -> super::Type {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What the plain form of `bytes` is.
pub(super) fn plain(ty: &super::Type, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    super::print::plain(ty, bytes, &mut out);
    String::from_utf8(out).expect("printed text is UTF-8")
}

/// What the JSON form of `bytes` is.
pub(super) fn json(ty: &super::Type, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    super::print::json(ty, bytes, &mut out);
    String::from_utf8(out).expect("printed text is UTF-8")
}
