//! "Compile once, run everywhere": what an instruction that depends on a type of the kernel contains
//! for the running kernel. The rules are those of libbpf's `relo_core.c`.

mod access;
mod compatible;

use super::btf::{Btf, BtfError, entries, kind};
use access::{Access, Step};
use compatible::{fields_are_compatible, kinds_are_compatible, types_are_compatible};
use std::collections::HashMap;

/// `enum bpf_core_relo_kind`.
mod relocation {
    pub const FIELD_OFFSET: u32 = 0;
    pub const FIELD_SIZE: u32 = 1;
    pub const FIELD_EXISTS: u32 = 2;
    pub const FIELD_SIGNED: u32 = 3;
    pub const FIELD_SHIFT_LEFT: u32 = 4;
    pub const FIELD_SHIFT_RIGHT: u32 = 5;
    pub const TYPE_ID_LOCAL: u32 = 6;
    pub const TYPE_ID_TARGET: u32 = 7;
    pub const TYPE_EXISTS: u32 = 8;
    pub const TYPE_SIZE: u32 = 9;
    pub const ENUM_EXISTS: u32 = 10;
    pub const ENUM_VALUE: u32 = 11;
}
use relocation::*;

/// BTF_INT_SIGNED.
const SIGNED: u32 = 1;

/// `struct bpf_core_relo`, without the instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreRelocation {
    /// The type in the BTF of the program.
    pub type_id: u32,
    /// The way to a field: indices, separated by colons.
    pub access: String,
    /// `enum bpf_core_relo_kind`.
    pub kind: u32,
}

/// What an instruction contains for a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreValue {
    /// An offset, a size, an id, or the value of an enumerator.
    pub value: u64,
    /// The bytes that an instruction that reads a field has to read; None if they are as the
    /// program has them.
    pub size: Option<FieldSize>,
}

/// A field of the kernel that has another size than the program's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldSize {
    /// Another number of bytes gives the same number.
    Bytes(u32),
    /// The field cannot be read by the instruction.
    Incompatible,
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoreError {
    /// The BTF of the program is malformed.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The way to the field does not fit the type.
    #[error("malformed access {0:?} of a type")]
    Access(String),
    /// Several types of the kernel have the name, and differ in this.
    #[error("types of the kernel named {0:?} differ")]
    Ambiguous(String),
    /// The kind of relocation is unknown.
    #[error("a relocation of the unknown kind {0}")]
    Kind(u32),
}

/// Finds values for one program and one kernel.
pub struct CoreResolver<'p, 'k> {
    program: &'p Btf<'p>,
    kernel: &'k Btf<'k>,
    /// The ids of the kernel's types by their names, up to what distinguishes variants of a type.
    by_name: HashMap<&'k str, Vec<u32>>,
}

impl<'p, 'k> CoreResolver<'p, 'k> {
    /// Indexes the types of the kernel.
    pub fn new(program: &'p Btf<'p>, kernel: &'k Btf<'k>) -> CoreResolver<'p, 'k> {
        let mut by_name: HashMap<&str, Vec<u32>> = HashMap::new();
        for id in 1..=kernel.len() {
            if let Some(name) = kernel.name(id) {
                by_name.entry(essential(name)).or_default().push(id);
            }
        }
        CoreResolver { program, kernel, by_name }
    }

    /// The value for an instruction; None if the kernel has no such type, field or enumerator: then
    /// the program must not reach the instruction.
    pub fn resolve(&self, wanted: &CoreRelocation) -> Result<Option<CoreValue>, CoreError> {
        if wanted.kind > ENUM_VALUE {
            return Err(CoreError::Kind(wanted.kind));
        }
        let local = Access::parse(self.program, wanted)?;
        if wanted.kind == TYPE_ID_LOCAL {
            return Ok(Some(CoreValue { value: wanted.type_id.into(), size: None }));
        }
        let name = self.program.name(wanted.type_id).unwrap_or_default();
        if name.is_empty() {
            return Err(CoreError::Access(wanted.access.clone()));
        }
        let named = self.by_name.get(essential(name)).map_or(&[][..], |ids| ids);
        let mut found = None;
        for id in named {
            if !kinds_are_compatible(self.program, wanted.type_id, self.kernel, *id)? {
                continue;
            }
            let Some(target) = self.find(&local, wanted.kind, *id)? else { continue };
            let value = self.value(wanted.kind, &local, &target)?;
            if found.is_some_and(|(bit, before)| (bit, before) != (target.bit, value)) {
                return Err(CoreError::Ambiguous(name.into()));
            }
            found = Some((target.bit, value));
        }
        let exists = matches!(wanted.kind, FIELD_EXISTS | TYPE_EXISTS | ENUM_EXISTS);
        Ok(match found {
            Some((_, value)) => Some(value),
            None => exists.then_some(CoreValue { value: 0, size: None }),
        })
    }

