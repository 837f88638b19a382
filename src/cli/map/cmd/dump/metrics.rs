//! The options of `dump --prometheus`.

use super::dumped::{Dumped, OPERATION};
use crate::cli::map::arguments;
use crate::cli::map::output::warn;
use crate::output::prometheus::{MetricSource, MetricType, Prometheus, PrometheusOptions, names};
use crate::text::escape_argument;
use anyhow::{Context, anyhow, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};

pub fn arguments(command: Command) -> Command {
    let option = |name: &'static str, value, help| {
        let option = Arg::new(name).long(name).value_name(value).help(help);
        // A required option that conflicts with a given one is not asked for.
        option.requires("prometheus").conflicts_with_all([
            "json",
            "jsonl",
            "csv",
            "tsv",
            "json-strings",
        ])
    };
    let several = |name, value, help| {
        option(name, value, help).value_delimiter(',').action(ArgAction::Append)
    };
    command.args([
        option("name", "NAME", "The beginning of the metrics' names [default: the map's name]"),
        option("type", "TYPE", "The type of the metrics: gauge or counter [default: gauge]")
            .value_parser(PossibleValuesParser::new(["gauge", "counter"]).map(metric_type)),
        option("help-text", "TEXT", "The HELP text of the metrics"),
        several(
            "labels",
            "FIELD,...",
            "Make labels of these fields of the key, or value.FIELD, only",
        ),
        several("rename-label", "LABEL=NAME,...", "Call labels by other names"),
    ])
}

fn metric_type(name: String) -> MetricType {
    if name == "counter" { MetricType::Counter } else { MetricType::Gauge }
}

/// Starts the output of each map.
pub fn start<'t>(
    options: &PrometheusOptions,
    maps: &'t [Dumped],
) -> anyhow::Result<Vec<Prometheus<'t>>> {
    let mut formats = Vec::new();
    for Dumped { target, values, .. } in maps {
        let source = MetricSource {
            key: target.walked_key(OPERATION)?,
            value: &target.layout.value,
            name: &target.map.info().name,
            label: &target.label,
            cpus: values.cpu_numbers(),
        };
        let format = Prometheus::new(source, options);
        let format = format.with_context(|| format!("{}: --prometheus", target.label))?;
        if !format.left_out().is_empty() {
            let arrays = format.left_out().join(", ");
            warn(format_args!("{}: arrays are omitted: {arrays}", target.label));
        }
        formats.push(format);
    }
    Ok(formats)
}

pub fn parse_options(matches: &ArgMatches) -> anyhow::Result<PrometheusOptions> {
    let text = |name: &str| arguments::text(matches, name).map(String::from);
    let list = |name: &str| {
        let items = arguments::texts(matches, name)?;
        Some(items.filter(|item| !item.is_empty()).map(String::from).collect::<Vec<_>>())
    };
    let name = text("name");
    if let Some(name) = name.as_ref().filter(|name| !names::is_metric(name)) {
        bail!(
            "--name {}: not a metric's name: [a-zA-Z_:][a-zA-Z0-9_:]*",
            escape_argument(name.as_bytes())
        );
    }
    let renamed = list("rename-label");
    if renamed.as_ref().is_some_and(Vec::is_empty) {
        bail!("--rename-label: no label is named");
    }
    let renamed = renamed.unwrap_or_default();
    Ok(PrometheusOptions {
        metric_type: *matches.get_one("type").unwrap_or(&MetricType::Gauge),
        name,
        help: text("help-text"),
        fields: list("fields"),
        labels: list("labels"),
        renamed: renamed.iter().map(|item| parse_renaming(item)).collect::<anyhow::Result<_>>()?,
    })
}

/// `LABEL=NAME`.
fn parse_renaming(item: &str) -> anyhow::Result<(String, String)> {
    let shown = escape_argument(item.as_bytes());
    let (old, new) =
        item.split_once('=').ok_or_else(|| anyhow!("--rename-label {shown}: not LABEL=NAME"))?;
    if !names::is_label(new) {
        bail!(
            "--rename-label {shown}: not a label's name: an identifier without __ in front, and not le or quantile"
        );
    }
    Ok((old.to_owned(), new.to_owned()))
}
