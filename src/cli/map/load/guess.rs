//! Lines for a map whose types are a guess: nothing but `hex:` says which bytes are meant.

use crate::cli::map::origin::Part;
use crate::cli::map::reference::Target;
use crate::cli::map::values::{all_hex, is_hex};
use anyhow::bail;
use serde_json::Value;

/// Why text is refused as a key and as a value.
pub struct Guess {
    key: Option<String>,
    value: Option<String>,
}

impl Guess {
    /// None if both types are known.
    pub fn new(target: &Target) -> Option<Guess> {
        let guess = Guess { key: target.guess(Part::Key), value: target.guess(Part::Value) };
        (guess.key.is_some() || guess.value.is_some()).then_some(guess)
    }

    /// An error for a line of JSON with other text. What is no object is for the reader to
    /// refuse.
    pub fn check(&self, line: &[u8]) -> anyhow::Result<()> {
        let Ok(line) = serde_json::from_slice::<Value>(line) else { return Ok(()) };
        for (member, why, good) in [
            ("key", &self.key, &is_hex as &dyn Fn(&Value) -> bool),
            ("value", &self.value, &is_hex),
            ("values", &self.value, &all_hex),
        ] {
            if let (Some(why), Some(value)) = (why, line.get(member))
                && !good(value)
            {
                bail!("{member}: {why}");
            }
        }
        Ok(())
    }
}
