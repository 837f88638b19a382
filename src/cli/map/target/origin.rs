//! Where the layout of a map comes from, and whether one of its types is a guess.

use crate::map::typed::{BtfReadError, LayoutSource, Layouts, derive_from_sizes};
use bpf_inherit::bpf::MapInfo;
use bpf_layout::Layout;

/// Where the two types of a layout come from.
#[derive(Clone, Debug)]
pub struct LayoutOrigin {
    pub key: LayoutSource,
    pub value: LayoutSource,
    /// Why BTF was not read, if one of them is a guess.
    unreadable: Option<BtfReadError>,
    /// The options that give the types.
    options: [&'static str; 2],
}

/// One of the two types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutPart {
    Key,
    Value,
}

impl LayoutPart {
    pub const BOTH: [LayoutPart; 2] = [LayoutPart::Key, LayoutPart::Value];
}

impl LayoutOrigin {
    /// The layout of a map and its origin; `own` is the layout in the environment.
    pub fn layout(own: Option<Layout>, info: &MapInfo) -> (Layout, LayoutOrigin) {
        let (layout, source, unreadable) = match own {
            Some(layout) => (layout, LayoutSource::Environment, None),
            None => match Layouts::default().read(info) {
                Ok(Some(layout)) => (layout, LayoutSource::Btf, None),
                Ok(None) => (derive_from_sizes(info), LayoutSource::Size, None),
                Err(why) => (derive_from_sizes(info), LayoutSource::Guess, Some(why)),
            },
        };
        let key = match source {
            // The index of an array is a u32 in host order, whatever its BTF says.
            LayoutSource::Guess if info.map_type.is_indexed() => LayoutSource::Size,
            source => source,
        };
        (layout, LayoutOrigin { unreadable, ..LayoutOrigin::of(key, source) })
    }

    /// The origin of a layout from the command line.
    pub fn given() -> LayoutOrigin {
        LayoutOrigin::of(LayoutSource::Option, LayoutSource::Option)
    }

    fn of(key: LayoutSource, value: LayoutSource) -> LayoutOrigin {
        LayoutOrigin { key, value, unreadable: None, options: ["--key", "--value"] }
    }

    /// The same of a map in a map of maps.
    pub fn of_inner(self) -> LayoutOrigin {
        LayoutOrigin { options: ["--inner", "--inner"], ..self }
    }

    fn of_part(&self, part: LayoutPart) -> LayoutSource {
        match part {
            LayoutPart::Key => self.key,
            LayoutPart::Value => self.value,
        }
    }

    /// The source of the whole layout: the weaker one of its two parts.
    pub fn source(&self) -> LayoutSource {
        self.key.max(self.value)
    }

    /// Why text has no meaning as a key or a value; None if its type is known.
    pub fn explain_guess(&self, part: LayoutPart) -> Option<String> {
        let why = self.guessed_because(&[part])?;
        let (name, option) = match part {
            LayoutPart::Key => ("key", self.options[0]),
            LayoutPart::Value => ("value", self.options[1]),
        };
        Some(format!(
            "the type of the {name} is not known ({why}): give {option} LAYOUT or hex:BYTES"
        ))
    }

    /// Why BTF was not read, if the type of one of `parts` is a guess.
    pub fn guessed_because(&self, parts: &[LayoutPart]) -> Option<&BtfReadError> {
        let is_guess = parts.iter().any(|part| self.of_part(*part) == LayoutSource::Guess);
        self.unreadable.as_ref().filter(|_| is_guess)
    }
}
