//! Chains of references in BTF: the type behind typedefs and qualifiers, and its size.

use super::word::Word;
use crate::btf::{Btf, BtfError, RawType, entries, kind};
use crate::limits::MAX_SIZE;

/// The kernel allows chains of 32 (MAX_RESOLVE_DEPTH); the longest chain in vmlinux is below 10.
const MAX_CHAIN: usize = 64;
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
            match raw.kind {
                kind::TYPEDEF => {
                    word = word.or_else(|| Word::of_typedef(self.string(raw.name)));
                    id = raw.size_or_type;
                }
                kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG | kind::VAR => {
                    id = raw.size_or_type;
                }
                _ => return Ok(BareType { id, raw, word }),
            }
        }
        Err(BtfError::Loop(start))
    }

    /// Returns the size of type `id` in bytes.
    pub(crate) fn byte_size(&self, start: u32) -> Result<u32, BtfError> {
        let (mut id, mut count) = (start, 1u64);
        for _ in 0..MAX_CHAIN {
            let bare = self.strip_aliases(id)?;
            let bytes = match bare.raw.kind {
                kind::ARRAY => {
                    let [elem, _, len] = array_words(&bare.raw);
                    count = count.saturating_mul(u64::from(len));
                    id = elem;
                    continue;
                }
                kind::PTR => POINTER,
                kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 => {
                    bare.raw.size_or_type
                }
                kind::DATASEC | kind::FLOAT => bare.raw.size_or_type,
                _ => return Err(self.no_size_error(bare.id)),
            };
            let total = count.saturating_mul(u64::from(bytes));
            let fits = u32::try_from(total).ok().filter(|size| *size as usize <= MAX_SIZE);
            return fits.ok_or(BtfError::TooLarge(start));
        }
        Err(BtfError::Loop(start))
    }
}

/// Returns the id of the element type, the id of the index type, and the length of an array.
pub(super) fn array_words(raw: &RawType<'_>) -> [u32; 3] {
    entries::<3>(raw.tail).next().unwrap_or_default()
}
