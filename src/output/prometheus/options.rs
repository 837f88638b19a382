//! Which values are printed as metrics, and in what form.

use bpf_layout::Type;

/// The type in the `# TYPE` line of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricType {
    Counter,
    Gauge,
}

/// The options of the user.
#[derive(Debug, PartialEq)]
pub struct PrometheusOptions {
    pub metric_type: MetricType,
    /// The start of the metrics' names, instead of the map's name; see [`super::names::is_metric`].
    pub name: Option<String>,
    /// Text for `# HELP`.
    pub help: Option<String>,
    /// Paths of the fields of the value that become metrics, each optionally followed by `=` and
    /// the name to use instead of the path.
    pub fields: Option<Vec<String>>,
    /// Paths of the fields of the key, or `value.` and one of the value, that become labels.
    pub labels: Option<Vec<String>>,
    /// Pairs of the name of a label and its new name; see [`super::names::is_label`].
    pub renamed: Vec<(String, String)>,
}

/// A map whose entries are printed.
pub struct MetricSource<'t> {
    pub key: &'t Type,
    pub value: &'t Type,
    /// The kernel's name of the map.
    pub name: &'t [u8],
    /// The reference by which the user named the map, escaped.
    pub label: &'t str,
    /// The numbers of the possible CPUs, if the value of each CPU is printed.
    pub cpus: Option<Vec<u32>>,
}
