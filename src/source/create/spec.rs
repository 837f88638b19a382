//! The specification `NAME=TYPE,key=LAYOUT,value=LAYOUT,entries=N,flags=A|B`. Pure.

use super::field::{InnerReference, Size, count, number, split};
use crate::map::flags;
use crate::text::{escape, quote};
use bpf_inherit::MapType;
use bpf_inherit::map_type::{self, Row, Size as TypeSize};
use bpf_layout::Layout;

/// The size of the smallest pages.
const PAGE: u32 = 4096;

/// A map to be created.
#[derive(Debug)]
pub struct NewMap {
    pub(super) name: String,
    pub(super) row: &'static Row,
    pub(super) key: Option<Size>,
    pub(super) value: Option<Size>,
    pub(super) entries: u32,
    pub(super) flags: u32,
    pub(super) extra: u64,
    pub(super) numa_node: u32,
    pub(super) inner: Option<InnerReference>,
}

impl NewMap {
    /// Reads a specification. Fields that the map type does not need may be missing; fields that it
    /// cannot have are an error.
    pub fn parse(text: &str) -> Result<NewMap, String> {
        let (name, rest) = text.split_once('=').ok_or("expected NAME=TYPE,…")?;
        let mut parts = split(rest).into_iter();
        let kind = parts.next().unwrap_or_default();
        let row =
            map_type::by_name(kind).ok_or_else(|| format!("{} is not a map type", quote(kind)))?;
        if row.map_type == MapType::STRUCT_OPS {
            return Err("a struct_ops map can be created only with its programs".into());
        }
        let mut fields: Vec<(&str, &str)> = Vec::new();
        for part in parts {
            let (field, value) =
                part.split_once('=').ok_or(format!("{}: = is missing", quote(part)))?;
            if fields.iter().any(|(known, _)| *known == field) {
                return Err(format!("{} is given twice", escape(field.as_bytes())));
            }
            fields.push((field, value));
        }
        let mut spec = NewMap {
            name: name.into(),
            row,
            key: None,
            value: None,
            entries: 0,
            flags: row.flags,
            extra: 0,
            numa_node: 0,
            inner: None,
        };
        let mut entries = None;
        for (field, text) in fields {
            let wrong = |e| format!("{}: {e}", escape(field.as_bytes()));
            spec.set(field, text, &mut entries).map_err(wrong)?;
        }
        spec.complete(entries)?;
        Ok(spec)
    }

    fn set(&mut self, field: &str, text: &str, entries: &mut Option<u32>) -> Result<(), String> {
        match field {
            "key" => self.key = Some(Size::parse(text)?),
            "value" => self.value = Some(Size::parse(text)?),
            "entries" => *entries = Some(count(text)?),
            "extra" => self.extra = number(text)?,
            "numa" => {
                self.numa_node = number(text)?;
                self.flags |= flags::parse_name("NUMA_NODE").unwrap_or_default();
            }
            "flags" => {
                for name in text.split('|') {
                    self.flags |=
                        flags::parse_name(name).ok_or(format!("{} is not a flag", quote(name)))?;
                }
            }
            "inner" if self.row.map_type.holds_maps() => {
                self.inner = Some(InnerReference::parse(text)?)
            }
            "inner" => {
                return Err(format!("{} does not contain maps", self.row.map_type.with_article()));
            }
            _ => return Err("not a field (key, value, entries, flags, extra, numa, inner)".into()),
        }
        Ok(())
    }

    /// A flag that restricts only the new fd, and the property that the map keeps for other fds.
    pub fn access_flag(&self) -> Option<(&'static str, &'static str)> {
        let is_set = |name| flags::parse_name(name).is_some_and(|flag| self.flags & flag != 0);
        [("RDONLY", "writable"), ("WRONLY", "readable")].into_iter().find(|(name, _)| is_set(name))
    }

    /// Sets the fields that the map type has by default; an error if a required one is missing.
    fn complete(&mut self, entries: Option<u32>) -> Result<(), String> {
        let kind = &self.row.map_type.with_article();
        self.key = settle(self.key.take(), self.row.key_size, kind, "key")?;
        self.value = settle(self.value.take(), self.row.value_size, kind, "value")?;
        let entries = entries.map(Size::Bytes);
        if let Some(entries) = settle(entries, self.row.max_entries, kind, "entries")? {
            self.entries = entries.bytes()?;
        }
        if self.row.map_type.holds_maps() && self.inner.is_none() {
            return Err(format!("{kind} needs inner=PIN or inner=id:N, a map like the inner maps"));
        }
        for size in self.key.iter().chain(&self.value) {
            size.bytes()?;
        }
        Ok(())
    }

