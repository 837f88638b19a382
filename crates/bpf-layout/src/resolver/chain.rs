//! Chains of references in BTF: the type behind typedefs and qualifiers, and its size.

use super::word::Word;
use crate::btf::{Btf, BtfError, RawType, entries, kind};
use crate::limits::{MAX_DEPTH, MAX_SIZE};

/// The kernel allows chains of 32 (MAX_RESOLVE_DEPTH); the longest chain in vmlinux is below 10.
const MAX_CHAIN: usize = 64;
/// The longest chain with arrays in it.
const MAX_SIZE_CHAIN: usize = MAX_CHAIN + MAX_DEPTH as usize;
/// Pointers of BPF programs have 8 bytes on every host.
const POINTER: u32 = 8;

/// A type behind its typedefs and qualifiers.
pub(crate) struct BareType<'a> {
    pub(crate) id: u32,
    pub(crate) raw: RawType<'a>,
    /// The word of the notation that a typedef on the way is named after.
    pub(super) word: Option<Word>,
}

impl<'a> Btf<'a> {
    pub(crate) fn strip_aliases(&self, start: u32) -> Result<BareType<'a>, BtfError> {
        let (mut id, mut word) = (start, None);
        for _ in 0..MAX_CHAIN {
            if id == 0 {
                return Err(self.no_size_error(0));
            }
            let raw = self.raw_type(id)?;
            if !is_alias(raw.kind) {
                return Ok(BareType { id, raw, word });
            }
            if raw.kind == kind::TYPEDEF {
                word = word.or_else(|| Word::of_typedef(self.string(raw.name)));
            }
            id = raw.size_or_type;
        }
        Err(BtfError::Loop(start))
    }

    /// Returns the size of type `id` in bytes.
    pub(crate) fn byte_size(&self, start: u32) -> Result<u32, BtfError> {
        let (mut id, mut count) = (start, 1u64);
        for _ in 0..MAX_SIZE_CHAIN {
            if id == 0 {
                return Err(self.no_size_error(0));
            }
            let raw = self.raw_type(id)?;
            let bytes = match raw.kind {
                kind if is_alias(kind) => {
                    id = raw.size_or_type;
                    continue;
                }
                kind::ARRAY => {
                    let [elem, _, len] = array_words(&raw);
                    count = count.saturating_mul(u64::from(len));
                    id = elem;
                    continue;
                }
                kind::PTR => POINTER,
                kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 => {
                    raw.size_or_type
                }
                kind::DATASEC | kind::FLOAT => raw.size_or_type,
                _ => return Err(self.no_size_error(id)),
            };
            let total = count.saturating_mul(u64::from(bytes));
            let fits = u32::try_from(total).ok().filter(|size| *size as usize <= MAX_SIZE);
            return fits.ok_or(BtfError::TooLarge(start));
        }
        Err(BtfError::Loop(start))
    }
}

/// Reports whether a type only names, qualifies or declares another one.
fn is_alias(kind: u8) -> bool {
    matches!(
        kind,
        kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG | kind::VAR
    )
}

/// Returns the id of the element type, the id of the index type, and the length of an array.
pub(super) fn array_words(raw: &RawType<'_>) -> [u32; 3] {
    entries::<3>(raw.tail).next().unwrap_or_default()
}
