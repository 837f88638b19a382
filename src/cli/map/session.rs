//! What the commands of one run of bpf-map share.

use super::arguments::MapArguments;
use super::target::Target;
use crate::cli::exit::Output;
use bpf_inherit::{AccessMode, Startup};
use std::rc::Rc;

/// What was inherited, and what is printed.
#[derive(Debug)]
pub struct Session {
    /// The environment and the file descriptors that bpf-map was started with.
    pub startup: Startup,
    /// The output, data and messages.
    pub out: Output,
}

impl Session {
    pub fn new(startup: Startup) -> Session {
        Session { startup, out: Output::default() }
    }

    /// Opens a map.
    pub fn open(&mut self, map: &MapArguments, access: AccessMode) -> anyhow::Result<Rc<Target>> {
        Target::open(&self.startup, map.reference, access, &map.types).map(Rc::new)
    }
}
