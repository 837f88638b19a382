//! `bpf-agent`: its arguments, and how it starts and ends.

mod arguments;

use super::exit;
use crate::agent::listener::Listener;
use crate::agent::log::Log;
use crate::agent::policy::{Policy, Rule, parse_file};
use crate::agent::server::{Server, block_signals};
use crate::agent::service::Service;
use crate::agent::state::{Saved, StateDir};
use crate::agent::store::Store;
use crate::error::{Cause, Error};
use crate::handoff::place::OpenFiles;
use crate::socket::bound::{Bound, MAX_PATH, file_name};
use crate::socket::endpoint::Endpoint;
use crate::source::agent::private_path;
use crate::text::{count, escape};
use anyhow::{Context, bail};
use arguments::Plan;
use bpf_inherit::peer::pass_rights;
use bpf_inherit::privilege::{CAP_SYS_ADMIN, drop_capabilities, restrict_process};
use bpf_inherit::startup::ListenFdsError;
use bpf_inherit::{Errno, Startup};
use clap::ArgMatches;
use nix::fcntl::{F_GETFL, FcntlArg, OFlag, fcntl};
use nix::sys::socket::{SockType, UnixAddr, getsockname, getsockopt, sockopt};
use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

const PROGRAM: &str = "bpf-agent";

/// Runs the program; returns its exit status.
pub fn main(startup: Startup, arguments: Vec<OsString>) -> u8 {
    if exit::is_refused(PROGRAM) {
        return exit::FAILED;
    }
    exit::outlive_readers();
    // Before anything is opened, which could get one of their numbers.
    let listed = startup.listen_fds();
    close_inherited(&startup);
    let matches = match exit::parse(arguments::command(), PROGRAM, None, arguments, exit::FAILED) {
        Ok(matches) => matches,
        Err(status) => return status,
    };
    let served = check(&matches).and_then(|(plan, policy)| {
        if matches.get_flag("check") {
            return Ok(());
        }
        let listed = listed.map_err(|error| match error {
            ListenFdsError::Variable(name) => Error::new(name, "read", "not a number").into(),
            ListenFdsError::Fd(number, errno) => {
                Error::new(format!("LISTEN_FDS: fd {number}"), "use", errno).into()
            }
        });
        listed.and_then(|listed| run(plan, policy, listed)).map_err(|error| vec![error])
    });
    let Err(errors) = served else { return 0 };
    errors.iter().for_each(|error| exit::fail(PROGRAM, error));
    exit::FAILED
}

/// The plan and the policy, or all that is wrong with the options and the rules.
fn check(matches: &ArgMatches) -> Result<(Plan, Policy), Vec<anyhow::Error>> {
    let mut errors = Vec::new();
    let plan = arguments::plan(matches).map_err(|wrong| errors.extend(wrong));
    let rules = plan.as_ref().map_or(&[][..], |plan| &plan.rules);
    let path = |name: &str| matches.get_one::<OsString>(name).map(Path::new);
    let policy = read_policy(rules, path("rules")).map_err(|wrong| errors.extend(wrong));
    errors.extend(path("socket").and_then(|path| file_name(path).err()).map(Into::into));
    match (plan, policy) {
        (Ok(plan), Ok(policy)) if errors.is_empty() => Ok((plan, policy)),
        _ => Err(errors),
    }
}

/// Closes the fds that the caller left open and that are not served, such as the maps of a shell,
/// which would live as long as the agent.
fn close_inherited(startup: &Startup) {
    let unused = startup.fds().unwrap_or_default().into_iter().filter(|fd| fd.number() > 2);
    unused.for_each(|fd| drop(startup.take(fd)));
}

fn run(mut plan: Plan, policy: Policy, listed: Vec<(OwnedFd, String)>) -> anyhow::Result<()> {
    // The files that it creates are private.
    umask(Mode::from_bits_truncate(0o077));
    restrict_process().map_err(|errno| Error::new("privileges", "drop", errno))?;
    // Stays raised: the agent holds fds.
    let open_files = OpenFiles::raise();
    let reduced = plan.reduce_limits(open_files.hard());
    let signals = block_signals()?;
    let mut log = Log::new(plan.quiet);
    let listeners = listed.into_iter().map(|(fd, name)| listener(fd, &name));
    let mut listeners = listeners.collect::<Result<Vec<_>, _>>()?;
    if listeners.iter().all(|listener| listener.is_private) && plan.socket.is_none() {
        bail!("nothing to serve: --socket is needed, or a socket from systemd");
    }
    let (state, saved) = open_state(plan.state.as_deref(), &mut log)?;
    let has_pins = state.is_some();
    let mut store = Store::new(state, plan.limits.objects);
    for warning in store.restore(saved, &policy) {
        log.line(warning);
    }
    if let Some(path) = &plan.socket {
        let bound = Bound::listening(path, plan.socket_mode, plan.socket_group, false)?;
        listeners.push(Listener { endpoint: Endpoint::Bound(bound), is_private: false });
        let private = private_path(path);
        // A longer path does not fit into an address: root uses the public socket then.
        if private.as_os_str().len() <= MAX_PATH {
            let bound = Bound::listening(&private, 0o600, None, true)?;
            listeners.push(Listener { endpoint: Endpoint::Bound(bound), is_private: true });
        }
    }
    // Not before: an agent that does not start reports the reason only.
    reduced.into_iter().for_each(|warning| log.line(warning));
    if !has_pins {
        log.line("warning: without --state, the objects are released when the agent ends");
    }
    drop_privileges(has_pins, &mut log)?;
    let sockets = listeners.iter().filter(|listener| !listener.is_private).count();
    let objects = store.len();
    let limits = plan.limits;
    let service = Service::new(policy, store, log, limits.in_flight);
    let (rules, file) = (plan.rules, plan.rules_file);
    let reload = Box::new(move || read_policy(&rules, file.as_deref()));
    let mut server = Server::new(service, signals, listeners, &limits, reload)
        .map_err(|e| Error::new("sockets", "watch", e))?;
    server.log().line(format_args!(
        "serves on {}, holds {}",
        count(sockets, "socket"),
        count(objects, "object")
    ));
    Ok(server.run().map_err(|e| Error::new("sockets", "watch", e))?)
}

