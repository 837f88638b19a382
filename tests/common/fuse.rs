//! A FUSE file system with a socket that its server says belongs to root, and a file, `file`: the
//! least of the protocol of linux/fuse.h that stat(2), statfs(2), connect(2) and open(2) need.

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const LOOKUP: u32 = 1;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const STATFS: u32 = 17;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const ROOT: u64 = 1;
const SOCKET: u64 = 2;
const FILE: u64 = 3;

/// Mounts it at `directory`, in the mount namespace of the caller, and serves it on another
/// thread until it is unmounted. Returns the processes that closed the file (FUSE_FLUSH), which
/// a server that does not reply could have kept from going on.
pub fn serve(directory: &Path) -> Arc<Mutex<Vec<u32>>> {
    serve_with(directory, true)
}

/// A file system whose server does not reply to FUSE_FLUSH: a process that closes the file blocks
/// until this is dropped, and not even SIGKILL ends it. The file must not be open in a process that
/// starts others.
pub struct Held {
    directory: PathBuf,
    closing: Arc<Mutex<Vec<u32>>>,
}

impl Held {
    /// Mounts it at `directory`, in the mount namespace of the caller.
    pub fn serve(directory: &Path) -> Held {
        Held { directory: directory.into(), closing: serve_with(directory, false) }
    }

    /// The processes that block because they closed the file.
    pub fn closing(&self) -> Vec<u32> {
        self.closing.lock().expect("no panic").clone()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Fails all requests that have no reply.
        let flags = MntFlags::MNT_FORCE | MntFlags::MNT_DETACH;
        umount2(&self.directory, flags).expect("unmounted");
    }
}

fn serve_with(directory: &Path, replies_to_flush: bool) -> Arc<Mutex<Vec<u32>>> {
    let mut device = File::options().read(true).write(true).open("/dev/fuse").expect("/dev/fuse");
    let fd = device.as_raw_fd();
    let options = format!("fd={fd},rootmode=40000,user_id=65534,group_id=65534,allow_other");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("test"), directory, Some("fuse"), flags, Some(options.as_str())).expect("mounted");
    let flushed = Arc::new(Mutex::new(Vec::new()));
    let seen = flushed.clone();
    std::thread::spawn(move || {
        let mut request = vec![0; 1 << 20];
        while let Ok(length) = device.read(&mut request) {
            if word(&request, 4) == FLUSH {
                seen.lock().expect("no panic").push(word(&request, 32));
                if !replies_to_flush {
                    continue;
                }
            }
            if let Some(reply) = reply(&request[..length])
                && device.write_all(&reply).is_err()
            {
                break;
            }
        }
    });
    flushed
}

fn word(request: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(request[at..at + 4].try_into().expect("4 bytes"))
}

/// The reply to a request: a header and the result of the operation. None if no reply is needed.
fn reply(request: &[u8]) -> Option<Vec<u8>> {
    let node = u64::from_ne_bytes(request[16..24].try_into().expect("8 bytes"));
    const FORGET: u32 = 2;
    const BATCH_FORGET: u32 = 42;
    let body = match word(request, 4) {
        FORGET | BATCH_FORGET => return None,
        // Version 7.31, and no features: 64 bytes.
        INIT => Ok(words(&[7, 31, 0, 0, 0, 4096, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        // Node, generation, and no time for which they are valid.
        LOOKUP => {
            let node = if request[40..].starts_with(b"file\0") { FILE } else { SOCKET };
            Ok([words(&[node as u32, 0, 0, 0, 0, 0, 0, 0, 0, 0]), about(node)].concat())
        }
        OPEN => Ok(vec![0; 16]),
        GETATTR => Ok([words(&[0, 0, 0, 0]), about(node)].concat()),
        STATFS => Ok(vec![0; 80]),
        _ => Err(Errno::ENOSYS),
    };
    let error = body.as_ref().map_or_else(|errno| -(*errno as i32), |_| 0);
    let body = body.unwrap_or_default();
    let head = [(16 + body.len() as u32).to_ne_bytes(), error.to_ne_bytes()].concat();
    Some([&head, &request[8..16], &body].concat())
}

/// `struct fuse_attr`: root owns all nodes.
fn about(node: u64) -> Vec<u8> {
    let mode = match node {
        ROOT => libc::S_IFDIR | 0o755,
        FILE => libc::S_IFREG | 0o666,
        _ => libc::S_IFSOCK | 0o666,
    };
    let mut attr = [0; 22];
    // The number of the node, mode and link count.
    (attr[0], attr[15], attr[16]) = (node as u32, mode, 1);
    words(&attr)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}
