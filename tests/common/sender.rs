//! A sender of tc's wire format, byte by byte, which shares no code with the receiver.

use sendfd::SendWithFd;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// What is declared of one map: type, key size, value size, max entries, flags,
/// id, pinning, inner id, inner index.
pub type Entry = [u32; 9];

/// A datagram under construction; whatever is wrong with it is sent as it is.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub version: u16,
    pub total: u16,
    pub object: String,
    pub st_dev: u64,
    pub st_ino: u64,
    pub entries: Vec<Entry>,
}

impl Datagram {
    /// As tc would make it: everything in one datagram.
    pub fn of(entries: Vec<Entry>) -> Datagram {
        let total = entries.len() as u16;
        Datagram { version: 1, total, object: "test.o".into(), st_dev: 7, st_ino: 8, entries }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.version.to_ne_bytes());
        bytes.extend(self.total.to_ne_bytes());
        let mut name = [0u8; 64];
        name[..self.object.len()].copy_from_slice(self.object.as_bytes());
        bytes.extend(name);
        bytes.extend([0; 4]);
        bytes.extend(self.st_dev.to_ne_bytes());
        bytes.extend(self.st_ino.to_ne_bytes());
        for entry in &self.entries {
            bytes.extend(entry.iter().flat_map(|word| word.to_ne_bytes()));
        }
        bytes
    }

    /// Sends it with `fds` to the socket at `path`.
    pub fn send(&self, path: &Path, fds: &[BorrowedFd]) {
        send(path, &self.bytes(), fds);
    }
}

/// Sends any bytes with any descriptors to the socket at `path`.
pub fn send(path: &Path, bytes: &[u8], fds: &[BorrowedFd]) {
    let socket = UnixDatagram::unbound().expect("a socket");
    socket.connect(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let numbers: Vec<RawFd> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
    let sent = match numbers.is_empty() {
        true => socket.send(bytes),
        false => socket.send_with_fd(bytes, &numbers),
    };
    assert_eq!(sent.expect("sent"), bytes.len());
}
