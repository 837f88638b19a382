//! The short way for the lines that scripts have by the thousand, `get MAP KEY…` and
//! `set MAP KEY VALUE` without options: no option parser, and maps that stay open. Whatever
//! takes more than keys and bytes goes the long way.

use crate::bpffs::pin;
use crate::cli::exit::{self, Output};
use crate::cli::map::session::Session;
use crate::cli::map::target::origin::Part;
use crate::cli::map::target::{Target, reference};
use crate::text::escape;
use anyhow::Context;
use bpf_inherit::Startup;
use bpf_layout::{Slot, print};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Maps that are held open at a time.
const MOST: usize = 256;

/// Maps by how they were called; those that are read apart from those that are written.
#[derive(Default)]
pub struct Cache {
    read: HashMap<OsString, Cached>,
    written: HashMap<OsString, Cached>,
}

/// A map, and the pin that it was opened by, if it was one.
struct Cached {
    target: Target,
    pin: Option<pin::Identity>,
}

impl Cache {
    /// Runs a line that is one of the two; its exit status. None where it is not, and is to
    /// go through the option parser.
    pub fn run(&mut self, words: &[&OsStr], session: &mut Session) -> anyhow::Result<Option<u8>> {
        let Session { startup, out, .. } = session;
        let [command, map, key, rest @ ..] = words else { return Ok(None) };
        let first = |word: &OsStr, byte| word.as_bytes().first() == Some(&byte);
        if words.iter().any(|word| first(word, b'-')) || first(key, b'.') {
            return Ok(None);
        }
        match (command.as_bytes(), rest) {
            (b"get", _) => {
                let Some(target) = open(startup, &mut self.read, map, false)? else {
                    return Ok(None);
                };
                get(target, &words[2..], out).map(Some)
            }
            (b"set", [value]) => {
                let Some(target) = open(startup, &mut self.written, map, true)? else {
                    return Ok(None);
                };
                // Zero alone can be written without an option.
                if target.is_per_cpu() {
                    return Ok(None);
                }
                set(target, key, value).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// The map, opened now or before; None where its elements are objects.
fn open<'c>(
    startup: &Startup,
    cache: &'c mut HashMap<OsString, Cached>,
    name: &OsStr,
    write: bool,
) -> anyhow::Result<Option<&'c Target>> {
    // Looked up first: a pin that is replaced after that is noticed at the next line.
    let pin = reference::pin_identity(name);
    // A kernel's name may be another map's by now, which only a search shows.
    let searched = name.as_bytes().starts_with(b"name:");
    if searched || cache.get(name).is_none_or(|cached| cached.pin != pin) {
        let target = Target::open(
            startup,
            name,
            if write {
                bpf_inherit::AccessMode::ReadWrite
            } else {
                bpf_inherit::AccessMode::ReadOnly
            },
            &Default::default(),
        )?;
        if cache.len() == MOST {
            cache.clear();
        }
        cache.insert(name.to_owned(), Cached { target, pin });
    }
    let plain = |target: &&Target| !target.map.info().map_type.takes_objects();
    Ok(cache.get(name).map(|cached| &cached.target).filter(plain))
}

/// `get MAP KEY… [.FIELD]`.
fn get(target: &Target, mut keys: &[&OsStr], out: &mut Output) -> anyhow::Result<u8> {
    let value = &target.layout.value;
    let slot: Slot = match keys.split_last() {
        Some((path, before)) if path.as_bytes().starts_with(b".") => {
            keys = before;
            value.field(&path.to_string_lossy()).with_context(|| target.label.clone())?
        }
        _ => value.into(),
    };
    let key = |text: &&OsStr| target.key(text);
    let bytes: Vec<Vec<u8>> = keys.iter().map(key).collect::<anyhow::Result<_>>()?;
    target.warn_of_guess(&[Part::Value]);
    let info = target.map.info();
    let mut status = 0;
    for (text, key) in keys.iter().zip(&bytes) {
        match target.lookup("get", key)? {
            Some(found) if info.map_type.is_per_cpu() => {
                let values = print::PerCpu::new(&found, target.map.stride());
                print::plain(slot, &values, &mut out.data);
                out.data.push(b'\n');
            }
            Some(found) => {
                print::plain(slot, &found[..], &mut out.data);
                out.data.push(b'\n');
            }
            None => {
                out.report(format_args!("{}: no key {}", target.label, escape(text.as_bytes())))?;
                out.absent();
                status = exit::ABSENT;
            }
        }
    }
    Ok(status)
}

/// `set MAP KEY VALUE`.
fn set(target: &Target, key: &OsStr, value: &OsStr) -> anyhow::Result<u8> {
    let key = target.key(key)?;
    let bytes = target.value(value)?;
    target.map.update(&key, &bytes, 0).map_err(|errno| target.cannot_write("set", errno))?;
    Ok(0)
}