    /// The way in a type of the kernel that corresponds to one in the program's.
    fn find(
        &self,
        local: &Access<'p>,
        relocation: u32,
        id: u32,
    ) -> Result<Option<Access<'k>>, CoreError> {
        let mut found = Access { root: id, steps: Vec::new(), bit: 0 };
        match relocation {
            TYPE_ID_TARGET | TYPE_EXISTS | TYPE_SIZE => {
                let fits = types_are_compatible(self.program, local.root, self.kernel, id)?;
                return Ok(fits.then_some(found));
            }
            ENUM_EXISTS | ENUM_VALUE => {
                let name = local.steps.first().map_or("", |step| step.name);
                let same = |(other, _): &(&str, u64)| essential(other) == essential(name);
                let enumerators = access::enumerators(self.kernel, id)?;
                let place = enumerators.iter().position(same);
                let Some(index) = place else { return Ok(None) };
                found.steps.push(Step { type_id: id, index: index as u32, name: "" });
                return Ok(Some(found));
            }
            _ => {}
        }
        let mut next = id;
        for (place, step) in local.steps.iter().enumerate() {
            if !step.name.is_empty() {
                let member = access::member(self.program, step)?;
                match self.find_member(step.name, member.type_id, next, &mut found, 0)? {
                    Some(type_id) => next = type_id,
                    None => return Ok(None),
                }
                continue;
            }
            if place > 0 {
                let Some(element) = access::element(self.kernel, next, step.index, &found)? else {
                    return Ok(None);
                };
                next = element;
            }
            let type_id = self.kernel.strip_aliases(next)?.id;
            found.steps.push(Step { type_id, index: step.index, name: "" });
            found.advance(self.kernel, type_id, step.index)?;
        }
        Ok(Some(found))
    }

    /// Finds a member of a struct of the kernel by its name, also in members without names.
    fn find_member(
        &self,
        name: &str,
        local_type: u32,
        id: u32,
        found: &mut Access<'k>,
        depth: usize,
    ) -> Result<Option<u32>, CoreError> {
        let bare = self.kernel.strip_aliases(id)?;
        if depth == MAX_DEPTH || !matches!(bare.raw.kind, kind::STRUCT | kind::UNION) {
            return Ok(None);
        }
        for (index, [name_at, type_id, place]) in entries::<3>(bare.raw.tail).enumerate() {
            let bit = if bare.raw.flag { place & 0xff_ffff } else { place };
            let member = self.kernel.string_at(name_at);
            if member.is_empty() {
                if let Some(next) = self.find_member(name, local_type, type_id, found, depth + 1)? {
                    found.bit += u64::from(bit);
                    return Ok(Some(next));
                }
            } else if member == name {
                if !fields_are_compatible(self.program, local_type, self.kernel, type_id)? {
                    return Ok(None);
                }
                found.bit += u64::from(bit);
                found.steps.push(Step { type_id: bare.id, index: index as u32, name: member });
                return Ok(Some(type_id));
            }
        }
        Ok(None)
    }

    fn value(
        &self,
        relocation: u32,
        local: &Access<'p>,
        target: &Access<'k>,
    ) -> Result<CoreValue, CoreError> {
        let plain = |value: u64| CoreValue { value, size: None };
        Ok(match relocation {
            FIELD_EXISTS | TYPE_EXISTS | ENUM_EXISTS => plain(1),
            TYPE_ID_TARGET => plain(target.root.into()),
            TYPE_SIZE => plain(self.kernel.byte_size(target.root)?.into()),
            ENUM_VALUE => {
                let index = target.steps.first().map_or(0, |step| step.index as usize);
                let enumerators = access::enumerators(self.kernel, target.root)?;
                plain(enumerators.get(index).map_or(0, |(_, value)| *value))
            }
            _ => {
                let ours = Field::of(self.program, local)?;
                let theirs = Field::of(self.kernel, target)?;
                let value = theirs.value(relocation)?;
                let size = match relocation {
                    FIELD_OFFSET if !theirs.is_bit_field && ours.bytes != theirs.bytes => {
                        Some(self.resized(&ours, &theirs))
                    }
                    _ => None,
                };
                CoreValue { value, size }
            }
        })
    }

    /// Pointers and unsigned integers may be read with another size.
    fn resized(&self, ours: &Field, theirs: &Field) -> FieldSize {
        let (ours, bytes) = ((ours.kind, ours.signed), theirs.bytes);
        match (ours, (theirs.kind, theirs.signed)) {
            ((kind::PTR, _), (kind::PTR, _)) => FieldSize::Bytes(bytes),
            ((kind::INT, false), (kind::INT, false)) => FieldSize::Bytes(bytes),
            _ => FieldSize::Incompatible,
        }
    }
}

