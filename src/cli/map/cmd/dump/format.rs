//! The formats of `bpf-map dump`, by their options.

use super::View;
use crate::cli::map::target::Target;
use crate::output::element::{Format, Integers};
use crate::output::json::Elements;
use crate::output::plain::Plain;
use crate::output::separated::Separated;
use bpf_layout::Type;
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
        .arg(
            Arg::new("json-strings")
                .long("json-strings")
                .help("Print integers of more than 53 bits as strings; --json unless --jsonl is given")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["csv", "tsv", "prometheus"]),
        )
}

/// The format that was asked for, but for Prometheus', of keys of type `key`.
pub fn format<'t>(
    matches: &ArgMatches,
    target: &'t Target,
    key: &'t Type,
    view: &View,
) -> Box<dyn Format + 't> {
    let value = &target.layout.value;
    let chosen = FORMATS.iter().find(|(name, _)| matches.get_flag(name));
    let per_cpu = target.map.info().map_type.is_per_cpu();
    let (integers, unchosen) = match matches.get_flag("json-strings") {
        true => (Integers::Strings, Some("json")),
        false => (Integers::Numbers, None),
    };
    match chosen.map(|(name, _)| *name).or(unchosen) {
        Some("json") => Box::new(Elements::new(key, value, true, integers)),
        Some("jsonl") => Box::new(Elements::new(key, value, false, integers)),
        Some("csv") => Box::new(Separated::new(key, value, b',', per_cpu, view.cpus())),
        Some("tsv") => Box::new(Separated::new(key, value, b'\t', per_cpu, view.cpus())),
        _ => Box::new(Plain::new(key, value)),
    }
}
