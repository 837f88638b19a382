//! The table of options that name sources.

use clap::{Arg, ArgAction, value_parser};
use std::ffi::OsString;

/// The options that name a source.
#[derive(Clone, Copy, Debug)]
pub enum SourceOption {
    Pin,
    Prog,
    Link,
    Id,
    Name,
    Import,
    Agent,
    Pid,
    Create,
    Object,
}

impl SourceOption {
    /// In the order of the help.
    pub const ALL: [SourceOption; 10] = [
        SourceOption::Pin,
        SourceOption::Prog,
        SourceOption::Link,
        SourceOption::Id,
        SourceOption::Name,
        SourceOption::Import,
        SourceOption::Agent,
        SourceOption::Pid,
        SourceOption::Create,
        SourceOption::Object,
    ];

    /// The name of the option, the name of its value, and its help.
    fn describe(self) -> (&'static str, &'static str, &'static str) {
        match self {
            SourceOption::Pin => {
                ("pin", "[NAME=]PATH", "A pinned map, or all maps pinned below a directory")
            }
            SourceOption::Prog => {
                ("prog", "[NAME=]PROG", "Pinned programs, id:ID, or FILE#NAME of an object file")
            }
            SourceOption::Link => {
                ("link", "[NAME=]LINK", "A pinned link, all below a directory, or id:ID")
            }
            SourceOption::Id => ("id", "[NAME=]ID", "The map with this id"),
            SourceOption::Name => ("name", "[NAME=]KNAME", "The map with this kernel name"),
            SourceOption::Import => {
                ("import", "[NAME=]PATH|fd:N", "The maps that tc sends to this socket")
            }
            SourceOption::Agent => (
                "agent",
                "[NAME=]PATH[#NAME,…]",
                "Objects that a bpf-agent holds: these names, or all",
            ),
            SourceOption::Pid => ("pid", "[NAME=]PID", "All maps that a process has open"),
            SourceOption::Create => (
                "create",
                "NAME=TYPE,…",
                "A new map: TYPE,key=LAYOUT,value=LAYOUT,entries=N,flags=A|B",
            ),
            SourceOption::Object => (
                "object",
                "[NAME=]FILE[#NAME,…]",
                "The maps that an object file of BPF programs declares",
            ),
        }
    }

    pub fn name(self) -> &'static str {
        self.describe().0
    }

    pub fn argument(self) -> Arg {
        let (name, value, help) = self.describe();
        Arg::new(name)
            .long(name)
            .value_name(value)
            .help(help)
            .action(ArgAction::Append)
            .value_parser(value_parser!(OsString))
            .allow_hyphen_values(true)
            .help_heading("Sources (repeatable, in the given order)")
    }
}
