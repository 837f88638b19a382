//! JSON documents, with one line for each member of the outermost array or object.

use bpf_layout::text::append_json_string;
use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;
use std::io::{Result, Write};

/// Converts `value` to a JSON document that ends with a line feed.
pub fn json(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, LineFormatter::default());
    // Writing to a Vec cannot fail, and all names of members are strings.
    let _ = value.serialize(&mut serializer);
    out.push(b'\n');
    out
}

/// Serializes bytes as a string. Bytes that are not UTF-8 become U+FFFD.
pub fn text<S: Serializer>(bytes: &[u8], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}

/// Serializes bytes as [`text`] does, and None as null.
pub fn optional_text<B: AsRef<[u8]>, S: Serializer>(
    bytes: &Option<B>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => text(bytes.as_ref(), serializer),
        None => serializer.serialize_none(),
    }
}

/// Serializes byte strings as an array of strings, as [`text`] does.
pub fn texts<S: Serializer>(
    all: &[Vec<u8>],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_seq(all.iter().map(|bytes| String::from_utf8_lossy(bytes)))
}

/// Writes each member of the outermost level on a line of its own, and separates all others by
/// spaces.
#[derive(Default)]
struct LineFormatter {
    /// The number of arrays and objects that are open.
    depth: usize,
    has_members: bool,
}

impl LineFormatter {
    fn open(&mut self, bracket: &[u8], out: &mut (impl Write + ?Sized)) -> Result<()> {
        self.depth += 1;
        self.has_members = false;
        out.write_all(bracket)
    }

    fn begin_member(&self, first: bool, out: &mut (impl Write + ?Sized)) -> Result<()> {
        out.write_all(match (self.depth, first) {
            (1, true) => b"\n  ",
            (1, false) => b",\n  ",
            (_, true) => b"",
            (_, false) => b", ",
        })
    }

    fn close(&mut self, bracket: &[u8], out: &mut (impl Write + ?Sized)) -> Result<()> {
        self.depth -= 1;
        if self.depth == 0 && self.has_members {
            out.write_all(b"\n")?;
        }
        out.write_all(bracket)
    }
}

impl Formatter for LineFormatter {
    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> Result<()> {
        self.open(b"[", out)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> Result<()> {
        self.close(b"]", out)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> Result<()> {
        self.begin_member(first, out)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _: &mut W) -> Result<()> {
        self.has_members = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> Result<()> {
        self.open(b"{", out)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> Result<()> {
        self.close(b"}", out)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> Result<()> {
        self.begin_member(first, out)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> Result<()> {
        out.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> Result<()> {
        self.has_members = true;
        Ok(())
    }

    /// A whole number is written without `.0`.
    fn write_f64<W: ?Sized + Write>(&mut self, out: &mut W, value: f64) -> Result<()> {
        write!(out, "{value}")
    }

    /// Escapes also the characters that JSON allows but that have an effect on a terminal.
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> Result<()> {
        let mut quoted = Vec::new();
        append_json_string(fragment, &mut quoted);
        out.write_all(quoted.get(1..quoted.len() - 1).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct TestDocument<'a> {
        #[serde(serialize_with = "optional_text")]
        name: Option<&'a [u8]>,
        percent: Option<f64>,
        flags: Vec<&'a str>,
    }

    #[test]
    fn outermost_members_have_a_line_each() {
        let name = "a\"\\\n\u{1b}\u{7f}\u{202e}ü".as_bytes();
        let sample = TestDocument { name: Some(name), percent: Some(50.0), flags: vec!["A", "B"] };
        let line = r#""name": "a\"\\\n\u001b\u007f\u202eü", "percent": 50, "flags": ["A", "B"]"#;
        let none = TestDocument { name: None, percent: Some(0.5), flags: Vec::new() };
        let other = r#""name": null, "percent": 0.5, "flags": []"#;
        for (got, want) in [
            (json(&[&sample, &none]), format!("[\n  {{{line}}},\n  {{{other}}}\n]\n")),
            (json(&none), format!("{{\n  {}\n}}\n", other.replace(", ", ",\n  "))),
            (json(&[0; 0]), "[]\n".into()),
        ] {
            assert_eq!(String::from_utf8_lossy(&got), want);
        }
        assert!(
            String::from_utf8_lossy(&json(&[TestDocument { name: Some(b"\xff"), ..none }]))
                .contains('\u{fffd}')
        );
    }
}
