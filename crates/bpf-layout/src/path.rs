//! Paths of fields, such as `.a.b[2]`, as used on the command line and in the words of a struct.

use super::padding::Gap;
use super::text::quote_excerpt;
use super::types::{Field, Record};
use super::{Atom, Lpm, Slot, Type};

/// The reason why a path selects no field. Names from the input are quoted and escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The struct or union has no field of this name.
    #[error("no field {name}; fields: {known}")]
    NoField {
        /// The name, quoted.
        name: String,
        /// Up to eight names of fields that exist.
        known: String,
    },
    /// The struct or union has no run of padding of this name.
    #[error("no padding at {name}; {known}")]
    NoPadding {
        /// The name, quoted.
        name: String,
        /// Up to eight names of runs that exist.
        known: String,
    },
    /// The index is out of range, or the type is not an array.
    #[error("no element {index} in {ty}")]
    NoElement {
        /// The index, quoted.
        index: String,
        /// A description of the indexed type.
        ty: String,
    },
    /// The type is not a struct or a union.
    #[error("{ty} has no fields")]
    NoFields {
        /// A description of the type.
        ty: String,
    },
    /// The path does not consist of `.name` and `[index]`. The field is the text, quoted.
    #[error("expected a path such as .name or .name[2], found {0}")]
    Syntax(String),
}

static U32: Type = Type::Atom(Atom::U32);

impl Type {
    /// Returns the slot that a path such as `.a.b[2]` selects. The first dot is optional; an empty
    /// path and `.` select the whole value.
    ///
    /// Fields of nameless structs and unions belong to the outer struct, as in C. An LPM key has
    /// the field `prefixlen` and, if its data is a struct, the fields of the data, else the field
    /// `data`.
    ///
    /// # Errors
    ///
    /// Malformed paths, unknown names, and indexes out of range are refused.
    pub fn field(&self, path: &str) -> Result<Slot<'_>, PathError> {
        let mut slot = Slot::from(self);
        let mut rest = path.strip_prefix('.').unwrap_or(path);
        while !rest.is_empty() {
            rest = match rest.strip_prefix('[') {
                Some(inside) => {
                    let (index, after) = inside
                        .split_once(']')
                        .ok_or_else(|| PathError::Syntax(quote_excerpt(rest).to_string()))?;
                    slot = find_element(slot, index)?;
                    after
                }
                None => {
                    let end = rest.find(['.', '[']).unwrap_or(rest.len());
                    slot = find_child(slot, &rest[..end])?;
                    &rest[end..]
                }
            };
            if let Some(after) = rest.strip_prefix('.') {
                if after.is_empty() {
                    return Err(PathError::Syntax(quote_excerpt(path).to_string()));
                }
                rest = after;
            }
        }
        Ok(slot)
    }
}

fn find_element<'t>(slot: Slot<'t>, index: &str) -> Result<Slot<'t>, PathError> {
    let place = match (slot.ty, index.parse::<usize>()) {
        (Type::Array(array), Ok(place)) if place < array.len() => {
            Some(slot.element(array.elem(), place))
        }
        _ => None,
    };
    place.ok_or_else(|| PathError::NoElement {
        index: quote_excerpt(index).to_string(),
        ty: describe_type(slot.ty),
    })
}

fn find_child<'t>(slot: Slot<'t>, name: &str) -> Result<Slot<'t>, PathError> {
    if let Some(record) = slot.record() {
        let (_, field) = find_field(record, name, 0).ok_or_else(|| no_field_error(record, name))?;
        return Ok(slot.field(field));
    }
    match (slot.ty, name) {
        (Type::Lpm(_), "prefixlen") => Ok(Slot { ty: &U32, ..slot }),
        (Type::Lpm(lpm), "data") => {
            Ok(Slot { ty: lpm.data(), bit: slot.bit + Lpm::HEADER as u64 * 8, width: None })
        }
        _ => Err(PathError::NoFields { ty: describe_type(slot.ty) }),
    }
}

/// Returns the field called `name` and its index. `hint` is tried first, because input mostly has
/// the order of the fields.
pub(super) fn find_field<'t>(
    record: &'t Record,
    name: &str,
    hint: usize,
) -> Option<(usize, &'t Field)> {
    let fields = record.fields();
    let matches = |index: &usize| *fields[*index].name == *name;
    let guess = Some(hint).filter(|hint| *hint < fields.len()).filter(matches);
    let index = guess.or_else(|| (0..fields.len()).find(matches))?;
    Some((index, &fields[index]))
}

/// Returns the run of padding with a name such as `@4`.
pub(super) fn find_gap<'t>(record: &'t Record, name: &str) -> Result<&'t Gap, PathError> {
    let gaps = record.gaps();
    gaps.iter().find(|gap| gap.name() == name).ok_or_else(|| {
        let names: Vec<String> = gaps.iter().take(9).map(Gap::name).collect();
        let known = match names.as_slice() {
            [] => "padding: none".to_owned(),
            [first @ .., _] if names.len() == 9 => format!("padding: {}, ...", first.join(", ")),
            all => format!("padding: {}", all.join(", ")),
        };
        PathError::NoPadding { name: quote_excerpt(name).to_string(), known }
    })
}

pub(super) fn no_field_error(record: &Record, name: &str) -> PathError {
    let names: Vec<_> = record.fields().iter().take(9).map(|field| &*field.name).collect();
    let known = match names.as_slice() {
        [] => "none".to_owned(),
        [first @ .., _] if names.len() == 9 => format!("{}, ...", first.join(", ")),
        all => all.join(", "),
    };
    PathError::NoField { name: quote_excerpt(name).to_string(), known }
}

/// Returns a short description of a type for errors.
pub(super) fn describe_type(ty: &Type) -> String {
    match ty {
        Type::Record(record) if record.kind().union => "a union".to_owned(),
        Type::Record(_) => "a struct".to_owned(),
        Type::Enum(e) => format!("enum:{}", e.carrier().name()),
        Type::Array(array) => format!("an array of {}", array.len()),
        Type::Lpm(lpm) => format!("lpm{{{}}}", describe_type(lpm.data())),
        _ => ty.to_string(),
    }
}
