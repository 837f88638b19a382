//! Maps, programs and links by id, and maps by kernel name.

use crate::error::{Cause, Error};
use bpf_inherit::AccessMode;
use bpf_inherit::Map;
use bpf_inherit::ObjectKind;
use bpf_inherit::bpf::{link_by_id, map_by_id, next_map_id, program_by_id};
use bpf_inherit::object::Object;
use bpf_inherit::{Errno, Result as SysResult};

const FIND: &str = "find map by name";
/// BPF_OBJ_NAME_LEN, less the NUL.
const MAX_NAME: usize = 15;

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

/// Opens the map with this kernel name, which needs CAP_SYS_ADMIN. If several maps have the name,
/// the error lists their ids.
pub fn open_named(name: &[u8], read_only: bool) -> Result<Map, Error> {
    if name.len() > MAX_NAME {
        let cause = format!("{} bytes: a kernel name has at most {MAX_NAME}", name.len());
        return Err(Error::new(name, FIND, cause));
    }
    if name.is_empty() {
        return Err(Error::new(name, FIND, "the name is empty"));
    }
    let mut found = Vec::new();
    // Maps are opened read-only to compare their names; the match is reopened by its id.
    for_each(true, |map| {
        if map.info().name == name {
            found.push(map);
        }
    })
    .map_err(|errno| fail(name, FIND, ObjectKind::Map, errno))?;
    match found.len() {
        0 => Err(Error::new(name, FIND, "no map has this name")),
        1 => open_map(found[0].info().id, read_only),
        n => {
            let ids: Vec<String> = found.iter().map(|map| map.info().id.to_string()).collect();
            let cause = format!("{n} maps have this name: ids {}", ids.join(", "));
            Err(Error::new(name, FIND, cause))
        }
    }
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
        Errno::EPERM => Cause::Hint(errno, "CAP_SYS_ADMIN is needed"),
        Errno::ENOENT => format!("no such {}", kind.noun()).into(),
        errno => errno.into(),
    };
    Error::new(object, operation, cause)
}
