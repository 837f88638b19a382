//! Errors of values: the problem, and the path of the field that has the problem.

use crate::path::PathError;
use crate::text::quote_excerpt;
use std::fmt;

/// The reason why a text is not a value of a type. All parts of the input are escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A number is out of range for its type.
    #[error("{number} is out of range for {ty} ({min} to {max})")]
    Range {
        /// The number, in decimal.
        number: String,
        /// The notation of the type.
        ty: String,
        /// The smallest allowed number.
        min: String,
        /// The largest allowed number.
        max: String,
    },
    /// The text has the wrong form.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// The form that the type requires.
        expected: String,
        /// The text that was found, quoted.
        found: String,
    },
    /// A text is longer than the char array.
    #[error("text of {len} bytes is too long for char[{max}]")]
    TooLong {
        /// Length of the text in bytes.
        len: usize,
        /// Length of the array in bytes.
        max: u32,
    },
    /// The number of hex digits is not twice the number of bytes.
    #[error("expected {expected} hex digits, found {found}")]
    HexLen {
        /// The required number of digits.
        expected: usize,
        /// The number of digits found.
        found: usize,
    },
    /// The path of a field is invalid.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A field is missing. The text is "missing", or lists the members of a union.
    #[error("{0}")]
    Missing(String),
    /// A field is given twice.
    #[error("given twice")]
    Duplicate,
    /// Two members of a union are given with different bytes.
    #[error("differs from another member of the same union")]
    Disagree,
    /// The number of array elements is wrong.
    #[error("expected {expected} elements, found {found}")]
    Length {
        /// The required number of elements.
        expected: usize,
        /// The number of elements found; one more than required if there are too many.
        found: usize,
    },
    /// The text is not valid JSON.
    #[error("json: {message} at column {column}")]
    Json {
        /// The message of the JSON parser.
        message: String,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// The length of the caller's buffer is not the size of the type.
    #[error("the value has {found} bytes, but its layout has {expected}")]
    Size {
        /// The size of the type in bytes.
        expected: usize,
        /// The length of the buffer in bytes.
        found: usize,
    },
}

impl Problem {
    pub(super) fn expected(expected: impl Into<String>, found: &str) -> Problem {
        Problem::Expected { expected: expected.into(), found: quote_excerpt(found).to_string() }
    }
}

/// A [`Problem`] and the path of the field that has the problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    path: String,
    problem: Problem,
}

impl ValueError {
    /// Returns the path of the field without a leading dot; empty for the whole value.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the problem.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Prefixes the path with the name of an outer field, or with `[index]` for an element.
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
