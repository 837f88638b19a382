//! The socket of an agent: the one that is given, else that of `$BPF_AGENT`, else that of the
//! units in systemd/.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

const VARIABLE: &str = "BPF_AGENT";
/// As in systemd/bpf-agent.socket.
pub const DEFAULT: &str = "/run/bpf-agent.sock";

/// The socket at which the agent at `path` serves only root and its own user.
pub fn private_path(path: &Path) -> PathBuf {
    let mut private = OsString::from(path);
    private.push(".root");
    private.into()
}

/// The path of an agent's socket, and where the path comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    path: PathBuf,
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Given,
    Variable,
    Default,
}

impl Socket {
    /// The socket to use if `given` is what the command line has. An empty variable counts as
    /// one that is not set.
    pub fn choose(given: Option<&OsStr>) -> Socket {
        let variable = || std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
        match given {
            Some(path) => Socket::given(path),
            None => match variable() {
                Some(path) => Socket { path: path.into(), origin: Origin::Variable },
                None => Socket { path: DEFAULT.into(), origin: Origin::Default },
            },
        }
    }

    /// The socket at a path from the command line.
    pub fn given(path: impl Into<PathBuf>) -> Socket {
        Socket { path: path.into(), origin: Origin::Given }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the path comes from, to follow the reason for which it cannot be connected to;
    /// empty if the command line has it.
    pub fn hint(&self) -> &'static str {
        match self.origin {
            Origin::Given => "",
            Origin::Variable => " (the socket is from $BPF_AGENT)",
            Origin::Default => " (the default socket)",
        }
    }
}
