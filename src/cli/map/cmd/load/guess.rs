//! Lines of JSON for a map whose types are a guess: only `hex:` gives bytes without a type.

use crate::cli::map::json_error::explain_syntax;
use crate::cli::map::target::Target;
use crate::cli::map::target::origin::LayoutPart;
use crate::cli::map::target::values::{all_hex, is_hex};
use anyhow::bail;
use serde_json::Value;

/// Why text is refused as a key and as a value; None if the type is known.
pub struct Guess {
    key: Option<String>,
    value: Option<String>,
}

impl Guess {
    /// None if both types are known.
    pub fn new(target: &Target) -> Option<Guess> {
        let guess = Guess {
            key: target.origin.explain_guess(LayoutPart::Key),
            value: target.origin.explain_guess(LayoutPart::Value),
        };
        (guess.key.is_some() || guess.value.is_some()).then_some(guess)
    }

    /// An error for an object with other text, and for a line that is not JSON.
    pub fn check(&self, line: &[u8]) -> anyhow::Result<()> {
        let line: Value = serde_json::from_slice(line).map_err(|error| explain_syntax(&error))?;
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

#[cfg(test)]
mod tests {
    use super::Guess;

    #[test]
    fn only_hex_passes_if_the_type_is_a_guess() {
        let guess = Guess { key: None, value: Some("unknown".into()) };
        for (line, passes) in [
            (r#"{"key":"1","value":"hex:01"}"#, true),
            (r#"{"key":"1","values":["hex:01","hex:02"]}"#, true),
            (r#"{"key":"1","value":"1"}"#, false),
            (r#"{"key":"1","values":["hex:01","1"]}"#, false),
            // Lines that this parser refuses are not passed to another parser.
            (r#"{"key":"1","value":"1""#, false),
            (r#"{"key":"1","value":1e999}"#, false),
            (r#"{"key":"\ud800","value":"1"}"#, false),
        ] {
            assert_eq!(guess.check(line.as_bytes()).is_ok(), passes, "{line}");
        }
    }
}
