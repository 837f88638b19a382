//! Keys and values of one map, between arguments and the kernel.

use super::advice;
use super::opened::Target;
use super::origin::LayoutPart;
use crate::error::{Cause, Error};
use crate::text::escape_argument;
use anyhow::{Context, anyhow, bail};
use bpf_inherit::{AccessMode, Errno, MapError, fd};
use bpf_layout::{Type, parse};
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

impl Target {
    /// The bytes of a key that was given as an argument.
    pub fn key(&self, text: &OsStr) -> anyhow::Result<Vec<u8>> {
        let kind = self.map.info().map_type;
        let ty = self.layout.key.as_ref().ok_or_else(|| {
            let instead = advice::without_keys(kind);
            anyhow!("{}: {} has no keys: {instead}", self.label, kind.with_article())
        })?;
        self.refuse_guess(LayoutPart::Key, text)?;
        let wrong = || format!("{}: key {}", self.label, escape_argument(text.as_bytes()));
        let key = bytes(ty, text).with_context(wrong)?;
        if kind.is_keyed_by_descriptor() {
            check_inherited(&key).with_context(wrong)?;
        }
        Ok(key)
    }

    /// The key and the field that arguments name. The key of an array with one entry, such as global
    /// variables, can be omitted before a field.
    pub fn key_and_field<'a>(
        &self,
        key: &'a OsStr,
        field: Option<&'a OsStr>,
    ) -> (&'a OsStr, Option<&'a OsStr>) {
        let info = self.map.info();
        let has_one_entry = info.map_type.is_filled() && info.max_entries == 1;
        match field {
            None if has_one_entry && key.as_bytes().starts_with(b".") => {
                (OsStr::new("0"), Some(key))
            }
            field => (key, field),
        }
    }

    /// The bytes of a value that was given as an argument: of one CPU's value in a per-CPU map.
    pub fn value(&self, text: &OsStr) -> anyhow::Result<Vec<u8>> {
        self.refuse_guess(LayoutPart::Value, text)?;
        let wrong = || format!("{}: value {}", self.label, escape_argument(text.as_bytes()));
        bytes(&self.layout.value, text).with_context(wrong)
    }

    /// The value at `key`, of all CPUs in a per-CPU map; None if the key is missing. `operation` is
    /// what an error names: the subcommand.
    pub fn lookup(&self, operation: &'static str, key: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.map.value_len()];
        let found = self.map.lookup(key, &mut value);
        let found = found.map_err(|error| self.cannot_read(operation, error))?;
        Ok(found.then_some(value))
    }

    /// An error if no value of this map can ever be read: before anything is printed.
    pub fn check_readable(&self, operation: &'static str) -> anyhow::Result<()> {
        let info = self.map.info();
        match info.map_type.hides_values(info.value_size) {
            true => {
                Err(self.cannot_read(operation, MapError::Unsupported(Errno::EOPNOTSUPP)).into())
            }
            false => Ok(()),
        }
    }

    /// Why the kernel refused to read.
    pub fn cannot_read(&self, operation: &'static str, error: MapError) -> Error {
        let cause = match error {
            MapError::Denied => Cause::Hint(error.into(), "the descriptor is write-only"),
            _ => self.explain(error, advice::reading(self.map.info().map_type)),
        };
        Error::new(&self.label, operation, cause)
    }

    /// Why the kernel refused to write.
    pub fn cannot_write(&self, operation: &'static str, error: MapError) -> Error {
        let kind = self.map.info().map_type;
        let entries = self.map.info().max_entries;
        let read_only = || fd::access_mode(self.map.as_fd()) == Ok(AccessMode::ReadOnly);
        let cause = match error {
            MapError::Denied if read_only() => {
                Cause::Hint(error.into(), "the descriptor is read-only")
            }
            MapError::Denied => Cause::Hint(error.into(), "the map is frozen"),
            MapError::PastEnd if kind.is_indexed() => {
                format!("no room: the key is past its end ({entries} entries)").into()
            }
            // A trie has its own number for it.
            MapError::PastEnd | MapError::NoRoom if kind.holds_data() || kind.holds_maps() => {
                Cause::NoRoom(format!("no room: the map is full ({entries} entries)"))
            }
            _ => self.explain(error, advice::writing(kind)),
        };
        Error::new(&self.label, operation, cause)
    }

    /// Why elements could not be deleted.
    pub fn explain_delete(&self, operation: &'static str, error: MapError) -> anyhow::Error {
        let kind = self.map.info().map_type.name();
        let access = fd::access_mode(self.map.as_fd());
        let cause = match error {
            MapError::Denied if access == Ok(AccessMode::ReadOnly) => {
                Cause::Hint(error.into(), "the descriptor is read-only")
            }
            MapError::Denied if access == Ok(AccessMode::WriteOnly) => {
                Cause::Hint(error.into(), "the descriptor is write-only")
            }
            MapError::Denied => Cause::Hint(error.into(), "the map is frozen"),
            MapError::Invalid | MapError::Unsupported(_) => {
                format!("the elements of this {kind} cannot be deleted").into()
            }
            _ => return self.explain_walk(operation, error),
        };
        Error::new(&self.label, operation, cause).into()
    }

    fn explain(&self, error: MapError, advice: Option<&str>) -> Cause {
        let kind = self.map.info().map_type.with_article();
        match (error, advice) {
            (MapError::Unsupported(_), None) => format!("not possible with {kind}").into(),
            (MapError::Unsupported(_) | MapError::NoRoom, Some(advice)) => {
                format!("not possible with {kind}: {advice}").into()
            }
            (MapError::Other(Errno::ENOMEM | Errno::EFAULT), _) | (_, None) => error.into(),
            (error, Some(advice)) => format!("{error} ({kind}: {advice})").into(),
        }
    }
}

/// An error unless the number in `bytes` is a descriptor that this process inherited: not one
/// that it opened itself, which the number of a closed one may be by now.
pub fn check_inherited(bytes: &[u8]) -> anyhow::Result<()> {
    let number = bytes.first_chunk().map_or(-1, |word| i32::from_ne_bytes(*word));
    if fd::is_free(number) {
        bail!("descriptor {number} is closed");
    }
    Ok(())
}

fn bytes(ty: &Type, text: &OsStr) -> anyhow::Result<Vec<u8>> {
    let text = text.to_str().ok_or_else(|| anyhow!("not UTF-8"))?;
    Ok(parse::value(ty, text)?)
}
