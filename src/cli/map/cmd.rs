//! The commands of `bpf-map`, a module each, and the table of them.
//!
//! The option parser's result ends here: each command makes its `Args` of it.

mod add;
mod agent;
mod batch;
mod clear;
mod completion;
mod count;
mod create;
mod del;
mod dump;
mod examples;
mod expose;
mod freeze;
mod get;
mod graft;
mod has;
mod keys;
mod list;
mod load;
mod object;
mod peek;
mod pin;
mod pins;
mod pop;
mod preload;
mod push;
mod put;
mod send;
mod set;
mod show;
mod take;
mod trace;
mod unpin;
mod watch;

use super::output::PROGRAM;
use super::session::Session;
use crate::cli::{exit, negative};
use anyhow::bail;
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Command, ValueHint, value_parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// A command with its arguments.
#[derive(Debug, PartialEq)]
pub enum Invocation<'a> {
    List(list::Args),
    Show(show::Args<'a>),
    Get(get::Args<'a>),
    Set(set::Args<'a>),
    Add(add::Args<'a>),
    Take(take::Args<'a>),
    Del(del::Args<'a>),
    Clear(clear::Args<'a>),
    Count(count::Args<'a>),
    Keys(keys::Args<'a>),
    Dump(dump::Args<'a>),
    Load(load::Args<'a>),
    Watch(watch::Args<'a>),
    Trace(trace::Args),
    Push(push::Args<'a>),
    Pop(pop::Args<'a>),
    Peek(peek::Args<'a>),
    Has(has::Args<'a>),
    Pin(pin::Args<'a>),
    Unpin(unpin::Args<'a>),
    Graft(graft::Args<'a>),
    Freeze(freeze::Args<'a>),
    Create(create::Args<'a>),
    Object(object::Args<'a>),
    Pins(pins::Args<'a>),
    Expose(expose::Args<'a>),
    Preload(preload::Args<'a>),
    Send(send::Args<'a>),
    Put(put::Args<'a>),
    Agent(agent::Args<'a>),
    Batch(batch::Args<'a>),
    Completion(completion::Args<'a>),
    Candidates(completion::CandidateArgs<'a>),
}

impl Invocation<'_> {
    /// Runs the command; returns its exit status.
    pub fn run(self, session: &mut Session) -> anyhow::Result<u8> {
        match self {
            Invocation::List(args) => list::run(args, session),
            Invocation::Show(args) => show::run(args, session),
            Invocation::Get(args) => get::run(args, session),
            Invocation::Set(args) => set::run(args, session),
            Invocation::Add(args) => add::run(args, session),
            Invocation::Take(args) => take::run(args, session),
            Invocation::Del(args) => del::run(args, session),
            Invocation::Clear(args) => clear::run(args, session),
            Invocation::Count(args) => count::run(args, session),
            Invocation::Keys(args) => keys::run(args, session),
            Invocation::Dump(args) => dump::run(args, session),
            Invocation::Load(args) => load::run(args, session),
            Invocation::Watch(args) => watch::run(args, session),
            Invocation::Trace(args) => trace::run(args, session),
            Invocation::Push(args) => push::run(args, session),
            Invocation::Pop(args) => pop::run(args, session),
            Invocation::Peek(args) => peek::run(args, session),
            Invocation::Has(args) => has::run(args, session),
            Invocation::Pin(args) => pin::run(args, session),
            Invocation::Unpin(args) => unpin::run(args, session),
            Invocation::Graft(args) => graft::run(args, session),
            Invocation::Freeze(args) => freeze::run(args, session),
            Invocation::Create(args) => create::run(args, session),
            Invocation::Object(args) => object::run(args, session),
            Invocation::Pins(args) => pins::run(args, session),
            Invocation::Expose(args) => expose::run(args, session),
            Invocation::Preload(args) => preload::run(args, session),
            Invocation::Send(args) => send::run(args, session),
            Invocation::Put(args) => put::run(args, session),
            Invocation::Agent(args) => agent::run(args, session),
            Invocation::Batch(args) => {
                let mut parser = command();
                batch::run(args, session, |words, session| run_words(&mut parser, words, session))
            }
            Invocation::Completion(args) => completion::run(args, session),
            Invocation::Candidates(args) => completion::print_candidates(args, session, command()),
        }
    }
}

/// A row of the table of commands.
pub struct Subcommand {
    name: &'static str,
    about: &'static str,
    arguments: fn(Command) -> Command,
    /// The arguments, as the command takes them.
    parse: for<'a> fn(&'a ArgMatches) -> anyhow::Result<Invocation<'a>>,
    /// Whether a line of a batch may print any number of lines, as the command does alone.
    prints_many: bool,
    /// Whether a reference may refer to another map afterwards.
    renames: bool,
    is_hidden: bool,
}

impl Subcommand {
    const fn new(
        name: &'static str,
        about: &'static str,
        arguments: fn(Command) -> Command,
        parse: for<'a> fn(&'a ArgMatches) -> anyhow::Result<Invocation<'a>>,
    ) -> Subcommand {
        let (prints_many, renames, is_hidden) = (false, false, false);
        Subcommand { name, about, arguments, parse, prints_many, renames, is_hidden }
    }

    const fn prints_many(self) -> Subcommand {
        Subcommand { prints_many: true, ..self }
    }

    const fn renames(self) -> Subcommand {
        Subcommand { renames: true, ..self }
    }

    const fn hidden(self) -> Subcommand {
        Subcommand { is_hidden: true, ..self }
    }
}

/// In the order of the manual page.
#[rustfmt::skip]
static SUBCOMMANDS: [Subcommand; 33] = [
    Subcommand::new("list", "List what is inherited, or all maps",
        list::arguments, |m| Ok(Invocation::List(list::Args::new(m)))).prints_many(),
    Subcommand::new("show", "Print the properties of a map, a program or a link",
        show::arguments, |m| show::Args::new(m).map(Invocation::Show)).prints_many(),
    Subcommand::new("get", "Print the values of keys",
        get::arguments, |m| get::Args::new(m).map(Invocation::Get)),
    Subcommand::new("set", "Write the value of a key",
        set::arguments, |m| set::Args::new(m).map(Invocation::Set)),
    Subcommand::new("add", "Add to a number, and print it",
        add::arguments, |m| add::Args::new(m).map(Invocation::Add)),
    Subcommand::new("take", "Print values, and reset their numbers to zero",
        take::arguments, |m| take::Args::new(m).map(Invocation::Take)).prints_many(),
    Subcommand::new("del", "Delete the entries of keys",
        del::arguments, |m| del::Args::new(m).map(Invocation::Del)),
    Subcommand::new("clear", "Delete all entries",
        clear::arguments, |m| clear::Args::new(m).map(Invocation::Clear)),
    Subcommand::new("count", "Count the entries",
        count::arguments, |m| count::Args::new(m).map(Invocation::Count)),
    Subcommand::new("keys", "Print all keys",
        keys::arguments, |m| keys::Args::new(m).map(Invocation::Keys)).prints_many(),
    Subcommand::new("dump", "Print all entries",
        dump::arguments, |m| dump::Args::new(m).map(Invocation::Dump)).prints_many(),
    Subcommand::new("load", "Write the entries of a file",
        load::arguments, |m| load::Args::new(m).map(Invocation::Load)),
    Subcommand::new("watch", "Print values as they change",
        watch::arguments, |m| watch::Args::new(m).map(Invocation::Watch)).prints_many(),
    Subcommand::new("trace", "Print the lines of the trace pipe, to which BPF programs print",
        trace::arguments, |m| Ok(Invocation::Trace(trace::Args::new(m)))).prints_many(),
    Subcommand::new("push", "Add to a queue, a stack or a bloom filter",
        push::arguments, |m| push::Args::new(m).map(Invocation::Push)),
    Subcommand::new("pop", "Remove the next value of a queue or a stack, and print it",
        pop::arguments, |m| pop::Args::new(m).map(Invocation::Pop)),
    Subcommand::new("peek", "Print the next value of a queue or a stack",
        peek::arguments, |m| peek::Args::new(m).map(Invocation::Peek)),
    Subcommand::new("has", "Ask whether a bloom filter may contain a value",
        has::arguments, |m| has::Args::new(m).map(Invocation::Has)),
    Subcommand::new("graft", "Load a program of an object file into a program array",
        graft::arguments, |m| Ok(Invocation::Graft(graft::Args::new(m)))),
    Subcommand::new("pin", "Pin a map, a program or a link",
        pin::arguments, |m| Ok(Invocation::Pin(pin::Args::new(m)))).renames(),
    Subcommand::new("unpin", "Remove a pin",
        unpin::arguments, |m| Ok(Invocation::Unpin(unpin::Args::new(m)))).renames(),
    Subcommand::new("freeze", "Make a map read-only, permanently",
        freeze::arguments, |m| Ok(Invocation::Freeze(freeze::Args::new(m)))),
    Subcommand::new("create", "Make a map, and pin it",
        create::arguments, |m| Ok(Invocation::Create(create::Args::new(m)))).renames(),
    Subcommand::new("object", "List the maps and programs of an object file",
        object::arguments, |m| Ok(Invocation::Object(object::Args::new(m)))).prints_many(),
    Subcommand::new("pins", "List all files of a BPF file system",
        pins::arguments, |m| Ok(Invocation::Pins(pins::Args::new(m)))).prints_many(),
    Subcommand::new("expose", "Pin the entries of a map as text",
        expose::arguments, |m| expose::Args::new(m).map(Invocation::Expose)),
    Subcommand::new("preload", "Pin files that list all maps and programs",
        preload::arguments, |m| preload::Args::new(m).map(Invocation::Preload)),
    Subcommand::new("send", "Send maps to a socket of tc or bpf-exec",
        send::arguments, |m| Ok(Invocation::Send(send::Args::new(m)))),
    Subcommand::new("put", "Store maps, programs and links with an agent",
        put::arguments, |m| put::Args::new(m).map(Invocation::Put)),
    Subcommand::new("agent", "List or remove the objects of an agent, or wait for a change",
        agent::arguments, |m| agent::Args::new(m).map(Invocation::Agent)),
    Subcommand::new("batch", "Run subcommands, a line each",
        batch::arguments, |m| Ok(Invocation::Batch(batch::Args::new(m)))),
    Subcommand::new("completion", "Print a shell's completion script",
        completion::arguments, |m| Ok(Invocation::Completion(completion::Args::new(m)))).prints_many(),
    Subcommand::new("complete", "Print the completions of the last word",
        completion::candidate_arguments,
        |m| Ok(Invocation::Candidates(completion::CandidateArgs::new(m)))).hidden(),
];

/// The index of the word that names a command, after the options that precede it, and the name if
/// there is such a command.
pub fn find_name(arguments: &[OsString]) -> (usize, Option<&'static str>) {
    let mut at = 1;
    while let Some(word) = arguments.get(at).map(|word| word.as_bytes()) {
        match word {
            b"--bpffs" => at += 2,
            _ if word.starts_with(b"--bpffs=") => at += 1,
            _ => break,
        }
    }
    let word = arguments.get(at);
    let row = word.and_then(|word| SUBCOMMANDS.iter().find(|s| word == s.name));
    (at, row.map(|row| row.name))
}

/// Replaces `help COMMAND` by `COMMAND --help`, and `help` alone by `--help`.
pub fn replace_help(arguments: &mut Vec<OsString>) {
    let (at, _) = find_name(arguments);
    if arguments.get(at).is_some_and(|word| word == "help") {
        arguments.remove(at);
        arguments.insert(arguments.len().min(at + 1), "--help".into());
    }
}

/// The option parser for only the command that `first` names; for all commands if it names none.
pub fn command_for(first: Option<&OsStr>) -> Command {
    let named = first.and_then(|first| SUBCOMMANDS.iter().find(|s| first == s.name));
    named.map_or_else(command, |one| with(std::slice::from_ref(one)))
}

/// The option parser, whole.
fn command() -> Command {
    with(&SUBCOMMANDS)
}

/// The option parser for some subcommands. The arguments of each are built only when it is used.
fn with(subcommands: &[Subcommand]) -> Command {
    let subcommands = subcommands
        .iter()
        .map(|s| Command::new(s.name).about(s.about).hide(s.is_hidden).defer(s.arguments))
        .map(|command| {
            let examples = examples::help(command.get_name());
            command.after_help(examples)
        });
    Command::new(PROGRAM)
        .version(env!("CARGO_PKG_VERSION"))
        .about("Read and write the entries of BPF maps")
        .after_help(
            "MAP is the name or the number of an inherited descriptor, a path with a '/', id:N,\n\
             name:KERNELNAME, fd:N or env:NAME. Without a command: list. See bpf-map(1).\n\
             'bpf-map help COMMAND' prints the options of a command, and an example.",
        )
        .disable_help_subcommand(true)
        .arg(
            Arg::new("bpffs")
                .long("bpffs")
                .value_name("DIR")
                .help("The bpffs root [default: $TC_BPF_MNT, else /sys/fs/bpf]")
                .value_hint(ValueHint::AnyPath)
                .value_parser(value_parser!(OsString)),
        )
        .subcommands(subcommands)
}

/// The command that was parsed, with its row; without a command, it is `list`.
pub fn parse(matches: &ArgMatches) -> anyhow::Result<(Invocation<'_>, &'static Subcommand)> {
    let Some((name, matches)) = matches.subcommand() else {
        return Ok((Invocation::List(list::Args::default()), &SUBCOMMANDS[0]));
    };
    let row = SUBCOMMANDS.iter().find(|row| row.name == name);
    let row = row.expect("the option parser accepts no other");
    Ok(((row.parse)(matches)?, row))
}

/// The command of a line without options, if it is one that scripts have by the thousand. The
/// option parser would take 50 to 110 microseconds for the same result.
fn parse_short<'a>(words: &[&'a OsStr]) -> Option<Invocation<'a>> {
    let (name, words) = words.split_first()?;
    // An option, or a negative number.
    if words.iter().any(|word| word.as_bytes().starts_with(b"-")) {
        return None;
    }
    match name.as_bytes() {
        b"get" => get::Args::short(words).map(Invocation::Get),
        b"set" => set::Args::short(words).map(Invocation::Set),
        b"add" => add::Args::short(words).map(Invocation::Add),
        _ => None,
    }
}

/// Runs the words of a line of a batch.
fn run_words(parser: &mut Command, words: &[&OsStr], session: &mut Session) -> anyhow::Result<u8> {
    if let Some(invocation) = parse_short(words) {
        return invocation.run(session);
    }
    let words = words.iter().map(|word| negative::mark(word.into()));
    let all = std::iter::once(PROGRAM.into()).chain(words);
    let matches = match parser.try_get_matches_from_mut(all) {
        Ok(matches) => matches,
        Err(error) => {
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                    session.out.many();
                    session.out.data.extend(error.to_string().as_bytes());
                    Ok(0)
                }
                _ => bail!("{}", exit::one_line(&error)),
            };
        }
    };
    if matches.contains_id("bpffs") {
        bail!("--bpffs: not possible within a batch: give it to bpf-map itself");
    }
    let (invocation, row) = parse(&matches)?;
    if row.prints_many {
        session.out.many();
    }
    if row.renames {
        session.close_maps();
    }
    invocation.run(session)
}

#[cfg(test)]
mod tests;
