//! The declarations of an object file, as tables or as JSON.

use super::{document, table};
use crate::text::escape;
use serde::Serialize;

/// An object file. JSON has the members in the order of the fields here and below.
#[derive(Debug, Serialize)]
pub struct ObjectReport {
    pub maps: Vec<MapReport>,
    pub programs: Vec<ProgramReport>,
}

/// A map that is declared.
#[derive(Debug, Serialize)]
pub struct MapReport {
    pub name: String,
    pub section: String,
    pub r#type: String,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: Vec<String>,
    pub map_extra: u64,
    /// The number that it declares for the environment.
    pub id: Option<u32>,
    pub pin: Option<String>,
    pub layout: Option<String>,
    /// The action that `--object` would take, if --diff was given.
    #[serde(flatten)]
    pub outcome: Option<Outcome>,
}

/// The result of `--object` for a map.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    Created,
    Reused {
        pinned_id: u32,
    },
    Refused {
        cause: String,
    },
    /// The pin cannot be compared.
    Unknown {
        cause: String,
    },
}

/// A program.
#[derive(Debug, Serialize)]
pub struct ProgramReport {
    pub name: String,
    pub section: String,
    pub r#type: Option<&'static str>,
    /// Bytes of instructions.
    pub size: u64,
}

pub fn json(report: &ObjectReport) -> Vec<u8> {
    document::json(report)
}

/// A table of maps and one of programs, separated by an empty line.
pub fn text(report: &ObjectReport) -> String {
    let word = |text: &str| escape(text.as_bytes());
    let optional = |text: Option<&str>| text.map_or("-".into(), word);
    let maps = report.maps.iter().map(|map| {
        let flags = if map.flags.is_empty() { "-".into() } else { map.flags.join("|") };
        let layout = map.layout.clone().map_or("-".into(), table::cut);
        let sizes = [map.key_size, map.value_size, map.max_entries].map(|size| size.to_string());
        let [key, value, entries] = sizes;
        let pin = optional(map.pin.as_deref());
        let section = word(&map.section);
        vec![word(&map.name), section, map.r#type.clone(), key, value, entries, flags, pin, layout]
    });
    let maps = table_of(
        &["NAME", "SECTION", "TYPE", "KEY", "VALUE", "ENTRIES", "FLAGS", "PIN", "LAYOUT"],
        &[false, false, false, true, true, true, false, false, false],
        maps,
    );
    let programs = report.programs.iter().map(|program| {
        let program_type = optional(program.r#type);
        vec![word(&program.name), word(&program.section), program_type, program.size.to_string()]
    });
    let right = [false, false, false, true];
    let programs = table_of(&["PROGRAM", "SECTION", "TYPE", "SIZE"], &right, programs);
    [maps, programs].into_iter().filter(|table| !table.is_empty()).collect::<Vec<_>>().join("\n")
}

/// A table of what becomes of each map.
pub fn outcomes(report: &ObjectReport) -> String {
    let lines = report.maps.iter().filter_map(|map| {
        let (outcome, detail) = match map.outcome.as_ref()? {
            Outcome::Created => ("created", "-".into()),
            Outcome::Reused { pinned_id } => ("reused", format!("id {pinned_id}")),
            Outcome::Refused { cause } => ("refused", cause.clone()),
            Outcome::Unknown { cause } => ("unknown", cause.clone()),
        };
        let pin = map.pin.as_deref().map_or("-".into(), |pin| escape(pin.as_bytes()));
        Some(vec![escape(map.name.as_bytes()), outcome.into(), pin, detail])
    });
    table_of(&["NAME", "OUTCOME", "PIN", "DETAIL"], &[false; 4], lines)
}

/// A header and lines; nothing if there are no lines.
fn table_of(header: &[&str], right: &[bool], lines: impl Iterator<Item = Vec<String>>) -> String {
    let header = header.iter().map(|cell| String::from(*cell)).collect();
    let lines: Vec<_> = std::iter::once(header).chain(lines).collect();
    if lines.len() == 1 { String::new() } else { table::align(&lines, right) }
}
