//! Why a text is no value of its type: what is wrong, and in which field.

use crate::path::PathError;
use crate::text::quote_excerpt;
use std::fmt;

/// What is wrong. All text in it is escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A number too small or too large for its type.
    #[error("{number} is out of range for {ty} ({min} to {max})")]
    Range {
        /// The number, in decimal.
        number: String,
        /// The type's notation.
        ty: String,
        /// The least that fits.
        min: String,
        /// The most that fits.
        max: String,
    },
    /// Something of another form.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What could stand here.
        expected: String,
        /// What does, quoted.
        found: String,
    },
    /// Text too long for a char array.
    #[error("{len} bytes of text do not fit char[{max}]")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes there are.
        max: u32,
    },
    /// `hex:` with another number of digits than two a byte.
    #[error("expected {expected} hex digits, found {found}")]
    HexLen {
        /// Two a byte of the type.
        expected: usize,
        /// Those given.
        found: usize,
    },
    /// A path that leads nowhere.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A field that was not given.
    #[error("{0}")]
    Missing(String),
    /// A field given twice.
    #[error("given twice")]
    Duplicate,
    /// Members of a union that were both given, with different bytes.
    #[error("differs from another member of the same union")]
    Disagree,
    /// An array of another length.
    #[error("expected {expected} elements, found {found}")]
    Length {
        /// Elements there are.
        expected: usize,
        /// Elements given, one more than expected where there are too many.
        found: usize,
    },
    /// Text that is not JSON, and where.
    #[error("json: {message} at column {column}")]
    Json {
        /// The parser's words.
        message: String,
        /// Bytes from the start of the line, from 1.
        column: usize,
    },
    /// A buffer that is not as long as the type: a mistake of the caller's.
    #[error("the value has {found} bytes, its layout {expected}")]
    Size {
        /// The type's size in bytes.
        expected: usize,
        /// The buffer's.
        found: usize,
    },
}

impl Problem {
    pub(super) fn expected(expected: impl Into<String>, found: &str) -> Problem {
        Problem::Expected { expected: expected.into(), found: quote_excerpt(found).to_string() }
    }
}

/// A [`Problem`], and the path of the field that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    path: String,
    problem: Problem,
}

impl ValueError {
    /// The field's path without its leading dot; empty for the value as a whole.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong there.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The same in a field called `name`, or in an element if that is `[index]`.
    pub(super) fn within(mut self, name: &str) -> ValueError {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{name}{dot}{}", self.path);
        self
    }
}

impl From<Problem> for ValueError {
    fn from(problem: Problem) -> Self {
        ValueError { path: String::new(), problem }
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "{}", self.problem),
            path => write!(f, "{path}: {}", self.problem),
        }
    }
}

impl std::error::Error for ValueError {}
