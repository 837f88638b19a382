//! BTF's integers and enums, whose encodings depend on the compiler's age.

use crate::btf::{Btf, RawType, entries, kind};
use crate::{Atom, Type, fit};
use std::collections::HashSet;
use std::sync::Arc;

/// An enum, of 32 or 64 bits; the cost of its names is added to `spent`.
pub(super) fn resolve_enum(btf: &Btf<'_>, raw: &RawType<'_>, spent: &mut usize) -> Option<Type> {
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
    // Compilers before clang 15 did not say that an enum is signed. A small negative number
    // does: flags that reach the top bit are rarely all ones above.
    let looks_negative =
        |v: &(u32, u64)| !wide && (v.1 as u32 as i32) < 0 && (v.1 as u32 as i32) >= -4096;
    let signed = raw.flag || entries.iter().any(looks_negative);
    let carrier = Atom::integer_of_size(size, signed).filter(|atom| atom.is_carrier())?;
    if size == 8 && !wide {
        // clang before 15 cut the numbers of a 64-bit enum: its names would lie.
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
        // Cut by an old compiler, or said twice: the number alone will do.
        let name = fit::to_identifier(btf.string(name));
        if (min..=max).contains(&value) && taken.insert(Arc::clone(&name)) {
            *spent += name.len() + 24;
            names.push((name, value));
        }
    }
    Type::enumeration(carrier, names).ok()
}

/// Offset in bits, width in bits, encoding (1 signed, 2 char, 4 bool).
pub(super) fn int_encoding(raw: &RawType<'_>) -> (u32, u32, u32) {
    let [word] = entries::<1>(raw.tail).next().unwrap_or_default();
    (word >> 16 & 0xff, word & 0xff, word >> 24 & 0xf)
}

/// An integer, of the byte order that `network` says; None where its width is odd.
pub(super) fn resolve_int(raw: &RawType<'_>, network: Option<Atom>) -> Option<Type> {
    let (offset, bits, _) = int_encoding(raw);
    if offset != 0 || bits != raw.size_or_type.checked_mul(8)? {
        return None;
    }
    match network {
        Some(atom) if atom.size() == raw.size_or_type as usize => Some(Type::Atom(atom)),
        _ => int_by_size(raw),
    }
}

/// An integer or bool by its size and encoding, whatever its width.
pub(super) fn int_by_size(raw: &RawType<'_>) -> Option<Type> {
    let (_, _, encoding) = int_encoding(raw);
    match (raw.size_or_type, encoding) {
        (1, encoding) if encoding & 4 != 0 => Some(Type::Atom(Atom::Bool)),
        (size, encoding) => Atom::integer_of_size(size as usize, encoding & 1 != 0).map(Type::Atom),
    }
}
