//! Maps that BTF declares: variables in the section `.maps`, of structs whose members are pointers.
//! A number is the length of an array that is pointed to; `bpf_helpers.h` has the macros.

use super::declaration::{Declaration, InnerMap, Pinning, Slot};
use super::elf::Elf;
use super::error::ObjectError;
use bpf_inherit::MapType;
use bpf_layout::{Btf, BtfMember, BtfVariable, Shape};
use std::collections::BTreeMap;

const SECTION: &str = ".maps";
/// Bytes of a pointer, and so of a slot.
const POINTER: u64 = 8;

/// Adds the maps that the file declares.
pub fn read(elf: &Elf, btf: Option<&Btf>, maps: &mut Vec<Declaration>) -> Result<(), ObjectError> {
    let Some((index, section)) = elf.section(SECTION) else { return Ok(()) };
    let Some(btf) = btf else { return Err(ObjectError::NoBtf) };
    let Some(declared) = btf.data_section(SECTION) else {
        return Err(ObjectError::NoBtf);
    };
    let first = maps.len();
    let mut slots = Vec::new();
    for variable in &declared.variables {
        let (map, place) = declaration(btf, variable, section.size)?;
        maps.push(map);
        slots.push(place);
    }
    let names: BTreeMap<String, usize> =
        maps.iter().enumerate().skip(first).map(|(at, map)| (map.name.clone(), at)).collect();
    let relocations = elf.relocations.iter().filter(|(section, _)| *section == index);
    for relocation in relocations.flat_map(|(_, relocations)| relocations) {
        // Sorted by offset, as the completed BTF is.
        let after =
            declared.variables.partition_point(|v| u64::from(v.offset) <= relocation.offset);
        let Some(at) = after.checked_sub(1) else {
            return Err(ObjectError::refused(SECTION, "a relocation outside of all maps"));
        };
        let variable = &declared.variables[at];
        let Some(map) = maps.get_mut(first + at) else { continue };
        let slot = slot_number(variable, slots[at], relocation.offset)
            .ok_or_else(|| ObjectError::refused(&map.name, "a relocation that is not a slot"))?;
        let target = &elf.symbols[relocation.symbol];
        let content = match map.map_type.holds_maps() {
            true => names.get(target.name).map(|at| Slot::Map(*at)),
            false => Some(Slot::Program(target.name.into())),
        };
        let Some(content) = content else {
            return Err(ObjectError::refused(&map.name, "a slot that is not a map of .maps"));
        };
        if map.map_type == MapType::HASH_OF_MAPS && map.key_size != 4 {
            return Err(ObjectError::refused(&map.name, "slots need keys of 4 bytes"));
        }
        map.slots.push((slot, content));
    }
    Ok(())
}

/// The number of the slot at `offset` in the section, if the map has slots, and one is there.
fn slot_number(variable: &BtfVariable, slots: Option<u32>, offset: u64) -> Option<u32> {
    let within = offset - u64::from(variable.offset);
    let from = within.checked_sub(u64::from(slots?))?;
    let inside = within + POINTER <= u64::from(variable.size);
    (inside && from.is_multiple_of(POINTER)).then(|| u32::try_from(from / POINTER).ok())?
}

/// The map that a variable declares, and the offset of its first slot.
fn declaration(
    btf: &Btf,
    variable: &BtfVariable,
    section: u64,
) -> Result<(Declaration, Option<u32>), ObjectError> {
    let refused = |cause: &str| ObjectError::refused(variable.name, cause);
    if u64::from(variable.offset) + u64::from(variable.size) > section {
        return Err(refused("outside of its section"));
    }
    if !variable.is_global {
        return Err(refused("a static variable: maps are global"));
    }
    let Shape::Struct { size, members } = btf.shape(variable.type_id)? else {
        return Err(refused("not a struct"));
    };
    if variable.name.is_empty() || size > variable.size {
        return Err(refused("malformed variable"));
    }
    let mut reader = Reader { btf, map: Declaration::default(), slots: None };
    reader.map.name = variable.name.into();
    reader.map.section = SECTION.into();
    reader.members(&members, false).map_err(|cause| refused(&cause))?;
    Ok((reader.map, reader.slots))
}

struct Reader<'b, 'a> {
    btf: &'b Btf<'a>,
    map: Declaration,
    /// Bytes from the start of the struct to the slots.
    slots: Option<u32>,
}

