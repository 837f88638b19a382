//! What a descriptor of bpf(2) can lead to: a map, a program or a link.

use super::bpf::{Access, MapInfo, call_for_fd, new_attr, obj_info};
use super::elem::MapFd;
use super::{Result, bpf, fd};
use aya_obj::generated::{bpf_cmd, bpf_link_info, bpf_prog_info};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What the kernel tells of a program (`struct bpf_prog_info`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgInfo {
    /// `enum bpf_prog_type`, as a number: the kernel may know more than we do.
    pub kind: u32,
    pub id: u32,
    /// The kernel's name: at most 15 bytes, empty where none was given.
    pub name: Vec<u8>,
}

/// What the kernel tells of a link (`struct bpf_link_info`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkInfo {
    /// `enum bpf_link_type`, as a number.
    pub kind: u32,
    pub id: u32,
    /// The program that it attaches; 0 for a kind that has none.
    pub prog_id: u32,
}

/// What the kernel tells of an object, and how a map's descriptor may be used: the others'
/// have no access modes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Info {
    Map(MapInfo, Access),
    Prog(ProgInfo),
    Link(LinkInfo),
}

impl Info {
    /// The kernel's id, unique among objects of its kind.
    pub fn id(&self) -> u32 {
        match self {
            Info::Map(info, _) => info.id,
            Info::Prog(info) => info.id,
            Info::Link(info) => info.id,
        }
    }

    /// The kernel's name: None if it has none, as no link has.
    pub fn name(&self) -> Option<&[u8]> {
        let name = match self {
            Info::Map(info, _) => &info.name,
            Info::Prog(info) => &info.name,
            Info::Link(_) => return None,
        };
        Some(name.as_slice()).filter(|name| !name.is_empty())
    }
}

/// Describes the object behind `fd`, which is of this kind; None for one that is no object.
pub fn describe(fd: BorrowedFd, kind: fd::Kind) -> Result<Option<Info>> {
    Ok(Some(match kind {
        fd::Kind::Map => Info::Map(bpf::map_info(fd)?, fd::access(fd)?),
        fd::Kind::Prog => Info::Prog(prog_info(fd)?),
        fd::Kind::Link => Info::Link(link_info(fd)?),
        fd::Kind::Other(_) => return Ok(None),
    }))
}

/// A descriptor that is known for what it is, with what the kernel tells of it.
#[derive(Debug)]
pub enum Object {
    Map(MapFd),
    Prog(OwnedFd, ProgInfo),
    Link(OwnedFd, LinkInfo),
}

impl Object {
    /// Takes a descriptor that may be one of the three, or says what else it is, and closes it.
    pub fn identify(fd: OwnedFd) -> Result<std::result::Result<Object, fd::Kind>> {
        let kind = fd::kind(fd.as_fd())?;
        Object::identify_as(kind, fd)
    }

    /// Takes a descriptor that may be of this kind, or says what else it is, and closes it.
    pub fn identify_as(
        kind: fd::Kind,
        fd: OwnedFd,
    ) -> Result<std::result::Result<Object, fd::Kind>> {
        if kind == fd::Kind::Map {
            return Ok(MapFd::identify(fd)?.map(Object::Map));
        }
        let real = fd::kind(fd.as_fd())?;
        if real != kind {
            return Ok(Err(real));
        }
        Ok(match real {
            fd::Kind::Prog => Object::program(fd).map(Ok)?,
            fd::Kind::Link => Object::link(fd).map(Ok)?,
            other => Err(other),
        })
    }

    /// A descriptor that the caller knows to be a program.
    pub fn program(fd: OwnedFd) -> Result<Object> {
        let info = prog_info(fd.as_fd())?;
        Ok(Object::Prog(fd, info))
    }

    /// A descriptor that the caller knows to be a link.
    pub fn link(fd: OwnedFd) -> Result<Object> {
        let info = link_info(fd.as_fd())?;
        Ok(Object::Link(fd, info))
    }

    /// All that is known of it. The access mode of a map's descriptor is asked for.
    pub fn info(&self) -> Result<Info> {
        Ok(match self {
            Object::Map(map) => Info::Map(map.info().clone(), fd::access(map.as_fd())?),
            Object::Prog(_, info) => Info::Prog(info.clone()),
            Object::Link(_, info) => Info::Link(*info),
        })
    }

    pub fn kind(&self) -> fd::Kind {
        match self {
            Object::Map(_) => fd::Kind::Map,
            Object::Prog(..) => fd::Kind::Prog,
            Object::Link(..) => fd::Kind::Link,
        }
    }

    /// The kernel's id, unique among objects of its kind.
    pub fn id(&self) -> u32 {
        match self {
            Object::Map(map) => map.info().id,
            Object::Prog(_, info) => info.id,
            Object::Link(_, info) => info.id,
        }
    }

    /// The kernel's name: None where it has none, as no link has.
    pub fn name(&self) -> Option<&[u8]> {
        let name = match self {
            Object::Map(map) => &map.info().name,
            Object::Prog(_, info) => &info.name,
            Object::Link(..) => return None,
        };
        Some(name.as_slice()).filter(|name| !name.is_empty())
    }
}

impl From<MapFd> for Object {
    fn from(map: MapFd) -> Object {
        Object::Map(map)
    }
}

impl AsFd for Object {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Object::Map(map) => map.as_fd(),
            Object::Prog(fd, _) | Object::Link(fd, _) => fd.as_fd(),
        }
    }
}

impl From<Object> for OwnedFd {
    fn from(object: Object) -> OwnedFd {
        match object {
            Object::Map(map) => map.into(),
            Object::Prog(fd, _) | Object::Link(fd, _) => fd,
        }
    }
}

/// Describes the program behind `fd`. The caller makes sure that it is one.
pub fn prog_info(fd: BorrowedFd) -> Result<ProgInfo> {
    // SAFETY: integers and byte arrays, for which all zeroes is valid, and asks for no array.
    let mut info: bpf_prog_info = unsafe { zeroed() };
    // SAFETY: bpf_prog_info is what the kernel writes for a program, and at most its size.
    unsafe { obj_info(fd, &raw mut info as u64, size_of::<bpf_prog_info>())? };
    let name = info.name.map(|c| c as u8);
    let name = name.split(|&b| b == 0).next().unwrap_or_default().to_vec();
    Ok(ProgInfo { kind: info.type_, id: info.id, name })
}

/// Describes the link behind `fd`. The caller makes sure that it is one.
pub fn link_info(fd: BorrowedFd) -> Result<LinkInfo> {
    // SAFETY: integers and pointers, for which all zeroes is valid: no text is asked for.
    let mut info: bpf_link_info = unsafe { zeroed() };
    // SAFETY: bpf_link_info is what the kernel writes for a link, and at most its size.
    unsafe { obj_info(fd, &raw mut info as u64, size_of::<bpf_link_info>())? };
    Ok(LinkInfo { kind: info.type_, id: info.id, prog_id: info.prog_id })
}

/// Opens a link by its id. Needs CAP_SYS_ADMIN; ENOENT where there is none.
pub fn link_by_id(id: u32) -> Result<OwnedFd> {
    let mut attr = new_attr();
    attr.__bindgen_anon_6.__bindgen_anon_1.link_id = id;
    // SAFETY: no pointers.
    unsafe { call_for_fd(bpf_cmd::BPF_LINK_GET_FD_BY_ID, &mut attr) }
}
