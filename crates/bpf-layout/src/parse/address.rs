//! Parsing of network addresses and of keys of LPM tries.

use super::error::Problem;
use super::hex;
use super::sink::Sink;
use crate::number::Integer;
use crate::{Atom, Lpm, Type};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Parses an address; returns its bytes and their number.
pub(super) fn parse_address(atom: Atom, text: &str) -> Option<([u8; 16], usize)> {
    let mut bytes = [0; 16];
    match atom {
        Atom::Ip4 => bytes[..4].copy_from_slice(&text.parse::<Ipv4Addr>().ok()?.octets()),
        Atom::Ip6 => bytes = text.parse::<Ipv6Addr>().ok()?.octets(),
        _ => {
            let mut parts = text.split([':', '-']);
            for byte in &mut bytes[..6] {
                let part = parts.next().filter(|part| part.len() == 2 && !part.starts_with('+'))?;
                *byte = u8::from_str_radix(part, 16).ok()?;
            }
            parts.next().is_none().then_some(())?;
        }
    }
    Some((bytes, atom.size()))
}

/// Parses an LPM key: `ADDRESS/LEN`, an address without a length (the full length), or `LEN:hex`.
/// Returns None if the text has another form.
///
/// Bits beyond the prefix are kept. The kernel ignores them in comparisons but returns them when
/// keys are listed, and listed keys must be accepted as input.
pub(super) fn parse_prefix(
    lpm: &Lpm,
    text: &str,
    at: usize,
    sink: &mut Sink<'_>,
) -> Option<Result<(), Problem>> {
    let max = lpm.max_prefix();
    let mut header = |len: &str| {
        let number = Integer::parse(len)?.ok().filter(|len| !len.negative)?;
        Some(match u32::try_from(number.magnitude) {
            Ok(len) if len <= max => sink.store_bytes(at, &len.to_ne_bytes()),
            _ => Err(Problem::Range {
                number: number.magnitude.to_string(),
                ty: "a prefix length".to_owned(),
                min: "0".to_owned(),
                max: max.to_string(),
            }),
        })
    };
    if let Some((len, digits)) = text.split_once(':')
        && digits.len() == lpm.data().size() * 2
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        let stored = header(len)?;
        return Some(
            stored
                .and_then(|()| hex::store_bytes(digits, at + Lpm::HEADER, lpm.data().size(), sink)),
        );
    }
    let Type::Atom(atom @ (Atom::Ip4 | Atom::Ip6)) = lpm.data() else {
        return None;
    };
    let (ip, stored) = match text.split_once('/') {
        Some((ip, len)) => (ip, header(len)?),
        None => (text, header(if *atom == Atom::Ip4 { "32" } else { "128" })?),
    };
    let (bytes, len) = parse_address(*atom, ip)?;
    Some(stored.and_then(|()| sink.store_bytes(at + Lpm::HEADER, &bytes[..len])))
}
