//! What the commands of one run of bpf-map share.

use super::arguments::{GivenTypes, MapArguments};
use super::output::Output;
use super::target::{Target, reference};
use crate::bpffs::pin;
use bpf_inherit::{AccessMode, Startup};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::rc::Rc;

/// How many maps are kept open for each access mode.
const MAX_KEPT: usize = 256;

/// The inherited objects, the output, and the open maps of one run.
#[derive(Debug)]
pub struct Session {
    /// The environment and the file descriptors that bpf-map was started with.
    pub startup: Startup,
    /// The root of the BPF file system.
    pub bpffs: PathBuf,
    /// The output, data and messages.
    pub out: Output,
    /// Whether the log of the verifier is printed if the verifier refuses a program.
    pub verbose: bool,
    /// The maps that stay open from one command to the next; only in a batch, since to notice that a
    /// pin was replaced costs a system call.
    kept: Option<KeptMaps>,
}

/// Maps by reference. A map that was opened to be read is not used to write.
#[derive(Debug, Default)]
struct KeptMaps {
    read: HashMap<OsString, KeptMap>,
    written: HashMap<OsString, KeptMap>,
}

/// A map, and the pin through which it was opened, if it was one.
#[derive(Debug)]
struct KeptMap {
    target: Rc<Target>,
    pin: Option<pin::Identity>,
}

impl Session {
    pub fn new(startup: Startup, bpffs: PathBuf) -> Session {
        Session { startup, bpffs, out: Output::default(), verbose: false, kept: None }
    }

    /// Keeps the maps open that commands open from here on.
    pub fn keep_maps(&mut self) {
        self.kept = Some(KeptMaps::default());
    }

    /// Opens a map, or returns it if an earlier command of a batch opened it and the reference
    /// still refers to it. A map whose types the command line gives is always opened.
    pub fn open(&mut self, map: &MapArguments, access: AccessMode) -> anyhow::Result<Rc<Target>> {
        let MapArguments { reference, types } = map;
        let open =
            || Target::open(&self.startup, &self.bpffs, reference, access, types).map(Rc::new);
        // Another map may have a kernel name by now, which only a search finds.
        let is_reusable = *types == GivenTypes::default() && !reference::is_kernel_name(reference);
        let Some(kept) = self.kept.as_mut().filter(|_| is_reusable) else { return open() };
        let kept = match access {
            AccessMode::ReadOnly => &mut kept.read,
            AccessMode::ReadWrite | AccessMode::WriteOnly => &mut kept.written,
        };
        // Read before the map is opened: a pin that is replaced afterwards is noticed next time.
        let pin = reference::pin_identity(reference);
        if let Some(found) = kept.get(*reference).filter(|found| found.pin == pin) {
            return Ok(found.target.clone());
        }
        let target = open()?;
        if kept.len() == MAX_KEPT {
            kept.clear();
        }
        let key: &OsStr = reference;
        kept.insert(key.to_owned(), KeptMap { target: target.clone(), pin });
        Ok(target)
    }

    /// Closes the maps that are kept open, after a command that may change what references refer
    /// to.
    pub fn close_maps(&mut self) {
        if let Some(kept) = &mut self.kept {
            *kept = KeptMaps::default();
        }
    }
}
