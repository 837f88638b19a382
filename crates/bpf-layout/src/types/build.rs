//! Construction of types; it refuses types that exceed the limits of `limits.rs` or break the
//! rules for names.

use super::{Array, Field, Lpm, Member, MemberPart, Record, RecordKind, Type};
use crate::atom::Atom;
use crate::enumeration::Enum;
use crate::limits::{MAX_COST, MAX_DEPTH, MAX_SIZE, TypeError, check_unique, is_identifier};
use crate::member_cursor::MemberCursor;
use crate::padding;
use std::sync::Arc;

impl Type {
    /// Returns the type that is assumed if only the size is known: a host-order unsigned integer
    /// for 1, 2, 4 and 8 bytes, `hex[bytes]` for other sizes.
    pub fn of_size(bytes: u32) -> Type {
        match bytes {
            1 | 2 | 4 | 8 => {
                Atom::integer_of_size(bytes as usize, false).map_or(Type::Hex(bytes), Type::Atom)
            }
            _ => Type::Hex(bytes),
        }
    }

    /// Builds an array of `len` elements of type `elem`.
    ///
    /// # Errors
    ///
    /// Elements of size 0, and an array that exceeds [`MAX_SIZE`], [`MAX_DEPTH`] or [`MAX_COST`],
    /// are refused.
    pub fn array(elem: Type, len: u32) -> Result<Type, TypeError> {
        if elem.size() == 0 && len > 0 {
            return Err(TypeError::EmptyElement);
        }
        if elem.size() as u64 * u64::from(len) > MAX_SIZE as u64 {
            return Err(TypeError::TooLarge);
        }
        if elem.depth() >= MAX_DEPTH {
            return Err(TypeError::TooDeep);
        }
        if elem.cost() + 16 > MAX_COST {
            return Err(TypeError::TooLong);
        }
        Ok(Type::Array(Arc::new(Array { elem, len })))
    }

    /// Builds an enum stored in `carrier`, with `names` in the order of declaration.
    ///
    /// # Errors
    ///
    /// A carrier that is not a host-order integer of 1 to 8 bytes, an invalid or duplicate name, a
    /// value that is out of range for the carrier, and a notation longer than [`MAX_COST`] are
    /// refused.
    pub(crate) fn enumeration(
        carrier: Atom,
        names: impl IntoIterator<Item = (Arc<str>, i128)>,
    ) -> Result<Type, TypeError> {
        Ok(Type::Enum(Arc::new(Enum::new(carrier, names)?)))
    }

    /// Builds the key of an LPM trie with the given data.
    ///
    /// # Errors
    ///
    /// A key that exceeds [`MAX_SIZE`], [`MAX_DEPTH`] or [`MAX_COST`] is refused.
    pub(crate) fn lpm(data: Type) -> Result<Type, TypeError> {
        if data.size() > MAX_SIZE - Lpm::HEADER {
            return Err(TypeError::TooLarge);
        }
        if data.depth() + 2 > MAX_DEPTH {
            return Err(TypeError::TooDeep);
        }
        let record = match &data {
            Type::Record(_) => Record::lpm(data.clone()).ok(),
            _ => None,
        };
        let lpm = Type::Lpm(Arc::new(Lpm { data, record }));
        if lpm.cost() > MAX_COST { Err(TypeError::TooLong) } else { Ok(lpm) }
    }
}