    /// The field that the kernel refuses with EINVAL, if it is certain.
    pub(super) fn refused_field(&self) -> Option<&'static str> {
        let row = self.row;
        let key = self.key.as_ref().and_then(|size| size.bytes().ok());
        let ring = matches!(row.map_type, MapType::RINGBUF | MapType::USER_RINGBUF);
        match row.key_size {
            _ if self.entries == 0 && row.max_entries != TypeSize::Zero => {
                Some("entries must not be 0")
            }
            TypeSize::Default(4) if key != Some(4) => Some("the key of this type has 4 bytes"),
            _ if ring && !(self.entries.is_power_of_two() && self.entries >= PAGE) => {
                Some("entries must be a power of two of at least a page")
            }
            _ => None,
        }
    }

    /// The name before the `=`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The layout, if the key or the value was given as a type.
    pub fn layout(&self) -> Option<Layout> {
        let is_type = |size: &Option<Size>| matches!(size, Some(Size::Type(_)));
        if !is_type(&self.key) && !is_type(&self.value) {
            return None;
        }
        Some(Layout { key: self.key.as_ref().map(Size::ty), value: self.value.as_ref()?.ty() })
    }
}

/// The value of a field, given what the map type requires.
fn settle(
    given: Option<Size>,
    want: TypeSize,
    kind: &str,
    field: &str,
) -> Result<Option<Size>, String> {
    match (given, want) {
        (Some(Size::Bytes(0)), TypeSize::Zero) => Ok(None),
        (Some(_), TypeSize::Zero) => Err(format!("{kind} has no {field}")),
        (None, TypeSize::Zero) => Ok(None),
        (Some(size), _) => Ok(Some(size)),
        (None, TypeSize::Default(bytes)) => Ok(Some(Size::Bytes(bytes))),
        (None, TypeSize::Given) => Err(format!("{kind} needs {field}=")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specification_sets_the_fields() {
        let spec =
            NewMap::parse("seen=hash,key=ip4,value=struct{ a: u32, b: u32 },entries=1k").unwrap();
        assert_eq!((spec.name(), spec.entries), ("seen", 1024));
        assert_eq!(spec.layout().unwrap().to_string(), "ip4 -> struct{a: u32, b: u32}");
        let spec = NewMap::parse("q=queue,value=8,entries=2m").unwrap();
        assert_eq!((spec.entries, spec.layout()), (2 << 20, None));
        let spec =
            NewMap::parse("t=lpm_trie,key=8,value=u8,entries=1,flags=BPF_F_RDONLY_PROG|ZERO_SEED")
                .unwrap();
        assert_eq!(spec.flags, 1 | 1 << 7 | 1 << 6);
    }

    #[test]
    fn invalid_fields_are_named() {
        for (text, want) in [
            ("hash", "expected NAME=TYPE,…"),
            ("a=", "\"\" is not a map type"),
            ("a=hush,key=4", "\"hush\" is not a map type"),
            ("a=hash,value=4,entries=1", "a hash needs key="),
            ("a=hash,key=4,entries=1", "a hash needs value="),
            ("a=hash,key=4,value=4", "a hash needs entries="),
            ("a=queue,key=4,value=4,entries=1", "a queue has no key"),
            ("a=ringbuf,value=4,entries=4096", "a ringbuf has no value"),
            ("a=hash,key=4,key=4", "key is given twice"),
            ("a=hash,key", "\"key\": = is missing"),
            ("a=hash,size=4", "size: not a field (key, value, entries, flags, extra, numa, inner)"),
            ("a=hash,entries=1x", "entries: \"1x\" is not a number in range"),
            ("a=hash,entries=4194304k", "entries: \"4194304k\" is not a number in range"),
            ("a=hash,entries=", "entries: \"\" is not a number in range"),
            ("a=hash,entries=k", "entries: \"k\" is not a number in range"),
            ("a=hash,flags=FAST", "flags: \"FAST\" is not a flag"),
            ("a=hash,inner=/x", "inner: a hash does not contain maps"),
            (
                "a=hash_of_maps,key=4,entries=1",
                "a hash_of_maps needs inner=PIN or inner=id:N, a map like the inner maps",
            ),
            (
                "a=struct_ops,value=4,entries=1",
                "a struct_ops map can be created only with its programs",
            ),
        ] {
            assert_eq!(NewMap::parse(text).unwrap_err(), want, "{text}");
        }
    }
}
