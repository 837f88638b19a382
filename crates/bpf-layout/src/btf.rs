//! An index of a BTF blob. All offsets are checked once, when the index is built.
//!
//! The format is described in the kernel's Documentation/bpf/btf.rst. `resolver` converts BTF types
//! to layouts.

use super::limits::MAX_COST;
use super::text::quote_excerpt;

/// The reason why a blob is not valid BTF, or why one of its types has no layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// The blob is shorter than its header, or than the header requires. The field is the offset
    /// in bytes.
    #[error("btf is truncated at byte {0}")]
    Short(usize),
    /// The magic number is wrong: the blob is not BTF, or has the other byte order.
    #[error("not btf in this machine's byte order: magic {0:#06x}")]
    Magic(u16),
    /// The version of the format is not 1.
    #[error("unsupported btf version {0}")]
    Version(u8),
    /// The kind of a type is unknown, so its length and the types after it are unknown, too.
    #[error("btf type {id} has the unknown kind {kind}")]
    Kind {
        /// The id of the type.
        id: u32,
        /// The kind; BTF_KIND_ENUM64 (19) is the last known one.
        kind: u8,
    },
    /// The id refers to no type.
    #[error("btf has no type {0}")]
    NoType(u32),
    /// A chain of typedefs and qualifiers is cyclic or longer than 64 references.
    #[error("btf type {0} refers to itself")]
    Loop(u32),
    /// The type has no size: void, a function, a forward declaration.
    #[error("btf type {id} ({name}) has no size")]
    NoSize {
        /// The id of the type.
        id: u32,
        /// The name of the type, quoted and escaped.
        name: String,
    },
    /// The type is larger than [`crate::MAX_SIZE`] bytes.
    #[error("btf type {0} is too large")]
    TooLarge(u32),
}

pub(super) mod kind {
    pub(crate) const INT: u8 = 1;
    pub(crate) const PTR: u8 = 2;
    pub(crate) const ARRAY: u8 = 3;
    pub(crate) const STRUCT: u8 = 4;
    pub(crate) const UNION: u8 = 5;
    pub(crate) const ENUM: u8 = 6;
    pub(crate) const TYPEDEF: u8 = 8;
    pub(crate) const VOLATILE: u8 = 9;
    pub(crate) const CONST: u8 = 10;
    pub(crate) const RESTRICT: u8 = 11;
    pub(crate) const FUNC: u8 = 12;
    pub(crate) const FUNC_PROTO: u8 = 13;
    pub(crate) const VAR: u8 = 14;
    pub(crate) const DATASEC: u8 = 15;
    pub(crate) const FLOAT: u8 = 16;
    pub(crate) const DECL_TAG: u8 = 17;
    pub(crate) const TYPE_TAG: u8 = 18;
    pub(crate) const ENUM64: u8 = 19;
}

pub(super) const MAGIC: u16 = 0xeb9f;
/// The prefix of the notation in a declaration tag of a struct or union.
pub(super) const LAYOUT_TAG: &str = "layout:";
const HEADER: usize = 24;
/// Bytes of the part that all types have: name_off, info, size or type.
pub(super) const COMMON: usize = 12;
/// The longest name, in bytes; the kernel's limit is lower. Many types can refer to one string, so
/// the time to read it is limited.
const MAX_NAME: usize = 1 << 10;

/// An indexed BTF blob. The index contains offsets only; types are decoded on access.
pub struct Btf<'a> {
    pub(super) blob: &'a [u8],
    /// Where `types` begins in the blob.
    start: usize,
    types: &'a [u8],
    strings: &'a [u8],
    /// Offsets in `types`; the first entry is type 1.
    index: Vec<u32>,
    /// Types whose layout a declaration tag states, with the notation; sorted.
    tags: Vec<(u32, &'a str)>,
}

/// A record of the type section.
#[derive(Clone, Copy)]
pub(super) struct RawType<'a> {
    pub(super) name: u32,
    pub(super) kind: u8,
    /// How many entries follow; the linkage of a function.
    pub(super) vlen: u32,
    pub(super) flag: bool,
    /// The size in bytes or the id of another type, depending on the kind.
    pub(super) size_or_type: u32,
    /// The bytes after the common part: members, enumerators or encoding.
    pub(super) tail: &'a [u8],
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_ne_bytes(*word))
}

