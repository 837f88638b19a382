//! Entries in the text format of Prometheus: a metric for each number in the value, and labels from
//! the fields of the key.
//!
//! See <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4.
//! All samples of a metric must be consecutive, so all entries are walked once per metric.

pub mod entries;
mod labels;
pub mod names;
mod numbers;
mod options;

pub use options::{MetricSource, MetricType, PrometheusOptions};

use super::element::{ElementFormat, Shown};
use anyhow::{Context, bail};
use bpf_layout::Number;
use labels::{Labels, append};
use numbers::Numbers;
use std::collections::{HashMap, HashSet};

/// The state of the output for one map.
pub struct Prometheus<'t> {
    kind: MetricType,
    /// Text for `# HELP`, if the user gave one.
    help: Option<String>,
    source: MetricSource<'t>,
    metrics: Vec<Metric<'t>>,
    labels: Labels<'t>,
    /// Descriptions of the arrays without metrics, if no fields were chosen.
    left_out: Vec<String>,
    /// The labels printed in this pass; None if no two entries can have the same labels.
    seen: Option<HashSet<Vec<u8>>>,
    /// Labels that two entries have in common, if any.
    repeated: Option<Vec<u8>>,
    pass: usize,
    /// The labels of the current entry.
    text: Vec<u8>,
}

struct Metric<'t> {
    name: String,
    numbers: Numbers<'t>,
    /// Whether another map has a metric of this name: then a label distinguishes the maps.
    is_shared: bool,
    /// Whether the samples follow those of another map, which have the HELP and TYPE lines.
    is_continued: bool,
}

impl<'t> Prometheus<'t> {
    /// # Errors
    /// If a value contains no number, or not the fields and labels of `options`.
    pub fn new(
        source: MetricSource<'t>,
        options: &PrometheusOptions,
    ) -> anyhow::Result<Prometheus<'t>> {
        let value = source.value;
        let (numbers, left_out) = match &options.fields {
            Some(fields) => {
                (numbers::find_in_fields(value, fields).context("--fields")?, Vec::new())
            }
            None => numbers::find_all(value),
        };
        if numbers.is_empty() {
            bail!("no number in a value: {value}");
        }
        let own = options.name.is_none().then(|| names::stem(source.name));
        let stem = options.name.as_ref().or(own.as_ref()).map_or("", String::as_str);
        let mut metrics: Vec<Metric> = Vec::new();
        let mut taken = HashSet::new();
        for numbers in numbers {
            let is_taken = |name: &str| taken.contains(name);
            let name = names::metric(stem, &numbers.field, options.metric_type, is_taken);
            taken.insert(name.clone());
            metrics.push(Metric { name, numbers, is_shared: false, is_continued: false });
        }
        Ok(Prometheus {
            kind: options.metric_type,
            help: options.help.clone(),
            labels: Labels::new(&source, options)?,
            source,
            metrics,
            left_out,
            seen: options.labels.is_some().then(HashSet::new),
            repeated: None,
            pass: 0,
            text: Vec::new(),
        })
    }

    /// Descriptions of the arrays that are omitted: the paths and types of the fields.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Prints the samples of one value, whose labels are in `text`.
    fn print_samples(&mut self, value: Shown, out: &mut Vec<u8>) {
        let own = self.text.len();
        let Metric { name, numbers, .. } = &self.metrics[self.pass];
        for (index, slot) in numbers.slots.iter().enumerate() {
            // None if a sum exceeds 128 bits, or if CPUs have different values that are not summed.
            let Some(number) = value.number(*slot) else { continue };
            out.extend_from_slice(name.as_bytes());
            self.text.truncate(own);
            if numbers.is_array {
                append(&self.labels.index, index.to_string().as_bytes(), &mut self.text);
            }
            // An entry may have no labels.
            if !self.text.is_empty() {
                out.push(b'{');
                out.extend_from_slice(&self.text);
                out.push(b'}');
            }
            out.push(b' ');
            print_number(number, out);
            out.push(b'\n');
        }
    }
}

/// Returns the order in which the metrics of several maps are printed, as pairs of the index of a
/// map and the index of one of its metrics. Metrics of the same name are consecutive.
pub fn arrange(maps: &mut [Prometheus]) -> Vec<(usize, usize)> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut families: Vec<Vec<(usize, usize)>> = Vec::new();
    for (at, map) in maps.iter().enumerate() {
        for (pass, metric) in map.metrics.iter().enumerate() {
            let place = *places.entry(metric.name.clone()).or_insert(families.len());
            match families.get_mut(place) {
                Some(family) => family.push((at, pass)),
                None => families.push(vec![(at, pass)]),
            }
        }
    }
    for family in families.iter().filter(|family| family.len() > 1) {
        for (place, &(at, pass)) in family.iter().enumerate() {
            let metric = &mut maps[at].metrics[pass];
            (metric.is_shared, metric.is_continued) = (true, place > 0);
        }
    }
    families.concat()
}

impl ElementFormat for Prometheus<'_> {
    fn passes(&self) -> usize {
        self.metrics.len()
    }

    fn begin(&mut self, pass: usize, out: &mut Vec<u8>) {
        self.pass = pass;
        self.seen.iter_mut().for_each(HashSet::clear);
        let Metric { name, is_shared, is_continued, .. } = &self.metrics[pass];
        if *is_continued {
            return;
        }
        let kind = match self.kind {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
        };
        let help = match &self.help {
            Some(help) => help.clone(),
            None if *is_shared => "Entries of BPF maps.".to_owned(),
            None => format!("Entries of the BPF map {}.", self.source.label),
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let lines = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        out.extend_from_slice(lines.as_bytes());
    }

    fn element(&mut self, key: &[u8], value: Shown, out: &mut Vec<u8>) {
        let map = self.metrics[self.pass].is_shared.then_some(self.source.label);
        value.split(|place, value| {
            let cpu = place.and_then(|place| self.source.cpus.as_ref()?.get(place).copied());
            self.labels.print(key, value, cpu, map, &mut self.text);
            if self.seen.as_mut().is_some_and(|seen| !seen.insert(self.text.clone())) {
                self.repeated.get_or_insert_with(|| self.text.clone());
            } else {
                self.print_samples(value, out);
            }
        });
    }

    fn failure(&self) -> Option<String> {
        let labels = String::from_utf8_lossy(self.repeated.as_ref()?);
        Some(format!("two entries have the labels {{{labels}}}: choose more with --labels"))
    }
}

fn print_number(number: Number, out: &mut Vec<u8>) {
    match number {
        Number::Float(n) if n.is_nan() => out.extend_from_slice(b"NaN"),
        Number::Float(n) if n.is_infinite() => {
            out.extend_from_slice(if n > 0.0 { b"+Inf" } else { b"-Inf" });
        }
        number => number.print(out),
    }
}
