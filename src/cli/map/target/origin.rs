//! Where the layout of a map comes from. If it is a guess, reading warns, and keys and values
//! that are given as text are refused.

use super::Target;
use crate::cli::map::output::warn;
use crate::map::typed::{BtfReadError, LayoutSource, Layouts, derive_from_sizes};
use crate::text::escape;
use anyhow::bail;
use bpf_inherit::bpf::MapInfo;
use bpf_layout::Layout;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Mutex;

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
    /// The layout of a map and its origin: `own` is what the environment says.
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
}

/// Whether text gives bytes without any type.
fn is_hex(text: &[u8]) -> bool {
    text.starts_with(b"hex:")
}

impl Target {
    /// Why text has no meaning as a key or a value; None if its type is known.
    pub fn guess(&self, part: LayoutPart) -> Option<String> {
        let LayoutOrigin { unreadable, options, .. } = &self.origin;
        let (name, option) = match part {
            LayoutPart::Key => ("key", options[0]),
            LayoutPart::Value => ("value", options[1]),
        };
        let is_guess = self.origin.of_part(part) == LayoutSource::Guess;
        let why = unreadable.as_ref().filter(|_| is_guess)?;
        Some(format!(
            "the type of the {name} is not known ({why}): give {option} LAYOUT or hex:BYTES"
        ))
    }

    /// An error for text whose type is a guess, unless it is `hex:` and the bytes.
    pub fn refuse_guess(&self, part: LayoutPart, text: &OsStr) -> anyhow::Result<()> {
        let Some(why) = self.guess(part).filter(|_| !is_hex(text.as_bytes())) else {
            return Ok(());
        };
        let name = if part == LayoutPart::Key { "key" } else { "value" };
        bail!("{}: {name} {}: {why}", self.label, escape(text.as_bytes()))
    }

    /// Warns if a type by which something is printed is a guess, once for each map.
    pub fn warn_of_guess(&self, printed: &[LayoutPart]) {
        static WARNED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
        let Some(why) = &self.origin.unreadable else { return };
        if printed.iter().all(|part| self.origin.of_part(*part) != LayoutSource::Guess) {
            return;
        }
        let mut warned = WARNED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if warned.insert(self.map.info().id) {
            let label = &self.label;
            warn(format_args!("{label}: the layout is a guess from sizes ({why})"));
        }
    }
}
