//! The elements of a file by key. If several lines have the same key, the last one is used.

use super::elements::Elements;
use bpf_inherit::MapType;
use std::borrow::Cow;
use std::collections::HashMap;

/// The elements that a map is to have.
pub struct Wanted<'e> {
    index: HashMap<Cow<'e, [u8]>, usize>,
    /// For each element, whether it is the last one with its key.
    last: Vec<bool>,
    kind: MapType,
}

impl<'e> Wanted<'e> {
    pub fn new(all: &'e Elements, kind: MapType) -> Wanted<'e> {
        let mut index = HashMap::with_capacity(all.len());
        let mut last = vec![true; all.len()];
        for element in 0..all.len() {
            if let Some(before) = index.insert(identity(kind, all.keys(element, 1)), element) {
                last[before] = false;
            }
        }
        Wanted { index, last, kind }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// The element with this key.
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        self.index.get(&*identity(self.kind, key)).copied()
    }

    /// For each element, whether it is the last one with its key: only that one is written.
    pub fn last(&self) -> &[bool] {
        &self.last
    }
}

/// The bytes by which the kernel distinguishes keys. In a trie, the bits after the prefix are stored,
/// but not compared.
pub fn identity(kind: MapType, key: &[u8]) -> Cow<'_, [u8]> {
    if kind != MapType::LPM_TRIE {
        return Cow::Borrowed(key);
    }
    let mut key = key.to_vec();
    mask(&mut key);
    Cow::Owned(key)
}

/// Clears the bits of a trie's key after its prefix.
fn mask(key: &mut [u8]) {
    let Some((length, data)) = key.split_first_chunk_mut::<4>() else { return };
    let bits = u32::from_ne_bytes(*length) as usize;
    for (i, byte) in data.iter_mut().enumerate() {
        let kept = bits.saturating_sub(i * 8).min(8) as u32;
        *byte &= !(0xffu8.checked_shr(kept).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn keys_of_one_prefix_are_one_key() {
        for (bits, want) in [
            (0u32, [0, 0, 0, 0]),
            (1, [0x80, 0, 0, 0]),
            (8, [0xff, 0, 0, 0]),
            (12, [0xff, 0xf0, 0, 0]),
            (32, [0xff; 4]),
            (u32::MAX, [0xff; 4]),
        ] {
            let mut key = [&bits.to_ne_bytes()[..], &[0xff; 4]].concat();
            mask(&mut key);
            assert_eq!(key[4..], want, "{bits}");
        }
    }
}