/// The bytes of the string at `offset`; none if it is missing, not terminated, or longer than `max`.
fn string_bytes(strings: &[u8], offset: u32, max: usize) -> &[u8] {
    let from = strings.get(offset as usize..).unwrap_or_default();
    let end = from.iter().take(max.saturating_add(1)).position(|byte| *byte == 0).unwrap_or(0);
    &from[..end]
}

/// Splits a tail into entries of `N` 32-bit words.
pub(super) fn entries<const N: usize>(tail: &[u8]) -> impl Iterator<Item = [u32; N]> {
    tail.chunks_exact(N * 4)
        .map(|entry| std::array::from_fn(|word| u32_at(entry, word * 4).unwrap_or_default()))
}

/// Returns the number of bytes after the common part of a type; None if the kind is unknown.
pub(super) fn tail_len(kind: u8, vlen: usize) -> Option<usize> {
    Some(match kind {
        kind::INT | kind::VAR | kind::DECL_TAG => 4,
        kind::ARRAY => 12,
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * vlen,
        kind::ENUM | kind::FUNC_PROTO => 8 * vlen,
        1..=19 => 0,
        _ => return None,
    })
}

impl<'a> Btf<'a> {
    /// Checks and indexes a blob: the data that BPF_OBJ_GET_INFO_BY_FD returns for a BTF file
    /// descriptor, or the `.BTF` section of an object file. Split BTF, which requires a base, is
    /// not supported.
    ///
    /// # Errors
    ///
    /// A blob that is truncated, of another byte order or version, or that contains a type of an
    /// unknown kind, is refused.
    pub fn parse(blob: &'a [u8]) -> Result<Btf<'a>, BtfError> {
        let header = blob.first_chunk::<HEADER>().ok_or(BtfError::Short(blob.len()))?;
        let magic = u16::from_ne_bytes([header[0], header[1]]);
        if magic != MAGIC {
            return Err(BtfError::Magic(magic));
        }
        if header[2] != 1 {
            return Err(BtfError::Version(header[2]));
        }
        let word = |at| u32_at(header, at).unwrap_or_default() as usize;
        let start = word(4);
        let section = |offset: usize, len: usize| {
            let from = start.checked_add(offset)?;
            blob.get(from..from.checked_add(len)?)
        };
        let short = BtfError::Short(blob.len());
        if start < HEADER {
            return Err(short);
        }
        let types = section(word(8), word(12)).ok_or(short.clone())?;
        let strings = section(word(16), word(20)).ok_or(short)?;
        let mut index = Vec::with_capacity(types.len() / 24);
        let mut tags = Vec::new();
        // Many tags can refer to one string.
        let mut left = MAX_COST + strings.len();
        let mut at = 0;
        while at < types.len() {
            let info = u32_at(types, at + 4).ok_or(BtfError::Short(at))?;
            let id = index.len() as u32 + 1;
            let (kind, vlen) = ((info >> 24 & 0x1f) as u8, (info & 0xffff) as usize);
            let tail = tail_len(kind, vlen).ok_or(BtfError::Kind { id, kind })?;
            if types.len() - at < COMMON + tail {
                return Err(BtfError::Short(at));
            }
            if kind == kind::DECL_TAG
                && let (Some(name), Some(target)) = (u32_at(types, at), u32_at(types, at + 8))
                && let Some(text) = strings.get(name as usize..)
                && text.starts_with(LAYOUT_TAG.as_bytes())
            {
                let text = string_bytes(strings, name, left);
                left = if text.is_empty() { 0 } else { left - text.len() };
                let text = std::str::from_utf8(text).unwrap_or_default();
                tags.extend(text.strip_prefix(LAYOUT_TAG).map(|notation| (target, notation)));
            }
            index.push(at as u32);
            at += COMMON + tail;
        }
        tags.sort_unstable();
        Ok(Btf { blob, start: start + word(8), types, strings, index, tags })
    }

    /// Returns the number of types. Ids begin at 1; id 0 is void.
    pub fn len(&self) -> u32 {
        self.index.len() as u32
    }

    /// Reports whether the blob contains no types.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Returns the name of type `id`; None for nameless types and unknown ids.
    pub fn name(&self, id: u32) -> Option<&'a str> {
        let name = self.string(self.raw_type(id).ok()?.name);
        (!name.is_empty()).then_some(name)
    }

