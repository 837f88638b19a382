//! Maps of maps: `KEY/INNERKEY`, and the inner map of a key.

use super::opened::Target;
use crate::source::id;
use anyhow::Context;
use bpf_inherit::AccessMode;
use bpf_layout::Layout;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

/// A key of a map of maps, and what follows it.
#[derive(Debug)]
pub struct Nested<'a> {
    /// The outer key, as it was given and in bytes.
    pub outer: &'a OsStr,
    pub key: Vec<u8>,
    /// The key in the inner map.
    pub inner: Option<&'a OsStr>,
}

/// What a key names: an entry of a map, or of a map that the map holds.
pub enum Reached<'a> {
    /// A map, and a key of it as it was given and in bytes.
    Entry(Rc<Target>, &'a OsStr, Vec<u8>),
    /// The outer map does not have this key.
    Missing(&'a OsStr),
}

impl Target {
    /// Whether its values are maps.
    pub fn holds_maps(&self) -> bool {
        self.map.info().map_type.holds_maps()
    }

    /// Splits `KEY/INNERKEY` at the first slash after a valid key of this map; a slash inside double
    /// quotes or brackets is not one. If there is no such slash, the whole text is the key.
    pub fn nested<'a>(&self, text: &'a OsStr) -> anyhow::Result<Nested<'a>> {
        let mut first = None;
        let slashes = text.as_bytes().iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for (at, _) in slashes {
            let before = OsStr::from_bytes(&text.as_bytes()[..at]);
            let after = OsStr::from_bytes(&text.as_bytes()[at + 1..]);
            match self.key(before) {
                Ok(key) => return Ok(Nested { outer: before, key, inner: Some(after) }),
                Err(error) => first = first.or(Some(error)),
            }
        }
        match self.key(text) {
            Ok(key) => Ok(Nested { outer: text, key, inner: None }),
            Err(error) => Err(first.unwrap_or(error)),
        }
    }

    /// The map to write and the key in it that `KEY`, or `KEY/INNERKEY` of a map of maps, names.
    pub fn reach<'a>(
        self: &Rc<Target>,
        text: &'a OsStr,
        inner_layout: Option<&Layout>,
    ) -> anyhow::Result<Reached<'a>> {
        if !self.holds_maps() {
            return Ok(Reached::Entry(self.clone(), text, self.key(text)?));
        }
        let nested = self.nested(text)?;
        let Some(inner) = nested.inner else {
            return Ok(Reached::Entry(self.clone(), text, nested.key));
        };
        let Some(target) = self.open_inner(&nested, inner_layout, AccessMode::ReadWrite)? else {
            return Ok(Reached::Missing(nested.outer));
        };
        let key = target.key(inner)?;
        Ok(Reached::Entry(Rc::new(target), inner, key))
    }

    /// Opens the inner map of a key, by its id; None if the key has none.
    pub fn open_inner(
        &self,
        nested: &Nested,
        layout: Option<&Layout>,
        access: AccessMode,
    ) -> anyhow::Result<Option<Target>> {
        let mut before = None;
        loop {
            let Some(found) = self.lookup("open inner map", &nested.key)? else { return Ok(None) };
            let id = found.first_chunk().map_or(0, |word| u32::from_ne_bytes(*word));
            match id::open_map(id, access == AccessMode::ReadOnly) {
                Ok(map) => {
                    let label = format!("{}: id {id}", self.label);
                    return Target::of_map(map, label, layout).map(Some);
                }
                // The inner map may have been replaced and removed after its id was read. It is an
                // error only if the slot still has the same id.
                Err(error) if before == Some(id) => {
                    return Err(error).with_context(|| self.label.clone());
                }
                Err(_) => before = Some(id),
            }
        }
    }
}
