//! Writes an element, on a condition or after reading and changing it.

use super::opened::Target;
use anyhow::bail;
use bpf_inherit::{MapError, MapType};

/// The condition for a write. The numbers are the kernel's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// BPF_ANY: none.
    Any = 0,
    /// BPF_NOEXIST: the key is missing.
    Absent = 1,
    /// BPF_EXIST: the key is present.
    Present = 2,
}

/// How often an element is read again because its key was added or removed in the meantime.
const ATTEMPTS: u32 = 1000;

impl Target {
    /// Writes `value`: in a per-CPU map, the values of all CPUs. False, and nothing is written, if the
    /// condition does not hold. `operation` is the subcommand.
    pub fn write(
        &self,
        operation: &'static str,
        key: &[u8],
        value: &[u8],
        condition: Condition,
    ) -> anyhow::Result<bool> {
        let kind = self.map.info().map_type;
        if condition != Condition::Any && !kind.takes_conditions() {
            bail!("{}: {operation}: {} takes no condition", self.label, kind.with_article());
        }
        match (self.map.update(key, value, condition as u64), condition) {
            (Ok(()), _) => Ok(true),
            (Err(MapError::Exists), Condition::Absent) => Ok(false),
            (Err(MapError::Missing), Condition::Present) => Ok(false),
            // Past the end of an array there is no key.
            (Err(MapError::PastEnd), Condition::Present) if kind.is_indexed() => Ok(false),
            (Err(error), _) => Err(self.cannot_write(operation, error).into()),
        }
    }

    /// Reads the value (in a per-CPU map, the values of all CPUs), calls `change` with it, and writes
    /// it back; if the key is missing, the value is zeros. False, and nothing is written, if the
    /// condition does not hold.
    ///
    /// If the key is added or removed between the read and the write, the value is read again. But a
    /// concurrent write to the value is lost.
    pub fn change(
        &self,
        operation: &'static str,
        key: &[u8],
        condition: Condition,
        mut change: impl FnMut(&mut [u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<bool> {
        let mut only_a_shorter_prefix = false;
        for _ in 0..ATTEMPTS {
            let found = if only_a_shorter_prefix { None } else { self.lookup(operation, key)? };
            let (mut value, now) = match (found, condition) {
                (Some(_), Condition::Absent) | (None, Condition::Present) => return Ok(false),
                (Some(value), _) => (value, Condition::Present),
                (None, _) => (vec![0; self.map.value_len()], Condition::Absent),
            };
            // A write to an LRU map may evict another element.
            let evicts = self.map.info().map_type.evicts() && now == Condition::Present;
            let old = evicts.then(|| value.clone());
            change(&mut value)?;
            if old.as_ref() == Some(&value) {
                return Ok(true);
            }
            if self.write(operation, key, &value, now)? {
                return Ok(true);
            }
            // A trie's lookup returns the longest prefix that matches the key, which may be shorter
            // than the key.
            let is_trie = self.map.info().map_type == MapType::LPM_TRIE;
            only_a_shorter_prefix = is_trie && now == Condition::Present;
        }
        bail!("{}: {operation}: the key was added and removed {ATTEMPTS} times", self.label)
    }
}
