//! Reads object files.

use crate::error::Error;
use crate::object::Object;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub const READ: &str = "read object";
/// The maximum size of an object file: larger than any real one, but limited, so that a wrong path
/// cannot fill the memory.
const MAX_FILE: u64 = 256 << 20;

/// Reads a file: its bytes, and the declarations in it.
pub fn read(path: &Path) -> Result<(Vec<u8>, Object), Error> {
    let label = path.as_os_str().as_bytes();
    let fail = |error: std::io::Error| Error::new(label, READ, error);
    // A FIFO without a writer must not block.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    if !metadata.is_file() {
        return Err(Error::new(label, READ, "not a regular file"));
    }
    // With one spare byte, the end of the file is read without another allocation.
    let mut bytes = Vec::with_capacity(metadata.len().min(MAX_FILE) as usize + 1);
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::new(label, READ, "larger than 256 MiB"));
    }
    let object = Object::parse(&bytes, &object_name(path))
        .map_err(|error| Error::new(label, READ, error.to_string()))?;
    Ok((bytes, object))
}

/// The name of an object, with which the names of its data sections begin: the name of the file up
/// to the first dot.
fn object_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}
