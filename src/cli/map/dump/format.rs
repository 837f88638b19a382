//! The formats of `bpf-map dump`, by their options.

use super::View;
use crate::cli::map::reference::Target;
use crate::layout::Type;
use crate::map::kind::Kind;
use crate::output::element::{Format, Integers};
use crate::output::json::Elements;
use crate::output::plain::Plain;
use crate::output::prometheus::{self, MetricType, Prometheus};
use crate::output::separated::Separated;
use crate::text::escape;
use anyhow::{anyhow, bail};
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};

const FORMATS: [(&str, &str); 5] = [
    ("json", "Print one JSON array of {\"key\":…,\"value\":…}"),
    ("jsonl", "Print a JSON object a line"),
    ("csv", "Print comma-separated values, with a header"),
    ("tsv", "Print tab-separated values, with a header"),
    ("prometheus", "Print Prometheus' text format, a metric for each number in the value"),
];

pub fn arguments(command: Command) -> Command {
    let flag = |(name, help)| Arg::new(name).long(name).help(help).action(ArgAction::SetTrue);
    command
        .args(FORMATS.map(flag))
        .group(ArgGroup::new("format").args(FORMATS.map(|(name, _)| name)))
        .args([
            Arg::new("json-strings")
                .long("json-strings")
                .help("Print integers of more than 53 bits as strings; --json unless --jsonl is given")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["csv", "tsv", "prometheus"]),
            Arg::new("name")
                .long("name")
                .help("The metric's name, or what its names begin with [default: the map's name]")
                .requires("prometheus"),
            Arg::new("type")
                .long("type")
                .help("What the metrics are: gauge or counter [default: gauge]")
                .value_parser(["gauge", "counter"])
                .requires("prometheus"),
        ])
}

/// The format that was asked for, of keys of type `key`.
pub fn format<'t>(
    matches: &ArgMatches,
    target: &'t Target,
    key: &'t Type,
    view: &View,
) -> anyhow::Result<Box<dyn Format + 't>> {
    let value = &target.layout.value;
    let chosen = FORMATS.iter().find(|(name, _)| matches.get_flag(name));
    let per_cpu = Kind(target.map.info().kind).is_per_cpu();
    let (integers, unchosen) = match matches.get_flag("json-strings") {
        true => (Integers::Strings, Some("json")),
        false => (Integers::Numbers, None),
    };
    Ok(match chosen.map(|(name, _)| *name).or(unchosen) {
        Some("json") => Box::new(Elements::new(key, value, true, integers)),
        Some("jsonl") => Box::new(Elements::new(key, value, false, integers)),
        Some("csv") => Box::new(Separated::new(key, value, b',', per_cpu, view.cpus())),
        Some("tsv") => Box::new(Separated::new(key, value, b'\t', per_cpu, view.cpus())),
        Some(_) => Box::new(metrics(matches, target, key, view)?),
        None => Box::new(Plain::new(key, value)),
    })
}

fn metrics<'t>(
    matches: &ArgMatches,
    target: &'t Target,
    key: &'t Type,
    view: &View,
) -> anyhow::Result<Prometheus<'t>> {
    let kind = match matches.get_one::<String>("type").map(String::as_str) {
        Some("counter") => MetricType::Counter,
        _ => MetricType::Gauge,
    };
    let name = match matches.get_one::<String>("name") {
        Some(name) if prometheus::is_name(name) => name.clone(),
        Some(name) => {
            bail!(
                "--name {}: not a metric's name: [a-zA-Z_:][a-zA-Z0-9_:]*",
                escape(name.as_bytes())
            )
        }
        None => prometheus::name(&target.map.info().name),
    };
    let types = (key, &target.layout.value);
    let about = format!("Elements of the BPF map {}.", target.label);
    Prometheus::new(types, &name, kind, view.cpus(), &about).ok_or_else(|| {
        anyhow!("{}: --prometheus: no number in a value: {}", target.label, target.layout.value)
    })
}
