//! Checked construction of types: sizes, nesting, notation length and names.

use super::record::Cursor;
use super::{Array, Field, Kind, Lpm, Member, Part, Record, Type};
use crate::atom::Atom;
use crate::enumeration::Enum;
use crate::model::{MAX_COST, MAX_DEPTH, MAX_SIZE, ModelError, is_identifier, unique};
use crate::padding;
use std::sync::Arc;

impl Type {
    /// What a size alone tells: 1, 2, 4, 8 bytes are a host-order unsigned integer, others are hex.
    pub fn of_size(bytes: u32) -> Type {
        match bytes {
            1 | 2 | 4 | 8 => {
                Atom::integer(bytes as usize, false).map_or(Type::Hex(bytes), Type::Atom)
            }
            _ => Type::Hex(bytes),
        }
    }

    /// `len` elements of `elem`.
    pub fn array(elem: Type, len: u32) -> Result<Type, ModelError> {
        if elem.size() == 0 && len > 0 {
            return Err(ModelError::EmptyElement);
        }
        if elem.size() as u64 * u64::from(len) > MAX_SIZE as u64 {
            return Err(ModelError::TooLarge);
        }
        if elem.depth() >= MAX_DEPTH {
            return Err(ModelError::TooDeep);
        }
        if elem.cost() + 16 > MAX_COST {
            return Err(ModelError::TooLong);
        }
        Ok(Type::Array(Arc::new(Array { elem, len })))
    }

    /// An enum stored in `carrier`, with `names` in the order of declaration.
    pub fn enumeration(
        carrier: Atom,
        names: impl IntoIterator<Item = (Arc<str>, i128)>,
    ) -> Result<Type, ModelError> {
        Ok(Type::Enum(Arc::new(Enum::new(carrier, names)?)))
    }

    /// The key of an LPM trie over `data`.
    pub fn lpm(data: Type) -> Result<Type, ModelError> {
        if data.size() > MAX_SIZE - Lpm::HEADER {
            return Err(ModelError::TooLarge);
        }
        if data.depth() + 2 > MAX_DEPTH {
            return Err(ModelError::TooDeep);
        }
        let record = match &data {
            Type::Record(_) => Record::lpm(data.clone()).ok(),
            _ => None,
        };
        let lpm = Type::Lpm(Arc::new(Lpm { data, record }));
        if lpm.cost() > MAX_COST { Err(ModelError::TooLong) } else { Ok(lpm) }
    }
}

impl Part {
    /// Whether there can be such a member, with or without a name.
    pub(crate) fn check(&self, named: bool) -> Result<(), ModelError> {
        match self {
            Part::Field(Type::Record(_)) => Ok(()),
            Part::Field(_) if !named => Err(ModelError::Nameless),
            Part::Field(_) => Ok(()),
            Part::Bits(ty, width) => {
                let max = match ty {
                    Type::Atom(atom) if atom.is_carrier() || *atom == Atom::Bool => {
                        atom.size() as u32 * 8
                    }
                    Type::Enum(e) => e.carrier().size() as u32 * 8,
                    _ => return Err(ModelError::BadCarrier),
                };
                let carrier = match ty {
                    Type::Atom(atom) => atom.name(),
                    _ => "enum",
                };
                match (named, (1..=max).contains(&u32::from(*width))) {
                    (true, true) => Ok(()),
                    (false, _) => Err(ModelError::Nameless),
                    (_, false) => Err(ModelError::BadWidth { carrier: carrier.into(), max }),
                }
            }
            Part::Pad(0) | Part::PadBits(0) => Err(ModelError::EmptyPad),
            Part::Pad(_) | Part::PadBits(_) if named => Err(ModelError::BadName),
            Part::Pad(_) | Part::PadBits(_) => Ok(()),
        }
    }
}

impl Record {
    /// A struct or union of `members`, in order.
    pub fn build(kind: Kind, members: Vec<Member>) -> Result<Type, ModelError> {
        let mut cursor = Cursor::new(kind);
        let (mut depth, mut cost, mut leaves, mut overlaps) = (0, 16, 0, kind.union);
        let mut fields = Vec::with_capacity(members.len());
        for Member { name, part } in &members {
            if name.as_deref().is_some_and(|name| !is_identifier(name)) {
                return Err(ModelError::BadName);
            }
            part.check(name.is_some())?;
            let bit = cursor.put(part);
            if cursor.size() > MAX_SIZE as u64 {
                return Err(ModelError::TooLarge);
            }
            cost += 16 + name.as_deref().map_or(0, str::len);
            let (ty, width) = match part {
                Part::Field(ty) => (ty, None),
                Part::Bits(ty, width) => (ty, Some(*width)),
                Part::Pad(_) | Part::PadBits(_) => continue,
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
                    // Charged again at each level, for the flattened copy's memory.
                    cost += 16 * inner.fields.len();
                    fields.extend(inner.fields.iter().map(|field| Field {
                        name: Arc::clone(&field.name),
                        ty: field.ty.clone(),
                        bit: bit + field.bit,
                        width: field.width,
                        leaf: leaves + field.leaf,
                    }));
                }
                (None, _) => return Err(ModelError::Nameless),
            }
            leaves += ty.leaves();
            if cost > MAX_COST {
                return Err(ModelError::TooLong);
            }
        }
        if depth >= MAX_DEPTH {
            return Err(ModelError::TooDeep);
        }
        unique(fields.iter().map(|field| &field.name))?;
        Ok(Type::Record(Arc::new(Record {
            kind,
            members: members.into(),
            gaps: padding::gaps(fields.iter().map(Field::bits), cursor.size() as usize),
            fields: fields.into(),
            size: cursor.size() as usize,
            align: cursor.align,
            depth: depth + 1,
            cost,
            leaves,
            overlaps,
        })))
    }

    /// An LPM key over a struct, as one struct. Fails where a field is called prefixlen, too.
    fn lpm(data: Type) -> Result<Type, ModelError> {
        let prefix =
            Member { name: Some("prefixlen".into()), part: Part::Field(Type::Atom(Atom::U32)) };
        let data = Member { name: None, part: Part::Field(data) };
        Record::build(Kind { union: false, packed: true }, vec![prefix, data])
    }
}
