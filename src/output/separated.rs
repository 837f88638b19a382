//! Entries as tables: CSV (RFC 4180, but with line feeds as line ends) and TSV, both with a header.

use super::element::{ElementFormat, Shown};
use bpf_layout::Type;
use bpf_layout::print::{Column, all_columns};

/// A table with one row per entry, and one column per field of key and value. If the value of each
/// CPU is printed, there is one row per CPU, with the number of the CPU in the column `cpu`.
///
/// Padding has a column only if it is not zero in some entry, which a first pass determines.
pub struct Separated<'t> {
    key: Vec<TableColumn<'t>>,
    value: Vec<TableColumn<'t>>,
    separator: u8,
    /// The numbers of the possible CPUs, if the value of each CPU is printed.
    cpus: Option<Vec<u32>>,
    /// Whether the columns of padding are still being chosen.
    choosing: bool,
    /// Whether non-zero padding was found that has no column.
    late: bool,
}

/// A possible column, and whether the table has it.
struct TableColumn<'t> {
    column: Column<'t>,
    used: bool,
}

impl<'t> Separated<'t> {
    /// `separator` is a comma or a tab. `per_cpu` is true for a per-CPU map.
    pub fn new(
        key: &'t Type,
        value: &'t Type,
        separator: u8,
        per_cpu: bool,
        cpus: Option<Vec<u32>>,
    ) -> Separated<'t> {
        let (key, value) = name_columns(key, value, per_cpu);
        let choose_fields = |columns: Vec<Column<'t>>| -> Vec<TableColumn<'t>> {
            let choice = |column: Column<'t>| TableColumn { used: !column.is_padding(), column };
            columns.into_iter().map(choice).collect()
        };
        let (key, value) = (choose_fields(key), choose_fields(value));
        Separated { key, value, separator, cpus, choosing: false, late: false }
    }

    /// Checks for non-zero padding that has no column: adds the column in the first pass, and later
    /// records that it is missing.
    fn check_padding(&mut self, key: &[u8], value: Shown) {
        let mut check = |choice: &mut TableColumn<'t>, cell: &dyn Fn(&Column<'t>, &mut Vec<u8>)| {
            let mut text = Vec::new();
            if !choice.used {
                cell(&choice.column, &mut text);
            }
            if !text.is_empty() {
                choice.used = self.choosing;
                self.late |= !self.choosing;
            }
        };
        for choice in &mut self.key {
            check(choice, &|column, out| column.cell(key, out));
        }
        value.split(|_, value| {
            for choice in &mut self.value {
                check(choice, &|column, out| value.column(column, out));
            }
        });
    }
}

/// Returns the columns of keys and values, with the names in the header: `key` or `value` for a
/// scalar, the paths of the fields for a struct. A path is written as `key.PATH` or `value.PATH` if
/// key and value both have it, if it begins with `key.` or `value.`, or if it is `cpu` in a per-CPU
/// map, whose tables may have a column with the number of the CPU.
pub fn name_columns<'t>(
    key: &'t Type,
    value: &'t Type,
    per_cpu: bool,
) -> (Vec<Column<'t>>, Vec<Column<'t>>) {
    let (mut keys, mut values) = (all_columns(key), all_columns(value));
    let header = |columns: &[Column], whole: &str| -> Vec<String> {
        let name = |name: &String| if name.is_empty() { whole.to_owned() } else { name.clone() };
        columns.iter().map(|column| name(&column.name)).collect()
    };
    let (key_names, value_names) = (header(&keys, "key"), header(&values, "value"));
    let rename = |columns: &mut Vec<Column>, names: &[String], others: &[String], prefix: &str| {
        for (column, name) in columns.iter_mut().zip(names) {
            // A type without fields is always called `key` or `value`.
            let prefixed = name.starts_with("key.") || name.starts_with("value.");
            let taken = prefixed || others.contains(name) || (per_cpu && name == "cpu");
            let clashes = !column.name.is_empty() && taken;
            column.name = if clashes { format!("{prefix}.{name}") } else { name.clone() };
        }
    };
    rename(&mut keys, &key_names, &value_names, "key");
    rename(&mut values, &value_names, &key_names, "value");
    (keys, values)
}

impl ElementFormat for Separated<'_> {
    fn passes(&self) -> usize {
        let all = self.key.iter().chain(&self.value);
        1 + usize::from(all.into_iter().any(|choice| !choice.used))
    }

    fn begin(&mut self, pass: usize, out: &mut Vec<u8>) {
        self.choosing = pass + 1 < self.passes();
        if self.choosing {
            return;
        }
        let cpu = self.cpus.as_ref().map(|_| "cpu");
        let name = |choice: &'_ TableColumn| choice.used.then(|| choice.column.name.clone());
        let keys = self.key.iter().filter_map(name);
        let values = self.value.iter().filter_map(name);
        for (at, name) in keys.chain(cpu.map(String::from)).chain(values).enumerate() {
            if at > 0 {
                out.push(self.separator);
            }
            // Names consist of C identifiers, dots, and @ before digits, and need no quotes.
            out.extend_from_slice(name.as_bytes());
        }
        out.push(b'\n');
    }

    fn element(&mut self, key: &[u8], value: Shown, out: &mut Vec<u8>) {
        self.check_padding(key, value);
        if self.choosing {
            return;
        }
        let separator = self.separator;
        value.split(|place, value| {
            for choice in self.key.iter().filter(|choice| choice.used) {
                push_cell(separator, out, |out| choice.column.cell(key, out));
            }
            if let (Some(place), Some(cpus)) = (place, &self.cpus) {
                let cpu = cpus.get(place).map_or_else(|| place.to_string(), u32::to_string);
                push_cell(separator, out, |out| out.extend_from_slice(cpu.as_bytes()));
            }
            for choice in self.value.iter().filter(|choice| choice.used) {
                push_cell(separator, out, |out| value.column(&choice.column, out));
            }
            // Every cell is followed by a separator; the last one is replaced by a line feed.
            if let Some(last) = out.last_mut() {
                *last = b'\n';
            }
        });
    }

    fn failure(&self) -> Option<String> {
        let cause = "padding has changed since the header was printed: dump it again";
        self.late.then(|| cause.to_owned())
    }
}

/// Appends a cell and a separator. In CSV, the cell is quoted if it would not be read back
/// unchanged; in TSV, `print` has already escaped tabs and line feeds.
fn push_cell(separator: u8, out: &mut Vec<u8>, print: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    print(out);
    let text = &out[start..];
    let quoted = text.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    // Readers treat spaces around a cell, and empty lines, in different ways.
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
            (
                "struct{b: u8, value: struct{b: u8}}",
                "struct{b: u8, key: struct{c: u8}}",
                "key.b,key.value.b,value.b,value.key.c\n",
            ),
        ] {
            assert_eq!(header(key, value), want);
        }
    }

    #[test]
    fn cell_with_special_characters_is_quoted() {
        for (text, want) in [
            ("a", "a,"),
            ("a b", "a b,"),
            ("a,b", "\"a,b\","),
            ("a\"b", "\"a\"\"b\","),
            (" a", "\" a\","),
            ("", "\"\","),
        ] {
            let mut out = b"x".to_vec();
            push_cell(b',', &mut out, |out| out.extend_from_slice(text.as_bytes()));
            assert_eq!(String::from_utf8_lossy(&out), format!("x{want}"));
        }
    }
}
