//! A layout as BTF: the inverse of `resolve`.
//!
//! Types of the notation that C does not have become typedefs of the same name over bytes or
//! integers. A struct whose notation does not follow from where its members are (padding that C
//! would insert anyway, `packed` that changes nothing) has the notation in a declaration tag.

use super::btf::{LAYOUT_TAG, MAGIC, kind};
use super::types::MemberPart;
use super::{Atom, AtomClass, Enum, Layout, Lpm, Record, Type, placement};
use std::collections::HashMap;

/// The BTF of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapBtf {
    /// What BPF_BTF_LOAD takes.
    pub blob: Vec<u8>,
    /// The type id of the key; 0 if the map has no keys.
    pub key: u32,
    /// The type id of the value.
    pub value: u32,
}

impl Layout {
    /// The types as BTF, from which [`super::Btf::layout`] reads the same types.
    pub fn to_btf(&self) -> MapBtf {
        let mut writer = Writer::default();
        let key = self.key.as_ref().map_or(0, |key| writer.ty(key));
        let value = writer.ty(&self.value);
        MapBtf { blob: writer.blob(), key, value }
    }
}

/// Flags of an integer: BTF_INT_SIGNED, BTF_INT_BOOL.
const SIGNED: u32 = 1 << 24;
const BOOL: u32 = 4 << 24;
/// The bit of `info` by which members have a width, and an enum is signed.
const FLAG: u32 = 1 << 31;

#[derive(Default)]
struct Writer {
    types: Vec<u32>,
    /// How many types there are, and so the id of the last.
    count: u32,
    strings: Vec<u8>,
    /// The ids of types without members, by name.
    known: HashMap<&'static str, u32>,
}

impl Writer {
    fn ty(&mut self, ty: &Type) -> u32 {
        match ty {
            Type::Atom(atom) => self.atom(*atom),
            Type::Char(len) => {
                let char = self.once("char", |writer| writer.int("char", 1, SIGNED));
                self.array(char, *len)
            }
            Type::Hex(len) => {
                let bytes = self.bytes(*len);
                self.typedef("hex", bytes)
            }
            Type::Array(array) => {
                let elem = self.ty(array.elem());
                self.array(elem, array.len() as u32)
            }
            Type::Enum(names) => self.enumeration(names),
            Type::Record(record) => self.record(record, ty),
            Type::Lpm(lpm) => self.lpm(lpm),
        }
    }

    fn atom(&mut self, atom: Atom) -> u32 {
        let size = atom.size() as u32;
        self.once(atom.name(), |writer| match (atom, atom.class()) {
            (Atom::Be16, _) => writer.typedef_over(atom, Atom::U16),
            (Atom::Be32, _) => writer.typedef_over(atom, Atom::U32),
            (Atom::Be64, _) => writer.typedef_over(atom, Atom::U64),
            (_, AtomClass::Address) => {
                let bytes = writer.bytes(size);
                writer.typedef(atom.name(), bytes)
            }
            (_, AtomClass::Pointer) => writer.add("", kind::PTR, 0, 0, &[]),
            (_, AtomClass::Float) => {
                let name = if size == 4 { "float" } else { "double" };
                writer.add(name, kind::FLOAT, 0, size, &[])
            }
            (_, AtomClass::Bool) => writer.int("_Bool", size, BOOL),
            (_, class) => {
                let encoding = if class == AtomClass::Signed { SIGNED } else { 0 };
                writer.int(c_name(atom), size, encoding)
            }
        })
    }

    fn once(&mut self, name: &'static str, add: impl FnOnce(&mut Writer) -> u32) -> u32 {
        if let Some(id) = self.known.get(name) {
            return *id;
        }
        let id = add(self);
        self.known.insert(name, id);
        id
    }

    fn int(&mut self, name: &str, size: u32, encoding: u32) -> u32 {
        self.add(name, kind::INT, 0, size, &[encoding | (size * 8)])
    }

    fn typedef(&mut self, name: &str, id: u32) -> u32 {
        self.add(name, kind::TYPEDEF, 0, id, &[])
    }

    fn typedef_over(&mut self, atom: Atom, integer: Atom) -> u32 {
        let id = self.atom(integer);
        self.typedef(atom.name(), id)
    }

    fn bytes(&mut self, len: u32) -> u32 {
        let byte = self.atom(Atom::U8);
        self.array(byte, len)
    }

