//! Elements as tables: CSV (RFC 4180, with plain line ends) and TSV, both with a header.

use super::element::{Format, Shown};
use crate::layout::print::{Column, columns};
use crate::layout::{Type, print};

/// A row an element, a column a field of key and value; with every CPU's value a row a CPU,
/// with the CPU's number in the column `cpu`.
pub struct Separated<'t> {
    key: Vec<Column<'t>>,
    value: Vec<Column<'t>>,
    separator: u8,
    /// The numbers of the possible CPUs, where every CPU's value is shown.
    cpus: Option<Vec<u32>>,
}

impl<'t> Separated<'t> {
    /// `separator` is a comma or a tab; `per_cpu` is whether it is a per-CPU map.
    pub fn new(
        key: &'t Type,
        value: &'t Type,
        separator: u8,
        per_cpu: bool,
        cpus: Option<Vec<u32>>,
    ) -> Separated<'t> {
        let (key, value) = named(key, value, per_cpu);
        Separated { key, value, separator, cpus }
    }
}

/// The columns of a table of keys and values, by the names in its header: a scalar's are
/// `key` and `value`, a struct's its fields' paths. Fields that key and value both have are
/// told apart as `key.PATH` and `value.PATH`, and so is a field `cpu` from the CPU's number,
/// which a table of a per-CPU map may have.
fn named<'t>(key: &'t Type, value: &'t Type, per_cpu: bool) -> (Vec<Column<'t>>, Vec<Column<'t>>) {
    let (mut keys, mut values) = (columns(key), columns(value));
    let header = |columns: &[Column], whole: &str| -> Vec<String> {
        let name = |name: &String| if name.is_empty() { whole.to_owned() } else { name.clone() };
        columns.iter().map(|column| name(&column.name)).collect()
    };
    let (key_names, value_names) = (header(&keys, "key"), header(&values, "value"));
    let rename = |columns: &mut Vec<Column>, names: &[String], others: &[String], prefix: &str| {
        for (column, name) in columns.iter_mut().zip(names) {
            // What has no fields keeps its one name.
            let taken = others.contains(name) || (per_cpu && name == "cpu");
            let clashes = !column.name.is_empty() && taken;
            column.name = if clashes { format!("{prefix}.{name}") } else { name.clone() };
        }
    };
    rename(&mut keys, &key_names, &value_names, "key");
    rename(&mut values, &value_names, &key_names, "value");
    (keys, values)
}

impl Format for Separated<'_> {
    fn begin(&mut self, _pass: usize, out: &mut Vec<u8>) {
        let cpu = self.cpus.as_ref().map(|_| "cpu");
        let keys = self.key.iter().map(|column| column.name.as_str());
        let values = self.value.iter().map(|column| column.name.as_str());
        for (at, name) in keys.chain(cpu).chain(values).enumerate() {
            if at > 0 {
                out.push(self.separator);
            }
            // Names are C identifiers and dots.
            out.extend_from_slice(name.as_bytes());
        }
        out.push(b'\n');
    }

    fn element(&mut self, key: &[u8], value: Shown, out: &mut Vec<u8>) {
        let separator = self.separator;
        value.split(|place, value| {
            for column in &self.key {
                cell(separator, out, |out| print::cell(column.slot, key, out));
            }
            if let (Some(place), Some(cpus)) = (place, &self.cpus) {
                let cpu = cpus.get(place).map_or_else(|| place.to_string(), u32::to_string);
                cell(separator, out, |out| out.extend_from_slice(cpu.as_bytes()));
            }
            for column in &self.value {
                cell(separator, out, |out| value.cell(column.slot, out));
            }
            // Every cell has a separator behind it: the last one's becomes the line's end.
            if let Some(last) = out.last_mut() {
                *last = b'\n';
            }
        });
    }
}

/// Appends a cell and a separator. In CSV it is quoted where it would not be read as it is;
/// in TSV the codec has escaped whatever would break a line or a column.
fn cell(separator: u8, out: &mut Vec<u8>, print: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    print(out);
    let text = &out[start..];
    let quoted = text.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    // Readers differ on spaces around a cell, and on a line without anything.
    let padded = text.is_empty() || text.starts_with(b" ") || text.ends_with(b" ");
    if separator == b',' && (quoted || padded) {
        let text = out.split_off(start);
        out.push(b'"');
        for byte in text {
            if byte == b'"' {
                out.push(b'"');
            }
            out.push(byte);
        }
        out.push(b'"');
    }
    out.push(separator);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(key: &str, value: &str) -> String {
        let (key, value) = (key.parse().expect("a type"), value.parse().expect("a type"));
        let mut out = Vec::new();
        Separated::new(&key, &value, b',', false, None).begin(0, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn columns_are_named_once() {
        for (key, value, want) in [
            ("u32", "u64", "key,value\n"),
            ("struct{a: u8, b: u8}", "u64", "a,b,value\n"),
            ("u32", "struct{key: u8, b: struct{c: u8}}", "key,value.key,b.c\n"),
            ("struct{value: u8, b: u8}", "u64", "key.value,b,value\n"),
            ("struct{a: u8, b: u8}", "struct{b: u8, c: u8}", "a,key.b,value.b,c\n"),
        ] {
            assert_eq!(header(key, value), want);
        }
    }

    #[test]
    fn a_cell_is_quoted_where_it_would_not_be_read_as_it_is() {
        for (text, want) in [
            ("a", "a,"),
            ("a b", "a b,"),
            ("a,b", "\"a,b\","),
            ("a\"b", "\"a\"\"b\","),
            (" a", "\" a\","),
            ("", "\"\","),
        ] {
            let mut out = b"x".to_vec();
            cell(b',', &mut out, |out| out.extend_from_slice(text.as_bytes()));
            assert_eq!(String::from_utf8_lossy(&out), format!("x{want}"));
        }
    }
}
