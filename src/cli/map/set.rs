//! `bpf-map set`: writes the value of a key.

use super::{positional, reference, value};
use clap::{ArgMatches, Command};

pub fn arguments(command: Command) -> Command {
    command.args([
        positional("MAP", "The map"),
        positional("KEY", "The key"),
        positional(
            "VALUE",
            "The value; in a per-CPU map, the first CPU's, and zero for the others",
        ),
    ])
}

pub fn run(matches: &ArgMatches) -> anyhow::Result<u8> {
    let target = reference::open(value(matches, "MAP"), true)?;
    let key = target.key(value(matches, "KEY"))?;
    let mut bytes = target.value(value(matches, "VALUE"))?;
    bytes.resize(target.map.value_len(), 0);
    target.update(&key, &bytes)?;
    Ok(0)
}
