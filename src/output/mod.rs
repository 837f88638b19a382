//! Converts results to text: a file for each format.

pub mod agent;
pub mod document;
pub mod element;
pub mod json;
pub mod object;
pub mod pins;
pub mod plain;
pub mod prometheus;
pub mod separated;
pub mod show;
pub mod table;
mod time;
pub mod trace;
pub mod watch;

use crate::map::typed::LayoutSource;
use crate::object_type;
use bpf_inherit::AccessMode;
use bpf_inherit::bpf::MapInfo;
use bpf_inherit::object::Info;
use serde::Serialize;

/// An object of a list. In JSON the members have the order of the fields here and below.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Row {
    Map(MapRow),
    Prog(ObjectRow),
    Link {
        #[serde(flatten)]
        row: ObjectRow,
        /// The id of the program that the link attaches.
        prog_id: Option<u32>,
    },
}

impl Row {
    /// The row of an object: what the kernel reports about it (`info`), and its number, file
    /// descriptor, name and layout in the environment.
    pub fn new(
        index: u32,
        fd: i32,
        name: Option<Vec<u8>>,
        layout: (Option<Vec<u8>>, LayoutSource),
        info: &Info,
    ) -> Row {
        match info {
            Info::Map(info, access) => {
                Row::Map(MapRow::new(index, fd, name, layout, info, *access))
            }
            Info::Program(info) => {
                let kind = object_type::program_type(info.program_type);
                Row::Prog(ObjectRow { index, name, fd, id: info.id, kind })
            }
            Info::Link(info) => {
                let kind = object_type::link_type(info.link_type);
                let prog_id = Some(info.program_id).filter(|&id| id != 0);
                Row::Link { row: ObjectRow { index, name, fd, id: info.id, kind }, prog_id }
            }
        }
    }
}

/// The fields of a program or a link in a list.
#[derive(Debug, Serialize)]
pub struct ObjectRow {
    /// The n of `BPF_PROG<n>` or `BPF_LINK<n>`.
    pub index: u32,
    #[serde(serialize_with = "document::optional_text")]
    pub name: Option<Vec<u8>>,
    pub fd: i32,
    pub id: u32,
    /// The name of the type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// The fields of a map in a list.
#[derive(Debug, Serialize)]
pub struct MapRow {
    /// The n of `BPF_MAP<n>`, if it is in the environment.
    pub index: Option<u32>,
    #[serde(serialize_with = "document::optional_text")]
    pub name: Option<Vec<u8>>,
    pub fd: Option<i32>,
    pub id: u32,
    /// The name of the type.
    #[serde(rename = "type")]
    pub kind: String,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    /// The number of entries, if they were to be counted; null if the kernel does not count them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<Option<u64>>,
    /// The access mode of the file descriptor: `rw`, `r` or `w`.
    pub access: Option<&'static str>,
    #[serde(serialize_with = "document::optional_text")]
    pub layout: Option<Vec<u8>>,
    pub layout_source: LayoutSource,
    /// Flags and pins, only in a list of all maps.
    #[serde(flatten)]
    pub whole: Option<Whole>,
}

/// Properties of a map that do not depend on a file descriptor of it.
#[derive(Debug, Serialize)]
pub struct Whole {
    /// The creation flags, by name.
    pub flags: Vec<String>,
    /// The paths of its pins.
    #[serde(serialize_with = "document::texts")]
    pub pins: Vec<Vec<u8>>,
}

impl MapRow {
    /// The row of a map: what the kernel reports about it (`info`), and its number, file
    /// descriptor, name and layout in the environment.
    pub fn new(
        index: u32,
        fd: i32,
        name: Option<Vec<u8>>,
        layout: (Option<Vec<u8>>, LayoutSource),
        info: &MapInfo,
        access: AccessMode,
    ) -> MapRow {
        MapRow {
            index: Some(index),
            name,
            fd: Some(fd),
            id: info.id,
            kind: info.map_type.name(),
            key_size: info.key_size,
            value_size: info.value_size,
            max_entries: info.max_entries,
            entries: None,
            access: Some(access.name()),
            layout: layout.0,
            layout_source: layout.1,
            whole: None,
        }
    }
}
