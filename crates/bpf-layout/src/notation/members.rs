//! What stands in braces: the names of an enum, the members of a struct or union.

use super::{Parsed, Parser};
use crate::{Atom, Kind, MAX_SIZE, Member, Part, Record, Type};

impl Parser<'_> {
    pub(super) fn enumeration(&mut self) -> Parsed<Type> {
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

    pub(super) fn record(&mut self, depth: u32) -> Parsed<Type> {
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
