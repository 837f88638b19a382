//! Scalars, text and LPM keys as text, quoted as the context requires.

use crate::atom::{Atom, AtomClass};
use crate::number::{append_decimal, append_float};
use crate::text::{append_hex, append_json_string, is_unsafe};
use crate::{Lpm, Number, Slot, Type};
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The context of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A JSON document.
    Json,
    /// The value of a word, which other words may follow.
    Word,
    /// A value that is alone on its line.
    Bare,
    /// A table cell; the table format adds its own quotes.
    Cell,
    /// A label, which is not parsed again.
    Label,
}

/// Appends the text for values that differ between CPUs, and for sums that are too large.
pub(super) fn append_null(style: Style, out: &mut Vec<u8>) {
    out.extend_from_slice(if style == Style::Json { b"null" } else { b"-" });
}

pub(super) fn append_leaf(slot: Slot<'_>, value: &[u8], style: Style, out: &mut Vec<u8>) {
    match slot.ty {
        // Fast path: most counters are u64 or u32.
        Type::Atom(Atom::U64) if slot.width.is_none() => {
            let word = slot.bytes(value).first_chunk();
            append_decimal(word.map_or(0, |word| u64::from_ne_bytes(*word)), out);
        }
        Type::Atom(Atom::U32) if slot.width.is_none() => {
            let word = slot.bytes(value).first_chunk();
            append_decimal(word.map_or(0, |word| u32::from_ne_bytes(*word)), out);
        }
        Type::Char(_) => append_text(slot.bytes(value), style, out),
        Type::Enum(e) => {
            let Some(number) = slot.number(value) else {
                return;
            };
            let signed = match number {
                Number::Unsigned(n) => n as i128,
                Number::Signed(n) => n,
                Number::Float(_) => return,
            };
            match e.name_of(signed) {
                Some(name) => {
                    append_quoted(style, out, |out| out.extend_from_slice(name.as_bytes()))
                }
                None => number.print(out),
            }
        }
        Type::Atom(atom) => match atom.class() {
            AtomClass::Float => append_floating(slot, value, style, out),
            AtomClass::Address => {
                append_quoted(style, out, |out| append_address(*atom, slot.bytes(value), out))
            }
            AtomClass::Bool => match slot.number(value) {
                Some(Number::Unsigned(0)) => out.extend_from_slice(b"false"),
                Some(Number::Unsigned(1)) => out.extend_from_slice(b"true"),
                // Compilers interpret other values as either, so the number is printed and reads
                // back.
                number => number.into_iter().for_each(|number| number.print(out)),
            },
            // A string in JSON, because many readers would round the number.
            AtomClass::Pointer => append_quoted(style, out, |out| {
                if let Some(Number::Unsigned(number)) = slot.number(value) {
                    // Writing to a Vec cannot fail.
                    let _ = write!(out, "{number:#x}");
                }
            }),
            AtomClass::Unsigned | AtomClass::Signed | AtomClass::Network => {
                slot.number(value).into_iter().for_each(|number| number.print(out));
            }
        },
        Type::Lpm(lpm) => {
            append_quoted(style, out, |out| append_prefix(lpm, slot.bytes(value), out))
        }
        Type::Array(array) if style == Style::Label && array.len() == 6 => {
            append_address(Atom::Mac, slot.bytes(value), out);
        }
        Type::Array(_) if style == Style::Label => append_bytes(slot.bytes(value), style, out),
        Type::Hex(_) | Type::Array(_) | Type::Record(_) => {
            append_quoted(style, out, |out| append_hex(slot.bytes(value), out));
        }
    }
}

/// Appends text that needs no escaping; in JSON, with quotes.
fn append_quoted(style: Style, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let quotes: &[u8] = if style == Style::Json { b"\"" } else { b"" };
    out.extend_from_slice(quotes);
    body(out);
    out.extend_from_slice(quotes);
}

fn append_bytes(bytes: &[u8], style: Style, out: &mut Vec<u8>) {
    append_quoted(style, out, |out| {
        out.extend_from_slice(b"hex:");
        append_hex(bytes, out);
    });
}

