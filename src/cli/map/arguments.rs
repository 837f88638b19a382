//! Arguments that several commands have, and what each of them is once it is parsed.

use crate::cli::{negative, program_type, timeout};
use crate::output::element::Integers;
use crate::source::agent::{Bounds, Client, DEFAULT_SOCKET, Socket};
use crate::wait::Limit;
use anyhow::{Context, anyhow};
use bpf_layout::{Layout, Type};
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// A required argument, in bytes.
pub fn positional(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).required(true).help(help).value_parser(value_parser!(OsString))
}

/// An option without a value.
pub fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
}

/// The value of a required argument.
pub fn required<'a>(matches: &'a ArgMatches, name: &str) -> &'a OsStr {
    optional(matches, name).expect("the option parser requires it")
}

/// The value of an argument in bytes, if it was given.
pub fn optional<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a OsStr> {
    matches.get_one::<OsString>(name).map(|word| negative::unmark(word))
}

/// The values of an argument in bytes.
pub fn all<'a>(matches: &'a ArgMatches, name: &str) -> Vec<&'a OsStr> {
    let words = matches.get_many::<OsString>(name).into_iter().flatten();
    words.map(|word| negative::unmark(word)).collect()
}

/// The value of an argument in UTF-8, if it was given.
pub fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.get_one::<String>(name).map(|word| unmark_text(word))
}

/// The values of an argument in UTF-8, if it was given.
pub fn texts<'a>(matches: &'a ArgMatches, name: &str) -> Option<impl Iterator<Item = &'a str>> {
    Some(matches.get_many::<String>(name)?.map(|word| unmark_text(word)))
}

fn unmark_text(word: &str) -> &str {
    word.strip_prefix(negative::MARK).unwrap_or(word)
}

/// Whether a word is a field of a value, such as `.packets`.
pub fn is_field(word: &OsStr) -> bool {
    word.as_bytes().starts_with(b".")
}

/// `FILE`, which is standard input if it is missing.
pub fn input_file() -> Arg {
    Arg::new("FILE")
        .help("The file [default: standard input]")
        .value_parser(value_parser!(OsString))
}

/// `MAP`.
pub fn map_reference() -> Arg {
    positional("MAP", "The map: a name, a descriptor, a pin, id:N or name:NAME")
}

/// `MAP` of a command that accepts programs and links too.
pub fn object_reference() -> Arg {
    let help = "The map; or a program or a link: prog: or link: and a name, fd:N, a pin or id:N";
    positional("MAP", help).value_name("OBJECT")
}

/// `MAP`, `--key` and `--value`.
pub fn map(command: Command) -> Command {
    let layout = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("LAYOUT")
            .help(help)
            .value_parser(value_parser!(OsString))
    };
    command.args([
        map_reference(),
        layout("key", "The type of the keys [default: from the environment or BTF]"),
        layout("value", "The type of the values"),
    ])
}

/// A map, and the types that the command line gives.
#[derive(Debug, PartialEq)]
pub struct MapArguments<'a> {
    pub reference: &'a OsStr,
    pub types: GivenTypes,
}

impl<'a> MapArguments<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<MapArguments<'a>> {
        Ok(MapArguments {
            types: GivenTypes::new(matches)?,
            ..MapArguments::of(required(matches, "MAP"))
        })
    }

    /// A map whose types the command line does not give.
    pub fn of(reference: &'a OsStr) -> MapArguments<'a> {
        MapArguments { reference, types: GivenTypes::default() }
    }
}

/// `--key` and `--value`, which are used in place of any other layout.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GivenTypes {
    pub key: Option<Type>,
    pub value: Option<Type>,
}

impl GivenTypes {
    pub fn new(matches: &ArgMatches) -> anyhow::Result<GivenTypes> {
        let given = |name: &str| {
            let text = optional(matches, name);
            text.map(|text| parse_type(text).with_context(|| format!("--{name}"))).transpose()
        };
        Ok(GivenTypes { key: given("key")?, value: given("value")? })
    }
}

fn parse_type(text: &OsStr) -> anyhow::Result<Type> {
    Ok(text.to_str().ok_or_else(|| anyhow!("not UTF-8"))?.parse()?)
}

/// `--prog-type` and `--verbose`, of commands that accept `prog:FILE#NAME`.
pub fn program_load() -> [Arg; 2] {
    [
        program_type::argument("The type of prog:FILE#NAME [default: the type of its section]"),
        flag("verbose", "Print the log of the verifier if it refuses the program"),
    ]
}

/// The options for loading a program of an object file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProgramLoad {
    pub program_type: Option<u32>,
    pub verbose: bool,
}

