//! The changes of a map between two readings: as a line of text, a line of JSON, or a screen.

use super::element::Integers;
use super::{json, table};
use bpf_layout::print::{self, Change, Column, PerCpu};
use bpf_layout::{Number, Slot};
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

/// The entries at one reading, compared with the previous reading.
#[derive(Debug)]
pub struct Frame<'a> {
    /// The name of the map, escaped.
    pub title: &'a str,
    pub key: Slot<'a>,
    pub value: Slot<'a>,
    /// Bytes from one CPU's value to the next; the size of the value if the map is not per-CPU.
    pub stride: usize,
    pub per_cpu: bool,
    /// The JSON type of integers of more than 53 bits.
    pub integers: Integers,
    /// The time of the reading, since 1970.
    pub time: Duration,
    /// The time since the first reading.
    pub elapsed: Duration,
    /// The time since the previous reading; None at the first one.
    pub since: Option<Duration>,
    pub entries: Vec<WatchedEntry<'a>>,
}

/// An entry at the previous reading and at this one. A value is None if the key was missing.
#[derive(Clone, Copy, Debug)]
pub struct WatchedEntry<'a> {
    pub key: &'a [u8],
    pub before: Option<&'a [u8]>,
    pub after: Option<&'a [u8]>,
}

impl<'a> Frame<'a> {
    fn seconds(&self) -> Option<f64> {
        self.since.map(|since| since.as_secs_f64().max(1e-9))
    }

    fn values(&self, bytes: &'a [u8]) -> PerCpu<'a> {
        PerCpu::new(bytes, self.stride)
    }

    /// `new`, `gone` (deleted since the previous reading) or `absent`; otherwise empty.
    fn state(&self, entry: &WatchedEntry) -> &'static str {
        match (entry.before, entry.after) {
            (None, Some(_)) if self.since.is_some() => "new",
            (Some(_), None) => "gone",
            (None, None) => "absent",
            _ => "",
        }
    }

    /// The change of the number in `slot`; of a new entry, the number itself.
    fn rank(&self, entry: &WatchedEntry<'a>, slot: Slot) -> Option<Number> {
        use print::Values;
        let after = self.values(entry.after?);
        match entry.before {
            Some(before) => Change::new(&self.values(before), &after).number(slot),
            None => after.number(slot),
        }
    }

    /// Sorts the entries by the increase of the number in `slot`, the largest first.
    pub fn sort(&mut self, slot: Slot) {
        let mut ranked: Vec<_> = self.entries.iter().map(|e| (self.rank(e, slot), *e)).collect();
        ranked.sort_by(|(a, _), (b, _)| match (a, b) {
            (Some(a), Some(b)) => b.compare(*a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        });
        self.entries = ranked.into_iter().map(|(_, entry)| entry).collect();
    }
}

/// Appends `{"time": …, "elapsed": …, "elements": […], "gone": […], "absent": […]}` and a line
/// feed.
pub fn print_json(frame: &Frame, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "{{\"time\":{:.3},\"elapsed\":{:.3},\"elements\":[",
        frame.time.as_secs_f64(),
        frame.elapsed.as_secs_f64()
    );
    let mut separator = &b""[..];
    for entry in &frame.entries {
        let Some(after) = entry.after else { continue };
        out.extend_from_slice(std::mem::replace(&mut separator, b","));
        let after = frame.values(after);
        out.extend_from_slice(b"{\"key\":");
        frame.integers.json(frame.key, entry.key, out);
        out.extend_from_slice(b",\"value\":");
        frame.integers.json(frame.value, &after, out);
        if frame.per_cpu {
            json::push_sum(frame.value, out);
        }
        if let (Some(before), Some(seconds)) = (entry.before, frame.seconds()) {
            let before = frame.values(before);
            let change = Change::new(&before, &after);
            out.extend_from_slice(b",\"delta\":");
            frame.integers.json(frame.value, &change, out);
            out.extend_from_slice(b",\"rate\":");
            print::json(frame.value, &change.per_second(seconds), out);
        } else {
            out.extend_from_slice(b",\"delta\":null,\"rate\":null");
        }
        if frame.state(entry) == "new" {
            out.extend_from_slice(b",\"new\":true");
        }
        out.push(b'}');
    }
    out.push(b']');
    for state in ["gone", "absent"] {
        let _ = write!(out, ",\"{state}\":[");
        separator = b"";
        for entry in frame.entries.iter().filter(|entry| frame.state(entry) == state) {
            out.extend_from_slice(std::mem::replace(&mut separator, b","));
            frame.integers.json(frame.key, entry.key, out);
        }
        out.push(b']');
    }
    out.extend_from_slice(b"}\n");
}

