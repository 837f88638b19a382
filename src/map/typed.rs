//! The layout of a map's keys and values, as far as the kernel's BTF tells it.

use super::kind::Kind;
use crate::layout::{Btf, Layout, Type, lpm_key};
use crate::sys::bpf::{MapInfo, btf_by_id};
use std::collections::BTreeMap;

/// Layouts by way of BTF, each BTF object fetched once.
#[derive(Debug, Default)]
pub struct Layouts {
    blobs: BTreeMap<u32, Option<Vec<u8>>>,
}

impl Layouts {
    /// The layout of a map in the layout notation. None where it has no BTF,
    /// where its BTF may not be read (that needs CAP_SYS_ADMIN), or does not fit.
    pub fn of(&mut self, info: &MapInfo) -> Option<Vec<u8>> {
        Some(self.layout(info)?.to_string().into_bytes())
    }

    /// As [`Layouts::of`], as types.
    pub fn layout(&mut self, info: &MapInfo) -> Option<Layout> {
        if info.btf_id == 0 || info.btf_value_type_id == 0 {
            return None;
        }
        let blob = self.blobs.entry(info.btf_id).or_insert_with(|| btf_by_id(info.btf_id).ok());
        let btf = Btf::parse(blob.as_ref()?).ok()?;
        let value = btf.layout(info.btf_value_type_id).ok()?;
        let key = match info.key_size {
            0 => None,
            // Maps of global data have BTF for the value alone.
            size if info.btf_key_type_id == 0 => Some(Type::of_size(size)),
            _ => Some(btf.layout(info.btf_key_type_id).ok()?),
        };
        let key = match Kind(info.kind) {
            Kind::LPM_TRIE => key.map(lpm_key),
            _ => key,
        };
        let fits = |ty: &Type, size: u32| ty.size() == size as usize;
        let right = fits(&value, info.value_size) && key.iter().all(|k| fits(k, info.key_size));
        right.then_some(Layout { key, value })
    }
}

/// Reads a layout that somebody told of a map; an error unless it has the map's sizes.
pub fn told(text: &[u8], info: &MapInfo) -> Result<Layout, String> {
    let text = std::str::from_utf8(text).map_err(|_| "a layout that is not UTF-8")?;
    let layout = text.parse().map_err(|e| format!("layout: {e}"))?;
    check_sizes(&layout, info)?;
    Ok(layout)
}

/// An error that names both sizes, unless the layout has those of the map.
pub fn check_sizes(layout: &Layout, info: &MapInfo) -> Result<(), String> {
    let key = layout.key.as_ref().map_or(0, Type::size);
    let value = layout.value.size();
    for (what, told, real) in [("key", key, info.key_size), ("value", value, info.value_size)] {
        if told != real as usize {
            return Err(format!("layout: a {what} of {told} bytes, where the map's is {real}"));
        }
    }
    Ok(())
}
