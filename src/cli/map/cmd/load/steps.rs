//! The steps of one load: reading lines, and writing or comparing the elements.

use super::difference::{Count, Difference};
use super::dry_run::DryRun;
use super::elements::Elements;
use super::input::{Input, InputFormat};
use super::kept::{Kept, message};
use super::progress::Progress;
use super::replace::{ReplaceError, replace};
use super::write::{RefusedElement, Writer};
use crate::cli::exit;
use crate::cli::map::output::Output;
use crate::cli::map::target::Target;
use crate::cli::map::target::cpus::Placement;
use crate::output::element::Integers;
use anyhow::{anyhow, bail};
use std::ffi::OsStr;

/// How many elements `--stream` collects if they arrive faster than they can be written.
const STREAM: usize = 4096;

/// One load, from its lines to the map.
pub struct Load<'t> {
    target: &'t Target,
    placement: Placement,
    input: Input<'t>,
    pub writer: Writer<'t>,
    elements: Elements<'t>,
    progress: Progress,
}

impl<'t> Load<'t> {
    /// A load of the file, or of standard input, into `target`.
    pub fn new(
        target: &'t Target,
        placement: Placement,
        (file, format): (Option<&OsStr>, InputFormat),
        if_absent: bool,
    ) -> anyhow::Result<Load<'t>> {
        Ok(Load {
            target,
            placement,
            input: Input::open(target, placement, file, format)?,
            writer: Writer::new(target, placement, if_absent),
            elements: Elements::new(&target.map, placement),
            progress: Progress::new(),
        })
    }

    /// Reads all elements. With `--stream`, all but the last ones are written: whenever the next line
    /// is not available yet, and if many were collected.
    pub fn read(&mut self, mut stream: Option<&mut Option<Kept<'t>>>) -> anyhow::Result<()> {
        let size = self.input.lines.size();
        let mut shown = 0;
        loop {
            if let Some(kept) = &mut stream
                && (self.elements.len() >= STREAM || !self.input.lines.is_ready())
            {
                self.write(false, kept)?;
                self.elements.clear();
            }
            match (self.input.next(&mut self.elements), &mut stream) {
                (Ok(true), _) => {}
                (Ok(false), _) => return Ok(()),
                (Err(error), Some(kept)) => {
                    self.write(false, kept)?;
                    bail!("{error:#} ({} were written)", self.writer.written);
                }
                (Err(error), None) => return Err(error),
            }
            let total = self.input.lines.total();
            if total != shown {
                shown = total;
                self.progress.step("reading", total, size);
            }
        }
    }

    /// Writes the elements that were read; `whole` unless they are a part of a stream.
    pub fn write(&mut self, whole: bool, kept: &mut Option<Kept>) -> anyhow::Result<()> {
        let progress = whole.then_some(&mut self.progress);
        let count = self.elements.len();
        let result = self.writer.write(&self.elements, count, |at| at, progress);
        result.map_err(|refused| self.refused(refused, whole.then_some(count)))?;
        if let Some(kept) = kept {
            kept.add(&self.elements);
        }
        Ok(())
    }

    /// Prints the entries that differ.
    pub fn print_difference(self, json: Option<Integers>, out: &mut Output) -> anyhow::Result<u8> {
        let Load { target, placement, ref elements, progress, .. } = self;
        drop(progress);
        let mut difference = Difference::new(target, elements, placement)?;
        let key_type = target.walked_key("load")?;
        let differs =
            DryRun { target, key_type, elements, placement, json }.print(&mut difference, out)?;
        Ok(if differs { exit::ABSENT } else { 0 })
    }

    /// Writes and removes the entries that differ; a message if entries still differ.
    pub fn replace(&mut self) -> anyhow::Result<Option<String>> {
        let Load { target, placement, elements, writer, progress, .. } = self;
        let mut difference = Difference::new(target, elements, *placement)?;
        match replace(target, elements, &mut difference, writer, progress) {
            Ok(count) => {
                let name = &self.input.lines.name;
                Ok(left(target, name, difference.wanted(), count))
            }
            Err(ReplaceError::Refused(refused, all)) => Err(self.refused(refused, Some(all))),
            Err(ReplaceError::Other(error)) => Err(error),
        }
    }

    /// The error for an element that could not be written; `all` is how many were to be written.
    fn refused(
        &self,
        RefusedElement { element, error, .. }: RefusedElement,
        all: Option<usize>,
    ) -> anyhow::Error {
        let (name, written) = (&self.input.lines.name, self.writer.written);
        let line = self.elements.line(element);
        let of = all.map_or(String::new(), |all| format!(" of {all}"));
        anyhow!("{error:#}: {name}: line {line} ({written}{of} entries were written)")
    }
}

/// The warning to report if the map still differs from the file.
fn left(target: &Target, name: &str, wanted: usize, count: Count) -> Option<String> {
    let Count { missing, changed, others } = count;
    let label = &target.label;
    match count.all() {
        0 => None,
        all if all == missing && target.map.info().map_type.evicts() => {
            Some(message(label, wanted - missing, wanted))
        }
        all => Some(format!(
            "{label}: entries that differ from {name}: {all} ({missing} missing, {changed} with \
             another value, {others} in the map only)"
        )),
    }
}
