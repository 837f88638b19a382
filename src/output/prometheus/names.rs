//! Names of metrics and labels as Prometheus and `promtool check metrics` accept them.

use super::options::MetricType;
use bpf_layout::is_identifier;

/// Suffixes of the names of metrics of other types than gauge.
const OF_OTHER_TYPES: [&str; 4] = ["_total", "_count", "_sum", "_bucket"];

/// Whether a metric can have this name: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_metric(name: &str) -> bool {
    is_identifier(&name.replace(':', "_"))
}

/// Whether a label can have this name: an identifier that does not begin with two underscores,
/// which are reserved for Prometheus, and is not the label of a histogram or a summary.
pub fn is_label(name: &str) -> bool {
    is_identifier(name) && !name.starts_with("__") && !matches!(name, "le" | "quantile")
}

/// The default start of the names of a map's metrics, derived from the map's name.
pub(super) fn stem(map: &[u8]) -> String {
    let fit = |&b: &u8| if b.is_ascii_alphanumeric() { char::from(b) } else { '_' };
    let name = snake_case(&map.iter().map(fit).collect::<String>());
    if is_metric(&name) { name } else { format!("bpf_{name}") }
}

/// The name of the metric of a field, or of the whole value if `field` is empty. Counters end in
/// `_total`, and a gauge does not end in the suffix of another type. Underscores before the suffix
/// make the name unique.
pub(super) fn metric(
    stem: &str,
    field: &str,
    kind: MetricType,
    is_taken: impl Fn(&str) -> bool,
) -> String {
    let mut name = stem.to_owned();
    if kind == MetricType::Counter {
        name.truncate(stem.strip_suffix("_total").unwrap_or(stem).len());
    }
    if !field.is_empty() {
        name.push('_');
        name.push_str(&convert_path(field));
    }
    let end = match kind {
        MetricType::Counter => "_total",
        MetricType::Gauge if OF_OTHER_TYPES.iter().any(|end| name.ends_with(end)) => "_value",
        MetricType::Gauge => "",
    };
    while is_taken(&format!("{name}{end}")) {
        name.push('_');
    }
    name + end
}

/// The name of the label of a field, or of padding. `whole` is `key` or `value`, which the field
/// belongs to.
pub(super) fn label(whole: &str, field: &str) -> String {
    let name = convert_path(&field.replace('@', "padding_"));
    if !is_label(&name) { format!("{whole}_{}", name.trim_start_matches('_')) } else { name }
}

/// Converts the path of a field to a part of a name: `a.b[2]` becomes `a_b_2`.
fn convert_path(field: &str) -> String {
    snake_case(&field.replace(']', "").replace(['.', '['], "_"))
}

/// Converts `rxBytes` and `RX_BYTES` to `rx_bytes`.
fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut before = '_';
    for c in name.chars() {
        if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
        before = c;
    }
    out
}
