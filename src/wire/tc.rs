//! The datagrams in which tc sends maps (`tc filter … export PATH`).
//!
//! A transfer is one or more datagrams. Each has the header below, in host byte order and LP64
//! layout, then 36 bytes for each map, whose fd is sent with the datagram. The reference is
//! iproute2: `lib/bpf_legacy.c` and `include/bpf_scm.h`.
//!
//! | Offset | Field |
//! |---|---|
//! | 0 | u16 version, 1 |
//! | 2 | u16 number of maps in the whole transfer |
//! | 4 | 64 bytes, name of the object, NUL-padded |
//! | 68 | 4 bytes of padding |
//! | 72 | u64 st_dev of the object file |
//! | 80 | u64 st_ino of the object file |
//! | 88 | entries: nine u32: type, key size, value size, max entries, flags, id, pinning, inner id, inner index |

use crate::text::count;
use std::iter::repeat;
use thiserror::Error;

/// Length of the header.
pub const HEADER: usize = 88;
/// Length of an entry.
pub const ENTRY: usize = 36;
/// The only version.
pub const VERSION: u16 = 1;
/// The longest name of an object, without its NUL.
pub const MAX_OBJECT: usize = OBJECT - 1;
/// Length of the name's field.
const OBJECT: usize = 64;
/// Fds that tc can receive in a datagram, and in a whole transfer.
pub const TC_FDS: usize = 64;

/// One datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    pub header: TransferHeader,
    pub entries: Vec<DeclaredMap>,
}

/// The header, which is the same in all datagrams of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferHeader {
    /// Maps in the whole transfer, at least 1.
    pub total: u16,
    /// The object's name, up to its first NUL.
    pub object: Vec<u8>,
    pub st_dev: u64,
    pub st_ino: u64,
}

/// An entry: what the sender declares about a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeclaredMap {
    /// `enum bpf_map_type`.
    pub map_type: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// The declared id, the n of `BPF_MAP<n>`.
    pub id: u32,
}

/// Why a datagram is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DatagramError {
    #[error("a datagram of {} is shorter than its header ({HEADER} bytes)", count(*.0, "byte"))]
    Short(usize),
    #[error("unknown version {0}")]
    Version(u16),
    #[error("the transfer has 0 maps")]
    Empty,
    #[error("a datagram of {got} bytes, expected {want} for {}", count(*.fds, "file descriptor"))]
    Length { got: usize, fds: usize, want: usize },
    #[error("a datagram without file descriptors")]
    NoDescriptors,
}

impl Datagram {
    /// Decodes a datagram that came with `fds` file descriptors.
    pub fn decode(bytes: &[u8], fds: usize) -> Result<Datagram, DatagramError> {
        let Some((head, entries)) = bytes.split_at_checked(HEADER) else {
            return Err(DatagramError::Short(bytes.len()));
        };
        let version = u16_at(head, 0);
        if version != VERSION {
            return Err(DatagramError::Version(version));
        }
        let total = u16_at(head, 2);
        if total == 0 {
            return Err(DatagramError::Empty);
        }
        let want = HEADER + ENTRY * fds;
        if bytes.len() != want {
            return Err(DatagramError::Length { got: bytes.len(), fds, want });
        }
        if fds == 0 {
            return Err(DatagramError::NoDescriptors);
        }
        let object = head[4..4 + OBJECT].split(|&b| b == 0).next().unwrap_or_default().to_vec();
        let header =
            TransferHeader { total, object, st_dev: u64_at(head, 72), st_ino: u64_at(head, 80) };
        Ok(Datagram {
            header,
            entries: entries.chunks_exact(ENTRY).map(DeclaredMap::decode).collect(),
        })
    }

    /// Encodes a datagram that is sent with an fd for each entry. A name that is too long is
    /// truncated.
    pub fn encode(&self) -> Vec<u8> {
        let TransferHeader { total, ref object, st_dev, st_ino } = self.header;
        let mut bytes = Vec::with_capacity(HEADER + ENTRY * self.entries.len());
        bytes.extend(VERSION.to_ne_bytes());
        bytes.extend(total.to_ne_bytes());
        bytes.extend(object.iter().copied().chain(repeat(0)).take(OBJECT));
        bytes.extend([0; 4]);
        bytes.extend(st_dev.to_ne_bytes());
        bytes.extend(st_ino.to_ne_bytes());
        for entry in &self.entries {
            bytes.extend(entry.words().iter().flat_map(|word| word.to_ne_bytes()));
        }
        bytes
    }
}

