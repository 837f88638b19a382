//! `bpf-map`: from its arguments to the exit status.

mod arguments;
mod cmd;
mod fields;
mod json_error;
mod lines;
mod output;
mod permissions;
mod session;
mod target;

use super::exit::{self, ReaderGone};
use super::negative;
use crate::bpffs::choose_root;
use bpf_inherit::Startup;
use output::PROGRAM;
use session::Session;
use std::ffi::OsString;

/// Runs the program; returns its exit status.
pub fn main(startup: Startup, mut arguments: Vec<OsString>) -> u8 {
    if exit::is_refused(PROGRAM) {
        return exit::FAILED;
    }
    exit::outlive_readers();
    cmd::replace_help(&mut arguments);
    let arguments: Vec<OsString> = arguments.into_iter().map(negative::mark).collect();
    // Only the part of the option parser that is needed is built.
    let command = cmd::command_for(arguments.get(1).map(OsString::as_os_str));
    let (_, name) = cmd::find_name(&arguments);
    let matches = match exit::parse(command, PROGRAM, name, arguments, exit::FAILED) {
        Ok(matches) => matches,
        Err(status) => return status,
    };
    let mut session = Session::new(startup, choose_root(arguments::optional(&matches, "bpffs")));
    let result = cmd::parse(&matches).and_then(|(invocation, _)| invocation.run(&mut session));
    // Output buffered before a failure is printed too.
    let flushed = session.out.flush();
    match result.and_then(|status| flushed.map(|()| status)) {
        Ok(status) => status,
        Err(error) if error.is::<ReaderGone>() => 0,
        Err(error) => {
            exit::fail(PROGRAM, &error);
            if session.verbose {
                exit::print_log(&error);
            }
            exit::FAILED
        }
    }
}
