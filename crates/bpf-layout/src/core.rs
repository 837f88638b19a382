//! "Compile once, run everywhere" (CO-RE): the content of instructions that depend on types of the
//! running kernel. The rules are those of libbpf's `relo_core.c`.

mod access;
mod compatible;
mod field;
mod name;
mod relocation;

pub use relocation::{CoreError, CoreRelocation, CoreValue, FieldSize};

use super::btf::{Btf, entries, kind};
use access::{Access, Step};
use compatible::{fields_are_compatible, kinds_are_compatible, types_are_compatible};
use field::CoreField;
use name::essential;
use relocation::*;
use std::collections::HashMap;

/// Finds values for one program and one kernel.
pub struct CoreResolver<'p, 'k> {
    program: &'p Btf<'p>,
    kernel: &'k Btf<'k>,
    /// The ids of the kernel's types by their names, without the suffixes of variants.
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
                let ours = CoreField::new(self.program, local)?;
                let theirs = CoreField::new(self.kernel, target)?;
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
    fn resized(&self, ours: &CoreField, theirs: &CoreField) -> FieldSize {
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
