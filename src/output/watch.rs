//! What changes in a map, time and again: a line of text, a line of JSON, or a screen.

use super::element::Integers;
use super::{json, table};
use bpf_layout::print::{self, Change, Column, PerCpu};
use bpf_layout::{Number, Slot};
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

/// The elements at one moment, beside those of the moment before.
#[derive(Debug)]
pub struct Frame<'a> {
    /// What is watched, escaped.
    pub title: &'a str,
    pub key: Slot<'a>,
    pub value: Slot<'a>,
    /// Bytes from one CPU's value to the next; the value's length where there is one for all.
    pub stride: usize,
    pub per_cpu: bool,
    /// How JSON has wide integers.
    pub integers: Integers,
    /// Since 1970.
    pub time: Duration,
    /// Since the first moment.
    pub elapsed: Duration,
    /// Since the moment before, if there was one.
    pub since: Option<Duration>,
    pub entries: Vec<WatchedEntry<'a>>,
}

/// An element at one moment and at the one before; None where it was not there.
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

    /// What `new`, `gone` or `absent` says of an element; nothing of one that was and is there.
    fn state(&self, entry: &WatchedEntry) -> &'static str {
        match (entry.before, entry.after) {
            (None, Some(_)) if self.since.is_some() => "new",
            (Some(_), None) => "gone",
            (None, None) => "absent",
            _ => "",
        }
    }

    /// By how much a number changed; of what is new, all of it.
    fn rank(&self, entry: &WatchedEntry<'a>, slot: Slot) -> Option<Number> {
        use print::Values;
        let after = self.values(entry.after?);
        match entry.before {
            Some(before) => Change::new(&self.values(before), &after).number(slot),
            None => after.number(slot),
        }
    }

    /// Puts those first whose number in `slot` grew most.
    pub fn sort(&mut self, slot: Slot) {
        let mut ranked: Vec<_> = self.entries.iter().map(|e| (self.rank(e, slot), *e)).collect();
        ranked.sort_by(|(a, _), (b, _)| match (a, b) {
            (Some(a), Some(b)) => b.compare(*a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        });
        self.entries = ranked.into_iter().map(|(_, entry)| entry).collect();
    }
}

/// `{"time": …, "elapsed": …, "elements": […], "gone": […], "absent": […]}`.
pub fn object(frame: &Frame, out: &mut Vec<u8>) {
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

/// The seconds since the first moment, and after a tab each element.
pub fn line(frame: &Frame, out: &mut Vec<u8>) {
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

/// What a terminal of so many rows and columns has room for: drawn over what was there, and
/// with the cursor below it.
pub fn screen(frame: &Frame, (height, width): (usize, usize), out: &mut Vec<u8>) {
    // The last row is the cursor's; the title and the header take one each.
    let room = height.saturating_sub(3);
    let hidden = match frame.entries.len().checked_sub(room) {
        Some(0) | None => 0,
        Some(over) => over + 1, // for the line that says so
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
        // Erased first: at the last column there is no room for the cursor after the text.
        out.extend_from_slice(b"\x1b[K");
        let cut = line.char_indices().nth(width).map_or(line, |(end, _)| &line[..end]);
        out.extend_from_slice(cut.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"\x1b[J");
}

/// A column's value, as `print` has it, with its change and its rate, if it is a number.
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
    [value, format!("{sign}{}", text(|out| delta.print(out))), rate(delta.to_f64() / seconds)]
}

/// Two decimals where they matter.
fn rate(rate: f64) -> String {
    if rate.abs() >= 100.0 || rate == 0.0 { format!("{rate:.0}") } else { format!("{rate:.2}") }
}

fn text(print: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    print(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}
