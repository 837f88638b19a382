//! The numbered lines of a file or of standard input. Lines over a limit are refused, so that input
//! without line ends does not fill the memory.

use crate::error::Error;
use crate::text::escape_argument;
use anyhow::bail;
use bpf_inherit::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;

/// The size of each read: the capacity of a pipe.
const CHUNK: usize = 64 << 10;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// The lines of one input.
pub struct Lines {
    /// None is standard input.
    file: Option<File>,
    /// The input as its user called it, escaped.
    pub name: String,
    buffer: Vec<u8>,
    /// The part of the buffer that was read and not yet given.
    start: usize,
    end: usize,
    done: bool,
    number: usize,
    /// Bytes that a line may have.
    pub limit: usize,
    total: u64,
}

impl Lines {
    /// Opens `path`; None and `-` mean standard input.
    pub fn open(path: Option<&OsStr>, limit: usize) -> anyhow::Result<Lines> {
        let path = path.filter(|path| *path != "-");
        let file = path.map(File::open).transpose();
        let file =
            file.map_err(|error| Error::new(path.unwrap_or_default().as_bytes(), "open", error))?;
        let name = path.map_or("standard input".into(), |path| escape_argument(path.as_bytes()));
        let buffer = vec![0; 2 * CHUNK];
        Ok(Lines { file, name, buffer, start: 0, end: 0, done: false, number: 0, limit, total: 0 })
    }

    /// The size of the input in bytes; None unless it is a regular file.
    pub fn size(&self) -> Option<u64> {
        let about = self.file.as_ref()?.metadata().ok()?;
        about.is_file().then_some(about.len())
    }

    /// Bytes read so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whether the next line has been read already, so that [`Lines::next`] does not wait.
    pub fn is_ready(&self) -> bool {
        self.buffer[self.start..self.end].contains(&b'\n')
    }

    /// The next line, without its LF or CR LF, and its number, which starts at 1; None at the end.
    /// A byte order mark at the start of the input is skipped.
    pub fn next(&mut self) -> anyhow::Result<Option<(usize, &[u8])>> {
        let mut looked = self.start;
        let length = loop {
            let rest = &self.buffer[looked..self.end];
            if let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
                break looked + at - self.start;
            }
            let have = self.end - self.start;
            if have > self.limit {
                bail!("{}: line {}: longer than {} bytes", self.name, self.number + 1, self.limit);
            }
            if self.done && have == 0 {
                return Ok(None);
            }
            if self.done {
                break have;
            }
            self.read()?;
            looked = self.start + have;
        };
        let line = self.start..self.start + length;
        self.start = (line.end + 1).min(self.end);
        self.number += 1;
        let line = &self.buffer[line];
        let line = if self.number == 1 { line.strip_prefix(BOM).unwrap_or(line) } else { line };
        Ok(Some((self.number, line.strip_suffix(b"\r").unwrap_or(line))))
    }

    fn read(&mut self) -> anyhow::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.buffer.len() - self.end < CHUNK {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let room = &mut self.buffer[self.end..];
        let count = loop {
            let read = match &self.file {
                Some(file) => nix::unistd::read(file, room),
                None => nix::unistd::read(std::io::stdin(), room),
            };
            match read {
                Err(Errno::EINTR) => {}
                read => break read,
            }
        };
        let count = count.map_err(|errno| {
            anyhow::Error::msg(format!("{}: read: {}", self.name, bpf_inherit::describe(errno)))
        })?;
        self.end += count;
        self.total += count as u64;
        self.done = count == 0;
        Ok(())
    }
}
