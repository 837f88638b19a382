//! The way from a type to a field of it, an element or an enumerator.

use super::relocation::{
    CoreError, CoreRelocation, ENUM_EXISTS, ENUM_VALUE, TYPE_EXISTS, TYPE_ID_LOCAL, TYPE_ID_TARGET,
    TYPE_SIZE,
};
use crate::btf::{Btf, BtfError, entries, kind};

/// As libbpf has it.
const MAX_STEPS: usize = 64;

/// The way to a field.
pub struct Access<'a> {
    pub root: u32,
    /// Without members that have no name.
    pub steps: Vec<Step<'a>>,
    /// Bits from the start of the type.
    pub bit: u64,
}

/// A member of a struct, an element of an array, or an enumerator.
pub struct Step<'a> {
    /// The struct or the element, behind typedefs.
    pub type_id: u32,
    pub index: u32,
    /// Empty for an element.
    pub name: &'a str,
}

/// A member.
pub struct FoundMember {
    pub type_id: u32,
    /// Bits of a bit field; 0 for other members.
    pub width: u32,
}

impl<'a> Access<'a> {
    /// Reads the access of a relocation in the BTF of its program.
    pub fn parse(btf: &Btf<'a>, wanted: &CoreRelocation) -> Result<Access<'a>, CoreError> {
        let malformed = || CoreError::Access(wanted.access.clone());
        let numbers: Result<Vec<u32>, _> = wanted.access.split(':').map(str::parse).collect();
        let numbers = numbers.map_err(|_| malformed())?;
        let (first, rest) = numbers.split_first().ok_or_else(malformed)?;
        let mut access = Access { root: wanted.type_id, steps: Vec::new(), bit: 0 };
        match wanted.kind {
            TYPE_ID_LOCAL | TYPE_ID_TARGET | TYPE_EXISTS | TYPE_SIZE => {
                btf.raw_type(wanted.type_id)?;
                return if numbers == [0] { Ok(access) } else { Err(malformed()) };
            }
            ENUM_EXISTS | ENUM_VALUE => {
                let enumerators = enumerators(btf, wanted.type_id)?;
                let found = enumerators.get(*first as usize).filter(|_| rest.is_empty());
                let (name, _) = found.ok_or_else(malformed)?;
                access.steps.push(Step { type_id: wanted.type_id, index: *first, name });
                return Ok(access);
            }
            _ => {}
        }
        if numbers.len() > MAX_STEPS {
            return Err(malformed());
        }
        let mut id = btf.strip_aliases(wanted.type_id)?.id;
        access.steps.push(Step { type_id: id, index: *first, name: "" });
        access.advance(btf, id, *first)?;
        for index in rest {
            let bare = btf.strip_aliases(id)?;
            if bare.raw.kind == kind::ARRAY {
                let element = element(btf, id, *index, &access)?.ok_or_else(malformed)?;
                id = btf.strip_aliases(element)?.id;
                access.steps.push(Step { type_id: id, index: *index, name: "" });
                access.advance(btf, id, *index)?;
                continue;
            }
            if !matches!(bare.raw.kind, kind::STRUCT | kind::UNION) {
                return Err(malformed());
            }
            let member = entries::<3>(bare.raw.tail).nth(*index as usize);
            let [name, type_id, place] = member.ok_or_else(malformed)?;
            access.bit += u64::from(if bare.raw.flag { place & 0xff_ffff } else { place });
            let name = btf.string_at(name);
            if !name.is_empty() {
                access.steps.push(Step { type_id: bare.id, index: *index, name });
            }
            id = type_id;
        }
        Ok(access)
    }

    /// Adds the place of an element with this index. An instruction has room for an offset of 32
    /// bits.
    pub fn advance(&mut self, btf: &Btf, type_id: u32, index: u32) -> Result<(), BtfError> {
        if index > 0 {
            let offset = u64::from(index) * u64::from(btf.byte_size(type_id)?);
            let offset = u32::try_from(offset).map_err(|_| BtfError::TooLarge(type_id))?;
            self.bit += u64::from(offset) * 8;
        }
        Ok(())
    }
}

/// The member that a step with a name takes.
pub fn member(btf: &Btf, step: &Step) -> Result<FoundMember, BtfError> {
    let raw = btf.raw_type(step.type_id)?;
    let member = entries::<3>(raw.tail).nth(step.index as usize);
    let [_, type_id, place] = member.ok_or(BtfError::NoType(step.type_id))?;
    Ok(FoundMember { type_id, width: if raw.flag { place >> 24 } else { 0 } })
}

/// The type of the elements of the array `id`, if it has one with this index: an array without a
/// length, the last member of a struct, has any.
pub fn element(btf: &Btf, id: u32, index: u32, access: &Access) -> Result<Option<u32>, BtfError> {
    let bare = btf.strip_aliases(id)?;
    if bare.raw.kind != kind::ARRAY {
        return Ok(None);
    }
    let [element, _, len] = entries::<3>(bare.raw.tail).next().unwrap_or_default();
    let is_last = || {
        let Some(step) = access.steps.last() else { return false };
        let parent = btf.raw_type(step.type_id);
        parent.is_ok_and(|parent| parent.kind == kind::STRUCT && step.index + 1 == parent.vlen)
    };
    Ok((index < len || len == 0 && is_last()).then_some(element))
}

/// The names and values of an enum; none of another type.
pub fn enumerators<'a>(btf: &Btf<'a>, id: u32) -> Result<Vec<(&'a str, u64)>, BtfError> {
    let raw = btf.strip_aliases(id)?.raw;
    Ok(match raw.kind {
        kind::ENUM => entries::<2>(raw.tail)
            .map(|[name, low]| {
                let value = if raw.flag { i64::from(low as i32) as u64 } else { low.into() };
                (btf.string_at(name), value)
            })
            .collect(),
        kind::ENUM64 => entries::<3>(raw.tail)
            .map(|[name, low, high]| (btf.string_at(name), u64::from(high) << 32 | u64::from(low)))
            .collect(),
        _ => Vec::new(),
    })
}
