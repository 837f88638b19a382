//! Lists as tables of aligned columns.

use super::{MapRow, ObjectRow, Row, Whole};
use crate::map::typed::LayoutSource;
use crate::text::escape;

const COLUMNS: usize = 13;
const HEADER: [&str; COLUMNS] = [
    "INDEX", "NAME", "FD", "ID", "TYPE", "KEY", "VALUE", "MAX", "USED", "ACCESS", "FLAGS", "PINS",
    "LAYOUT",
];
/// Whether a column is aligned to the right, as columns of numbers are.
const RIGHT: [bool; COLUMNS] =
    [true, false, true, true, false, true, true, true, true, false, false, false, false];
/// The characters of a layout that are printed. JSON has the whole layout.
const MAX_LAYOUT: usize = 60;

/// Prints a table of the maps, one of the programs and one of the links, separated by empty lines.
/// A kind without objects has no table.
pub fn list(rows: &[Row]) -> String {
    let (mut of_maps, mut of_programs, mut of_links) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        match row {
            Row::Map(row) => of_maps.push(row),
            Row::Prog(row) => of_programs.push(object(row).to_vec()),
            Row::Link { row, prog_id } => {
                let program = prog_id.map_or("-".into(), |id| id.to_string());
                of_links.push([&object(row)[..], &[program]].concat());
            }
        }
    }
    let tables = [
        maps(&of_maps),
        objects(&["INDEX", "PROGRAM", "FD", "ID", "TYPE"], of_programs),
        objects(&["INDEX", "LINK", "FD", "ID", "TYPE", "PROG_ID"], of_links),
    ];
    tables.into_iter().filter(|table| !table.is_empty()).collect::<Vec<_>>().join("\n")
}

/// A table of programs or links, in which the columns of name and type are aligned to the left.
fn objects(header: &[&str], lines: Vec<Vec<String>>) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let header = header.iter().map(|cell| String::from(*cell)).collect();
    let lines: Vec<Vec<String>> = std::iter::once(header).chain(lines).collect();
    align(&lines, &[true, false, true, true, false, true][..lines[0].len()])
}

fn object(row: &ObjectRow) -> [String; 5] {
    [
        row.index.to_string(),
        row.name.as_deref().map_or("-".into(), escape),
        row.fd.to_string(),
        row.id.to_string(),
        row.kind.clone(),
    ]
}

/// A table of maps; empty if there are none. Columns that are empty in every row are omitted: those
/// of file descriptors if no map was inherited, and those of a list of all maps.
fn maps(rows: &[&MapRow]) -> String {
    let listed = rows.iter().any(|row| row.whole.is_some());
    let inherited = rows.iter().any(|row| row.index.is_some());
    let counted = rows.iter().any(|row| row.entries.is_some());
    let shown = |column: &&str| match *column {
        "INDEX" | "FD" | "ACCESS" => inherited,
        "USED" => counted,
        "FLAGS" | "PINS" => listed,
        _ => true,
    };
    let shown: [bool; COLUMNS] = std::array::from_fn(|column| shown(&HEADER[column]));
    if rows.is_empty() {
        return String::new();
    }
    let lines = std::iter::once(HEADER.map(String::from)).chain(rows.iter().map(|row| cells(row)));
    let keep = |(column, cell): (usize, String)| shown[column].then_some(cell);
    let lines: Vec<Vec<String>> =
        lines.map(|line| line.into_iter().enumerate().filter_map(keep).collect()).collect();
    let right: Vec<bool> =
        RIGHT.into_iter().zip(shown).filter_map(|(right, shown)| shown.then_some(right)).collect();
    align(&lines, &right)
}

/// Aligns cells in columns, two spaces apart. `right` is true for columns aligned to the right.
pub fn align(lines: &[Vec<String>], right: &[bool]) -> String {
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..right.len()).map(width).collect();
    let mut out = String::new();
    for line in lines {
        let mut text = String::new();
        for ((cell, width), right) in line.iter().zip(&widths).zip(right) {
            let pad = " ".repeat(width - cell.chars().count());
            let (before, after) = if *right { (pad.as_str(), "") } else { ("", pad.as_str()) };
            let gap = if text.is_empty() { "" } else { "  " };
            text.extend([gap, before, cell, after]);
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

/// Truncates a layout to [`MAX_LAYOUT`] characters.
pub(super) fn cut(layout: String) -> String {
    match layout.chars().count() > MAX_LAYOUT {
        true => layout.chars().take(MAX_LAYOUT - 1).chain(['…']).collect(),
        false => layout,
    }
}

fn cells(row: &MapRow) -> [String; COLUMNS] {
    let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map_or("-".into(), escape);
    let layout = match row.layout_source {
        LayoutSource::Guess => "(BTF cannot be read)".into(),
        _ => cut(text(&row.layout)),
    };
    let (flags, pins) = match &row.whole {
        Some(Whole { flags, pins }) => {
            (flags.join("|"), pins.iter().map(|pin| escape(pin)).collect::<Vec<_>>().join(","))
        }
        None => Default::default(),
    };
    let or_dash = |text: String| if text.is_empty() { "-".into() } else { text };
    [
        row.index.map_or("-".into(), |index| index.to_string()),
        text(&row.name),
        row.fd.map_or("-".into(), |fd| fd.to_string()),
        row.id.to_string(),
        row.kind.clone(),
        row.key_size.to_string(),
        row.value_size.to_string(),
        row.max_entries.to_string(),
        row.entries.flatten().map_or("-".into(), |entries| entries.to_string()),
        row.access.unwrap_or("-").into(),
        or_dash(flags),
        or_dash(pins),
        layout,
    ]
}