impl ProgramLoad {
    pub fn new(matches: &ArgMatches) -> ProgramLoad {
        let program_type = matches.get_one(program_type::OPTION).copied();
        ProgramLoad { program_type, verbose: matches.get_flag("verbose") }
    }
}

/// `--inner`.
pub fn inner() -> Arg {
    Arg::new("inner")
        .long("inner")
        .value_name("LAYOUT")
        .help("The layout of a map's inner maps, as 'KEY -> VALUE'")
}

/// The layout after `--inner`.
pub fn inner_layout(matches: &ArgMatches) -> anyhow::Result<Option<Layout>> {
    text(matches, "inner").map(|text| text.parse().context("--inner")).transpose()
}

/// `--json` and `--json-strings`.
pub fn json_flags() -> [Arg; 2] {
    [
        flag("json", "Print JSON"),
        flag("json-strings", "Print JSON, with integers of more than 53 bits as strings"),
    ]
}

/// How JSON has wide integers, if JSON was asked for.
pub fn integers(matches: &ArgMatches) -> Option<Integers> {
    match (matches.get_flag("json-strings"), matches.get_flag("json")) {
        (true, _) => Some(Integers::Strings),
        (false, true) => Some(Integers::Numbers),
        (false, false) => None,
    }
}

/// `--per-cpu`.
pub fn per_cpu(help: &'static str) -> Arg {
    flag("per-cpu", help).conflicts_with("cpu")
}

/// `--cpu N`.
pub fn cpu(help: &'static str) -> Arg {
    Arg::new("cpu").long("cpu").value_name("N").help(help).value_parser(value_parser!(u32))
}

/// The number after `--cpu`.
pub fn cpu_number(matches: &ArgMatches) -> Option<u32> {
    matches.get_one("cpu").copied()
}

/// The CPUs whose values are read: `--per-cpu` and `--cpu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadCpus {
    Sum,
    Each,
    One(u32),
}

impl ReadCpus {
    pub fn new(matches: &ArgMatches) -> ReadCpus {
        match (matches.get_flag("per-cpu"), cpu_number(matches)) {
            (true, _) => ReadCpus::Each,
            (false, Some(number)) => ReadCpus::One(number),
            (false, None) => ReadCpus::Sum,
        }
    }
}

/// `--all-cpus`, `--cpu` and `--sum`, which exclude each other.
pub fn written_cpus() -> [Arg; 3] {
    [
        flag("all-cpus", "Write the value for every CPU").conflicts_with_all(["cpu", "sum"]),
        cpu("Write the value for this CPU only; other CPUs keep their values")
            .conflicts_with("sum"),
        flag("sum", "Write the value for the first possible CPU, and zero for the others"),
    ]
}

/// The CPUs whose values are written: `--all-cpus`, `--cpu` and `--sum`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenCpus {
    Unspecified,
    All,
    Sum,
    One(u32),
}

impl WrittenCpus {
    pub fn new(matches: &ArgMatches) -> WrittenCpus {
        match (matches.get_flag("all-cpus"), matches.get_flag("sum"), cpu_number(matches)) {
            (true, ..) => WrittenCpus::All,
            (_, true, _) => WrittenCpus::Sum,
            (false, false, Some(number)) => WrittenCpus::One(number),
            (false, false, None) => WrittenCpus::Unspecified,
        }
    }
}

/// `--socket` and `--timeout`.
pub fn agent() -> [Arg; 2] {
    let socket = Arg::new("socket")
        .long("socket")
        .value_name("PATH")
        .help(format!("The agent's socket [default: $BPF_AGENT, else {DEFAULT_SOCKET}]"))
        .value_hint(ValueHint::AnyPath)
        .value_parser(value_parser!(OsString));
    [socket, timeout::argument("Time limit for the whole request [default: none]")]
}

/// The agent to connect to.
#[derive(Debug, PartialEq)]
pub struct AgentArguments<'a> {
    pub socket: Option<&'a OsStr>,
    /// The limit for all requests together.
    pub timeout: Option<Duration>,
}

impl<'a> AgentArguments<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<AgentArguments<'a>> {
        Ok(AgentArguments { socket: optional(matches, "socket"), timeout: timeout::read(matches)? })
    }

    pub fn connect(&self) -> anyhow::Result<Client<'static>> {
        Ok(Client::connect(Socket::choose(self.socket), self.bounds())?)
    }

    /// Connects as soon as an agent listens.
    pub fn connect_when_there(&self) -> anyhow::Result<Client<'static>> {
        Ok(Client::connect_when_there(Socket::choose(self.socket), self.bounds())?)
    }

    fn bounds(&self) -> Bounds<'static> {
        Bounds { limit: Limit::new(self.timeout), signals: None }
    }
}
