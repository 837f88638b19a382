//! An object of bpf(2) of any kind: a map, a program or a link.

use crate::bpf::{LinkInfo, MapInfo, ProgramInfo, link_info, map_info, program_info};
use crate::fd::{self, FdType};
use crate::map::Map;
use crate::{AccessMode, ObjectKind, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What the kernel reports about an object, and how the file descriptor of a map may be used:
/// those of programs and links have no access modes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Info {
    /// A map, and the access mode of its file descriptor.
    Map(MapInfo, AccessMode),
    /// A program.
    Program(ProgramInfo),
    /// A link.
    Link(LinkInfo),
}

impl Info {
    /// The kernel's id, unique among objects of its kind.
    pub fn id(&self) -> u32 {
        match self {
            Info::Map(info, _) => info.id,
            Info::Program(info) => info.id,
            Info::Link(info) => info.id,
        }
    }

    /// The kernel's name; None if there is none, as for every link.
    pub fn name(&self) -> Option<&[u8]> {
        let name = match self {
            Info::Map(info, _) => &info.name,
            Info::Program(info) => &info.name,
            Info::Link(_) => return None,
        };
        Some(name.as_slice()).filter(|name| !name.is_empty())
    }
}

/// Describes the object behind `fd`. The caller has checked that it is of this kind.
pub fn describe(fd: BorrowedFd, kind: ObjectKind) -> Result<Info> {
    Ok(match kind {
        ObjectKind::Map => Info::Map(map_info(fd)?, fd::access_mode(fd)?),
        ObjectKind::Program => Info::Program(program_info(fd)?),
        ObjectKind::Link => Info::Link(link_info(fd)?),
    })
}

/// An owned object, with what the kernel reports about it.
#[derive(Debug)]
pub enum Object {
    /// A map.
    Map(Map),
    /// A program.
    Program(OwnedFd, ProgramInfo),
    /// A link.
    Link(OwnedFd, LinkInfo),
}

impl Object {
    /// Takes ownership of a file descriptor; if it is not an object of bpf(2), closes it and
    /// returns its type.
    pub fn identify(fd: OwnedFd) -> Result<std::result::Result<Object, FdType>> {
        Ok(Ok(match fd::fd_type(fd.as_fd())? {
            FdType::Object(ObjectKind::Map) => return Ok(Map::identify(fd)?.map(Object::Map)),
            FdType::Object(ObjectKind::Program) => Object::program(fd)?,
            FdType::Object(ObjectKind::Link) => Object::link(fd)?,
            other @ FdType::Other(_) => return Ok(Err(other)),
        }))
    }

    /// Takes ownership of a file descriptor; if it is not an object of this kind, closes it and
    /// returns its type.
    pub fn identify_as(
        kind: ObjectKind,
        fd: OwnedFd,
    ) -> Result<std::result::Result<Object, FdType>> {
        let object = Object::identify(fd)?;
        Ok(object.and_then(|object| match object.kind() == kind {
            true => Ok(object),
            false => Err(FdType::Object(object.kind())),
        }))
    }

    /// Takes a file descriptor that the caller has checked to be a program.
    pub fn program(fd: OwnedFd) -> Result<Object> {
        let info = program_info(fd.as_fd())?;
        Ok(Object::Program(fd, info))
    }

    /// Takes a file descriptor that the caller has checked to be a link.
    pub fn link(fd: OwnedFd) -> Result<Object> {
        let info = link_info(fd.as_fd())?;
        Ok(Object::Link(fd, info))
    }

    /// An object that the kernel has just described.
    pub(crate) fn with_info(fd: OwnedFd, info: Info) -> Object {
        match info {
            Info::Map(info, _) => Object::Map(Map::with_info(fd, info)),
            Info::Program(info) => Object::Program(fd, info),
            Info::Link(info) => Object::Link(fd, info),
        }
    }

    /// What the kernel reports about it, with the access mode of a map's file descriptor.
    pub fn info(&self) -> Result<Info> {
        Ok(match self {
            Object::Map(map) => Info::Map(map.info().clone(), map.access_mode()?),
            Object::Program(_, info) => Info::Program(info.clone()),
            Object::Link(_, info) => Info::Link(*info),
        })
    }

    /// The kind of the object.
    pub fn kind(&self) -> ObjectKind {
        match self {
            Object::Map(_) => ObjectKind::Map,
            Object::Program(..) => ObjectKind::Program,
            Object::Link(..) => ObjectKind::Link,
        }
    }

    /// The kernel's id, unique among objects of its kind.
    pub fn id(&self) -> u32 {
        match self {
            Object::Map(map) => map.info().id,
            Object::Program(_, info) => info.id,
            Object::Link(_, info) => info.id,
        }
    }

    /// The kernel's name; None if there is none, as for every link.
    pub fn name(&self) -> Option<&[u8]> {
        let name = match self {
            Object::Map(map) => &map.info().name,
            Object::Program(_, info) => &info.name,
            Object::Link(..) => return None,
        };
        Some(name.as_slice()).filter(|name| !name.is_empty())
    }
}

impl From<Map> for Object {
    fn from(map: Map) -> Object {
        Object::Map(map)
    }
}

impl AsFd for Object {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Object::Map(map) => map.as_fd(),
            Object::Program(fd, _) | Object::Link(fd, _) => fd.as_fd(),
        }
    }
}

impl From<Object> for OwnedFd {
    fn from(object: Object) -> OwnedFd {
        match object {
            Object::Map(map) => map.into(),
            Object::Program(fd, _) | Object::Link(fd, _) => fd,
        }
    }
}