/// Members without names in each other.
const MAX_DEPTH: usize = 32;

/// Where a field is, and how it is read.
struct Field {
    kind: u8,
    signed: bool,
    is_bit_field: bool,
    /// From the start of the type.
    bit: u64,
    bits: u64,
    /// The bytes that are read.
    byte: u64,
    bytes: u32,
    /// Whether it is one by name, not an element of an array.
    is_named: bool,
}

impl Field {
    fn of(btf: &Btf, access: &Access) -> Result<Field, CoreError> {
        let malformed = || CoreError::Access(String::new());
        let last = access.steps.last().ok_or_else(malformed)?;
        let is_named = !last.name.is_empty();
        let (type_id, width) = match is_named {
            true => {
                let member = access::member(btf, last)?;
                (member.type_id, member.width)
            }
            false => (last.type_id, 0),
        };
        let bare = btf.strip_aliases(type_id)?;
        let encoding = entries::<1>(bare.raw.tail).next().map_or(0, |[word]| word >> 24);
        let signed = match bare.raw.kind {
            kind::ENUM | kind::ENUM64 => bare.raw.flag,
            kind::INT => encoding & SIGNED != 0,
            _ => false,
        };
        let mut bytes = btf.byte_size(type_id)?;
        let mut byte = access.bit / 8;
        let mut bits = u64::from(bytes) * 8;
        if width > 0 {
            bits = width.into();
            // The smallest aligned integer that has the bits in it.
            let around = |bytes: u32| access.bit / 8 / u64::from(bytes) * u64::from(bytes);
            bytes = bytes.max(1);
            byte = around(bytes);
            while access.bit + bits - byte * 8 > u64::from(bytes) * 8 {
                if bytes >= 8 {
                    return Err(malformed());
                }
                bytes *= 2;
                byte = around(bytes);
            }
        }
        let (kind, bit) = (bare.raw.kind, access.bit);
        Ok(Field { kind, signed, is_bit_field: width > 0, bit, bits, byte, bytes, is_named })
    }

    fn value(&self, relocation: u32) -> Result<u64, CoreError> {
        let word = 64u64;
        let (inside, bytes) = (self.bit - self.byte * 8, u64::from(self.bytes));
        let value = match relocation {
            FIELD_OFFSET => Some(self.byte),
            FIELD_SIZE => Some(bytes),
            // An element has no bits of its own.
            _ if !self.is_named => None,
            FIELD_SIGNED => Some(self.signed.into()),
            FIELD_SHIFT_LEFT if cfg!(target_endian = "little") => {
                word.checked_sub(inside + self.bits)
            }
            FIELD_SHIFT_LEFT => word.checked_sub(bytes * 8).map(|unused| unused + inside),
            FIELD_SHIFT_RIGHT => word.checked_sub(self.bits),
            other => return Err(CoreError::Kind(other)),
        };
        value.ok_or_else(|| CoreError::Access(String::new()))
    }
}

/// The name of a type without what a program adds to it after three underscores, to have several
/// variants of a type of the kernel.
fn essential(name: &str) -> &str {
    let bytes = name.as_bytes();
    let is_mark = |at: &usize| {
        &bytes[*at..*at + 3] == b"___" && bytes[*at - 1] != b'_' && bytes[*at + 3] != b'_'
    };
    let mark = (1..bytes.len().saturating_sub(3)).rev().find(is_mark);
    mark.and_then(|at| name.get(..at)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::essential;

    #[test]
    fn variants_of_a_type_have_its_name() {
        for (name, want) in [
            ("task_struct", "task_struct"),
            ("task_struct___old", "task_struct"),
            ("a___b___c", "a___b"),
            ("___x", "___x"),
            ("x___", "x___"),
            ("a____b", "a____b"),
            ("", ""),
            ("é___b", "é"),
        ] {
            assert_eq!(essential(name), want);
        }
    }
}
