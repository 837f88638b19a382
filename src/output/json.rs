//! Results as JSON, for programs.

use super::element::{Format, Shown};
use super::{MapRow, ObjectRow, Row, Whole};
use crate::layout::{Slot, Type, json_string, print};
use std::fmt::{Display, Write};

/// One array, an object for each row, a line each. What is not known is null;
/// bytes that are not UTF-8 become U+FFFD.
pub fn list(rows: &[Row]) -> String {
    let mut out = String::from("[");
    for (i, row) in rows.iter().enumerate() {
        out.push_str(if i == 0 { "\n  {" } else { ",\n  {" });
        match row {
            Row::Map(row) => map(row, &mut out),
            Row::Prog(row) => object("prog", row, &mut out),
            Row::Link(row, program) => {
                object("link", row, &mut out);
                let _ = write!(out, ", \"prog_id\": {}", number(*program));
            }
        }
        out.push('}');
    }
    out.push_str(if rows.is_empty() { "]\n" } else { "\n]\n" });
    out
}

/// The fields of a map. A String takes everything.
fn map(row: &MapRow, out: &mut String) {
    let _ = write!(
        out,
        "\"kind\": \"map\", \"index\": {}, \"name\": {}, \"fd\": {}, \"id\": {}, \"type\": {}, \
         \"key_size\": {}, \"value_size\": {}, \"max_entries\": {}, \"access\": {}, \"layout\": {}",
        number(row.index),
        string(row.name.as_deref()),
        number(row.fd),
        row.id,
        string(Some(row.kind.as_bytes())),
        row.key_size,
        row.value_size,
        row.max_entries,
        string(row.access.map(str::as_bytes)),
        string(row.layout.as_deref()),
    );
    if let Some(Whole { flags, pins }) = &row.whole {
        let (flags, pins) = (strings(flags), strings(pins));
        let _ = write!(out, ", \"flags\": {flags}, \"pins\": {pins}");
    }
}

/// The fields that a program and a link have.
fn object(kind: &str, row: &ObjectRow, out: &mut String) {
    let (name, of_type) = (string(row.name.as_deref()), string(Some(row.kind.as_bytes())));
    let _ = write!(
        out,
        "\"kind\": \"{kind}\", \"index\": {}, \"name\": {name}, \"fd\": {}, \"id\": {}, \
         \"type\": {of_type}",
        row.index, row.fd, row.id,
    );
}

pub(super) fn strings<S: AsRef<[u8]>>(all: &[S]) -> String {
    let all: Vec<String> = all.iter().map(|bytes| string(Some(bytes.as_ref()))).collect();
    format!("[{}]", all.join(", "))
}

pub(super) fn number(number: Option<impl Display>) -> String {
    number.map_or("null".into(), |number| number.to_string())
}

pub(super) fn string(bytes: Option<&[u8]>) -> String {
    let Some(text) = bytes.map(String::from_utf8_lossy) else { return "null".into() };
    let mut quoted = Vec::new();
    json_string(&text, &mut quoted);
    String::from_utf8_lossy(&quoted).into_owned()
}

/// Elements as `{"key":…,"value":…}`, `"values":[…]` with every CPU's: a line each (JSON
/// lines), or those lines as one array.
pub struct Elements<'t> {
    key: &'t Type,
    value: Slot<'t>,
    array: bool,
    first: bool,
}

impl<'t> Elements<'t> {
    pub fn new(key: &'t Type, value: &'t Type, array: bool) -> Elements<'t> {
        Elements { key, value: value.into(), array, first: true }
    }
}

impl Format for Elements<'_> {
    fn begin(&mut self, _pass: usize, out: &mut Vec<u8>) {
        if self.array {
            out.push(b'[');
        }
    }

    fn element(&mut self, key: &[u8], value: Shown, out: &mut Vec<u8>) {
        if self.array {
            out.extend_from_slice(if self.first { b"\n" } else { b",\n" });
            self.first = false;
        }
        out.extend_from_slice(b"{\"key\":");
        print::json(self.key, key, out);
        out.extend_from_slice(match value {
            Shown::Each(_) => b",\"values\":".as_slice(),
            _ => b",\"value\":",
        });
        value.json(self.value, out);
        out.extend_from_slice(if self.array { b"}" } else { b"}\n" });
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.array {
            out.extend_from_slice(if self.first { b"]\n" } else { b"\n]\n" });
        }
    }
}
