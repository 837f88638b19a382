//! Pins that are made for an object, and removed again unless the command is executed.

use crate::bpffs::pinning;
use crate::error::Error;
use crate::wait::Signals;
use nix::fcntl::AT_FDCWD;
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A map that is not pinned yet.
pub struct Unpinned {
    pub fd: OwnedFd,
    pub path: PathBuf,
}

/// Pins that this process made, which are removed with it unless the command is executed: then
/// nothing is dropped any more.
#[derive(Debug, Default)]
pub struct NewPins {
    pins: Vec<PathBuf>,
    directories: Vec<PathBuf>,
    // Dropped after the pins are removed.
    signals: Option<Signals>,
}

impl NewPins {
    /// Pins all maps; if one cannot be pinned, none is. `signals` are blocked as long as there are pins.
    pub fn make(
        maps: Vec<Unpinned>,
        root: &Path,
        signals: Option<Signals>,
    ) -> Result<NewPins, Error> {
        let (pins, directories) = (Vec::new(), Vec::new());
        let mut made = NewPins { pins, directories, signals };
        for Unpinned { fd, path } in maps {
            made.make_directories(path.parent().unwrap_or(root), root)?;
            pinning::pin(&fd, &path)?;
            made.pins.push(path);
        }
        Ok(made)
    }

    /// Keeps the pins.
    pub fn keep(mut self) {
        self.pins.clear();
        self.directories.clear();
    }

    /// The signals that are blocked until the command is executed.
    pub fn signals(&self) -> Option<&Signals> {
        self.signals.as_ref()
    }

    /// Makes the directories below the root that are missing, for their owner alone, as tc does.
    fn make_directories(&mut self, directory: &Path, root: &Path) -> Result<(), Error> {
        let mut missing: Vec<&Path> =
            directory.ancestors().take_while(|path| *path != root && !path.exists()).collect();
        while let Some(path) = missing.pop() {
            match DirBuilder::new().mode(0o700).create(path) {
                Ok(()) => self.directories.push(path.to_owned()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(Error::new(path.as_os_str().as_bytes(), "make directory", error));
                }
            }
        }
        Ok(())
    }
}

impl Drop for NewPins {
    fn drop(&mut self) {
        // Whatever fails has been removed by another process, or is in use by it.
        for pin in &self.pins {
            let _ = unlinkat(AT_FDCWD, pin, UnlinkatFlags::NoRemoveDir);
        }
        for directory in self.directories.iter().rev() {
            let _ = unlinkat(AT_FDCWD, directory, UnlinkatFlags::RemoveDir);
        }
    }
}
