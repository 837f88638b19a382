//! The grammar of bpf-layout(7), as a recursive-descent parser.

use super::tokens::{NotationError, NotationParser, ParseResult};
use crate::Layout;
use crate::atom::Atom;
use crate::limits::MAX_SIZE;
use crate::types::{Member, MemberPart, Record, RecordKind, Type};
use std::str::FromStr;

impl FromStr for Type {
    type Err = NotationError;

    fn from_str(text: &str) -> ParseResult<Type> {
        let mut parser = NotationParser::new(text);
        let ty = parser.parse_type(0)?;
        parser.expect_end("the end")?;
        Ok(ty)
    }
}

impl FromStr for Layout {
    type Err = NotationError;

    fn from_str(text: &str) -> ParseResult<Layout> {
        let mut parser = NotationParser::new(text);
        let key = if parser.eat("->") {
            None
        } else {
            let key = parser.parse_type(0)?;
            parser.expect("->", "\"->\" and the value's type")?;
            Some(key)
        };
        let value = parser.parse_type(0)?;
        parser.expect_end("the end")?;
        Ok(Layout { key, value })
    }
}

impl NotationParser<'_> {
    fn parse_type(&mut self, depth: u32) -> ParseResult<Type> {
        self.skip_blanks();
        let start = self.at;
        self.check_depth(depth)?;
        let word = self.peek_word();
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
            "enum" => Some(self.parse_enum()?),
            "packed" | "struct" | "union" => Some(self.parse_record(depth)?),
            "lpm" => {
                self.at += word.len();
                self.expect("{", "\"{\"")?;
                let data = self.parse_type(depth + 1)?;
                self.expect("}", "\"}\"")?;
                Some(self.with_column(start, Type::lpm(data))?)
            }
            _ => match Atom::from_name(word) {
                Some(atom) => {
                    self.at += word.len();
                    Some(Type::Atom(atom))
                }
                None => return Err(self.unexpected("a type")),
            },
        };
        let mut dimensions = self.parse_dimensions()?;
        let base = match (base, text) {
            (Some(base), _) => base,
            (None, Some(text)) => match dimensions.pop() {
                Some(len) => text(len),
                None => return Err(self.unexpected("\"[\" and a length in bytes")),
            },
            (None, None) => return Err(self.unexpected("a type")),
        };
        let built = dimensions.into_iter().rev().try_fold(base, Type::array);
        self.with_column(start, built)
    }

    fn parse_dimensions(&mut self) -> ParseResult<Vec<u32>> {
        let mut lengths = Vec::new();
        while self.eat("[") {
            // MAX_SIZE fits 32 bits.
            lengths
                .push(self.take_number(MAX_SIZE as u64, "a length of at most 1073741824")? as u32);
            self.expect("]", "\"]\"")?;
        }
        Ok(lengths)
    }

    fn parse_enum(&mut self) -> ParseResult<Type> {
        let start = self.at;
        self.at += "enum".len();
        let mut carrier = Atom::U32;
        if self.eat(":") {
            let word = self.peek_word();
            carrier = match Atom::from_name(word) {
                Some(atom) if atom.is_carrier() => atom,
                _ => return Err(self.unexpected("u8 to u64 or i8 to i64")),
            };
            self.at += word.len();
        }
        self.expect("{", "\"{\"")?;
        let mut names = Vec::new();
        let mut next = 0;
        while !self.eat("}") {
            let name = self.take_name("a name or \"}\"")?;
            if self.eat("=") {
                let negative = self.eat("-");
                let value = i128::from(self.take_number(u64::MAX, "a number of at most 64 bits")?);
                next = if negative { -value } else { value };
            }
            names.push((name.into(), next));
            next += 1;
            self.parse_separator()?;
        }
        self.with_column(start, Type::enumeration(carrier, names))
    }

    /// Parses a comma; the comma is optional before the closing brace.
    fn parse_separator(&mut self) -> ParseResult<()> {
        if self.eat(",") || self.skip_blanks().starts_with('}') {
            return Ok(());
        }
        Err(self.unexpected("\",\" or \"}\""))
    }

    fn parse_record(&mut self, depth: u32) -> ParseResult<Type> {
        let start = self.at;
        self.check_depth(depth)?;
        let packed = self.peek_word() == "packed";
        self.at += if packed { "packed".len() } else { 0 };
        let word = self.peek_word();
        let union = word == "union";
        if !union && word != "struct" {
            return Err(self.unexpected("\"struct\" or \"union\""));
        }
        self.at += word.len();
        self.expect("{", "\"{\"")?;
        let mut members = Vec::new();
        while !self.eat("}") {
            members.push(self.parse_member(depth)?);
            self.parse_separator()?;
        }
        self.with_column(start, Record::build(RecordKind { union, packed }, members))
    }

    fn parse_member(&mut self, depth: u32) -> ParseResult<Member> {
        const EXPECTED: &str = "a field's name, padding or \"}\"";
        self.skip_blanks();
        let start = self.at;
        let name = self.take_name(EXPECTED)?;
        // pad, struct, union and packed are valid names as well; the next character decides.
        match (name, self.skip_blanks().chars().next()) {
            ("pad", Some('[')) => {
                self.eat("[");
                let bytes = self.take_number(MAX_SIZE as u64, "a length of at most 1073741824")?;
                self.expect("]", "\"]\"")?;
                Ok(Member { name: None, part: MemberPart::Pad(bytes as u32) })
            }
            ("pad", Some(':')) if self.is_bit_padding() => {
                self.eat(":");
                let bits = self.take_number(u64::from(u32::MAX), "a number of bits")?;
                Ok(Member { name: None, part: MemberPart::PadBits(bits as u32) })
            }
            ("struct" | "union", Some('{')) | ("packed", Some('s' | 'u')) => {
                self.at = start;
                Ok(Member { name: None, part: MemberPart::Field(self.parse_record(depth + 1)?) })
            }
            _ => {
                self.expect(":", "\":\" and a type")?;
                let ty = self.parse_type(depth + 1)?;
                let part = if self.eat(":") {
                    MemberPart::Bits(ty, self.take_number(64, "a width of at most 64 bits")? as u8)
                } else {
                    MemberPart::Field(ty)
                };
                Ok(Member { name: Some(name.into()), part })
            }
        }
    }

    /// Reports whether a digit follows the colon; otherwise, as in `pad: u32`, pad is the name of
    /// a field.
    fn is_bit_padding(&mut self) -> bool {
        let after = self.skip_blanks().trim_start_matches(':').trim_start();
        after.starts_with(|c: char| c.is_ascii_digit())
    }
}
