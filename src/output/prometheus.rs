//! Elements in Prometheus' text format: a metric for each number in the value, labels from
//! the key's fields.
//!
//! See <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4. All
//! samples of a metric stand together there, so elements are gone through once a metric.

use super::element::{Format, Shown};
use crate::layout::print::{Column, all_columns, columns};
use crate::layout::{Class, Number, Slot, Type};

/// Elements of an array that become samples of their own; a longer one is left out.
const MAX_ARRAY: usize = 256;

/// What `# TYPE` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricType {
    Counter,
    Gauge,
}

/// The format's state.
pub struct Prometheus<'t> {
    kind: MetricType,
    labels: Vec<Column<'t>>,
    metrics: Vec<Metric<'t>>,
    /// The numbers of the possible CPUs, where every CPU's value is shown.
    cpus: Option<Vec<u32>>,
    /// What the metrics are about, for `# HELP`.
    about: String,
    cpu_label: String,
    index_label: String,
    pass: usize,
    text: Vec<u8>,
}

struct Metric<'t> {
    name: String,
    /// The number, or the numbers of an array.
    slots: Vec<Slot<'t>>,
    is_array: bool,
}

impl<'t> Prometheus<'t> {
    /// None where there is no number in a value. `name` must pass [`is_name`]; `about` is
    /// text for people, in one line.
    pub fn new(
        (key, value): (&'t Type, &'t Type),
        name: &str,
        kind: MetricType,
        cpus: Option<Vec<u32>>,
        about: &str,
    ) -> Option<Prometheus<'t>> {
        let mut metrics: Vec<Metric> = Vec::new();
        for column in columns(value) {
            let Some(slots) = numbers(value, &column) else { continue };
            let stem = if column.name.is_empty() {
                name.to_owned()
            } else {
                format!("{name}_{}", column.name.replace('.', "_"))
            };
            let taken = |name: &str| metrics.iter().any(|metric| metric.name == name);
            let name = unlike(stem, taken);
            let is_array = matches!(column.slot.ty(), Type::Array(_));
            metrics.push(Metric { name, slots, is_array });
        }
        if metrics.is_empty() {
            return None;
        }
        let mut labels: Vec<Column> = Vec::new();
        for column in all_columns(key) {
            let stem = if column.name.is_empty() { "key".to_owned() } else { label(&column.name) };
            let taken = |name: &str| labels.iter().any(|label| label.name == name);
            let name = unlike(stem, taken);
            labels.push(Column { name, ..column });
        }
        let taken = |name: &str| labels.iter().any(|label| label.name == name);
        let (cpu_label, index_label) = (unlike("cpu".into(), taken), unlike("index".into(), taken));
        let (about, text) = (about.replace('\\', "\\\\"), Vec::new());
        Some(Prometheus {
            kind,
            labels,
            metrics,
            cpus,
            about,
            cpu_label,
            index_label,
            pass: 0,
            text,
        })
    }
}

/// Whether `name` can be a metric's: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b':'))
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'))
}

/// Makes a metric's name of any bytes.
pub fn name(bytes: &[u8]) -> String {
    let fit = |&b: &u8| if b.is_ascii_alphanumeric() { char::from(b) } else { '_' };
    let name: String = bytes.iter().map(fit).collect();
    if is_name(&name) { name } else { format!("bpf_{name}") }
}

/// A label's name of a field's path, or of padding; two underscores in front are Prometheus' own.
fn label(path: &str) -> String {
    let name = path.replace('.', "_").replace('@', "padding_");
    if name.starts_with("__") { format!("key{name}") } else { name }
}

fn unlike(mut name: String, taken: impl Fn(&str) -> bool) -> String {
    while taken(&name) {
        name.push('_');
    }
    name
}

/// Where the numbers of a column are; None where they are none.
fn numbers<'t>(value: &'t Type, column: &Column<'t>) -> Option<Vec<Slot<'t>>> {
    let is_number = |ty: &Type| match ty {
        Type::Atom(atom) if atom.class() == Class::Pointer => false,
        Type::Atom(_) => {
            let bytes = vec![0; ty.size()];
            Slot::from(ty).number(&bytes).is_some()
        }
        _ => false,
    };
    match column.slot.ty() {
        Type::Array(array) if is_number(array.elem()) && array.len() <= MAX_ARRAY => {
            let element = |at| value.field(&format!("{}[{at}]", column.name)).ok();
            (0..array.len()).map(element).collect()
        }
        ty => is_number(ty).then(|| vec![column.slot]),
    }
}

impl Format for Prometheus<'_> {
    fn passes(&self) -> usize {
        self.metrics.len()
    }

    fn begin(&mut self, pass: usize, out: &mut Vec<u8>) {
        self.pass = pass;
        let name = &self.metrics[pass].name;
        let kind = match self.kind {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
        };
        let lines = format!("# HELP {name} {}\n# TYPE {name} {kind}\n", self.about);
        out.extend_from_slice(lines.as_bytes());
    }

    fn element(&mut self, key: &[u8], value: Shown, out: &mut Vec<u8>) {
        let metric = &self.metrics[self.pass];
        let text = &mut self.text;
        value.split(|place, value| {
            for (index, slot) in metric.slots.iter().enumerate() {
                // A sum past 128 bits, or CPUs that disagree about what has no sum.
                let Some(number) = value.number(*slot) else { continue };
                out.extend_from_slice(metric.name.as_bytes());
                let mut separator = b'{';
                let mut label = |name: &str, text: &[u8]| {
                    out.push(separator);
                    out.extend_from_slice(name.as_bytes());
                    out.extend_from_slice(b"=\"");
                    escape(text, out);
                    out.push(b'"');
                    separator = b',';
                };
                for column in &self.labels {
                    text.clear();
                    column.cell(key, text);
                    // Keys may differ in their padding alone, and each is a series of its own.
                    if column.gap.is_none() || !text.is_empty() {
                        label(&column.name, text);
                    }
                }
                if let (Some(place), Some(cpus)) = (place, &self.cpus) {
                    let cpu = cpus.get(place).map_or_else(|| place.to_string(), u32::to_string);
                    label(&self.cpu_label, cpu.as_bytes());
                }
                if metric.is_array {
                    label(&self.index_label, index.to_string().as_bytes());
                }
                // A key of no fields but padding has no labels.
                out.extend_from_slice(if separator == b',' { b"} " } else { b" " });
                sample(number, out);
                out.push(b'\n');
            }
        });
    }
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' => out.extend_from_slice(b"\\\""),
            b'\n' => out.extend_from_slice(b"\\n"),
            byte => out.push(byte),
        }
    }
}

fn sample(number: Number, out: &mut Vec<u8>) {
    match number {
        Number::Float(n) if n.is_nan() => out.extend_from_slice(b"NaN"),
        Number::Float(n) if n.is_infinite() => {
            out.extend_from_slice(if n > 0.0 { b"+Inf" } else { b"-Inf" });
        }
        number => number.print(out),
    }
}
