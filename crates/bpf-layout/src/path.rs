//! Finds a field by its path: `.a.b[2]`, as the command line and the words of a struct name it.

use super::text::quote_excerpt;
use super::types::{Field, Record};
use super::{Atom, Gap, Lpm, Slot, Type};

/// Why a path leads nowhere. Names are escaped already.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// There is none of this name; those that there are follow.
    #[error("no field {name}; there is {known}")]
    NoField {
        /// The name asked for, quoted.
        name: String,
        /// The names at this place, up to eight of them.
        known: String,
    },
    /// No run of padding begins at this offset; those of the struct or union follow.
    #[error("no padding at {name} ({known})")]
    NoPadding {
        /// The name asked for, quoted.
        name: String,
        /// The names of the runs, up to eight of them.
        known: String,
    },
    /// An index past the end, or into something that is no array.
    #[error("no element {index} in {ty}")]
    NoElement {
        /// As it was written, quoted.
        index: String,
        /// What was indexed.
        ty: String,
    },
    /// A name after something that has no fields.
    #[error("{ty} has no fields")]
    NoFields {
        /// What was asked.
        ty: String,
    },
    /// Not `.name` or `[index]`.
    #[error("expected a path such as .name or .name[2], found {0}")]
    Syntax(String),
}

static U32: Type = Type::Atom(Atom::U32);

impl Type {
    /// The place that `path` names: `.a.b[2]`, its first dot optional. An empty path, or `.`, is the whole.
    ///
    /// Fields of nameless structs and unions are named as in C, without a step of their own. An LPM
    /// key has `prefixlen`, and `data` unless that is a struct, whose fields then follow directly.
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

/// The field called `name` and its index, looking first at `hint`: input mostly comes in order.
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

/// The run of padding called `name`, as `@4`.
pub(super) fn find_gap<'t>(record: &'t Record, name: &str) -> Result<&'t Gap, PathError> {
    let gaps = record.gaps();
    gaps.iter().find(|gap| gap.name() == name).ok_or_else(|| {
        let names: Vec<String> = gaps.iter().take(9).map(Gap::name).collect();
        let known = match names.as_slice() {
            [] => "it has no padding".to_owned(),
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

/// A type's notation, cut short where it is long.
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