impl Reader<'_, '_> {
    fn members(&mut self, members: &[BtfMember], inner: bool) -> Result<(), String> {
        for (index, member) in members.iter().enumerate() {
            let wrong = |cause| format!("{}: {cause}", crate::text::escape(member.name.as_bytes()));
            self.member(member, inner, index + 1 == members.len()).map_err(wrong)?;
        }
        match self.map.map_type {
            MapType(0) => Err("type: missing".into()),
            _ => Ok(()),
        }
    }

    fn member(&mut self, member: &BtfMember, inner: bool, last: bool) -> Result<(), String> {
        match member.name {
            "type" => self.map.map_type = MapType(self.number(member)?),
            "max_entries" => self.map.max_entries = self.number(member)?,
            "map_flags" => self.map.flags = self.number(member)?,
            "numa_node" => self.map.numa_node = self.number(member)?,
            "map_extra" => self.map.extra = self.long(member)?,
            "key_size" => self.map.key_size = agreed(self.map.key_size, self.number(member)?)?,
            "value_size" => {
                self.map.value_size = agreed(self.map.value_size, self.number(member)?)?;
            }
            "key" => {
                self.map.key_type = self.pointee(member)?;
                self.map.key_size = agreed(self.map.key_size, self.size(self.map.key_type)?)?;
            }
            "value" => {
                self.map.value_type = self.pointee(member)?;
                self.map.value_size = agreed(self.map.value_size, self.size(self.map.value_type)?)?;
            }
            "pinning" if inner => return Err("an inner map cannot be pinned".into()),
            "pinning" => {
                self.map.pinning = match self.number(member)? {
                    0 => Pinning::None,
                    1 => Pinning::Name,
                    other => return Err(format!("{other} is neither 0 nor 1")),
                }
            }
            "values" if inner => return Err("inner maps cannot hold maps".into()),
            "values" if !last => return Err("not the last member".into()),
            "values" => self.values(member)?,
            _ => return Err("not an attribute of maps".into()),
        }
        Ok(())
    }

    /// The content of the slots: an array of pointers, declared without a length.
    fn values(&mut self, member: &BtfMember) -> Result<(), String> {
        let maps = self.map.map_type.holds_maps();
        if !maps && self.map.map_type != MapType::PROG_ARRAY {
            return Err(format!("{} has none", self.map.map_type.with_article()));
        }
        self.map.value_size = agreed(self.map.value_size, 4)?;
        let Shape::Array { elem, len: 0 } = self.shape(member.type_id)? else {
            return Err("not an array of unknown length".into());
        };
        let Shape::Pointer(target) = self.shape(elem)? else {
            return Err("not an array of pointers".into());
        };
        match (maps, self.shape(target)?) {
            (false, Shape::Prototype) => {}
            (true, Shape::Struct { members, .. }) => {
                let name = format!("{}.inner", self.map.name);
                let map = Declaration { name, section: SECTION.into(), ..Default::default() };
                let mut reader = Reader { btf: self.btf, map, slots: None };
                reader.members(&members, true)?;
                self.map.inner = Some(InnerMap::Definition(Box::new(reader.map)));
            }
            (true, _) => return Err("not pointers to maps".into()),
            (false, _) => return Err("not pointers to programs".into()),
        }
        self.slots = Some(member.bit / 8);
        Ok(())
    }

    fn shape(&self, id: u32) -> Result<Shape<'_>, String> {
        self.btf.shape(id).map_err(|error| error.to_string())
    }

    fn size(&self, id: u32) -> Result<u32, String> {
        self.btf.size(id).map_err(|error| error.to_string())
    }

    fn pointee(&self, member: &BtfMember) -> Result<u32, String> {
        match self.shape(member.type_id)? {
            Shape::Pointer(target) => Ok(target),
            _ => Err("not a pointer".into()),
        }
    }

    /// A number as `__uint` writes it.
    fn number(&self, member: &BtfMember) -> Result<u32, String> {
        match self.shape(self.pointee(member)?)? {
            Shape::Array { len, .. } => Ok(len),
            _ => Err("not a number".into()),
        }
    }

    /// A number as `__uint` or, if it may have 64 bits, as `__ulong` writes it.
    fn long(&self, member: &BtfMember) -> Result<u64, String> {
        match self.shape(member.type_id)? {
            Shape::Enum(numbers) => match numbers[..] {
                [number] => Ok(number),
                _ => Err("not one number".into()),
            },
            _ => self.number(member).map(u64::from),
        }
    }
}

/// A size that may be given twice, if both agree.
fn agreed(before: u32, size: u32) -> Result<u32, String> {
    if before != 0 && before != size {
        return Err(format!("{size} bytes, but {before} before"));
    }
    Ok(size)
}
