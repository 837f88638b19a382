//! The grammar of bpf-layout(7), as a recursive descent.

use super::tokens::{NotationError, Parsed, Parser};
use crate::Layout;
use crate::atom::Atom;
use crate::model::MAX_SIZE;
use crate::types::{Kind, Member, Part, Record, Type};
use std::str::FromStr;

impl FromStr for Type {
    type Err = NotationError;

    fn from_str(text: &str) -> Parsed<Type> {
        let mut parser = Parser::new(text);
        let ty = parser.ty(0)?;
        parser.end("the end")?;
        Ok(ty)
    }
}

impl FromStr for Layout {
    type Err = NotationError;

    fn from_str(text: &str) -> Parsed<Layout> {
        let mut parser = Parser::new(text);
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

impl Parser<'_> {
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

    fn enumeration(&mut self) -> Parsed<Type> {
        let start = self.at;
        self.at += "enum".len();
        let mut carrier = Atom::U32;
        if self.eat(":") {
            let word = self.word();
            carrier = match Atom::named(word) {
                Some(atom) if atom.is_carrier() => atom,
                _ => return Err(self.unexpected("u8 to u64 or i8 to i64")),
            };
            self.at += word.len();
        }
        self.expect("{", "\"{\"")?;
        let mut names = Vec::new();
        let mut next = 0;
        while !self.eat("}") {
            let name = self.name("a name or \"}\"")?;
            if self.eat("=") {
                let negative = self.eat("-");
                let value = i128::from(self.number(u64::MAX, "a number of at most 64 bits")?);
                next = if negative { -value } else { value };
            }
            names.push((name.into(), next));
            next += 1;
            self.separator()?;
        }
        self.model(start, Type::enumeration(carrier, names))
    }

    /// A comma, or nothing before the closing brace.
    fn separator(&mut self) -> Parsed<()> {
        if self.eat(",") || self.rest().starts_with('}') {
            return Ok(());
        }
        Err(self.unexpected("\",\" or \"}\""))
    }

    fn record(&mut self, depth: u32) -> Parsed<Type> {
        let start = self.at;
        self.bounded(depth)?;
        let packed = self.word() == "packed";
        self.at += if packed { "packed".len() } else { 0 };
        let word = self.word();
        let union = word == "union";
        if !union && word != "struct" {
            return Err(self.unexpected("\"struct\" or \"union\""));
        }
        self.at += word.len();
        self.expect("{", "\"{\"")?;
        let mut members = Vec::new();
        while !self.eat("}") {
            members.push(self.member(depth)?);
            self.separator()?;
        }
        self.model(start, Record::build(Kind { union, packed }, members))
    }

    fn member(&mut self, depth: u32) -> Parsed<Member> {
        const EXPECTED: &str = "a field's name, padding or \"}\"";
        self.rest();
        let start = self.at;
        let name = self.name(EXPECTED)?;
        // pad, struct, union and packed are names as well: what follows decides.
        match (name, self.rest().chars().next()) {
            ("pad", Some('[')) => {
                self.eat("[");
                let bytes = self.number(MAX_SIZE as u64, "a length of at most 1073741824")?;
                self.expect("]", "\"]\"")?;
                Ok(Member { name: None, part: Part::Pad(bytes as u32) })
            }
            ("pad", Some(':')) if self.pad_bits() => {
                self.eat(":");
                let bits = self.number(u64::from(u32::MAX), "a number of bits")?;
                Ok(Member { name: None, part: Part::PadBits(bits as u32) })
            }
            ("struct" | "union", Some('{')) | ("packed", Some('s' | 'u')) => {
                self.at = start;
                Ok(Member { name: None, part: Part::Field(self.record(depth + 1)?) })
            }
            _ => {
                self.expect(":", "\":\" and a type")?;
                let ty = self.ty(depth + 1)?;
                let part = if self.eat(":") {
                    Part::Bits(ty, self.number(64, "a width of at most 64 bits")? as u8)
                } else {
                    Part::Field(ty)
                };
                Ok(Member { name: Some(name.into()), part })
            }
        }
    }

    /// Whether a digit follows the colon, so that `pad: u32` stays a field of that name.
    fn pad_bits(&mut self) -> bool {
        let after = self.rest().trim_start_matches(':').trim_start();
        after.starts_with(|c: char| c.is_ascii_digit())
    }
}
