//! Results to text: a file for each format.

pub mod json;
pub mod table;

use crate::map::kind::Kind;
use crate::sys::bpf::{Access, MapInfo};

/// What is told of a map in a list.
#[derive(Debug)]
pub struct MapRow {
    /// The n of `BPF_MAP<n>`.
    pub index: u32,
    pub name: Option<Vec<u8>>,
    pub fd: i32,
    pub id: u32,
    /// The type's name.
    pub kind: String,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    /// `rw`, `r` or `w`.
    pub access: &'static str,
    pub layout: Option<Vec<u8>>,
}

impl MapRow {
    /// What the kernel tells of a map, beside what the environment says or will say of it.
    pub fn new(
        index: u32,
        fd: i32,
        name: Option<Vec<u8>>,
        layout: Option<Vec<u8>>,
        info: &MapInfo,
        access: Access,
    ) -> MapRow {
        MapRow {
            index,
            name,
            fd,
            id: info.id,
            kind: Kind(info.kind).name(),
            key_size: info.key_size,
            value_size: info.value_size,
            max_entries: info.max_entries,
            access: access.name(),
            layout,
        }
    }
}
