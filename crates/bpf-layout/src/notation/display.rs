//! Types as notation text: one line in canonical form, which parses to the same type.

use crate::{Array, Atom, Enum, Layout, Member, MemberPart, Record, RecordKind, Type};
use std::fmt::{Debug, Display, Formatter, Result};

impl Display for Layout {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.key {
            Some(key) => write!(f, "{key} -> {}", self.value),
            None => write!(f, "-> {}", self.value),
        }
    }
}

impl Debug for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        Display::fmt(self, f)
    }
}

impl Display for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Type::Atom(atom) => f.write_str(atom.name()),
            Type::Char(n) => write!(f, "char[{n}]"),
            Type::Hex(n) => write!(f, "hex[{n}]"),
            Type::Array(array) => write_array(array, f),
            Type::Enum(e) => write_enum(e, f),
            Type::Record(record) => write_record(record, f),
            Type::Lpm(lpm) => write!(f, "lpm{{{}}}", lpm.data()),
        }
    }
}

/// The outermost dimension is first, as in C: `char[2][16]` is two texts of 16 bytes.
fn write_array(array: &Array, f: &mut Formatter<'_>) -> Result {
    let mut elem = array.elem();
    while let Type::Array(inner) = elem {
        elem = inner.elem();
    }
    let last = match elem {
        Type::Char(n) => {
            f.write_str("char")?;
            Some(n)
        }
        Type::Hex(n) => {
            f.write_str("hex")?;
            Some(n)
        }
        _ => {
            Display::fmt(elem, f)?;
            None
        }
    };
    let mut next = Some(array);
    while let Some(array) = next {
        write!(f, "[{}]", array.len())?;
        next = match array.elem() {
            Type::Array(inner) => Some(inner),
            _ => None,
        };
    }
    last.map_or(Ok(()), |n| write!(f, "[{n}]"))
}

fn write_enum(e: &Enum, f: &mut Formatter<'_>) -> Result {
    f.write_str("enum")?;
    if e.carrier() != Atom::U32 {
        write!(f, ":{}", e.carrier().name())?;
    }
    f.write_str("{")?;
    let mut expected = 0;
    for (index, (name, value)) in e.names().enumerate() {
        write!(f, "{}{name}", if index > 0 { ", " } else { "" })?;
        if value != expected {
            write!(f, "={value}")?;
        }
        expected = value + 1;
    }
    f.write_str("}")
}

fn write_record(record: &Record, f: &mut Formatter<'_>) -> Result {
    let RecordKind { union, packed } = record.kind();
    f.write_str(if packed { "packed " } else { "" })?;
    f.write_str(if union { "union{" } else { "struct{" })?;
    for (index, Member { name, part }) in record.members().iter().enumerate() {
        f.write_str(if index > 0 { ", " } else { "" })?;
        if let Some(name) = name {
            write!(f, "{name}: ")?;
        }
        match part {
            MemberPart::Field(ty) => Display::fmt(ty, f)?,
            MemberPart::Bits(ty, width) => write!(f, "{ty}:{width}")?,
            MemberPart::Pad(bytes) => write!(f, "pad[{bytes}]")?,
            MemberPart::PadBits(bits) => write!(f, "pad:{bits}")?,
        }
    }
    f.write_str("}")
}
