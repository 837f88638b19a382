//! What an agent holds, as a table or as JSON.

use super::json::{string, strings};
use super::table::{align, cut};
use crate::map::kind::{Kind, flag_names};
use crate::object;
use crate::text::escape;
use crate::wire::agent::{Class, Record, State};
use std::fmt::Write;

const HEADER: [&str; 10] =
    ["NAME", "KIND", "ID", "TYPE", "ACCESS", "BOUND", "STATE", "BY", "SINCE", "LAYOUT"];
/// Columns of numbers are aligned to the right.
const RIGHT: [bool; 10] = [false, false, true, false, false, false, false, false, false, false];

/// A header and a line for each record; nothing at all for none.
pub fn table(records: &[Record]) -> String {
    if records.is_empty() {
        return String::new();
    }
    let lines = std::iter::once(HEADER.map(String::from)).chain(records.iter().map(cells));
    align(&lines.map(Vec::from).collect::<Vec<_>>(), &RIGHT)
}

fn cells(record: &Record) -> [String; 10] {
    let id = match record.state {
        State::Changed => format!("{}->{}", record.id, record.pin_id),
        _ => record.id.to_string(),
    };
    [
        escape(&record.name),
        record.class.name().into(),
        id,
        type_name(record),
        record.access.name().into(),
        record.bound.name().into(),
        record.state.name().into(),
        format!("{}:{} {}", record.uid, record.gid, record.pid),
        utc(record.time),
        match record.layout.as_slice() {
            b"" => "-".into(),
            layout => cut(escape(layout)),
        },
    ]
}

/// One array, an object for each record, a line each. What is not known is null; bytes that
/// are not UTF-8 become U+FFFD.
pub fn json(records: &[Record]) -> String {
    let mut out = String::from("[");
    for (i, record) in records.iter().enumerate() {
        out.push_str(if i == 0 { "\n  " } else { ",\n  " });
        entry(record, &mut out);
    }
    out.push_str(if records.is_empty() { "]\n" } else { "\n]\n" });
    out
}

fn entry(record: &Record, out: &mut String) {
    let text = |text: &str| string(Some(text.as_bytes()));
    let mut field = |name: &str, value: String| {
        let gap = if out.ends_with(' ') { "{" } else { ", " };
        let _ = write!(out, "{gap}\"{name}\": {value}"); // a String takes everything
    };
    field("kind", text(record.class.name()));
    field("name", string(Some(&record.name)));
    field("id", record.id.to_string());
    field("pin_id", if record.pin_id == 0 { "null".into() } else { record.pin_id.to_string() });
    field("type", text(&type_name(record)));
    let [first, second, third, fourth] = record.details;
    match record.class {
        Class::Map => {
            field("key_size", first.to_string());
            field("value_size", second.to_string());
            field("max_entries", third.to_string());
            field("flags", strings(&flag_names(fourth)));
        }
        Class::Link => field("prog_id", first.to_string()),
        Class::Prog => {}
    }
    field("access", text(record.access.name()));
    field("bound", text(record.bound.name()));
    field("state", text(record.state.name()));
    field("uid", record.uid.to_string());
    field("gid", record.gid.to_string());
    field("pid", record.pid.to_string());
    field("since", text(&utc(record.time)));
    field("layout", string(Some(record.layout.as_slice()).filter(|layout| !layout.is_empty())));
    out.push('}');
}

fn type_name(record: &Record) -> String {
    match record.class {
        Class::Map => Kind(record.kind).name(),
        Class::Prog => object::program_type(record.kind),
        Class::Link => object::link_type(record.kind),
    }
}

/// Seconds since 1970 as a date and a time (ISO 8601): `2026-11-21T05:00:00Z`.
fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Counted in 400 years from a first of March, so that a leap day is the last of its year
    // and month lengths repeat: 31, 30, 31, 30, 31 days are 153.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn seconds_are_dates() {
        for (seconds, want) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_704_067_199, "2023-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_800, "10000-01-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), want);
        }
        assert!(utc(u64::MAX).ends_with("Z"));
    }
}
