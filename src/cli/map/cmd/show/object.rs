//! The properties of a program or a link.

use crate::bpffs::pins;
use crate::cli::map::arguments::{GivenTypes, MapArguments};
use crate::cli::map::output::warn_if_incomplete;
use crate::cli::map::session::Session;
use crate::cli::map::target::named;
use crate::error::Error;
use crate::output::show::object::{self, ShownLink, ShownProgram};
use crate::text::escape;
use anyhow::bail;
use bpf_inherit::bpf::program_maps;
use bpf_inherit::object::Object;
use bpf_inherit::{AccessMode, fd};
use nix::time::{ClockId, clock_gettime};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

pub fn show(map: &MapArguments, as_json: bool, session: &mut Session) -> anyhow::Result<u8> {
    let Session { startup, bpffs, out, .. } = session;
    let reference = map.reference;
    let label = escape(reference.as_bytes());
    if map.types != GivenTypes::default() {
        bail!("{label}: --key and --value are only possible with a map");
    }
    let object = named::open(startup, bpffs, reference, AccessMode::ReadOnly)?.object;
    let fail = |operation| {
        let label = &label;
        move |errno| Error::new(label, operation, errno)
    };
    let fdinfo = fd::info(object.as_fd()).map_err(fail("read fdinfo"))?;
    let (pins, missing) = pins::find_all(bpffs, object.kind(), object.id())?;
    let (text, json) = match &object {
        Object::Program(fd, info) => {
            let shown = ShownProgram {
                info,
                loaded_at: wall_clock(info.load_time).map_err(fail("read clock"))?,
                map_ids: program_maps(fd.as_fd()).map_err(fail("list maps"))?,
                fdinfo: &fdinfo,
                pins,
            };
            (object::program_text(&shown), object::program_json(&shown))
        }
        Object::Link(_, info) => {
            let shown = ShownLink { info, fdinfo: &fdinfo, pins };
            (object::link_text(&shown), object::link_json(&shown))
        }
        Object::Map(_) => bail!("{label}: a BPF map"),
    };
    match as_json {
        true => out.data.extend(json),
        false => out.data.extend(text.as_bytes()),
    }
    Ok(warn_if_incomplete(&missing))
}

/// Converts nanoseconds since boot to seconds since 1970.
fn wall_clock(since_boot: u64) -> nix::Result<u64> {
    let now = Duration::from(clock_gettime(ClockId::CLOCK_REALTIME)?);
    let up = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
    Ok((now.saturating_sub(up) + Duration::from_nanos(since_boot)).as_secs())
}
