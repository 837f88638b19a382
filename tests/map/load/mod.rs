//! `bpf-map load`: maps for it, its input, and what a map holds after it.

mod dry_run;
mod existing;
mod lru;
mod malformed;
mod percpu;
mod replace;
mod stream;
mod table;
mod types;

use crate::common::{BPFFS, Lab, bpftool};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const HASH: &str = "type hash key 4 value 8 entries 4";

/// A map of any type, pinned at `name` below the root, by bpftool.
pub fn map(name: &str, words: &str) -> PathBuf {
    let pin = Path::new(BPFFS).join(name);
    let mut create = vec!["map", "create", pin.to_str().unwrap()];
    create.extend(words.split(' '));
    create.extend(["name", name]);
    bpftool(&create);
    pin
}

/// `bpf-map load OPTIONS PIN`, with `input` on its standard input.
pub fn load(lab: &Lab, options: &str, pin: &Path, input: impl AsRef<[u8]>) -> Command {
    let file = lab.path("input");
    std::fs::write(&file, input).unwrap();
    let mut command = lab.map(["load"]);
    command.args(options.split_whitespace()).arg(pin).stdin(File::open(file).unwrap());
    command
}

/// Keys and values as bpftool reads them, in order, of a map of u32 to something of up to 8 bytes.
pub fn held(pin: &Path) -> Vec<(u32, u64)> {
    let json = bpftool(&["-j", "map", "dump", "pinned", pin.to_str().unwrap()]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let number = |bytes: &serde_json::Value| {
        bytes.as_array().unwrap().iter().rev().fold(0u64, |number, byte| {
            let byte = byte.as_str().unwrap().trim_start_matches("0x");
            number << 8 | u64::from_str_radix(byte, 16).unwrap()
        })
    };
    let elements = json.as_array().unwrap().iter();
    let mut all: Vec<(u32, u64)> =
        elements.map(|e| (number(&e["key"]) as u32, number(&e["value"]))).collect();
    all.sort_unstable();
    all
}
