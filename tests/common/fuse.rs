//! A FUSE file system with one file, a socket that its server says belongs to root: the least of
//! the protocol of linux/fuse.h that stat(2), statfs(2) and connect(2) need.

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

const LOOKUP: u32 = 1;
const GETATTR: u32 = 3;
const STATFS: u32 = 17;
const INIT: u32 = 26;
const ROOT: u64 = 1;
const SOCKET: u64 = 2;

/// Mounts it at `directory`, in the mount namespace of the caller, and serves it on another
/// thread until it is unmounted.
pub fn serve(directory: &Path) {
    let mut device = File::options().read(true).write(true).open("/dev/fuse").expect("/dev/fuse");
    let fd = device.as_raw_fd();
    let options = format!("fd={fd},rootmode=40000,user_id=65534,group_id=65534,allow_other");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("test"), directory, Some("fuse"), flags, Some(options.as_str())).expect("mounted");
    std::thread::spawn(move || {
        let mut request = vec![0; 1 << 20];
        while let Ok(length) = device.read(&mut request) {
            if let Some(reply) = reply(&request[..length])
                && device.write_all(&reply).is_err()
            {
                break;
            }
        }
    });
}

/// The reply to a request: a header, and what the operation returns. None to what needs none.
fn reply(request: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().expect("4 bytes"));
    let node = u64::from_ne_bytes(request[16..24].try_into().expect("8 bytes"));
    const FORGET: u32 = 2;
    const BATCH_FORGET: u32 = 42;
    let body = match word(4) {
        FORGET | BATCH_FORGET => return None,
        // Version 7.31, and no features: 64 bytes.
        INIT => Ok(words(&[7, 31, 0, 0, 0, 4096, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        // Node, generation, and no time for which they are valid.
        LOOKUP => Ok([words(&[SOCKET as u32, 0, 0, 0, 0, 0, 0, 0, 0, 0]), about(SOCKET)].concat()),
        GETATTR => Ok([words(&[0, 0, 0, 0]), about(node)].concat()),
        STATFS => Ok(vec![0; 80]),
        _ => Err(Errno::ENOSYS),
    };
    let error = body.as_ref().map_or_else(|errno| -(*errno as i32), |_| 0);
    let body = body.unwrap_or_default();
    let head = [(16 + body.len() as u32).to_ne_bytes(), error.to_ne_bytes()].concat();
    Some([&head, &request[8..16], &body].concat())
}

/// `struct fuse_attr`: root owns both nodes.
fn about(node: u64) -> Vec<u8> {
    let mode = if node == ROOT { libc::S_IFDIR | 0o755 } else { libc::S_IFSOCK | 0o666 };
    let mut attr = [0; 22];
    // The number of the node, mode and link count.
    (attr[0], attr[15], attr[16]) = (node as u32, mode, 1);
    words(&attr)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}
