//! Keys and values of one map, between arguments and the kernel.

use super::reference::Target;
use crate::error::{Cause, Error};
use crate::layout::{Type, parse};
use crate::map::kind::Kind;
use crate::sys::bpf::Access;
use crate::sys::{Errno, fd};
use crate::text::escape;
use anyhow::{Context, anyhow};
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

impl Target {
    /// The bytes of a key that was given as an argument.
    pub fn key(&self, text: &OsStr) -> anyhow::Result<Vec<u8>> {
        let kind = Kind(self.map.info().kind).name();
        let ty = self
            .layout
            .key
            .as_ref()
            .ok_or_else(|| anyhow!("{}: a {kind} has no keys", self.label))?;
        bytes(ty, text).with_context(|| format!("{}: key {}", self.label, escape(text.as_bytes())))
    }

    /// The bytes of a value that was given as an argument: of one CPU's value in a per-CPU map.
    pub fn value(&self, text: &OsStr) -> anyhow::Result<Vec<u8>> {
        let wrong = || format!("{}: value {}", self.label, escape(text.as_bytes()));
        bytes(&self.layout.value, text).with_context(wrong)
    }

    /// The value at `key`, of all CPUs in a per-CPU map; None where there is none.
    pub fn lookup(&self, key: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.map.value_len()];
        let found = self.map.lookup(key, &mut value).map_err(|errno| {
            let cause = match errno {
                Errno::EPERM => Cause::Hint(errno, "the descriptor is write-only"),
                errno => self.explain(errno),
            };
            Error::new(&self.label, "get", cause)
        })?;
        Ok(found.then_some(value))
    }

    /// Writes `value`, of all CPUs in a per-CPU map.
    pub fn update(&self, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
        self.map.update(key, value, 0).map_err(|errno| {
            let read_only = fd::access(self.map.as_fd()) == Ok(Access::ReadOnly);
            let cause = match errno {
                Errno::EPERM if read_only => Cause::Hint(errno, "the descriptor is read-only"),
                Errno::EPERM => Cause::Hint(errno, "the map is frozen"),
                Errno::E2BIG => "no room: the map is full, or the key is past its end".into(),
                errno => self.explain(errno),
            };
            Error::new(&self.label, "set", cause).into()
        })
    }

    fn explain(&self, errno: Errno) -> Cause {
        match errno {
            Errno::EOPNOTSUPP | Errno::UnknownErrno => {
                format!("not possible with a {}", Kind(self.map.info().kind).name()).into()
            }
            errno => errno.into(),
        }
    }
}

fn bytes(ty: &Type, text: &OsStr) -> anyhow::Result<Vec<u8>> {
    let text = text.to_str().ok_or_else(|| anyhow!("not UTF-8"))?;
    Ok(parse::value(ty, text)?)
}
