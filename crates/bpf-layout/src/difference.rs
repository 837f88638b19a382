//! The first difference between an expected layout and that of a map: other sizes, fields, offsets
//! or types. Properties that do not change how bytes are read are ignored: padding, `packed`, structs without
//! a name, and the names of an enum.

use super::types::Field;
use super::{Layout, Lpm, Record, Type};
use std::fmt::{Display, Formatter, Result as FmtResult};

/// The longest notation of a type in a difference, in bytes; longer ones are truncated.
const MAX_NOTATION: usize = 80;

/// A difference between two layouts, displayed as `value.bytes at offset 8: u64 expected, u32
/// found`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    place: String,
    expected: String,
    found: String,
}

impl Display for Difference {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{}: {} expected, {} found", self.place, self.expected, self.found)
    }
}

impl Layout {
    /// Returns the first difference between this layout, which is expected, and `found`, in the
    /// order of bytes; None if keys and values of both have the same fields and are read in the
    /// same way. Enums are read as integers.
    pub fn difference(&self, found: &Layout) -> Option<Difference> {
        let key = match (&self.key, &found.key) {
            (Some(expected), Some(found)) => {
                Pair { expected, found, bit: 0, width: None }.compare("key")
            }
            (None, None) => Ok(()),
            (expected, found) => {
                let describe = |ty: &Option<Type>| ty.as_ref().map_or("no key".into(), notation);
                differ("key", describe(expected), describe(found))
            }
        };
        let value = || {
            let (expected, found) = (&self.value, &found.value);
            Pair { expected, found, bit: 0, width: None }.compare("value")
        };
        key.and_then(|()| value()).err()
    }

    /// Returns the first difference between the sizes of keys and values of this layout, which is
    /// expected, and those of a map.
    pub fn size_difference(&self, key: usize, value: usize) -> Option<Difference> {
        let expected = self.key.as_ref().map_or(0, Type::size);
        let key = compare_sizes("key", expected, key);
        key.and_then(|()| compare_sizes("value", self.value.size(), value)).err()
    }
}

/// Two types at the same bit of a key or value.
struct Pair<'t> {
    expected: &'t Type,
    found: &'t Type,
    bit: u64,
    /// The width of both, if they are bitfields.
    width: Option<u8>,
}

impl Pair<'_> {
    fn compare(&self, path: &str) -> Result<(), Difference> {
        let Pair { expected, found, bit, width } = *self;
        match (expected, found) {
            (Type::Record(a), Type::Record(b)) => {
                compare_fields(a, b, bit, path)?;
                compare_sizes(path, expected.size(), found.size())
            }
            (Type::Lpm(a), Type::Lpm(b)) => {
                let (expected, found) = (a.data(), b.data());
                // The fields of data are fields of the key.
                let is_named = expected.as_record().is_none() || found.as_record().is_none();
                let path = if is_named { format!("{path}.data") } else { path.to_owned() };
                Pair { expected, found, bit: bit + Lpm::HEADER as u64 * 8, width }.compare(&path)
            }
            (Type::Array(a), Type::Array(b)) if a.len() == b.len() => {
                Pair { expected: a.elem(), found: b.elem(), bit, width }
                    .compare(&format!("{path}[0]"))
            }
            _ if is_read_alike(expected, found, width) => Ok(()),
            _ => {
                let place = format!("{path} at {}", offset(bit, width));
                differ(place, with_width(expected, width), with_width(found, width))
            }
        }
    }
}

/// Whether types without fields are read in the same way. A bitfield matters only by the sign of its
/// declared type.
fn is_read_alike(expected: &Type, found: &Type, width: Option<u8>) -> bool {
    let integer = |ty: &Type| match ty {
        Type::Atom(atom) => Some(*atom),
        Type::Enum(e) => Some(e.carrier()),
        _ => None,
    };
    match (integer(expected), integer(found)) {
        (Some(a), Some(b)) if width.is_some() => a.class() == b.class(),
        (Some(a), Some(b)) => a == b,
        _ => expected == found,
    }
}

fn compare_fields(
    expected: &Record,
    found: &Record,
    bit: u64,
    path: &str,
) -> Result<(), Difference> {
    // The members of a union have no order in memory.
    let sorted = |record: &Record| {
        let mut fields: Vec<(u64, usize)> =
            record.fields().iter().enumerate().map(|(at, field)| (field.bit, at)).collect();
        fields.sort_by(|a, b| {
            let name = |at: usize| &record.fields()[at].name;
            a.0.cmp(&b.0).then_with(|| name(a.1).cmp(name(b.1)))
        });
        fields.into_iter().map(|(_, at)| at).collect::<Vec<_>>()
    };
    let (order, other_order) = (sorted(expected), sorted(found));
    for at in 0..order.len().max(other_order.len()) {
        let a = order.get(at).map(|at| &expected.fields()[*at]);
        let b = other_order.get(at).map(|at| &found.fields()[*at]);
        match (a, b) {
            (Some(a), Some(b)) if a.name == b.name => compare_field(a, b, bit, path)?,
            (a, b) => {
                let describe = |field: Option<&Field>| match field {
                    Some(Field { name, ty, bit: at, width, .. }) => {
                        let ty = with_width(ty, *width);
                        format!("{name}: {ty} at {}", offset(bit + at, *width))
                    }
                    None => "no field".into(),
                };
                return differ(path, describe(a), describe(b));
            }
        }
    }
    Ok(())
}

/// Compares two fields of the same name.
fn compare_field(a: &Field, b: &Field, bit: u64, path: &str) -> Result<(), Difference> {
    let path = format!("{path}.{}", a.name);
    if a.bit != b.bit {
        return differ(path, offset(bit + a.bit, a.width), offset(bit + b.bit, b.width));
    }
    if a.width != b.width {
        let place = format!("{path} at {}", offset(bit + a.bit, a.width.or(b.width)));
        return differ(place, with_width(&a.ty, a.width), with_width(&b.ty, b.width));
    }
    Pair { expected: &a.ty, found: &b.ty, bit: bit + a.bit, width: a.width }.compare(&path)
}

fn compare_sizes(path: &str, expected: usize, found: usize) -> Result<(), Difference> {
    let bytes = |count: usize| format!("{count} byte{}", if count == 1 { "" } else { "s" });
    if expected == found { Ok(()) } else { differ(path, bytes(expected), bytes(found)) }
}

fn differ(place: impl Into<String>, expected: String, found: String) -> Result<(), Difference> {
    Err(Difference { place: place.into(), expected, found })
}

fn offset(bit: u64, width: Option<u8>) -> String {
    match width {
        Some(_) => format!("bit {bit}"),
        None => format!("offset {}", bit / 8),
    }
}

fn with_width(ty: &Type, width: Option<u8>) -> String {
    match width {
        Some(width) => format!("{}:{width}", notation(ty)),
        None => notation(ty),
    }
}

/// The notation of a type, which is ASCII.
fn notation(ty: &Type) -> String {
    let mut text = ty.to_string();
    if text.len() > MAX_NOTATION {
        text.truncate(MAX_NOTATION);
        text.push('…');
    }
    text
}
