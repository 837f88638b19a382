//! The labels of a map's metrics: their names, and their values for an entry.

use super::names;
use super::numbers::{find_columns, refuse_repeats};
use super::options::{MetricSource, PrometheusOptions};
use crate::output::element::Shown;
use crate::text::escape;
use anyhow::{Context, bail};
use bpf_layout::Type;
use bpf_layout::print::{Column, all_columns};
use std::collections::HashSet;

/// The labels that a sample may have, each with a different name.
pub(super) struct Labels<'t> {
    fields: Vec<MetricLabel<'t>>,
    /// The name of the label with the number of the CPU.
    cpu: String,
    /// The name of the label with the index in an array.
    pub index: String,
    /// The name of the label with the map, if several maps have a metric.
    map: String,
}

/// A field that becomes a label.
struct MetricLabel<'t> {
    name: String,
    column: Column<'t>,
    /// Whether the field belongs to the value; otherwise it belongs to the key.
    of_value: bool,
}

impl<'t> Labels<'t> {
    /// # Errors
    /// If a field or a label of `options` does not exist, or if two labels would have the same
    /// name.
    pub fn new(
        source: &MetricSource<'t>,
        options: &PrometheusOptions,
    ) -> anyhow::Result<Labels<'t>> {
        let fields = match &options.labels {
            Some(fields) => find_labels((source.key, source.value), fields).context("--labels")?,
            None => {
                all_columns(source.key).into_iter().map(|column| label(column, false)).collect()
            }
        };
        let [cpu, index, map] = ["cpu", "index", "map"].map(str::to_owned);
        let mut labels = Labels { fields, cpu, index, map };
        labels.make_unique();
        labels.rename(&options.renamed).context("--rename-label")?;
        Ok(labels)
    }

    fn make_unique(&mut self) {
        let mut taken = HashSet::new();
        for name in self.names() {
            while taken.contains(name) {
                name.push('_');
            }
            taken.insert(name.clone());
        }
    }

    fn rename(&mut self, renamed: &[(String, String)]) -> anyhow::Result<()> {
        let old: Vec<String> = renamed.iter().map(|(old, _)| old.clone()).collect();
        refuse_repeats(&old)?;
        let mut places = Vec::new();
        for old in &old {
            let Some(place) = self.names().position(|name| name == old) else {
                let known: Vec<_> = self.names().map(|name| name.as_str()).collect();
                bail!("no label {}; labels: {}", escape(old.as_bytes()), known.join(", "));
            };
            places.push(place);
        }
        for (place, (_, new)) in places.into_iter().zip(renamed) {
            self.names().nth(place).into_iter().for_each(|name| name.clone_from(new));
        }
        let mut taken = HashSet::new();
        match self.names().find(|name| !taken.insert(name.to_string())) {
            Some(name) => bail!("two labels would be called {name}"),
            None => Ok(()),
        }
    }

    fn names(&mut self) -> impl Iterator<Item = &mut String> {
        let own = [&mut self.cpu, &mut self.index, &mut self.map];
        self.fields.iter_mut().map(|label| &mut label.name).chain(own)
    }

    /// Replaces `text` by the labels of an entry, without the braces. `cpu` is the number of the
    /// CPU that has the value; `map` distinguishes maps that have metrics with the same names.
    pub fn print(
        &self,
        key: &[u8],
        value: Shown,
        cpu: Option<u32>,
        map: Option<&str>,
        text: &mut Vec<u8>,
    ) {
        let mut cell = Vec::new();
        text.clear();
        for label in &self.fields {
            cell.clear();
            match label.of_value {
                true => value.label(&label.column, &mut cell),
                false => label.column.label(key, &mut cell),
            }
            // Keys that differ only in their padding are different time series.
            if !label.column.is_padding() || !cell.is_empty() {
                append(&label.name, &cell, text);
            }
        }
        if let Some(cpu) = cpu {
            append(&self.cpu, cpu.to_string().as_bytes(), text);
        }
        if let Some(map) = map {
            append(&self.map, map.as_bytes(), text);
        }
    }
}

/// Finds the fields with these paths: fields of the key, or `value.FIELD`.
fn find_labels<'t>(
    (key, value): (&'t Type, &'t Type),
    fields: &[String],
) -> anyhow::Result<Vec<MetricLabel<'t>>> {
    refuse_repeats(fields)?;
    let mut all = Vec::new();
    for field in fields {
        let of_value = (field.strip_prefix("value"))
            .filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            .filter(|_| key.field(field).is_err());
        let (columns, of_value) = match of_value {
            Some(path) => (find_columns(value, path.trim_start_matches('.'), "")?, true),
            None => (find_columns(key, field, "key")?, false),
        };
        all.extend(columns.into_iter().map(|column| label(column, of_value)));
    }
    Ok(all)
}

/// The label of a field, whose name is derived from the path of the field.
fn label(column: Column, of_value: bool) -> MetricLabel {
    let whole = if of_value { "value" } else { "key" };
    let name = match column.name.as_str() {
        "" => whole.to_owned(),
        field => names::label(whole, field),
    };
    MetricLabel { name, column, of_value }
}

/// Appends a label to `labels`, and escapes its text.
pub(super) fn append(name: &str, text: &[u8], labels: &mut Vec<u8>) {
    if !labels.is_empty() {
        labels.push(b',');
    }
    labels.extend_from_slice(name.as_bytes());
    labels.extend_from_slice(b"=\"");
    for &byte in text {
        match byte {
            b'\\' => labels.extend_from_slice(b"\\\\"),
            b'"' => labels.extend_from_slice(b"\\\""),
            b'\n' => labels.extend_from_slice(b"\\n"),
            byte => labels.push(byte),
        }
    }
    labels.push(b'"');
}