    fn array(&mut self, elem: u32, len: u32) -> u32 {
        let index = self.atom(Atom::U32);
        self.add("", kind::ARRAY, 0, 0, &[elem, index, len])
    }

    fn enumeration(&mut self, names: &Enum) -> u32 {
        let carrier = names.carrier();
        let signed = carrier.class() == AtomClass::Signed;
        // A reader takes a 32-bit number just below 2^32 for a negative one of an old compiler.
        let wide = carrier.size() == 8
            || !signed && names.names().any(|(_, number)| number > i128::from(i32::MAX));
        let mut tail = Vec::new();
        for (name, number) in names.names() {
            let number = number as u64;
            tail.extend([self.string(name), number as u32]);
            if wide {
                tail.push((number >> 32) as u32);
            }
        }
        let vlen = tail.len() as u32 / if wide { 3 } else { 2 };
        let info = vlen | if signed { FLAG } else { 0 };
        let kind = if wide { kind::ENUM64 } else { kind::ENUM };
        self.add("", kind, info, carrier.size() as u32, &tail)
    }

    fn lpm(&mut self, lpm: &Lpm) -> u32 {
        let [prefixlen, data] = [self.atom(Atom::U32), self.ty(lpm.data())];
        let names = ["prefixlen", "data"].map(|name| self.string(name));
        let size = (Lpm::HEADER + lpm.data().size()) as u32;
        let tail = [names[0], prefixlen, 0, names[1], data, Lpm::HEADER as u32 * 8];
        let key = self.add("", kind::STRUCT, 2, size, &tail);
        self.typedef("lpm", key)
    }

    fn record(&mut self, record: &Record, ty: &Type) -> u32 {
        let placed = placement::place_members(record);
        let has_bits = placed.iter().any(|member| matches!(member.part, MemberPart::Bits(..)));
        let limit = if has_bits { 1 << 24 } else { 1 << 32 };
        let mut tail = Vec::new();
        // With members that BTF cannot place, the tag alone has to do.
        let writable = placed.iter().all(|member| member.bit < limit);
        for member in placed.iter().filter(|_| writable) {
            let (ty, width) = match &member.part {
                MemberPart::Field(ty) => (ty, 0),
                MemberPart::Bits(ty, width) => (ty, u32::from(*width)),
                MemberPart::Pad(_) | MemberPart::PadBits(_) => continue,
            };
            let name = self.string(member.name.as_deref().unwrap_or_default());
            tail.extend([name, self.ty(ty), member.bit as u32 | width << 24]);
        }
        let union = record.kind().union;
        let size = record.size() as u32;
        let info = (tail.len() as u32 / 3) | if has_bits && writable { FLAG } else { 0 };
        let kind = if union { kind::UNION } else { kind::STRUCT };
        let id = self.add("", kind, info, size, &tail);
        if !writable || placement::fit_record(union, placed, size) != *ty {
            self.add(&format!("{LAYOUT_TAG}{ty}"), kind::DECL_TAG, 0, id, &[u32::MAX]);
        }
        id
    }

    fn add(&mut self, name: &str, kind: u8, info: u32, size_or_type: u32, tail: &[u32]) -> u32 {
        let name = self.string(name);
        self.types.extend([name, info | u32::from(kind) << 24, size_or_type]);
        self.types.extend(tail);
        self.count += 1;
        self.count
    }

    /// The offset that a string will have. The first string of BTF is the empty one.
    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32 + 1;
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn blob(self) -> Vec<u8> {
        let types = size_of_val(&self.types[..]) as u32;
        let words = [24, 0, types, types, self.strings.len() as u32 + 1];
        let mut blob = [&MAGIC.to_ne_bytes()[..], &[1, 0]].concat();
        blob.extend(words.into_iter().chain(self.types).flat_map(u32::to_ne_bytes));
        blob.push(0);
        blob.extend(self.strings);
        blob
    }
}

/// C's name of an integer, as compilers write it into BTF.
fn c_name(atom: Atom) -> &'static str {
    match atom {
        Atom::U8 => "unsigned char",
        Atom::U16 => "unsigned short",
        Atom::U32 => "unsigned int",
        Atom::U64 => "unsigned long long",
        Atom::U128 => "unsigned __int128",
        Atom::I8 => "signed char",
        Atom::I16 => "short",
        Atom::I32 => "int",
        Atom::I64 => "long long",
        _ => "__int128",
    }
}
