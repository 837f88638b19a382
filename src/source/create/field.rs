//! The values of the fields of a new map's specification. Pure.

use crate::text::quote;
use bpf_layout::Type;
use std::path::PathBuf;
use std::str::FromStr;

/// The size of a key or a value, given as a type or in bytes.
#[derive(Debug)]
pub enum Size {
    Bytes(u32),
    Type(Type),
}

/// A map with the properties that the inner maps of a map of maps must have.
#[derive(Debug)]
pub enum InnerReference {
    Pin(PathBuf),
    Id(u32),
}

impl Size {
    pub fn parse(text: &str) -> Result<Size, String> {
        if text.bytes().all(|b| b.is_ascii_digit()) {
            let bytes =
                text.parse().map_err(|_| format!("{} is not a size in bytes", quote(text)))?;
            return Ok(Size::Bytes(bytes));
        }
        let ty: Type = text.parse().map_err(|e| format!("{e}"))?;
        Ok(Size::Type(ty))
    }

    pub fn bytes(&self) -> Result<u32, String> {
        match self {
            Size::Bytes(bytes) => Ok(*bytes),
            Size::Type(ty) => ty.size().try_into().map_err(|_| "larger than 4 GiB".into()),
        }
    }

    pub fn ty(&self) -> Type {
        match self {
            Size::Bytes(bytes) => Type::of_size(*bytes),
            Size::Type(ty) => ty.clone(),
        }
    }
}

impl InnerReference {
    pub fn parse(text: &str) -> Result<InnerReference, String> {
        match text.strip_prefix("id:") {
            Some(id) => Ok(InnerReference::Id(number(id)?)),
            None if text.contains('/') => Ok(InnerReference::Pin(text.into())),
            None => Err(format!("{} is not a pin path or id:N", quote(text))),
        }
    }
}

/// Splits at commas outside of brackets.
pub fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0usize);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

pub fn number<T: FromStr>(text: &str) -> Result<T, String> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let parsed = digits.then(|| text.parse().ok()).flatten();
    parsed.ok_or_else(|| format!("{} is not a number in range", quote(text)))
}

/// A number of entries, with `k` for 1024 and `m` for 1024 times 1024.
pub fn count(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1u32),
    };
    let count = number::<u32>(digits).ok().and_then(|count| count.checked_mul(unit));
    count.ok_or_else(|| format!("{} is not a number in range", quote(text)))
}
