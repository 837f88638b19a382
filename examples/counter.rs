//! Reads a counter in an inherited map, or adds to it:
//!
//! ```text
//! # bpf-exec --create hits=array,value=8,entries=4 -- sh -c 'counter hits 2 40; counter hits 2 2'
//! 40
//! 42
//! ```
//!
//! `counter MAP [KEY [ADD]]`: MAP is a name, or the n of `BPF_MAP<n>`; keys have 32 bits and values
//! 64 bits; KEY is 0 by default. Exit status: 0, 1 if the key is
//! missing, 2 on failure.

use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    match count() {
        Ok(Some(value)) => {
            println!("{value}");
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::from(1),
        Err(error) => {
            eprintln!("counter: {error}");
            ExitCode::from(2)
        }
    }
}

/// Reads the counter that the arguments name, and adds to it. Returns the new value; None if the
/// key is missing.
fn count() -> Result<Option<u64>, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, numbers) = arguments.split_first().ok_or("usage: counter MAP [KEY [ADD]]")?;
    let key: u32 = numbers.first().map_or(Ok(0), |key| key.parse())?;
    let add: u64 = numbers.get(1).map_or(Ok(0), |add| add.parse())?;

    let mut inherited = bpf_inherit::open_inherited()?;
    for warning in &inherited.warnings {
        eprintln!("counter: warning: {warning}");
    }
    let map = match name.parse() {
        Ok(n) => inherited.maps.by_index(n)?,
        Err(_) => inherited.maps.by_name(name)?,
    };
    let map = map.object;
    if (map.key_len(), map.value_len(), map.info().map_type.is_per_cpu()) != (4, 8, false) {
        return Err(format!("{name}: not a map of 32-bit keys and 64-bit values").into());
    }
    let (key, mut value) = (key.to_ne_bytes(), [0; 8]);
    if !map.lookup(&key, &mut value)? {
        return Ok(None);
    }
    // Not atomic: if two processes add at the same time, one addition may be lost.
    let sum = u64::from_ne_bytes(value).wrapping_add(add);
    if add != 0 {
        map.update(&key, &sum.to_ne_bytes(), 0)?;
    }
    Ok(Some(sum))
}
