//! BTF integers and enums, whose encoding depends on the version of the compiler.

use super::word::Word;
use crate::btf::{Btf, RawType, entries, kind};
use crate::{Atom, Type, placement};
use std::collections::HashSet;
use std::sync::Arc;

/// Resolves an enum of 32 or 64 bits and adds the cost of its names, used or not, to `spent`.
pub(super) fn resolve_enum(btf: &Btf<'_>, raw: &RawType<'_>, spent: &mut usize) -> Option<Type> {
    *spent += raw.vlen as usize * 24;
    let wide = raw.kind == kind::ENUM64;
    let size = raw.size_or_type as usize;
    let word = |low: u32, high: u32| {
        if wide { u64::from(high) << 32 | u64::from(low) } else { u64::from(low) }
    };
    let entries: Vec<(u32, u64)> = if wide {
        entries::<3>(raw.tail).map(|[name, low, high]| (name, word(low, high))).collect()
    } else {
        entries::<2>(raw.tail).map(|[name, low]| (name, word(low, 0))).collect()
    };
    // clang before version 15 does not mark enums as signed. A small negative value indicates a
    // signed enum, because flags that use the top bit rarely have all upper bits set.
    let looks_negative =
        |v: &(u32, u64)| !wide && (v.1 as u32 as i32) < 0 && (v.1 as u32 as i32) >= -4096;
    let signed = raw.flag || entries.iter().any(looks_negative);
    let carrier = Atom::integer_of_size(size, signed).filter(|atom| atom.is_carrier())?;
    if size == 8 && !wide {
        // clang before version 15 truncates the values of 64-bit enums, so the names would be
        // wrong.
        return Some(Type::Atom(carrier));
    }
    let (min, max) = carrier.range(size as u32 * 8);
    let mut taken = HashSet::new();
    let mut names = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        let value = match (signed, wide) {
            (true, true) => i128::from(value as i64),
            (true, false) => i128::from(value as u32 as i32),
            (false, _) => i128::from(value),
        };
        // Names with truncated values and duplicate names are omitted; their values print as
        // numbers.
        let name = placement::to_identifier(btf.string(name));
        *spent += name.len();
        if (min..=max).contains(&value) && taken.insert(Arc::clone(&name)) {
            names.push((name, value));
        }
    }
    Type::enumeration(carrier, names).ok()
}

/// Returns offset and width in bits, and the encoding (1 signed, 2 char, 4 bool).
pub(super) fn int_encoding(raw: &RawType<'_>) -> (u32, u32, u32) {
    let [word] = entries::<1>(raw.tail).next().unwrap_or_default();
    (word >> 16 & 0xff, word & 0xff, word >> 24 & 0xf)
}

/// An integer, in the byte order that a typedef's name states; None if its width is unsupported.
pub(super) fn resolve_int(raw: &RawType<'_>, word: Option<Word>) -> Option<Type> {
    let (offset, bits, _) = int_encoding(raw);
    if offset != 0 || bits != raw.size_or_type.checked_mul(8)? {
        return None;
    }
    match word.and_then(|word| word.over_integer(raw.size_or_type as usize)) {
        Some(atom) => Some(Type::Atom(atom)),
        None => int_by_size(raw),
    }
}

/// Returns the integer or bool of this size and encoding; the width is ignored.
pub(super) fn int_by_size(raw: &RawType<'_>) -> Option<Type> {
    let (_, _, encoding) = int_encoding(raw);
    match (raw.size_or_type, encoding) {
        (1, encoding) if encoding & 4 != 0 => Some(Type::Atom(Atom::Bool)),
        (size, encoding) => Atom::integer_of_size(size as usize, encoding & 1 != 0).map(Type::Atom),
    }
}
