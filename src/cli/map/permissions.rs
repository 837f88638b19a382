//! `--mode` and `--owner`: who may read a pin, and which directories keep them from it.

use super::arguments;
use crate::bpffs::pinning::Permissions;
use crate::text::{escape, escape_argument};
use anyhow::{Context, anyhow, bail};
use clap::{Arg, ArgMatches};
use nix::unistd::{Gid, Uid};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The permission bits that have a meaning for a pinned iterator.
const READ: u32 = 0o444;

pub fn arguments() -> [Arg; 2] {
    [
        Arg::new("mode")
            .long("mode")
            .value_name("MODE")
            .help("Permission to read, in octal: any of 0400, 0040 and 0004")
            .default_value("0444"),
        Arg::new("owner")
            .long("owner")
            .value_name("UID[:GID]")
            .help("Owner of the pin [default: the current user]"),
    ]
}

/// Returns the permissions that the options specify.
pub fn parse(matches: &ArgMatches) -> anyhow::Result<Permissions> {
    let mode = arguments::text(matches, "mode").unwrap_or("0444");
    let mode =
        parse_mode(mode).with_context(|| format!("--mode {}", escape_argument(mode.as_bytes())))?;
    let mut permissions = Permissions { mode, owner: None, group: None };
    if let Some(text) = arguments::text(matches, "owner") {
        let context = || format!("--owner {}", escape_argument(text.as_bytes()));
        let (owner, group) = text.split_once(':').map_or((text, None), |(u, g)| (u, Some(g)));
        permissions.owner = Some(Uid::from_raw(parse_id(owner).with_context(context)?));
        permissions.group =
            group.map(parse_id).transpose().with_context(context)?.map(Gid::from_raw);
    }
    Ok(permissions)
}

fn parse_mode(text: &str) -> anyhow::Result<u32> {
    let octal = !text.is_empty() && text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| octal);
    match mode.ok_or_else(|| anyhow!("not an octal number"))? {
        mode if mode & !READ != 0 => bail!("only the bits of 0444 can be set"),
        mode => Ok(mode),
    }
}

fn parse_id(text: &str) -> anyhow::Result<u32> {
    let decimal = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let id = text.parse().ok().filter(|id| decimal && *id != u32::MAX);
    id.ok_or_else(|| anyhow!("not UID or UID:GID, in decimal"))
}

/// A warning for the first directory above the pin at `path` that cannot be searched by users who
/// may read the pin according to its mode.
pub fn warn_of_directories(path: &Path) -> Option<String> {
    let pin = path.metadata().ok()?;
    let path = path.parent()?.canonicalize().ok()?;
    let directories: Vec<&Path> = path.ancestors().collect();
    directories.iter().rev().find_map(|directory| {
        let parent = directory.metadata().ok()?;
        let has = |bit: u32| parent.mode() & bit != 0;
        let others = pin.mode() & 0o004 != 0 && !has(0o001);
        let same_group = parent.gid() == pin.gid();
        let group = pin.mode() & 0o040 != 0 && !has(if same_group { 0o010 } else { 0o001 });
        let owned = parent.uid() == pin.uid();
        let user =
            pin.uid() != 0 && pin.mode() & 0o400 != 0 && !has(if owned { 0o100 } else { 0o001 });
        let kept_out = match (others, group, user) {
            (true, _, _) => "other users",
            (_, true, _) => "its group",
            (_, _, true) => "its owner",
            _ => return None,
        };
        let name = escape(directory.as_os_str().as_bytes());
        let mode = parent.mode() & 0o7777;
        Some(format!("{kept_out} cannot search {name} (mode {mode:04o})"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_that_only_let_read_are_accepted() {
        for (text, mode) in [("0444", Some(0o444)), ("440", Some(0o440)), ("0", Some(0))] {
            assert_eq!(parse_mode(text).ok(), mode, "{text}");
        }
        for (text, cause) in [
            ("", "not an octal number"),
            ("+444", "not an octal number"),
            ("0x4", "not an octal number"),
            ("0644", "only the bits of 0444 can be set"),
            ("4444", "only the bits of 0444 can be set"),
        ] {
            assert_eq!(parse_mode(text).expect_err(text).to_string(), cause);
        }
    }
}
