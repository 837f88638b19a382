//! Types that are a guess: reading warns, and keys and values that are given as text are refused.

use super::opened::Target;
use super::origin::LayoutPart;
use crate::cli::map::output::warn;
use crate::text::escape_argument;
use anyhow::bail;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Mutex;

impl Target {
    /// An error for text whose type is a guess, unless it is `hex:` and the bytes.
    pub fn refuse_guess(&self, part: LayoutPart, text: &OsStr) -> anyhow::Result<()> {
        // Bytes in hexadecimal need no type.
        let is_hex = text.as_bytes().starts_with(b"hex:");
        let Some(why) = self.origin.explain_guess(part).filter(|_| !is_hex) else {
            return Ok(());
        };
        let name = if part == LayoutPart::Key { "key" } else { "value" };
        bail!("{}: {name} {}: {why}", self.label, escape_argument(text.as_bytes()))
    }

    /// Warns if a type by which something is printed is a guess, once for each map.
    pub fn warn_of_guess(&self, printed: &[LayoutPart]) {
        static WARNED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
        let Some(why) = self.origin.guessed_because(printed) else { return };
        let mut warned = WARNED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if warned.insert(self.map.info().id) {
            let label = &self.label;
            warn(format_args!("{label}: the layout is a guess from sizes ({why})"));
        }
    }
}
