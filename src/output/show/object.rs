//! The properties of a program or a link: as text, one line per field, or as a JSON object.

use crate::object_type::{link_type, program_type};
use crate::output::document;
use crate::output::time::utc;
use crate::text::escape;
use bpf_inherit::bpf::{LinkInfo, ProgramInfo};
use serde::{Serialize, Serializer};
use std::fmt::Write;

/// All properties of a program.
pub struct ShownProgram<'a> {
    pub info: &'a ProgramInfo,
    /// When it was loaded, in seconds since 1970.
    pub loaded_at: u64,
    pub map_ids: Vec<u32>,
    /// The fdinfo of its file descriptor (`bpf_prog_show_fdinfo` in `kernel/bpf/syscall.c`).
    pub fdinfo: &'a str,
    pub pins: Vec<Vec<u8>>,
}

/// All properties of a link.
pub struct ShownLink<'a> {
    pub info: &'a LinkInfo,
    /// The fdinfo of its file descriptor (`bpf_link_show_fdinfo` in `kernel/bpf/syscall.c`).
    pub fdinfo: &'a str,
    pub pins: Vec<Vec<u8>>,
}

/// The fields of fdinfo that are not details of a link: those of every file, and those that a link
/// of every type has.
const COMMON: [&str; 8] =
    ["pos", "flags", "mnt_id", "ino", "link_type", "link_id", "prog_tag", "prog_id"];

/// The names and values of an fdinfo. Lines of another form are omitted.
fn fields(fdinfo: &str) -> impl Iterator<Item = (&str, &str)> {
    let split = fdinfo.lines().filter_map(|line| line.split_once(':'));
    split.map(|(name, value)| (name.trim(), value.trim()))
}

/// The fields of this link type alone: where and how the program is attached.
fn attachment(fdinfo: &str) -> Vec<(&str, &str)> {
    fields(fdinfo).filter(|(name, _)| !COMMON.contains(name)).collect()
}

fn number(fdinfo: &str, field: &str) -> Option<u64> {
    fields(fdinfo).find(|(name, _)| *name == field)?.1.parse().ok()
}

/// Lines of text.
#[derive(Default)]
struct FieldLines(String);

impl FieldLines {
    fn add(&mut self, field: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{field}: {value}"); // writing to a String cannot fail
    }

    fn add_pins(&mut self, pins: &[Vec<u8>]) {
        pins.iter().for_each(|pin| self.add("pin", escape(pin)));
    }
}

fn hex(tag: &[u8]) -> String {
    tag.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Prints `FIELD: VALUE` lines, with the names that JSON has. Fields without a value are omitted.
pub fn program_text(shown: &ShownProgram) -> String {
    let ShownProgram { info, .. } = shown;
    let mut lines = FieldLines::default();
    if !info.name.is_empty() {
        lines.add("name", escape(&info.name));
    }
    lines.add("id", info.id);
    lines.add("type", program_type(info.program_type));
    lines.add("tag", hex(&info.tag));
    lines.add("loaded_at", utc(shown.loaded_at));
    lines.add("uid", info.created_by_uid);
    if let Some(jited) = number(shown.fdinfo, "prog_jited") {
        lines.add("jited", jited != 0);
    }
    if let Some(memlock) = number(shown.fdinfo, "memlock") {
        lines.add("memlock", memlock);
    }
    if !shown.map_ids.is_empty() {
        let ids: Vec<String> = shown.map_ids.iter().map(u32::to_string).collect();
        lines.add("map_ids", ids.join(" "));
    }
    lines.add_pins(&shown.pins);
    lines.0
}

/// Prints a JSON object, one line per field.
pub fn program_json(shown: &ShownProgram) -> Vec<u8> {
    #[derive(Serialize)]
    struct Members<'a> {
        #[serde(serialize_with = "document::text")]
        name: &'a [u8],
        id: u32,
        r#type: String,
        tag: String,
        loaded_at: u64,
        uid: u32,
        jited: Option<bool>,
        memlock: Option<u64>,
        map_ids: &'a [u32],
        #[serde(serialize_with = "document::texts")]
        pins: &'a [Vec<u8>],
    }
    let info = shown.info;
    document::json(&Members {
        name: &info.name,
        id: info.id,
        r#type: program_type(info.program_type),
        tag: hex(&info.tag),
        loaded_at: shown.loaded_at,
        uid: info.created_by_uid,
        jited: number(shown.fdinfo, "prog_jited").map(|jited| jited != 0),
        memlock: number(shown.fdinfo, "memlock"),
        map_ids: &shown.map_ids,
        pins: &shown.pins,
    })
}

/// Prints `FIELD: VALUE` lines; the details of the attachment have the kernel's names.
pub fn link_text(shown: &ShownLink) -> String {
    let ShownLink { info, .. } = shown;
    let mut lines = FieldLines::default();
    lines.add("id", info.id);
    lines.add("type", link_type(info.link_type));
    if info.program_id != 0 {
        lines.add("prog_id", info.program_id);
    }
    for (name, value) in attachment(shown.fdinfo) {
        lines.add(&escape(name.as_bytes()), escape(value.as_bytes()));
    }
    lines.add_pins(&shown.pins);
    lines.0
}

/// Prints a JSON object, one line per field.
pub fn link_json(shown: &ShownLink) -> Vec<u8> {
    #[derive(Serialize)]
    struct Members<'a> {
        id: u32,
        r#type: String,
        prog_id: Option<u32>,
        #[serde(serialize_with = "details")]
        attachment: Vec<(&'a str, &'a str)>,
        #[serde(serialize_with = "document::texts")]
        pins: &'a [Vec<u8>],
    }
    document::json(&Members {
        id: shown.info.id,
        r#type: link_type(shown.info.link_type),
        prog_id: Some(shown.info.program_id).filter(|&id| id != 0),
        attachment: attachment(shown.fdinfo),
        pins: &shown.pins,
    })
}

/// Serializes fields as an object, in which decimal numbers are integers.
fn details<S: Serializer>(fields: &[(&str, &str)], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Value<'a> {
        Number(u64),
        Text(&'a str),
    }
    serializer.collect_map(
        fields
            .iter()
            .map(|(name, value)| (name, value.parse().map_or(Value::Text(value), Value::Number))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_of_a_link_are_its_own_fields_of_fdinfo() {
        let fdinfo = "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t7\nlink_type:\txdp\nlink_id:\t3\n\
                      prog_tag:\ta04f5eef06a7f555\nprog_id:\t9\nifindex:\t1\nodd\npath:\ta:b\n";
        assert_eq!(attachment(fdinfo), [("ifindex", "1"), ("path", "a:b")]);
        assert_eq!((number(fdinfo, "prog_id"), number(fdinfo, "memlock")), (Some(9), None));
    }
}
