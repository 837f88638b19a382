//! The options and exit statuses of the benches.

pub mod kernel;
pub mod report;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The option that says how often, of each bench or of a part of them: all get the same
/// arguments, and take their own.
const ROUNDS: [&str; 5] =
    ["--rounds", "--bulk-rounds", "--agent-rounds", "--object-rounds", "--atomic-rounds"];

pub struct Options {
    pub bin_dir: PathBuf,
    pub rounds: usize,
    pub check: bool,
}

/// Runs a bench: `run` prints all measurements, and returns whether any exceeds its bound.
/// The bench has the option `flag` of [`ROUNDS`], whose default is `rounds`.
pub fn start(
    name: &str,
    flag: &str,
    rounds: usize,
    run: impl Fn(&Options) -> Result<bool>,
) -> ExitCode {
    let done = options(flag, rounds).and_then(|options| Ok((run(&options)?, options.check)));
    match done {
        Ok((over, check)) => ExitCode::from(u8::from(check && over)),
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::from(2)
        }
    }
}

fn options(flag: &str, rounds: usize) -> Result<Options> {
    let built = Path::new(env!("CARGO_BIN_EXE_bpf-map"));
    let bin_dir = built.parent().unwrap_or(built).to_owned();
    let mut options = Options { bin_dir, rounds, check: false };
    let mut args = std::env::args_os().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or("an option lacks its value");
        match arg.to_str() {
            // Cargo gives this to every bench.
            Some("--bench") => {}
            Some("--check") => options.check = true,
            Some("--bin-dir") => options.bin_dir = value()?.into(),
            Some(name) if name == flag => options.rounds = value()?.to_string_lossy().parse()?,
            Some(name) if ROUNDS.contains(&name) => drop(value()?),
            _ => return Err(format!("{}: no such option", arg.to_string_lossy()).into()),
        }
    }
    if options.rounds == 0 {
        return Err(format!("{flag}: at least 1").into());
    }
    Ok(options)
}
