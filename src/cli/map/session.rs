//! What the commands of one run of bpf-map share.

use crate::cli::exit::Output;
use bpf_inherit::Startup;

/// What was inherited, and what is printed.
#[derive(Debug)]
pub struct Session {
    /// The environment and the file descriptors that bpf-map was started with.
    pub startup: Startup,
    /// The output, data and messages.
    pub out: Output,
}

impl Session {
    /// Both parts, to be used at the same time.
    pub fn parts(&mut self) -> (&Startup, &mut Output) {
        (&self.startup, &mut self.out)
    }
}
