//! Notation text to a type. The grammar is in bpf-layout(7); it refuses what it does not know, and
//! says at which column.

mod members;

use super::escape::quoted;
use super::{Atom, Layout, MAX_DEPTH, MAX_SIZE, ModelError, Type};
use std::str::FromStr;

/// Why a text is not a layout. The column counts characters from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotationError {
    /// Something else should stand here. `found` is escaped already.
    #[error("column {column}: expected {expected}, found {found}")]
    Syntax {
        /// Where.
        column: usize,
        /// What could stand there.
        expected: &'static str,
        /// What stands there instead.
        found: String,
    },
    /// It reads well, but there can be no such type.
    #[error("column {column}: {error}")]
    Model {
        /// Where the type or name begins.
        column: usize,
        /// Which rule it breaks.
        error: ModelError,
    },
}

type Parsed<T> = Result<T, NotationError>;

impl FromStr for Type {
    type Err = NotationError;

    fn from_str(text: &str) -> Parsed<Type> {
        let mut parser = Parser { text, at: 0 };
        let ty = parser.ty(0)?;
        parser.end("the end")?;
        Ok(ty)
    }
}

impl FromStr for Layout {
    type Err = NotationError;

    fn from_str(text: &str) -> Parsed<Layout> {
        let mut parser = Parser { text, at: 0 };
        let key = if parser.eat("->") {
            None
        } else {
            let key = parser.ty(0)?;
            parser.expect("->", "\"->\" and the value's type")?;
            Some(key)
        };
        let value = parser.ty(0)?;
        parser.end("the end")?;
        Ok(Layout { key, value })
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn rest(&mut self) -> &'t str {
        let rest = self.text[self.at..].trim_start_matches([' ', '\t', '\n', '\r']);
        self.at = self.text.len() - rest.len();
        rest
    }

    /// The name or number that comes next, empty if none does.
    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn expect(&mut self, token: &str, expected: &'static str) -> Parsed<()> {
        if self.eat(token) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    fn end(&mut self, expected: &'static str) -> Parsed<()> {
        if self.rest().is_empty() { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    fn unexpected(&mut self, expected: &'static str) -> NotationError {
        let word = self.word();
        let found = match (word, self.rest().chars().next()) {
            ("", None) => "the end".to_owned(),
            ("", Some(c)) => quoted(c.encode_utf8(&mut [0; 4])).to_string(),
            (word, _) => quoted(word).to_string(),
        };
        NotationError::Syntax { column: self.column(self.at), expected, found }
    }

    fn column(&self, at: usize) -> usize {
        self.text[..at].chars().count() + 1
    }

    fn model<T>(&self, at: usize, built: Result<T, ModelError>) -> Parsed<T> {
        built.map_err(|error| NotationError::Model { column: self.column(at), error })
    }

    /// Before any recursion: the text may be hostile, and the stack is finite.
    fn bounded(&self, depth: u32) -> Parsed<()> {
        self.model(self.at, if depth > MAX_DEPTH { Err(ModelError::TooDeep) } else { Ok(()) })
    }

    fn name(&mut self, expected: &'static str) -> Parsed<&'t str> {
        let word = self.word();
        if !super::is_identifier(word) {
            return Err(self.unexpected(expected));
        }
        self.at += word.len();
        Ok(word)
    }

    /// A decimal or 0x number of at most `max`.
    fn number(&mut self, max: u64, expected: &'static str) -> Parsed<u64> {
        let word = self.word();
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

    fn ty(&mut self, depth: u32) -> Parsed<Type> {
        self.rest();
        let start = self.at;
        self.bounded(depth)?;
        let word = self.word();
        let text = match word {
            "char" => Some(Type::Char as fn(u32) -> Type),
            "hex" => Some(Type::Hex as fn(u32) -> Type),
            _ => None,
        };
        let base = match word {
            "char" | "hex" => {
                self.at += word.len();
                None
            }
            "enum" => Some(self.enumeration()?),
            "packed" | "struct" | "union" => Some(self.record(depth)?),
            "lpm" => {
                self.at += word.len();
                self.expect("{", "\"{\"")?;
                let data = self.ty(depth + 1)?;
                self.expect("}", "\"}\"")?;
                Some(self.model(start, Type::lpm(data))?)
            }
            _ => match Atom::named(word) {
                Some(atom) => {
                    self.at += word.len();
                    Some(Type::Atom(atom))
                }
                None => return Err(self.unexpected("a type")),
            },
        };
        let mut dimensions = self.dimensions()?;
        let base = match (base, text) {
            (Some(base), _) => base,
            (None, Some(text)) => match dimensions.pop() {
                Some(len) => text(len),
                None => return Err(self.unexpected("\"[\" and a length in bytes")),
            },
            (None, None) => return Err(self.unexpected("a type")),
        };
        let built = dimensions.into_iter().rev().try_fold(base, Type::array);
        self.model(start, built)
    }

    fn dimensions(&mut self) -> Parsed<Vec<u32>> {
        let mut lengths = Vec::new();
        while self.eat("[") {
            // MAX_SIZE fits 32 bits.
            lengths.push(self.number(MAX_SIZE as u64, "a length of at most 1073741824")? as u32);
            self.expect("]", "\"]\"")?;
        }
        Ok(lengths)
    }
}
