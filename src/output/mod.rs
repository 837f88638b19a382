//! Results to text: a file for each format.

pub mod agent;
pub mod document;
pub mod element;
pub mod json;
pub mod plain;
pub mod prometheus;
pub mod separated;
pub mod show;
pub mod table;
pub mod watch;

use crate::map::typed::LayoutSource;
use crate::object;
use bpf_inherit::AccessMode;
use bpf_inherit::bpf::MapInfo;
use bpf_inherit::object::Info;
use serde::Serialize;

/// An object of a list. JSON has the members in the order of the fields here and below.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Row {
    Map(MapRow),
    Prog(ObjectRow),
    Link {
        #[serde(flatten)]
        row: ObjectRow,
        /// The program that it attaches.
        prog_id: Option<u32>,
    },
}

impl Row {
    /// What the kernel tells of an object, beside what the environment says or will say of it.
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
                let kind = object::program_type(info.program_type);
                Row::Prog(ObjectRow { index, name, fd, id: info.id, kind })
            }
            Info::Link(info) => {
                let kind = object::link_type(info.link_type);
                let prog_id = Some(info.program_id).filter(|&id| id != 0);
                Row::Link { row: ObjectRow { index, name, fd, id: info.id, kind }, prog_id }
            }
        }
    }
}

/// What is told of a program or a link.
#[derive(Debug, Serialize)]
pub struct ObjectRow {
    /// The n of `BPF_PROG<n>` or `BPF_LINK<n>`.
    pub index: u32,
    #[serde(serialize_with = "document::optional_text")]
    pub name: Option<Vec<u8>>,
    pub fd: i32,
    pub id: u32,
    /// The type's name.
    #[serde(rename = "type")]
    pub kind: String,
}

/// What is told of a map in a list.
#[derive(Debug, Serialize)]
pub struct MapRow {
    /// The n of `BPF_MAP<n>`, if it is in the environment.
    pub index: Option<u32>,
    #[serde(serialize_with = "document::optional_text")]
    pub name: Option<Vec<u8>>,
    pub fd: Option<i32>,
    pub id: u32,
    /// The type's name.
    #[serde(rename = "type")]
    pub kind: String,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    /// `rw`, `r` or `w`, of the descriptor.
    pub access: Option<&'static str>,
    #[serde(serialize_with = "document::optional_text")]
    pub layout: Option<Vec<u8>>,
    pub layout_source: LayoutSource,
    /// What only a list of all maps tells.
    #[serde(flatten)]
    pub whole: Option<Whole>,
}

/// What the kernel knows of a map beside its descriptors.
#[derive(Debug, Serialize)]
pub struct Whole {
    /// The creation flags, by name.
    pub flags: Vec<String>,
    /// The paths of its pins.
    #[serde(serialize_with = "document::texts")]
    pub pins: Vec<Vec<u8>>,
}

impl MapRow {
    /// What the kernel tells of a map, beside what the environment says or will say of it.
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
            access: Some(access.name()),
            layout: layout.0,
            layout_source: layout.1,
            whole: None,
        }
    }
}
