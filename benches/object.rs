//! The time that `--object` with a file of 64 maps adds to a run of bpf-exec, compared with the
//! system calls that create the maps. The runs take turns, and medians are compared.
//!
//! Needs root: maps are created.

mod common;

use bpf_exec::object::Object;
use bpf_inherit::bpf::{MapSpec, btf_load, map_create};
use common::report::{line, median};
use common::{Options, Result, start};
use std::os::fd::AsFd;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/many.bpf.o");
const MAPS: usize = 64;

fn main() -> ExitCode {
    start("object", "--object-rounds", 500, run)
}

/// Prints all measurements; true if any is over its bound.
fn run(options: &Options) -> Result<bool> {
    let object = Object::parse(&std::fs::read(FILE)?, "many")?;
    if object.maps.len() != MAPS {
        return Err(format!("{FILE}: {} maps", object.maps.len()).into());
    }
    let bpf_exec = |words: &[&str]| {
        let mut command = Command::new(options.bin_dir.join("bpf-exec"));
        // Without the option nothing is handed over, and nothing is searched for.
        command.args(words).arg("true").env("BPF_NUM_MAPS", "0");
        command.stderr(Stdio::null());
        command
    };
    let (mut with, mut without) = (bpf_exec(&["--object", FILE]), bpf_exec(&[]));
    let mut times: [Vec<f64>; 3] = Default::default();
    for _ in 0..options.rounds {
        times[0].push(timed(&mut with)?);
        times[1].push(timed(&mut without)?);
        times[2].push(bare_calls(&object)?);
    }
    let [with, without, bare] = times.map(median);
    for (title, us) in [
        ("bpf-exec --object, 64 maps", with),
        ("bpf-exec without it", without),
        ("65 calls of bpf(2) alone", bare),
    ] {
        println!("{title:<40}{us:>10.0} us");
    }
    println!();
    Ok(line("what --object adds / bpf(2) alone", (with - without) / bare, 2.0))
}

/// Microseconds from spawn to exit.
fn timed(command: &mut Command) -> Result<f64> {
    let start = Instant::now();
    let status = command.status()?;
    let us = start.elapsed().as_secs_f64() * 1e6;
    if status.success() { Ok(us) } else { Err(format!("{command:?}: {status}").into()) }
}

/// Microseconds that the kernel takes to load the object's BTF, and to create and close its maps.
fn bare_calls(object: &Object) -> Result<f64> {
    let blob = object.btf.as_deref().ok_or("no BTF")?;
    let mut maps = Vec::with_capacity(MAPS);
    let start = Instant::now();
    let btf = btf_load(blob)?;
    for map in &object.maps {
        maps.push(map_create(&MapSpec {
            map_type: map.map_type,
            key_size: map.key_size,
            value_size: map.value_size,
            max_entries: map.max_entries,
            flags: map.flags,
            name: map.name.as_bytes(),
            btf: Some((btf.as_fd(), map.key_type, map.value_type)),
            ..MapSpec::default()
        })?);
    }
    // Every process that creates maps closes them, at the latest when it ends.
    drop(maps);
    Ok(start.elapsed().as_secs_f64() * 1e6)
}
