//! All properties of one map: as text, one line per field, or as a JSON object.

pub mod object;

use super::{Whole, document};
use crate::map::state::MapState;
use crate::map::typed::LayoutSource;
use crate::object_type::program_type;
use crate::text::escape;
use bpf_inherit::AccessMode;
use bpf_inherit::bpf::MapInfo;
use bpf_layout::print::has_sums;
use bpf_layout::{Layout, MemberPart, Record, Type};
use serde::Serialize;
use std::fmt::Write;

/// All properties of a map.
#[derive(Debug)]
pub struct ShownMap<'a> {
    pub info: &'a MapInfo,
    pub state: MapState,
    pub access: AccessMode,
    pub layout: &'a Layout,
    pub layout_source: LayoutSource,
    pub whole: Whole,
    /// In a per-CPU map, the number of CPUs that have a value in each entry.
    pub cpus: Option<usize>,
    /// The number of entries, or of slots in use; None if it cannot be determined.
    pub used: Option<u64>,
}

impl ShownMap<'_> {
    /// The used part of `max_entries` in percent, rounded to one decimal.
    fn percent(&self) -> Option<f64> {
        let max = f64::from(self.info.max_entries);
        let percent = self.used.filter(|_| max > 0.0).map(|used| used as f64 * 100.0 / max);
        percent.map(|percent| (percent * 10.0).round() / 10.0)
    }
}

/// Prints `FIELD: VALUE` lines, with the names that JSON has. Members without a value are omitted.
/// The layout is last, with one line per member.
pub fn text(shown: &ShownMap) -> String {
    let ShownMap { info, state, whole, .. } = shown;
    let mut out = String::new();
    let mut line = |field: &str, value: String| {
        let _ = writeln!(out, "{field}: {value}"); // writing to a String cannot fail
    };
    line("name", escape(&info.name));
    line("id", info.id.to_string());
    line("type", info.map_type.name());
    line("key_size", info.key_size.to_string());
    line("value_size", info.value_size.to_string());
    line("max_entries", info.max_entries.to_string());
    if let Some(cpus) = shown.cpus {
        line("cpus", cpus.to_string());
        line("sum", has_sums(&shown.layout.value).to_string());
    }
    if let Some(used) = shown.used {
        let percent = shown.percent().map(|percent| format!(" ({percent} %)"));
        line("entries", format!("{used}{}", percent.unwrap_or_default()));
    }
    if !whole.flags.is_empty() {
        line("flags", whole.flags.join(" "));
    }
    if state.extra != 0 {
        line("map_extra", state.extra.to_string());
    }
    line("access", shown.access.name().into());
    line("frozen", state.frozen.to_string());
    line("memlock", state.memlock.to_string());
    if info.btf_id != 0 {
        line("btf_id", info.btf_id.to_string());
    }
    if let Some(owner) = state.owner {
        line("owner_prog_type", program_type(owner));
    }
    if let Some(jited) = state.owner_jited {
        line("owner_jited", jited.to_string());
    }
    for pin in &whole.pins {
        line("pin", escape(pin));
    }
    line("layout_source", shown.layout_source.name().into());
    if let Some(key) = &shown.layout.key {
        line("key", pretty(key));
    }
    if info.value_size > 0 {
        line("value", pretty(&shown.layout.value));
    }
    out
}

/// Prints a JSON object, one line per field. Members without a value are null.
pub fn json(shown: &ShownMap) -> Vec<u8> {
    let ShownMap { info, state, whole, layout, .. } = shown;
    document::json(&MapMembers {
        name: &info.name,
        id: info.id,
        r#type: info.map_type.name(),
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        cpus: shown.cpus,
        sum: shown.cpus.map(|_| has_sums(&layout.value)),
        entries: shown.used,
        percent: shown.percent(),
        flags: &whole.flags,
        map_extra: state.extra,
        access: shown.access.name(),
        frozen: state.frozen,
        memlock: state.memlock,
        btf_id: Some(info.btf_id).filter(|id| *id != 0),
        owner_prog_type: state.owner.map(program_type),
        owner_jited: state.owner_jited,
        pins: &whole.pins,
        layout: layout.to_string(),
        layout_source: shown.layout_source,
    })
}

/// The members of the JSON object.
#[derive(Serialize)]
struct MapMembers<'a> {
    #[serde(serialize_with = "document::text")]
    name: &'a [u8],
    id: u32,
    r#type: String,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    cpus: Option<usize>,
    sum: Option<bool>,
    entries: Option<u64>,
    percent: Option<f64>,
    flags: &'a [String],
    map_extra: u64,
    access: &'static str,
    frozen: bool,
    memlock: u64,
    btf_id: Option<u32>,
    owner_prog_type: Option<String>,
    owner_jited: Option<bool>,
    #[serde(serialize_with = "document::texts")]
    pins: &'a [Vec<u8>],
    layout: String,
    layout_source: LayoutSource,
}

/// The layout notation with one line per member of a struct. It still parses as notation.
fn pretty(ty: &Type) -> String {
    let mut out = String::new();
    spread(ty, 1, &mut out);
    out
}

fn spread(ty: &Type, depth: usize, out: &mut String) {
    match ty {
        Type::Record(record) => members(record, depth, out),
        Type::Lpm(lpm) => {
            out.push_str("lpm{");
            spread(lpm.data(), depth, out);
            out.push('}');
        }
        Type::Array(array) => match array.elem() {
            // The outermost dimension is written first, so arrays of arrays remain on one line.
            Type::Record(record) => {
                members(record, depth, out);
                let _ = write!(out, "[{}]", array.len());
            }
            _ => out.push_str(&ty.to_string()),
        },
        _ => out.push_str(&ty.to_string()),
    }
}

fn members(record: &Record, depth: usize, out: &mut String) {
    let kind = record.kind();
    out.push_str(if kind.packed { "packed " } else { "" });
    out.push_str(if kind.union { "union{" } else { "struct{" });
    for (index, member) in record.members().iter().enumerate() {
        out.push_str(if index > 0 { ",\n" } else { "\n" });
        out.push_str(&"  ".repeat(depth));
        if let Some(name) = &member.name {
            let _ = write!(out, "{name}: ");
        }
        match &member.part {
            MemberPart::Field(ty) => spread(ty, depth + 1, out),
            MemberPart::Bits(ty, width) => drop(write!(out, "{ty}:{width}")),
            MemberPart::Pad(bytes) => drop(write!(out, "pad[{bytes}]")),
            MemberPart::PadBits(bits) => drop(write!(out, "pad:{bits}")),
        }
    }
    let _ = write!(out, "\n{}}}", "  ".repeat(depth - 1));
}
