//! Lists as aligned columns, for reading.

use super::MapRow;
use crate::text::escape;

const HEADER: [&str; 10] =
    ["INDEX", "NAME", "FD", "ID", "TYPE", "KEY", "VALUE", "ENTRIES", "ACCESS", "LAYOUT"];
/// Columns of numbers are aligned to the right.
const RIGHT: [bool; 10] = [true, false, true, true, false, true, true, true, false, false];
/// A longer layout is cut: JSON has it whole.
const MAX_LAYOUT: usize = 60;

/// A header and a line for each map; nothing at all for no maps.
pub fn maps(rows: &[MapRow]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let header = HEADER.map(String::from);
    let lines: Vec<[String; 10]> = std::iter::once(header).chain(rows.iter().map(cells)).collect();
    let widths: [usize; 10] = std::array::from_fn(|column| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
    });
    let mut out = String::new();
    for line in &lines {
        let mut text = String::new();
        for (column, cell) in line.iter().enumerate() {
            let pad = " ".repeat(widths[column] - cell.chars().count());
            let (before, after) =
                if RIGHT[column] { (pad.as_str(), "") } else { ("", pad.as_str()) };
            let gap = if column == 0 { "" } else { "  " };
            text.extend([gap, before, cell, after]);
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

fn cells(row: &MapRow) -> [String; 10] {
    let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map_or("-".into(), escape);
    let mut layout = text(&row.layout);
    if layout.chars().count() > MAX_LAYOUT {
        layout = layout.chars().take(MAX_LAYOUT - 1).chain(['…']).collect();
    }
    [
        row.index.to_string(),
        text(&row.name),
        row.fd.to_string(),
        row.id.to_string(),
        row.kind.clone(),
        row.key_size.to_string(),
        row.value_size.to_string(),
        row.max_entries.to_string(),
        row.access.into(),
        layout,
    ]
}
