//! Keys of LPM tries, recognised from a type that BTF or a size describes.

use super::types::{MemberPart, Record};
use super::{Atom, Lpm, Type, placement};

/// Converts the type of an LPM trie's key to `lpm{…}`. `ty` is a struct of a 4-byte prefix length
/// and data, or a type without structure.
///
/// Data of 4 or 16 bytes without a structure of its own becomes an IPv4 or IPv6 address. A type
/// that does not have the form of an LPM key is returned unchanged.
pub fn to_lpm_key(ty: Type) -> Type {
    let data = match &ty {
        Type::Record(record) => key_data(record),
        Type::Atom(_) | Type::Hex(_) | Type::Array(_) | Type::Char(_) => {
            ty.size().checked_sub(Lpm::HEADER).map(|bytes| Type::Hex(bytes as u32))
        }
        Type::Enum(_) | Type::Lpm(_) => None,
    };
    // The kernel refuses keys without data.
    let data = data.filter(|data| data.size() > 0);
    data.and_then(|data| Type::lpm(address_type(&data).unwrap_or(data)).ok()).unwrap_or(ty)
}

/// Returns the part after the prefix length, as a type of its own.
fn key_data(record: &Record) -> Option<Type> {
    const START: u64 = Lpm::HEADER as u64 * 8;
    let bytes = record.size().checked_sub(Lpm::HEADER)?;
    let mut placed = placement::place_members(record).into_iter();
    // Some kernel headers nest the prefix length in a struct or a union, so any 4 bytes are
    // accepted.
    let first = placed.next().filter(|first| first.part.size() == Some(Lpm::HEADER));
    if record.kind().union || first.is_none() {
        return None;
    }
    let mut rest: Vec<_> =
        placed.filter(|member| member.part.size().is_none_or(|size| size > 0)).collect();
    for member in &mut rest {
        member.bit = member.bit.checked_sub(START)?;
    }
    match rest.as_slice() {
        [only] if only.part.size() == Some(bytes) => match &only.part {
            MemberPart::Field(ty) => Some(ty.clone()),
            _ => None,
        },
        _ => Some(placement::fit_record(false, rest, bytes as u32)),
    }
}

/// Returns the address type of the same size, if `ty` is one of the usual declarations of an
/// address.
fn address_type(ty: &Type) -> Option<Type> {
    let plain = match ty {
        Type::Atom(Atom::Mac | Atom::F32 | Atom::F64 | Atom::Bool) => false,
        Type::Atom(_) | Type::Hex(_) => true,
        Type::Array(array) => matches!(array.elem(), Type::Atom(_) | Type::Hex(_)),
        // A union of an address and its words, or a struct around the union.
        Type::Record(record) if record.kind().union || record.fields().len() == 1 => record
            .fields()
            .iter()
            .any(|field| field.ty.size() == ty.size() && address_type(&field.ty).is_some()),
        _ => false,
    };
    match (plain, ty.size()) {
        (true, 4) => Some(Type::Atom(Atom::Ip4)),
        (true, 16) => Some(Type::Atom(Atom::Ip6)),
        _ => None,
    }
}
