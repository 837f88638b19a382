//! Maps as an object file declares them.

use bpf_inherit::MapType;
use bpf_inherit::map_type::Size;
use bpf_layout::{Btf, Layout, Type, to_lpm_key};

/// A map as an object file declares it.
#[derive(Debug, Default)]
pub struct Declaration {
    pub name: String,
    pub section: String,
    pub map_type: MapType,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: u32,
    pub numa_node: u32,
    pub extra: u64,
    /// The type ids of key and value in the object's BTF; 0 for none.
    pub key_type: u32,
    pub value_type: u32,
    pub pinning: Pinning,
    /// The id that tc's loader exports the map with.
    pub id: Option<u32>,
    /// The map whose properties the inner maps of a map of maps have.
    pub inner: Option<InnerMap>,
    /// The initial content of the slots of a map of maps or programs.
    pub slots: Vec<(u32, Slot)>,
    /// The variables of a data section; None for other maps.
    pub data: Option<Data>,
}

/// The declared pinning of a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pinning {
    #[default]
    None,
    /// Below the root of the bpf file system, as libbpf does.
    Name,
    /// As tc does: 1 for the object's own directory, 2 for the global one, others by configuration.
    Tc(u32),
}

/// The map whose properties inner maps have.
#[derive(Debug)]
pub enum InnerMap {
    Definition(Box<Declaration>),
    /// Another map of the object, by its position.
    Map(usize),
}

/// The content of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// A map of the object, by its position.
    Map(usize),
    /// A program, by its name.
    Program(String),
}

/// The bytes of a data section.
#[derive(Debug)]
pub struct Data {
    /// The initial values of the variables; None if all are zero.
    pub bytes: Option<Vec<u8>>,
    /// Whether programs only read them.
    pub read_only: bool,
    /// The kernel name of the map, which contains a shorter part of the object's name.
    pub kernel_name: String,
}

impl Declaration {
    /// Fills in sizes that the type determines, and drops sizes that the type does not have: some
    /// objects declare the records of a ring buffer, or of perf events, as its values.
    pub fn settle_sizes(&mut self) {
        let settle = |size: &mut u32, of_type| match of_type {
            Size::Zero => *size = 0,
            Size::Default(bytes) if *size == 0 => *size = bytes,
            Size::Default(_) | Size::Given => {}
        };
        if let Some([key, value]) = self.map_type.entry_sizes() {
            settle(&mut self.key_size, key);
            settle(&mut self.value_size, value);
        }
        if self.map_type == MapType::PERF_EVENT_ARRAY {
            self.value_size = 4;
        }
        if let Some(InnerMap::Definition(inner)) = &mut self.inner {
            inner.settle_sizes();
        }
    }

    /// The layout of key and value, if BTF has both.
    pub fn layout(&self, btf: &Btf) -> Option<Layout> {
        let value = btf.layout(self.value_type).ok()?;
        let key = match self.key_size {
            0 => None,
            size if self.key_type == 0 => Some(Type::of_size(size)),
            _ => Some(btf.layout(self.key_type).ok()?),
        };
        let key = if self.map_type == MapType::LPM_TRIE { key.map(to_lpm_key) } else { key };
        let fits = key.as_ref().map_or(0, Type::size) == self.key_size as usize
            && value.size() == self.value_size as usize;
        fits.then_some(Layout { key, value })
    }
}
