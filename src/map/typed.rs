//! The layout of a map's keys and values, from the BTF that the kernel has for the map.

use bpf_inherit::MapType;
use bpf_inherit::bpf::{MapInfo, btf_by_id};
use bpf_inherit::describe;
use bpf_inherit::object::Object;
use bpf_inherit::{Errno, Result as SysResult, errno};
use bpf_layout::{Btf, BtfError, Layout, Type, to_lpm_key};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// The kernel's own BTF, which every user may read.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Layouts from BTF. Each BTF object is fetched once.
#[derive(Debug, Default)]
pub struct Layouts {
    blobs: BTreeMap<BtfObject, SysResult<Vec<u8>>>,
}

/// A BTF object of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum BtfObject {
    Id(u32),
    Vmlinux,
}

impl BtfObject {
    /// The BTF object that describes the values of a map, and the value's type id in it.
    fn find_for(info: &MapInfo) -> Option<(BtfObject, u32)> {
        match (info.btf_vmlinux_value_type_id, info.btf_value_type_id) {
            (0, 0) => None,
            (0, _) if info.btf_id == 0 => None,
            (0, value) => Some((BtfObject::Id(info.btf_id), value)),
            // btf_id refers to the BTF of the programs, which does not contain the kernel's
            // structure.
            (value, _) => Some((BtfObject::Vmlinux, value)),
        }
    }

    /// Reads the BTF object as raw bytes, in host order.
    fn fetch(self) -> SysResult<Vec<u8>> {
        match self {
            BtfObject::Id(id) => btf_by_id(id),
            BtfObject::Vmlinux => std::fs::read(VMLINUX).map_err(errno),
        }
    }
}

/// The source of a layout, from the most to the least reliable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LayoutSource {
    /// The command line.
    Option,
    /// `BPF_MAP<n>_LAYOUT`.
    Environment,
    Btf,
    /// The sizes of key and value: the map has no BTF.
    Size,
    /// The sizes, of a map with BTF that cannot be read: the printed text may be wrong.
    Guess,
}

impl LayoutSource {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            LayoutSource::Option => "option",
            LayoutSource::Environment => "environment",
            LayoutSource::Btf => "btf",
            LayoutSource::Size => "size",
            LayoutSource::Guess => "guess",
        }
    }
}

impl Serialize for LayoutSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The reason why a map has no layout from BTF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BtfReadError {
    Errno(Errno),
    Text(String),
}

impl fmt::Display for BtfReadError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            // CAP_BPF is not enough.
            BtfReadError::Errno(Errno::EPERM) => f.write_str("its BTF needs CAP_SYS_ADMIN"),
            BtfReadError::Errno(errno) => write!(f, "its BTF cannot be read: {}", describe(*errno)),
            BtfReadError::Text(text) => write!(f, "its BTF cannot be read: {text}"),
        }
    }
}

impl Layouts {
    /// Reads the layout of a map from BTF, as text in the layout notation. Without a layout from
    /// BTF the text is None, and the source says whether the map has no BTF
    /// ([`LayoutSource::Size`]) or BTF that cannot be read ([`LayoutSource::Guess`]).
    pub fn read_text(&mut self, info: &MapInfo) -> (Option<Vec<u8>>, LayoutSource) {
        match self.read(info) {
            Ok(Some(layout)) => (Some(layout.to_string().into_bytes()), LayoutSource::Btf),
            Ok(None) => (None, LayoutSource::Size),
            Err(_) => (None, LayoutSource::Guess),
        }
    }

