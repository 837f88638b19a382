//! What an agent holds, as a table or as JSON.

use super::document::{self, optional_text, text};
use super::table::{align, cut};
use crate::map::flags;
use crate::object_type;
use crate::text::escape;
use crate::wire::agent::{PinState, Record};
use bpf_inherit::MapType;
use bpf_inherit::ObjectKind;
use serde::Serialize;

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
        PinState::Changed => format!("{}->{}", record.id, record.pin_id),
        _ => record.id.to_string(),
    };
    [
        escape(&record.name),
        record.kind.short_name().into(),
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

/// One array, an object for each record, a line each. Unknown values are null; bytes that
/// are not UTF-8 become U+FFFD.
pub fn json(records: &[Record]) -> Vec<u8> {
    document::json(&records.iter().map(Entry::from).collect::<Vec<_>>())
}

/// A record in JSON.
#[derive(Serialize)]
struct Entry<'a> {
    kind: &'static str,
    #[serde(serialize_with = "text")]
    name: &'a [u8],
    id: u32,
    pin_id: Option<u32>,
    r#type: String,
    #[serde(flatten)]
    details: Details,
    access: &'static str,
    bound: &'static str,
    state: &'static str,
    uid: u32,
    gid: u32,
    pid: u32,
    since: String,
    #[serde(serialize_with = "optional_text")]
    layout: Option<&'a [u8]>,
}

/// The members that only maps have, or only links.
#[derive(Serialize)]
#[serde(untagged)]
enum Details {
    Map { key_size: u32, value_size: u32, max_entries: u32, flags: Vec<String> },
    Link { prog_id: u32 },
    Prog {},
}

impl<'a> From<&'a Record> for Entry<'a> {
    fn from(record: &'a Record) -> Entry<'a> {
        let [first, second, third, fourth] = record.details;
        Entry {
            kind: record.kind.short_name(),
            name: &record.name,
            id: record.id,
            pin_id: Some(record.pin_id).filter(|id| *id != 0),
            r#type: type_name(record),
            details: match record.kind {
                ObjectKind::Map => Details::Map {
                    key_size: first,
                    value_size: second,
                    max_entries: third,
                    flags: flags::list_names(fourth),
                },
                ObjectKind::Link => Details::Link { prog_id: first },
                ObjectKind::Program => Details::Prog {},
            },
            access: record.access.name(),
            bound: record.bound.name(),
            state: record.state.name(),
            uid: record.uid,
            gid: record.gid,
            pid: record.pid,
            since: utc(record.time),
            layout: Some(record.layout.as_slice()).filter(|layout| !layout.is_empty()),
        }
    }
}

fn type_name(record: &Record) -> String {
    match record.kind {
        ObjectKind::Map => MapType(record.object_type).name(),
        ObjectKind::Program => object_type::program_type(record.object_type),
        ObjectKind::Link => object_type::link_type(record.object_type),
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
