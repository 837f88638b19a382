//! Structs and unions: members, and where C on BPF puts them.

use super::atom::Atom;
use super::model::{MAX_COST, MAX_DEPTH, MAX_SIZE, ModelError, is_identifier, unique};
use super::padding::{self, Gap};
use super::place::{Cursor, Kind};
use super::types::Type;
use std::sync::Arc;

/// What one member of a struct or union occupies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A whole type.
    Field(Type),
    /// So many bits of an integer, bool or enum.
    Bits(Type, u8),
    /// So many bytes without a name, from the next whole byte on.
    Pad(u32),
    /// So many bits without a name.
    PadBits(u32),
}

/// A member as the notation writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// None for padding, and for a struct or union whose fields count as the outer one's.
    pub name: Option<Arc<str>>,
    /// What it occupies.
    pub part: Part,
}

/// A field by its name, those of nameless members included.
pub struct Field {
    pub(super) name: Arc<str>,
    pub(super) ty: Type,
    /// Bits from the record's start.
    pub(super) bit: u64,
    /// The width in bits, of a bitfield.
    pub(super) width: Option<u8>,
    /// Number of its first leaf, counted from the record's.
    pub(super) leaf: usize,
}

impl Field {
    /// The bits that it takes, from the record's start: the first, and the one after the last.
    fn bits(&self) -> (u64, u64) {
        (self.bit, self.bit + self.width.map_or(self.ty.size() as u64 * 8, u64::from))
    }
}

/// A struct or a union.
pub struct Record {
    kind: Kind,
    members: Box<[Member]>,
    fields: Box<[Field]>,
    gaps: Box<[Gap]>,
    size: usize,
    align: usize,
    depth: u32,
    cost: usize,
    leaves: usize,
    overlaps: bool,
}

// Not derived: comparing the flattened fields as well would double the work at every level.
impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.members == other.members
    }
}

impl Eq for Record {}

impl Part {
    /// Bytes taken; None where it counts in bits.
    pub(super) fn size(&self) -> Option<usize> {
        match self {
            Part::Field(ty) => Some(ty.size()),
            Part::Pad(bytes) => Some(*bytes as usize),
            Part::Bits(..) | Part::PadBits(_) => None,
        }
    }

    pub(super) fn align(&self) -> usize {
        match self {
            Part::Field(ty) | Part::Bits(ty, _) => ty.align(),
            Part::Pad(_) | Part::PadBits(_) => 1,
        }
    }

    /// Whether there can be such a member, with or without a name.
    pub(super) fn check(&self, named: bool) -> Result<(), ModelError> {
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
    pub(super) fn lpm(data: Type) -> Result<Type, ModelError> {
        let prefix =
            Member { name: Some("prefixlen".into()), part: Part::Field(Type::Atom(Atom::U32)) };
        let data = Member { name: None, part: Part::Field(data) };
        Record::build(Kind { union: false, packed: true }, vec![prefix, data])
    }

    /// Struct or union, packed or not.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The members as written, padding included.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The fields by name, with those of nameless members in their place.
    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The runs of bytes with bits that no field has.
    pub(super) fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Bytes taken, trailing padding included.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Alignment in bytes.
    pub fn align(&self) -> usize {
        self.align
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    pub(super) fn leaves(&self) -> usize {
        self.leaves
    }

    pub(super) fn overlaps(&self) -> bool {
        self.overlaps
    }
}
