//! The numbers of entries of maps as metrics, for the textfile collector of node_exporter.

use super::labels::append;
use crate::output::MapRow;
use crate::text::escape;

/// A metric: its name, its help, and the number of a map, if it is known.
type MapMetric = (&'static str, &'static str, fn(&MapRow) -> Option<u64>);

const METRICS: [MapMetric; 2] = [
    ("bpf_map_entries", "Entries of the map.", |row| row.entries.flatten()),
    ("bpf_map_max_entries", "Entries that the map has room for.", |row| {
        Some(row.max_entries.into())
    }),
];

/// Appends a sample of each metric for each map. A map that was inherited twice has one.
pub fn metrics(rows: &[MapRow], out: &mut Vec<u8>) {
    let is_first = |at: usize| rows[..at].iter().all(|row| row.id != rows[at].id);
    let rows: Vec<&MapRow> =
        rows.iter().enumerate().filter(|(at, _)| is_first(*at)).map(|(_, row)| row).collect();
    for (name, help, number) in METRICS {
        out.extend(format!("# HELP {name} {help}\n# TYPE {name} gauge\n").bytes());
        for row in &rows {
            let Some(number) = number(row) else { continue };
            let pins = row.whole.iter().flat_map(|whole| &whole.pins);
            let pin = pins.min().map_or(String::new(), |pin| escape(pin));
            let map_name = row.name.as_deref().map_or(String::new(), escape);
            let mut labels = Vec::new();
            for (label, text) in [
                ("id", &row.id.to_string()),
                ("name", &map_name),
                ("type", &row.kind),
                ("pin", &pin),
            ] {
                append(label, text.as_bytes(), &mut labels);
            }
            out.extend(name.bytes());
            out.push(b'{');
            out.extend(labels);
            out.extend(format!("}} {number}\n").bytes());
        }
    }
}
