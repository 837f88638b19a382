//! Joins the rows of single CPUs, which follow one another, into one element.

use crate::map::percpu::PossibleCpus;
use crate::text::escape;
use anyhow::bail;
use bpf_inherit::Map;

/// The rows of one key so far.
pub struct Rows<'t> {
    possible: PossibleCpus,
    map: &'t Map,
    key: Vec<u8>,
    /// The values of all CPUs, and which of them were given.
    slots: Vec<u8>,
    given: Vec<bool>,
}

impl<'t> Rows<'t> {
    pub fn new(map: &'t Map) -> anyhow::Result<Rows<'t>> {
        let possible = PossibleCpus::read(map)?;
        let given = vec![false; possible.numbers().len()];
        let slots = vec![0; map.value_len()];
        Ok(Rows { possible, map, key: Vec::new(), slots, given })
    }

    /// Adds the value of the CPU that a cell names; returns the values of all CPUs once they are
    /// complete.
    pub fn add(&mut self, cpu: &str, key: &[u8], value: &[u8]) -> anyhow::Result<Option<&[u8]>> {
        let place = cpu.parse().ok().and_then(|number| self.possible.index_of(number));
        let Some(place) = place else {
            let start: String = cpu.chars().take(40).collect();
            bail!("cpu: \"{}\" is not a possible CPU", escape(start.as_bytes()));
        };
        if !self.given.contains(&true) {
            key.clone_into(&mut self.key);
        } else if self.key != key {
            self.check("before")?;
        }
        if std::mem::replace(&mut self.given[place], true) {
            bail!("cpu: {cpu} is given twice for this key");
        }
        self.slots[self.map.slot(place)].copy_from_slice(value);
        if self.given.contains(&false) {
            return Ok(None);
        }
        self.given.fill(false);
        Ok(Some(&self.slots))
    }

    /// An error if the rows of the last key are incomplete.
    pub fn finish(&self) -> anyhow::Result<()> {
        self.check("up to here")
    }

    fn check(&self, place: &str) -> anyhow::Result<()> {
        if self.given.contains(&true)
            && let Some(missing) = self.given.iter().position(|given| !given)
        {
            bail!("cpu: {} is missing in the rows {place}", self.possible.numbers()[missing]);
        }
        Ok(())
    }
}
