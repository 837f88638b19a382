//! Maps, programs and links by id, and maps and programs by kernel name.

use crate::error::{Cause, Error};
use bpf_inherit::AccessMode;
use bpf_inherit::Map;
use bpf_inherit::ObjectKind;
use bpf_inherit::bpf::{
    MAX_NAME, link_by_id, map_by_id, next_map_id, next_program_id, program_by_id, program_info,
};
use bpf_inherit::object::Object;
use bpf_inherit::{Errno, Result as SysResult};
use std::os::fd::AsFd;

/// Opens the object of this kind with this id, which needs CAP_SYS_ADMIN. Only maps can be opened
/// read-only.
pub fn open(kind: ObjectKind, id: u32, read_only: bool) -> Result<Object, Error> {
    let (operation, object) = match kind {
        ObjectKind::Map => return open_map(id, read_only).map(Object::Map),
        ObjectKind::Program => ("open program by id", program_by_id(id).and_then(Object::program)),
        ObjectKind::Link => ("open link by id", link_by_id(id).and_then(Object::link)),
    };
    object.map_err(|errno| fail(format!("id {id}"), operation, kind, errno))
}

/// Opens the map with this id, which needs CAP_SYS_ADMIN.
pub fn open_map(id: u32, read_only: bool) -> Result<Map, Error> {
    let fail = |errno| fail(format!("id {id}"), "open map by id", ObjectKind::Map, errno);
    get(id, read_only).map_err(fail)
}

/// Opens the map or the program with this kernel name, which needs CAP_SYS_ADMIN. If several have
/// the name, the error lists their ids. Links have no kernel names.
pub fn open_named(kind: ObjectKind, name: &[u8], read_only: bool) -> Result<Object, Error> {
    let (find, noun) = match kind {
        ObjectKind::Map => ("find map by name", "map"),
        ObjectKind::Program => ("find program by name", "program"),
        ObjectKind::Link => {
            return Err(Error::new(name, "find link by name", "links have no names"));
        }
    };
    if name.len() > MAX_NAME {
        let cause = format!("{} bytes: a kernel name has at most {MAX_NAME}", name.len());
        return Err(Error::new(name, find, cause));
    }
    if name.is_empty() {
        return Err(Error::new(name, find, "the name is empty"));
    }
    let ids = match kind {
        ObjectKind::Map => map_ids(name),
        ObjectKind::Program | ObjectKind::Link => program_ids(name),
    };
    match &ids.map_err(|errno| fail(name, find, kind, errno))?[..] {
        [] => Err(Error::new(name, find, format!("no {noun} has this name"))),
        [id] => open(kind, *id, read_only),
        ids => {
            let list: Vec<String> = ids.iter().map(u32::to_string).collect();
            let cause = format!("{} {noun}s have this name: ids {}", ids.len(), list.join(", "));
            Err(Error::new(name, find, cause))
        }
    }
}

fn map_ids(name: &[u8]) -> SysResult<Vec<u32>> {
    let mut ids = Vec::new();
    // Read-only suffices to compare names.
    for_each(true, |map| {
        if map.info().name == name {
            ids.push(map.info().id);
        }
    })?;
    Ok(ids)
}

fn program_ids(name: &[u8]) -> SysResult<Vec<u32>> {
    let (mut ids, mut last) = (Vec::new(), 0);
    while let Some(id) = next_program_id(last)? {
        last = id;
        match program_by_id(id).and_then(|fd| program_info(fd.as_fd())) {
            Ok(info) if info.name == name => ids.push(id),
            Ok(_) | Err(Errno::ENOENT) => {} // another name, or removed between the two calls
            Err(errno) => return Err(errno),
        }
    }
    Ok(ids)
}

/// Calls `visit` for every map of the system, by ascending id; needs CAP_SYS_ADMIN.
pub fn for_each(read_only: bool, mut visit: impl FnMut(Map)) -> SysResult<()> {
    let mut id = 0;
    while let Some(next) = next_map_id(id)? {
        id = next;
        match get(id, read_only) {
            Ok(map) => visit(map),
            Err(Errno::ENOENT) => {} // removed between the two calls
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn get(id: u32, read_only: bool) -> SysResult<Map> {
    let mode = if read_only { AccessMode::ReadOnly } else { AccessMode::ReadWrite };
    Map::new(map_by_id(id, mode)?)
}

fn fail(
    object: impl AsRef<[u8]>,
    operation: &'static str,
    kind: ObjectKind,
    errno: Errno,
) -> Error {
    let cause = match errno {
        Errno::EPERM => Cause::denied("CAP_SYS_ADMIN is needed"),
        Errno::ENOENT => format!("no such {}", kind.noun()).into(),
        errno => errno.into(),
    };
    Error::new(object, operation, cause)
}
