//! `--prog-type`: the type of a program of an object file.

use crate::object_type::PROGRAM_TYPES;
use clap::Arg;

pub const OPTION: &str = "prog-type";

/// The option. Its value is the number of the type.
pub fn argument(help: &'static str) -> Arg {
    Arg::new(OPTION).long(OPTION).value_name("TYPE").help(help).value_parser(parse)
}

/// Reads the kernel's name of a type in lower case, such as `sched_cls`.
fn parse(text: &str) -> Result<u32, String> {
    let position = PROGRAM_TYPES.iter().skip(1).position(|name| *name == text);
    let number = position.and_then(|position| u32::try_from(position + 1).ok());
    number.ok_or_else(|| format!("not one of {}", PROGRAM_TYPES[1..].join(", ")))
}