/// Appends a line: the seconds since the first reading, and each entry after a tab.
pub fn print_line(frame: &Frame, out: &mut Vec<u8>) {
    let _ = write!(out, "{:.3}", frame.elapsed.as_secs_f64());
    let columns = print::all_columns(frame.value);
    for entry in &frame.entries {
        out.push(b'\t');
        print::word(frame.key, entry.key, out);
        let state = frame.state(entry);
        if !state.is_empty() {
            let _ = write!(out, " {state}");
        }
        if entry.after.is_none() {
            continue;
        }
        for column in &columns {
            let [value, delta, rate] = cells(frame, entry, column, Column::word);
            if column.is_padding() && value.is_empty() {
                continue;
            }
            out.push(b' ');
            if !column.name.is_empty() {
                let _ = write!(out, "{}=", column.name);
            }
            out.extend_from_slice(value.as_bytes());
            if !delta.is_empty() {
                let _ = write!(out, " {delta} {rate}/s");
            }
        }
    }
    out.push(b'\n');
}

/// Appends the entries that fit on a terminal of `height` rows and `width` columns. They overwrite
/// the previous screen, and the cursor is below them.
pub fn print_screen(frame: &Frame, (height, width): (usize, usize), out: &mut Vec<u8>) {
    // The title, the header and the cursor have one row each.
    let room = height.saturating_sub(3);
    let hidden = match frame.entries.len().checked_sub(room) {
        Some(0) | None => 0,
        Some(over) => over + 1, // the line with this number replaces an entry
    };
    let columns = print::columns(frame.value);
    let mut header = vec!["KEY".to_owned()];
    for column in &columns {
        let name = if column.name.is_empty() { "VALUE" } else { &column.name };
        header.extend([name.to_owned(), "+/-".to_owned(), "/s".to_owned()]);
    }
    let mut lines = vec![header];
    let mut right = vec![false];
    right.resize(lines[0].len(), true);
    right.push(false);
    for entry in &frame.entries[..frame.entries.len().saturating_sub(hidden)] {
        let mut line = vec![text(|out| print::cell(frame.key, entry.key, out))];
        for column in &columns {
            line.extend(cells(frame, entry, column, Column::cell));
        }
        line.push(frame.state(entry).to_owned());
        lines.push(line);
    }
    let mut page = format!("{}  {:.1} s\n", frame.title, frame.elapsed.as_secs_f64());
    page.push_str(&table::align(&lines, &right));
    if hidden > 0 {
        let _ = writeln!(page, "and {hidden} more");
    }
    out.extend_from_slice(b"\x1b[H");
    for line in page.lines().take(height.saturating_sub(1).max(1)) {
        // The line is erased before it is written: after a text that ends in the last column,
        // erasing would remove the last character.
        out.extend_from_slice(b"\x1b[K");
        let cut = line.char_indices().nth(width).map_or(line, |(end, _)| &line[..end]);
        out.extend_from_slice(cut.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"\x1b[J");
}

/// The value of a column, printed by `print`; with its change and its rate per second if it is a
/// number.
fn cells<'f>(
    frame: &Frame<'f>,
    entry: &WatchedEntry<'f>,
    column: &Column<'f>,
    print: fn(&Column<'f>, &PerCpu<'f>, &mut Vec<u8>),
) -> [String; 3] {
    use print::Values;
    let Some(last) = entry.after.or(entry.before) else { return Default::default() };
    let after = frame.values(last);
    let value = text(|out| print(column, &after, out));
    let (Some(before), Some(_), Some(seconds)) = (entry.before, entry.after, frame.seconds())
    else {
        return [value, String::new(), String::new()];
    };
    let before = frame.values(before);
    let change = Change::new(&before, &after);
    let Some(delta) = change.number(column.slot) else {
        return [value, String::new(), String::new()];
    };
    let sign = if delta.to_f64() > 0.0 { "+" } else { "" };
    [
        value,
        format!("{sign}{}", text(|out| delta.print(out))),
        format_rate(delta.to_f64() / seconds),
    ]
}

/// Formats a rate, with two decimals if it is small.
fn format_rate(rate: f64) -> String {
    if rate.abs() >= 100.0 || rate == 0.0 { format!("{rate:.0}") } else { format!("{rate:.2}") }
}

/// The output of `print` as a string.
fn text(print: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    print(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}
