//! An index into a BTF blob: checks every offset once, so that what reads it afterwards need not.
//!
//! The format is the kernel's Documentation/bpf/btf.rst. Meaning is given to it in `resolve`.

use super::text::quote_excerpt;

/// Why a blob is not BTF, or why one of its types has no layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// Shorter than a header, or than what the header announces.
    #[error("btf is cut short at byte {0}")]
    Short(usize),
    /// Something else, or of the other byte order.
    #[error("not btf of this machine's byte order: magic {0:#06x}")]
    Magic(u16),
    /// A version of the format that is not 1.
    #[error("btf of unknown version {0}")]
    Version(u8),
    /// A kind newer than this reader; its length is not known, so nothing after it can be found.
    #[error("btf type {id} is of unknown kind {kind}")]
    Kind {
        /// The type's number.
        id: u32,
        /// The kind, of which BTF_KIND_ENUM64 (19) is the last known.
        kind: u8,
    },
    /// A reference to a type that is not there.
    #[error("btf has no type {0}")]
    NoType(u32),
    /// Typedefs and qualifiers that lead in circles, or nearly so.
    #[error("btf type {0} refers to itself")]
    Loop(u32),
    /// Not data: void, a function, a forward declaration. The name is escaped.
    #[error("btf type {id} ({name}) has no size")]
    NoSize {
        /// The type's number.
        id: u32,
        /// Its name, quoted.
        name: String,
    },
    /// Larger than [`super::MAX_SIZE`].
    #[error("btf type {0} is too large")]
    TooLarge(u32),
}

pub(super) mod kind {
    pub const INT: u8 = 1;
    pub const PTR: u8 = 2;
    pub const ARRAY: u8 = 3;
    pub const STRUCT: u8 = 4;
    pub const UNION: u8 = 5;
    pub const ENUM: u8 = 6;
    pub const TYPEDEF: u8 = 8;
    pub const VOLATILE: u8 = 9;
    pub const CONST: u8 = 10;
    pub const RESTRICT: u8 = 11;
    pub const FUNC_PROTO: u8 = 13;
    pub const VAR: u8 = 14;
    pub const DATASEC: u8 = 15;
    pub const FLOAT: u8 = 16;
    pub const DECL_TAG: u8 = 17;
    pub const TYPE_TAG: u8 = 18;
    pub const ENUM64: u8 = 19;
}

const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;
/// name_off, info, size or type.
const COMMON: usize = 12;

/// A BTF blob, indexed. Only offsets are kept: types are read when asked for.
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins in `types`; the first is type 1.
    index: Vec<u32>,
}

/// One record of the type section.
#[derive(Clone, Copy)]
pub(super) struct RawType<'a> {
    pub(super) name: u32,
    pub(super) kind: u8,
    pub(super) flag: bool,
    /// A size in bytes, or the type referred to, by kind.
    pub(super) size_or_type: u32,
    /// What follows: members, enumerators, encoding.
    pub(super) tail: &'a [u8],
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_ne_bytes(*word))
}

/// Splits a tail into entries of `N` 32-bit words.
pub(super) fn entries<const N: usize>(tail: &[u8]) -> impl Iterator<Item = [u32; N]> {
    tail.chunks_exact(N * 4)
        .map(|entry| std::array::from_fn(|word| u32_at(entry, word * 4).unwrap_or_default()))
}

/// Bytes that follow a type's common part.
fn tail_len(kind: u8, vlen: usize) -> Option<usize> {
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
    /// Indexes a blob as BPF_OBJ_GET_INFO_BY_FD returns it for a BTF descriptor, or as the `.BTF`
    /// section of an object holds it. Split BTF, which leans on a base, is not understood.
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
        let mut at = 0;
        while at < types.len() {
            let info = u32_at(types, at + 4).ok_or(BtfError::Short(at))?;
            let id = index.len() as u32 + 1;
            let (kind, vlen) = ((info >> 24 & 0x1f) as u8, (info & 0xffff) as usize);
            let tail = tail_len(kind, vlen).ok_or(BtfError::Kind { id, kind })?;
            if types.len() - at < COMMON + tail {
                return Err(BtfError::Short(at));
            }
            index.push(at as u32);
            at += COMMON + tail;
        }
        Ok(Btf { types, strings, index })
    }

    /// How many types there are; ids run from 1 to this.
    pub fn len(&self) -> u32 {
        self.index.len() as u32
    }

    /// Whether there is no type but void.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The name of type `id`, if it has one.
    pub fn name(&self, id: u32) -> Option<&'a str> {
        let name = self.string(self.raw_type(id).ok()?.name);
        (!name.is_empty()).then_some(name)
    }

    /// The type of this name, typedefs aside: reads them all, for `--type NAME` and for tests.
    pub fn find(&self, name: &str) -> Option<u32> {
        let is_data = |kind| !matches!(kind, kind::TYPEDEF | kind::DECL_TAG | kind::TYPE_TAG);
        (1..=self.len()).find(|id| {
            self.raw_type(*id).is_ok_and(|raw| is_data(raw.kind) && self.string(raw.name) == name)
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
        Ok(RawType { name, kind, flag, size_or_type, tail })
    }

    /// The string at `offset`: empty where it is missing, not ended, or not UTF-8. Names only label.
    pub(super) fn string(&self, offset: u32) -> &'a str {
        let from = self.strings.get(offset as usize..).unwrap_or_default();
        let end = from.iter().position(|byte| *byte == 0).unwrap_or(0);
        std::str::from_utf8(&from[..end]).unwrap_or_default()
    }

    pub(super) fn no_size_error(&self, id: u32) -> BtfError {
        let name = self.name(id).unwrap_or(if id == 0 { "void" } else { "nameless" });
        BtfError::NoSize { id, name: quote_excerpt(name).to_string() }
    }
}