/// Opens the state, if there is one, and reads the objects that an earlier agent stored in it.
fn open_state(
    path: Option<&Path>,
    log: &mut Log,
) -> anyhow::Result<(Option<StateDir>, Vec<Saved>)> {
    let Some(path) = path else { return Ok((None, Vec::new())) };
    let mut warnings = Vec::new();
    let state = StateDir::open(path, &mut warnings)?;
    let (saved, more) = state.load()?;
    warnings.extend(more);
    for warning in warnings {
        log.line(warning);
    }
    Ok((Some(state), saved))
}

/// An inherited socket, which must be one that accepts connections of the protocol.
fn listener(fd: OwnedFd, name: &str) -> Result<Listener, Error> {
    let name = if name.is_empty() { "inherited" } else { name };
    let fail = |cause: Cause| Error::new(name, "serve inherited fd", cause);
    let kind = getsockopt(&fd, sockopt::SockType).map_err(|errno| match errno {
        Errno::ENOTSOCK => fail("not a socket".into()),
        errno => fail(errno.into()),
    })?;
    // Only a unix socket identifies its peers.
    getsockname::<UnixAddr>(fd.as_raw_fd()).map_err(|_| fail("not a unix socket".into()))?;
    let listens = getsockopt(&fd, sockopt::AcceptConn).map_err(|errno| fail(errno.into()))?;
    if kind != SockType::SeqPacket || !listens {
        return Err(fail("not a listening SEQPACKET socket".into()));
    }
    let flags = fcntl(fd.as_fd(), F_GETFL).map_err(|errno| fail(errno.into()))?;
    let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
    fcntl(fd.as_fd(), FcntlArg::F_SETFL(flags)).map_err(|errno| fail(errno.into()))?;
    let is_private = name == "root";
    if !is_private {
        // For connections that are made from now on. ENOPROTOOPT before Linux 6.16.
        let _ = pass_rights(fd.as_fd(), false);
    }
    Ok(Listener { endpoint: Endpoint::Inherited(fd), is_private })
}

/// The rules of the command line, and those of the file. The errors are all of the file.
fn read_policy(rules: &[Rule], file: Option<&Path>) -> Result<Policy, Vec<anyhow::Error>> {
    let mut rules = rules.to_vec();
    let mut errors = Vec::new();
    if let Some(path) = file {
        let text = read_rules(path).map_err(|error| vec![error.into()])?;
        for rule in parse_file(&text) {
            let shown = || escape(path.as_os_str().as_bytes());
            match rule.map_err(anyhow::Error::msg).with_context(shown) {
                Ok(rule) => rules.push(rule),
                Err(error) => errors.push(error),
            }
        }
    }
    if errors.is_empty() { Ok(Policy::new(geteuid().as_raw(), rules)) } else { Err(errors) }
}

/// The text of a file that only root and the agent's own user can have written.
fn read_rules(path: &Path) -> Result<Vec<u8>, Error> {
    const MAX: u64 = 1 << 20;
    let fail = |cause: Cause| Error::new(path.as_os_str().as_bytes(), "read rules", cause);
    // Opening a FIFO would wait for a writer, and reading a device might not end.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let file = file.map_err(|e| fail(e.into()))?;
    let about = file.metadata().map_err(|e| fail(e.into()))?;
    if !about.is_file() {
        return Err(fail("not a regular file".into()));
    }
    if about.uid() != 0 && about.uid() != geteuid().as_raw() {
        return Err(fail(format!("it belongs to uid {}", about.uid()).into()));
    }
    if about.mode() & 0o022 != 0 {
        return Err(fail(
            format!("others may write it: mode {:04o}", about.mode() & 0o7777).into(),
        ));
    }
    let mut text = Vec::new();
    file.take(MAX + 1).read_to_end(&mut text).map_err(|e| fail(e.into()))?;
    if text.len() as u64 > MAX {
        return Err(fail("longer than a mebibyte".into()));
    }
    Ok(text)
}

/// With pins, no privileges are needed; without, opening a map by its id with less access than its
/// fd has requires CAP_SYS_ADMIN.
fn drop_privileges(has_pins: bool, log: &mut Log) -> anyhow::Result<()> {
    let keep: &[u32] = if has_pins { &[] } else { &[CAP_SYS_ADMIN] };
    let has = drop_capabilities(keep).map_err(|errno| Error::new("privileges", "drop", errno))?;
    if !has {
        log.line("warning: neither pins nor CAP_SYS_ADMIN: no fd can be opened with less access");
    }
    Ok(())
}
