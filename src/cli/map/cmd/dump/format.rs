//! The formats of `bpf-map dump`, by their options.

use super::dumped::{Dumped, OPERATION};
use super::metrics;
use crate::cli::map::arguments::flag;
use crate::output::element::{ElementFormat, Integers};
use crate::output::json::JsonElements;
use crate::output::plain::Plain;
use crate::output::prometheus::{PrometheusOptions, arrange};
use crate::output::separated::Separated;
use bpf_layout::Type;
use clap::{ArgGroup, ArgMatches, Command};

const OPTIONS: [(&str, &str); 5] = [
    ("json", "Print one JSON array of {\"key\":…,\"value\":…}"),
    ("jsonl", "Print a JSON object a line"),
    ("csv", "Print comma-separated values, with a header"),
    ("tsv", "Print tab-separated values, with a header"),
    ("prometheus", "Print Prometheus' text format, a metric for each number in the value"),
];

pub fn arguments(command: Command) -> Command {
    command
        .args(OPTIONS.map(|(name, help)| flag(name, help)))
        .group(ArgGroup::new("format").args(OPTIONS.map(|(name, _)| name)))
        .arg(
            flag(
                "json-strings",
                "Print integers of more than 53 bits as strings; implies --json without --jsonl",
            )
            .conflicts_with_all(["csv", "tsv", "prometheus"]),
        )
}

/// The format that was asked for.
#[derive(Debug, PartialEq)]
pub enum OutputFormat {
    Plain,
    JsonArray(Integers),
    JsonLines(Integers),
    Csv,
    Tsv,
    Prometheus(PrometheusOptions),
}

impl OutputFormat {
    pub fn new(matches: &ArgMatches) -> anyhow::Result<OutputFormat> {
        let flag = |name| matches.get_flag(name);
        let strings = flag("json-strings");
        let integers = if strings { Integers::Strings } else { Integers::Numbers };
        Ok(if flag("jsonl") {
            OutputFormat::JsonLines(integers)
        } else if flag("json") || strings {
            OutputFormat::JsonArray(integers)
        } else if flag("csv") {
            OutputFormat::Csv
        } else if flag("tsv") {
            OutputFormat::Tsv
        } else if flag("prometheus") {
            OutputFormat::Prometheus(metrics::parse_options(matches)?)
        } else {
            OutputFormat::Plain
        })
    }

    /// Starts the output of each map. With the formats comes the order of their passes: the index
    /// of a map, and the pass of its format.
    pub fn start<'t>(&self, maps: &'t [Dumped]) -> anyhow::Result<(Formats<'t>, Passes)> {
        match *self {
            OutputFormat::Plain => start_each(maps, |_, key, value| Plain::new(key, value)),
            OutputFormat::JsonArray(integers) => {
                start_each(maps, |_, key, value| JsonElements::new(key, value, true, integers))
            }
            OutputFormat::JsonLines(integers) => {
                start_each(maps, |_, key, value| JsonElements::new(key, value, false, integers))
            }
            OutputFormat::Csv => start_each(maps, |map, key, value| {
                let cpus = map.values.cpu_numbers();
                Separated::new(key, value, b',', map.target.is_per_cpu(), cpus)
            }),
            OutputFormat::Tsv => start_each(maps, |map, key, value| {
                let cpus = map.values.cpu_numbers();
                Separated::new(key, value, b'\t', map.target.is_per_cpu(), cpus)
            }),
            OutputFormat::Prometheus(ref options) => {
                let mut formats = metrics::start(options, maps)?;
                let passes = arrange(&mut formats);
                Ok((formats.into_iter().map(|format| Box::new(format) as _).collect(), passes))
            }
        }
    }
}

/// A format for each map.
pub type Formats<'t> = Vec<Box<dyn ElementFormat + 't>>;
/// The index of a map and a pass of its format, in the order in which they are printed.
pub type Passes = Vec<(usize, usize)>;

/// Starts formats that have nothing in common, one for each map, from its types of key and value.
fn start_each<'t, F: ElementFormat + 't>(
    maps: &'t [Dumped],
    start: impl Fn(&'t Dumped, &'t Type, &'t Type) -> F,
) -> anyhow::Result<(Formats<'t>, Passes)> {
    let (mut formats, mut passes) = (Formats::new(), Passes::new());
    for (at, map) in maps.iter().enumerate() {
        let key = map.target.walked_key(OPERATION)?;
        let format = start(map, key, &map.printed);
        passes.extend((0..format.passes()).map(|pass| (at, pass)));
        formats.push(Box::new(format));
    }
    Ok((formats, passes))
}