impl MemberPart {
    /// Checks that a member with this type or padding may exist, named or nameless.
    pub(crate) fn check(&self, named: bool) -> Result<(), TypeError> {
        match self {
            MemberPart::Field(Type::Record(_)) => Ok(()),
            MemberPart::Field(_) if !named => Err(TypeError::Nameless),
            MemberPart::Field(_) => Ok(()),
            MemberPart::Bits(ty, width) => {
                let max = match ty {
                    Type::Atom(atom) if atom.is_carrier() || *atom == Atom::Bool => {
                        atom.size() as u32 * 8
                    }
                    Type::Enum(e) => e.carrier().size() as u32 * 8,
                    _ => return Err(TypeError::BadCarrier),
                };
                let carrier = match ty {
                    Type::Atom(atom) => atom.name(),
                    _ => "enum",
                };
                match (named, (1..=max).contains(&u32::from(*width))) {
                    (true, true) => Ok(()),
                    (false, _) => Err(TypeError::Nameless),
                    (_, false) => Err(TypeError::BadWidth { carrier: carrier.into(), max }),
                }
            }
            MemberPart::Pad(0) | MemberPart::PadBits(0) => Err(TypeError::EmptyPad),
            MemberPart::Pad(_) | MemberPart::PadBits(_) if named => Err(TypeError::BadName),
            MemberPart::Pad(_) | MemberPart::PadBits(_) => Ok(()),
        }
    }
}

impl Record {
    /// Builds a struct or union of `members`, placed in this order by the rules of C for BPF.
    ///
    /// # Errors
    ///
    /// Invalid or duplicate names, members that may not be nameless, invalid bitfields, empty
    /// padding, and a record that exceeds [`MAX_SIZE`], [`MAX_DEPTH`] or [`MAX_COST`] are refused.
    pub(crate) fn build(kind: RecordKind, members: Vec<Member>) -> Result<Type, TypeError> {
        let mut cursor = MemberCursor::new(kind);
        let (mut depth, mut cost, mut leaves, mut overlaps) = (0, 16, 0, kind.union);
        let mut fields = Vec::with_capacity(members.len());
        for Member { name, part } in &members {
            if name.as_deref().is_some_and(|name| !is_identifier(name)) {
                return Err(TypeError::BadName);
            }
            part.check(name.is_some())?;
            let bit = cursor.place(part);
            if cursor.size() > MAX_SIZE as u64 {
                return Err(TypeError::TooLarge);
            }
            cost += 16 + name.as_deref().map_or(0, str::len);
            let (ty, width) = match part {
                MemberPart::Field(ty) => (ty, None),
                MemberPart::Bits(ty, width) => (ty, Some(*width)),
                MemberPart::Pad(_) | MemberPart::PadBits(_) => continue,
            };
            depth = depth.max(ty.depth());
            cost += ty.cost();
            overlaps |= ty.overlaps();
            match (name, ty) {
                (Some(name), _) => {
                    fields.push(Field {
                        name: Arc::clone(name),
                        ty: ty.clone(),
                        bit,
                        width,
                        leaf: leaves,
                    });
                }
                (None, Type::Record(inner)) => {
                    // The copies of a nameless member's fields take memory at each level.
                    cost += 16 * inner.fields.len();
                    fields.extend(inner.fields.iter().map(|field| Field {
                        name: Arc::clone(&field.name),
                        ty: field.ty.clone(),
                        bit: bit + field.bit,
                        width: field.width,
                        leaf: leaves + field.leaf,
                    }));
                }
                (None, _) => return Err(TypeError::Nameless),
            }
            leaves += ty.leaves();
            if cost > MAX_COST {
                return Err(TypeError::TooLong);
            }
        }
        if depth >= MAX_DEPTH {
            return Err(TypeError::TooDeep);
        }
        check_unique(fields.iter().map(|field| &field.name))?;
        Ok(Type::Record(Arc::new(Record {
            kind,
            members: members.into(),
            gaps: padding::find_gaps(fields.iter().map(Field::bits), cursor.size() as usize),
            fields: fields.into(),
            size: cursor.size() as usize,
            align: cursor.align,
            depth: depth + 1,
            cost,
            leaves,
            overlaps,
        })))
    }

    /// Builds the struct of an LPM key: prefixlen, then the fields of `data`. A field of `data`
    /// that is named prefixlen is an error.
    fn lpm(data: Type) -> Result<Type, TypeError> {
        let prefix = Member {
            name: Some("prefixlen".into()),
            part: MemberPart::Field(Type::Atom(Atom::U32)),
        };
        let data = Member { name: None, part: MemberPart::Field(data) };
        Record::build(RecordKind { union: false, packed: true }, vec![prefix, data])
    }
}