impl DeclaredMap {
    fn decode(bytes: &[u8]) -> DeclaredMap {
        DeclaredMap {
            map_type: u32_at(bytes, 0),
            key_size: u32_at(bytes, 4),
            value_size: u32_at(bytes, 8),
            max_entries: u32_at(bytes, 12),
            flags: u32_at(bytes, 16),
            id: u32_at(bytes, 20),
        }
    }

    /// Without pinning and inner map, which are instructions for tc and not properties of the map.
    fn words(&self) -> [u32; ENTRY / 4] {
        let DeclaredMap { map_type, key_size, value_size, max_entries, flags, id } = *self;
        [map_type, key_size, value_size, max_entries, flags, id, 0, 0, 0]
    }
}

fn bytes_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[offset + i])
}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_ne_bytes(bytes_at(bytes, offset))
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_ne_bytes(bytes_at(bytes, offset))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_ne_bytes(bytes_at(bytes, offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn datagram(version: u16, total: u16, entries: usize) -> Vec<u8> {
        let mut bytes = vec![0; HEADER + ENTRY * entries];
        bytes[0..2].copy_from_slice(&version.to_ne_bytes());
        bytes[2..4].copy_from_slice(&total.to_ne_bytes());
        bytes[4..9].copy_from_slice(b"obj.o");
        bytes[80..88].copy_from_slice(&77u64.to_ne_bytes());
        for i in 0..entries {
            let id = (i as u32 + 5).to_ne_bytes();
            bytes[HEADER + ENTRY * i + 20..][..4].copy_from_slice(&id);
        }
        bytes
    }

    #[test]
    fn datagram_has_a_header_and_an_entry_for_each_fd() {
        let read = Datagram::decode(&datagram(1, 2, 2), 2).unwrap();
        assert_eq!(read.header.object, b"obj.o");
        assert_eq!((read.header.total, read.header.st_ino), (2, 77));
        assert_eq!(read.entries.iter().map(|e| e.id).collect::<Vec<_>>(), [5, 6]);
    }

    #[test]
    fn inconsistent_datagrams_are_refused() {
        use DatagramError::*;
        for (bytes, fds, want) in [
            (vec![], 0, Short(0)),
            (vec![0; 87], 1, Short(87)),
            (datagram(2, 1, 1), 1, Version(2)),
            (datagram(1, 0, 1), 1, Empty),
            (datagram(1, 1, 0), 0, NoDescriptors),
            (datagram(1, 1, 1), 2, Length { got: 124, fds: 2, want: 160 }),
            (datagram(1, 2, 2), 1, Length { got: 160, fds: 1, want: 124 }),
        ] {
            assert_eq!(Datagram::decode(&bytes, fds), Err(want));
        }
    }

    prop_compose! {
        fn entry()(words in any::<[u32; 6]>()) -> DeclaredMap {
            let [map_type, key_size, value_size, max_entries, flags, id] = words;
            DeclaredMap { map_type, key_size, value_size, max_entries, flags, id }
        }
    }

    prop_compose! {
        fn whole()(
            total in 1..=u16::MAX,
            object in vec(1..=u8::MAX, 0..=OBJECT),
            (st_dev, st_ino) in any::<(u64, u64)>(),
            entries in vec(entry(), 1..=TC_FDS),
        ) -> Datagram {
            Datagram { header: TransferHeader { total, object, st_dev, st_ino }, entries }
        }
    }

    proptest! {
        #[test]
        fn encoded_datagrams_decode_to_the_same(datagram in whole()) {
            let bytes = datagram.encode();
            let fds = datagram.entries.len();
            prop_assert_eq!(Datagram::decode(&bytes, fds), Ok(datagram));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..400), fds in 0..300usize) {
            let _ = Datagram::decode(&bytes, fds);
        }

        #[test]
        fn truncated_or_extended_datagrams_are_refused(datagram in whole(), by in 1..200usize) {
            let (bytes, fds) = (datagram.encode(), datagram.entries.len());
            let mut longer = bytes.clone();
            longer.resize(bytes.len() + by, 0xff);
            for wrong in [&bytes[..bytes.len().saturating_sub(by)], &longer] {
                prop_assert!(Datagram::decode(wrong, fds).is_err());
            }
        }
    }
}
