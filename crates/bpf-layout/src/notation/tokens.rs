//! The tokens of a notation text, and errors with a column.

use crate::limits::{MAX_DEPTH, TypeError, is_identifier};
use crate::text::quote_excerpt;

/// The reason why a text is not a layout. Columns count characters from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotationError {
    /// An unexpected token.
    #[error("column {column}: expected {expected}, found {found}")]
    Syntax {
        /// Column of the token.
        column: usize,
        /// The tokens that are allowed.
        expected: &'static str,
        /// The token that was found, quoted and escaped, or "the end".
        found: String,
    },
    /// The syntax is correct, but the type cannot be built.
    #[error("column {column}: {error}")]
    Type {
        /// Column at which the type or the name begins.
        column: usize,
        /// The reason.
        error: TypeError,
    },
}

pub(super) type ParseResult<T> = Result<T, NotationError>;

/// A notation text and the current position.
pub(super) struct NotationParser<'t> {
    text: &'t str,
    pub(super) at: usize,
}

impl<'t> NotationParser<'t> {
    pub(super) fn new(text: &'t str) -> NotationParser<'t> {
        NotationParser { text, at: 0 }
    }

    pub(super) fn skip_blanks(&mut self) -> &'t str {
        let rest = self.text[self.at..].trim_start_matches([' ', '\t', '\n', '\r']);
        self.at = self.text.len() - rest.len();
        rest
    }

    /// Returns the name or number at the current position; empty if there is none.
    pub(super) fn peek_word(&mut self) -> &'t str {
        let rest = self.skip_blanks();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    }

    pub(super) fn eat(&mut self, token: &str) -> bool {
        let found = self.skip_blanks().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    pub(super) fn expect(&mut self, token: &str, expected: &'static str) -> ParseResult<()> {
        if self.eat(token) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    pub(super) fn expect_end(&mut self, expected: &'static str) -> ParseResult<()> {
        if self.skip_blanks().is_empty() { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    pub(super) fn unexpected(&mut self, expected: &'static str) -> NotationError {
        let word = self.peek_word();
        let found = match (word, self.skip_blanks().chars().next()) {
            ("", None) => "the end".to_owned(),
            ("", Some(c)) => quote_excerpt(c.encode_utf8(&mut [0; 4])).to_string(),
            (word, _) => quote_excerpt(word).to_string(),
        };
        NotationError::Syntax { column: self.column(self.at), expected, found }
    }

    pub(super) fn column(&self, at: usize) -> usize {
        self.text[..at].chars().count() + 1
    }

    pub(super) fn with_column<T>(&self, at: usize, built: Result<T, TypeError>) -> ParseResult<T> {
        built.map_err(|error| NotationError::Type { column: self.column(at), error })
    }

    /// Called before every recursion: hostile text must not overflow the stack.
    pub(super) fn check_depth(&self, depth: u32) -> ParseResult<()> {
        self.with_column(self.at, if depth > MAX_DEPTH { Err(TypeError::TooDeep) } else { Ok(()) })
    }

    pub(super) fn take_name(&mut self, expected: &'static str) -> ParseResult<&'t str> {
        let word = self.peek_word();
        if !is_identifier(word) {
            return Err(self.unexpected(expected));
        }
        self.at += word.len();
        Ok(word)
    }

    /// Parses a decimal or 0x number of at most `max`.
    pub(super) fn take_number(&mut self, max: u64, expected: &'static str) -> ParseResult<u64> {
        let word = self.peek_word();
        let value = match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => word.parse(),
        };
        match value {
            Ok(value) if value <= max => {
                self.at += word.len();
                Ok(value)
            }
            _ => Err(self.unexpected(expected)),
        }
    }
}