    /// Returns the id of the first type with this name that is not a typedef or a tag. The search
    /// is linear.
    pub fn find(&self, name: &str) -> Option<u32> {
        let is_data = |kind| !matches!(kind, kind::TYPEDEF | kind::DECL_TAG | kind::TYPE_TAG);
        (1..=self.len()).find(|id| {
            self.raw_type(*id).is_ok_and(|raw| is_data(raw.kind) && self.string(raw.name) == name)
        })
    }

    /// Where type `id` begins in the blob.
    pub(super) fn place(&self, id: u32) -> Result<usize, BtfError> {
        let slot = (id as usize).checked_sub(1);
        let at = slot.and_then(|slot| self.index.get(slot)).ok_or(BtfError::NoType(id))?;
        Ok(self.start + *at as usize)
    }

    /// Returns the id of the function with this name. The search is linear.
    pub fn function(&self, name: &str) -> Option<u32> {
        self.find_kind(kind::FUNC, name)
    }

    /// Returns the id of the struct with this name. The search is linear.
    pub fn structure(&self, name: &str) -> Option<u32> {
        self.find_kind(kind::STRUCT, name)
    }

    /// Returns the id of the typedef with this name. The search is linear.
    pub fn typedef(&self, name: &str) -> Option<u32> {
        self.find_kind(kind::TYPEDEF, name)
    }

    fn find_kind(&self, kind: u8, name: &str) -> Option<u32> {
        // The kernel's own BTF has some 150,000 types: only the names of some are compared.
        (1..=self.len()).find(|id| {
            self.raw_type(*id).is_ok_and(|raw| raw.kind == kind && self.string(raw.name) == name)
        })
    }

    pub(super) fn raw_type(&self, id: u32) -> Result<RawType<'a>, BtfError> {
        let missing = BtfError::NoType(id);
        let slot = (id as usize).checked_sub(1).ok_or(missing.clone())?;
        let at = *self.index.get(slot).ok_or(missing.clone())? as usize;
        let end = self.index.get(slot + 1).map_or(self.types.len(), |next| *next as usize);
        let bytes = self.types.get(at..end).ok_or(missing.clone())?;
        let (Some(name), Some(info), Some(size_or_type), Some(tail)) =
            (u32_at(bytes, 0), u32_at(bytes, 4), u32_at(bytes, 8), bytes.get(COMMON..))
        else {
            return Err(missing);
        };
        let (kind, flag) = ((info >> 24 & 0x1f) as u8, info >> 31 == 1);
        Ok(RawType { name, kind, vlen: info & 0xffff, flag, size_or_type, tail })
    }

    /// Returns the string at an offset, which other sections of an object file refer to; empty if it
    /// is missing, not terminated, longer than 1024 bytes, or not UTF-8.
    pub fn string_at(&self, offset: u32) -> &'a str {
        self.string(offset)
    }

    /// The name at an offset, which serves as a label only; see [`Btf::string_at`].
    pub(super) fn string(&self, offset: u32) -> &'a str {
        std::str::from_utf8(string_bytes(self.strings, offset, MAX_NAME)).unwrap_or_default()
    }

    /// The layout that a declaration tag states for struct or union `id`, in notation.
    pub(super) fn layout_tag(&self, id: u32) -> Option<&'a str> {
        let at = self.tags.binary_search_by_key(&id, |(target, _)| *target).ok()?;
        self.tags.get(at).map(|(_, notation)| *notation)
    }

    pub(super) fn no_size_error(&self, id: u32) -> BtfError {
        let name = self.name(id).unwrap_or(if id == 0 { "void" } else { "nameless" });
        BtfError::NoSize { id, name: quote_excerpt(name).to_string() }
    }
}
