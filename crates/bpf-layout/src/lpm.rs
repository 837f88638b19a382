//! Makes an LPM trie's key out of what BTF or a size alone says about it.

use super::types::{MemberPart, Record};
use super::{Atom, Lpm, Type, fit};

/// The type of an LPM trie's key: `lpm{…}` in place of a struct of a 4-byte prefix length and data.
///
/// Data of 4 or 16 bytes without structure of its own is an address, whatever it was declared as. A
/// type that has no such form comes back as it is.
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

/// What follows the prefix length, as a type of its own.
fn key_data(record: &Record) -> Option<Type> {
    const START: u64 = Lpm::HEADER as u64 * 8;
    let bytes = record.size().checked_sub(Lpm::HEADER)?;
    let mut placed = fit::place_members(record).into_iter();
    // Kernel headers also nest the prefix length in a struct or a union: any 4 bytes will do.
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
        _ => Some(fit::fit_record(false, rest, bytes as u32)),
    }
}

/// The address that `ty` is a way to declare.
fn address_type(ty: &Type) -> Option<Type> {
    let plain = match ty {
        Type::Atom(Atom::Mac | Atom::F32 | Atom::F64 | Atom::Bool) => false,
        Type::Atom(_) | Type::Hex(_) => true,
        Type::Array(array) => matches!(array.elem(), Type::Atom(_) | Type::Hex(_)),
        // A union of an address and its words, or a struct around it.
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