/// Appends text without its trailing NULs, or all bytes as `hex:` if the text would not read back.
fn append_text(bytes: &[u8], style: Style, out: &mut Vec<u8>) {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let Ok(text) = std::str::from_utf8(&bytes[..end]) else {
        return append_bytes(bytes, style, out);
    };
    // An unquoted `-` indicates that the CPUs of a per-CPU map differ.
    let literal = !text.starts_with("hex:");
    let is_dash = text == "-" && !matches!(style, Style::Cell);
    let bare = match style {
        Style::Json if !literal => return append_bytes(bytes, style, out),
        Style::Json => false,
        Style::Word => {
            !text.is_empty() && !text.starts_with(['[', '{']) && !text.contains(char::is_whitespace)
        }
        Style::Bare => !text.is_empty() && text.trim().len() == text.len(),
        Style::Cell => true,
        Style::Label if !literal || text.contains(is_unsafe) => {
            return append_bytes(bytes, style, out);
        }
        Style::Label => return out.extend_from_slice(text.as_bytes()),
    };
    if bare && literal && !is_dash && !text.starts_with('"') && !text.contains(is_unsafe) {
        out.extend_from_slice(text.as_bytes());
    } else {
        append_json_string(text, out);
    }
}

fn append_address(atom: Atom, bytes: &[u8], out: &mut Vec<u8>) {
    match (atom, bytes.first_chunk::<4>(), bytes.first_chunk::<16>()) {
        (Atom::Ip4, Some(bytes), _) => append_ip4(Ipv4Addr::from(*bytes), out),
        (Atom::Ip6, _, Some(bytes)) => {
            // Writing to a Vec cannot fail.
            let _ = write!(out, "{}", Ipv6Addr::from(*bytes));
        }
        _ => {
            for (index, byte) in bytes.iter().enumerate() {
                if index > 0 {
                    out.push(b':');
                }
                append_hex(&[*byte], out);
            }
        }
    }
}

fn append_ip4(ip: Ipv4Addr, out: &mut Vec<u8>) {
    for (index, byte) in ip.octets().into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        append_decimal(byte, out);
    }
}

/// Appends `10.0.0.0/8`, or `LEN:hex` if the data is not an address. Host bits are printed as
/// stored.
fn append_prefix(lpm: &Lpm, bytes: &[u8], out: &mut Vec<u8>) {
    let Some((len, data)) = bytes.split_first_chunk::<{ Lpm::HEADER }>() else {
        return;
    };
    let len = u32::from_ne_bytes(*len);
    if len > lpm.max_prefix() {
        // The kernel refuses such keys; other sources may contain them.
        return append_bytes(bytes, Style::Bare, out);
    }
    match lpm.data() {
        Type::Atom(atom @ (Atom::Ip4 | Atom::Ip6)) => {
            append_address(*atom, data, out);
            out.push(b'/');
            append_decimal(len, out);
        }
        _ => {
            append_decimal(len, out);
            out.push(b':');
            append_hex(data, out);
        }
    }
}

fn append_floating(slot: Slot<'_>, value: &[u8], style: Style, out: &mut Vec<u8>) {
    let bytes = slot.bytes(value);
    let (number, canonical) = match (bytes.first_chunk::<4>(), bytes.first_chunk::<8>()) {
        (_, Some(bytes)) => {
            let number = f64::from_ne_bytes(*bytes);
            (number, !number.is_nan() || number.to_bits() == NAN64)
        }
        (Some(bytes), _) => {
            let number = f32::from_ne_bytes(*bytes);
            if number.is_finite() {
                return append_f32(number, out);
            }
            (number.into(), !number.is_nan() || number.to_bits() == NAN32)
        }
        _ => return,
    };
    match (canonical, number.is_finite()) {
        (true, true) => append_float(number, out),
        (true, false) => append_quoted(style, out, |out| append_float(number, out)),
        // The payload of a NaN is significant.
        (false, _) => append_bytes(bytes, style, out),
    }
}

/// The NaN that `nan` parses to.
const NAN64: u64 = 0x7ff8_0000_0000_0000;
const NAN32: u32 = 0x7fc0_0000;

fn append_f32(number: f32, out: &mut Vec<u8>) {
    let start = out.len();
    let _ = write!(out, "{number:?}");
    // JSON readers parse numbers as f64. If rounding to f32 then gives another number, all digits
    // of the f64 are printed.
    let text = std::str::from_utf8(&out[start..]).unwrap_or_default();
    if text.parse::<f64>().is_ok_and(|wide| wide as f32 != number) {
        out.truncate(start);
        append_float(number.into(), out);
    }
}
