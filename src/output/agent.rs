//! What an agent holds, as a table or as JSON.

use super::document::{self, optional_text, text};
use super::table::{align, cut};
use super::time::utc;
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