    /// Reads the layout of a map from BTF; None if the map has no BTF.
    ///
    /// The type ids of a kernel module begin after those of vmlinux, whose BTF is used for
    /// struct_ops maps: a struct_ops map of a module is an error, rather than a wrong layout.
    ///
    /// # Errors
    /// If the BTF cannot be read (reading a BTF object requires CAP_SYS_ADMIN), if it is malformed,
    /// or if its types do not have the sizes of the map's keys and values.
    pub fn read(&mut self, info: &MapInfo) -> Result<Option<Layout>, BtfReadError> {
        let Some((object, value)) = BtfObject::find_for(info) else { return Ok(None) };
        let blob = self.blobs.entry(object).or_insert_with(|| object.fetch());
        let blob = blob.as_ref().map_err(|errno| BtfReadError::Errno(*errno))?;
        let malformed = |error: BtfError| BtfReadError::Text(error.to_string());
        let btf = Btf::parse(blob).map_err(malformed)?;
        let value = btf.layout(value).map_err(malformed)?;
        let key = match info.key_size {
            0 => None,
            // Maps of global data, and struct_ops maps, have BTF for the value only.
            size if info.btf_key_type_id == 0 => Some(Type::of_size(size)),
            _ => Some(btf.layout(info.btf_key_type_id).map_err(malformed)?),
        };
        let key = match info.map_type {
            MapType::LPM_TRIE => key.map(to_lpm_key),
            _ => key,
        };
        let layout = Layout { key, value };
        check_sizes(&layout, info).map_err(BtfReadError::Text)?;
        Ok(Some(layout))
    }
}

/// Derives a layout from the type of the map and the sizes of key and value.
pub fn derive_from_sizes(info: &MapInfo) -> Layout {
    let key = (info.key_size > 0).then(|| Type::of_size(info.key_size));
    Layout {
        key: if info.map_type == MapType::LPM_TRIE { key.map(to_lpm_key) } else { key },
        value: derive_value_type(info),
    }
}

/// BPF_F_STACK_BUILD_ID.
const STACK_BUILD_ID: u32 = 1 << 5;

/// Derives the type of a map's values from the map's type and `value_size`.
///
/// Stack traces are addresses, or `struct bpf_stack_build_id` (linux/bpf.h), up to the first zero.
fn derive_value_type(info: &MapInfo) -> Type {
    let frame = match info.map_type {
        MapType::STACK_TRACE if info.flags & STACK_BUILD_ID != 0 => {
            "struct{status: i32, build_id: hex[20], union{offset: u64, ip: u64}}"
        }
        // A single address is a number.
        MapType::STACK_TRACE if info.value_size > 8 => "u64",
        _ => return Type::of_size(info.value_size),
    };
    let frame = frame.parse().unwrap_or(Type::Hex(8));
    let frames = info.value_size / frame.size() as u32;
    let trace = Type::array(frame, frames).ok();
    // The kernel creates no map with another size.
    let trace = trace.filter(|trace| trace.size() == info.value_size as usize);
    trace.unwrap_or_else(|| Type::of_size(info.value_size))
}

/// Parses a layout in the layout notation for a map.
///
/// # Errors
/// A message if `text` is not UTF-8 or malformed, or from [`check_sizes`].
pub fn parse_layout_for(text: &[u8], info: &MapInfo) -> Result<Layout, String> {
    let text = std::str::from_utf8(text).map_err(|_| "a layout that is not UTF-8")?;
    let layout = text.parse().map_err(|e| format!("layout: {e}"))?;
    check_sizes(&layout, info)?;
    Ok(layout)
}

/// A layout in canonical text, if it fits the map. Other objects have none.
///
/// # Errors
/// A message from [`parse_layout_for`], or if another object is not given an empty layout.
pub fn canonical_layout(text: &[u8], object: &Object) -> Result<Vec<u8>, String> {
    match object {
        _ if text.is_empty() => Ok(Vec::new()),
        Object::Map(map) => {
            let mut text = parse_layout_for(text, map.info())?.to_string().into_bytes();
            // It is kept as long as the object, and its length is what counts.
            text.shrink_to_fit();
            Ok(text)
        }
        other => Err(format!("a layout for {}", other.kind().with_article())),
    }
}

/// Checks that key and value of `layout` have as many bytes as `key_size` and `value_size` of the
/// map.
///
/// # Errors
/// A message with both sizes, if they differ.
pub fn check_sizes(layout: &Layout, info: &MapInfo) -> Result<(), String> {
    let key = layout.key.as_ref().map_or(0, Type::size);
    let value = layout.value.size();
    for (what, given, real) in [("key", key, info.key_size), ("value", value, info.value_size)] {
        if given != real as usize {
            return Err(format!("layout: a {what} of {given} bytes, expected {real}"));
        }
    }
    Ok(())
}
