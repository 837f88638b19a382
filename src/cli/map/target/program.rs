//! Programs as values: how one is named, and whether a program array keeps it.

use super::Target;
use super::inherited;
use crate::bpffs::holders;
use crate::cli::exit::Output;
use crate::source::program;
use crate::text::escape;
use anyhow::bail;
use bpf_inherit::ObjectKind;
use bpf_inherit::Startup;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Opens `prog:PATH`, `prog:id:N` or `prog:fd:N`.
pub fn open(startup: &Startup, text: &OsStr) -> anyhow::Result<OwnedFd> {
    let Some(rest) = text.as_bytes().strip_prefix(b"prog:").filter(|rest| !rest.is_empty()) else {
        bail!("{}: expected prog:PATH, prog:id:N or prog:fd:N", escape(text.as_bytes()));
    };
    let number = |digits: &str| match digits.parse::<u32>() {
        Ok(number) if digits.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
        _ => bail!("{}: not a number", escape(text.as_bytes())),
    };
    let opened = match std::str::from_utf8(rest).ok().and_then(|rest| rest.split_once(':')) {
        Some(("id", id)) => program::open_by_id(number(id)?),
        Some(("fd", fd)) => {
            number(fd)?;
            let (object, _) = inherited::descriptor(startup, ObjectKind::Program, fd)?;
            return Ok(object.into());
        }
        _ => program::open_pinned(Path::new(OsStr::from_bytes(rest))),
    };
    Ok(opened?)
}

/// Warns where nobody was found who holds the program array when this process ends: the kernel
/// clears its entries with the last user reference, which a program that uses it is none.
pub fn warn_unless_held(
    target: &Target,
    reference: &OsStr,
    out: &mut Output,
) -> anyhow::Result<()> {
    // A pin that it was just opened by holds it.
    if reference.as_bytes().contains(&b'/') || holders::found(target.map.info().id) {
        return Ok(());
    }
    out.report(format_args!(
        "warning: {}: no pin and no other process was found that holds the map: the kernel \
         clears its entries when bpf-map ends",
        target.label
    ))
}
