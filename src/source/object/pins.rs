//! The pin paths that an object declares for its maps, and the comparison of declared with existing maps.

use super::entries::max_entries;
use super::new_pins::Unpinned;
use crate::bpffs::pin;
use crate::error::{Cause, Error};
use crate::map::flags;
use crate::map::state::MapState;
use crate::map::typed::Layouts;
use crate::object::{Declaration, Object, Pinning};
use aya_obj::generated::BPF_F_RDONLY_PROG;
use bpf_inherit::{AccessMode, Map, MapType};
use bpf_layout::Btf;
use std::fmt::Display;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The directories of tc's loader below the root of the bpf file system.
const TC: &str = "tc";
const GLOBALS: &str = "globals";
/// Directories for other numbers than those of tc's own: `NUMBER DIRECTORY` lines.
const CONFIGURATION: &str = "/etc/iproute2/bpf_pinning";
/// `pinning` of a map in the object's own directory, and of one in the global directory.
const OBJECT_NS: u32 = 1;
const GLOBAL_NS: u32 = 2;

/// The pin paths of the maps of one object.
pub struct PinPlaces<'a> {
    root: &'a Path,
    /// The bytes of the object, which name its own directory.
    file: &'a [u8],
}

/// The state of the path where a map is to be pinned.
pub enum AtPin {
    Nothing,
    /// The map that the object declares.
    Same(Map),
    /// Another map, with the differences.
    Other(Vec<String>),
}

impl<'a> PinPlaces<'a> {
    pub fn new(root: &'a Path, file: &'a [u8]) -> PinPlaces<'a> {
        PinPlaces { root, file }
    }

    /// The pin path that the object declares for a map.
    pub fn path(&self, map: &Declaration) -> Result<Option<PathBuf>, Cause> {
        let directory = match map.pinning {
            Pinning::None => return Ok(None),
            Pinning::Name => self.root.to_owned(),
            Pinning::Tc(OBJECT_NS) => {
                let hash = sha1_smol::Sha1::from(self.file).digest().to_string();
                self.root.join(TC).join(hash)
            }
            Pinning::Tc(GLOBAL_NS) => self.root.join(TC).join(GLOBALS),
            // tc does not pin a map whose number has no directory.
            Pinning::Tc(number) => match configured(number)? {
                Some(directory) => self.root.join(directory),
                None => return Ok(None),
            },
        };
        let is_file_name = !map.name.contains('/') && map.name != "." && map.name != "..";
        match is_file_name {
            true => Ok(Some(directory.join(&map.name))),
            false => Err("its name cannot be a file name".into()),
        }
    }

    /// Opens the pin at `path`, if there is one, or the map that is going to be pinned there. A pin
    /// of another map is an error.
    pub fn open(
        &self,
        path: &Path,
        map: &Declaration,
        object: &Object,
        unpinned: &[Unpinned],
    ) -> Result<Option<Map>, Error> {
        let found = match unpinned.iter().find(|other| other.path == path) {
            Some(other) => {
                let fail = |cause| Error::new(path.as_os_str().as_bytes(), "share map", cause);
                let fd = other.fd.try_clone().map_err(|error| fail(Cause::from(error)))?;
                compare(path, map, object, Map::new(fd).map_err(|errno| fail(errno.into()))?)?
            }
            None => self.inspect(path, map, object, AccessMode::ReadWrite)?,
        };
        match found {
            AtPin::Nothing => Ok(None),
            AtPin::Same(pinned) => Ok(Some(pinned)),
            AtPin::Other(differences) => {
                let cause = format!("another map is pinned there: {}", differences.join("; "));
                Err(Error::new(path.as_os_str().as_bytes(), "reuse pin", cause))
            }
        }
    }

    /// Compares the object that is pinned at `path` with the map that the object file declares.
    pub fn inspect(
        &self,
        path: &Path,
        map: &Declaration,
        object: &Object,
        mode: AccessMode,
    ) -> Result<AtPin, Error> {
        match path.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(AtPin::Nothing),
            _ => {}
        }
        compare(path, map, object, pin::open_map(path, mode, self.root)?)
    }
}

/// Compares the map at `path` with the map that the object file declares.
fn compare(path: &Path, map: &Declaration, object: &Object, pinned: Map) -> Result<AtPin, Error> {
    let differences = differences(map, object, &pinned, "pinned")
        .map_err(|cause| Error::new(path.as_os_str().as_bytes(), "compare pin", cause))?;
    Ok(if differences.is_empty() { AtPin::Same(pinned) } else { AtPin::Other(differences) })
}

/// The directory that the configuration of iproute2 lists for a number.
fn configured(number: u32) -> Result<Option<PathBuf>, Cause> {
    let text = match std::fs::read_to_string(CONFIGURATION) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(directory_of(&text, number).map(PathBuf::from))
}

fn directory_of(text: &str, number: u32) -> Option<&str> {
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.find_map(|line| {
        let (first, rest) = line.trim().split_once([' ', '\t'])?;
        let known = match first.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => first.parse(),
        };
        let directory = rest.split_whitespace().next()?;
        (known == Ok(number)).then(|| directory.trim_start_matches('/'))
    })
}

/// The differences between a declared and an existing map, as `ATTRIBUTE VALUE declared, VALUE pinned`;
/// `how` replaces `pinned`.
pub fn differences(
    map: &Declaration,
    object: &Object,
    existing: &Map,
    how: &str,
) -> Result<Vec<String>, Cause> {
    let info = existing.info();
    let mut found = Vec::new();
    let mut compare = |what: &str, declared: &dyn Display, existing: &dyn Display| {
        let (declared, existing) = (declared.to_string(), existing.to_string());
        if declared != existing {
            found.push(format!("{what} {declared} declared, {existing} {how}"));
        }
    };
    compare("type", &map.map_type, &info.map_type);
    compare("key size", &map.key_size, &info.key_size);
    compare("value size", &map.value_size, &info.value_size);
    compare("max entries", &max_entries(map)?, &info.max_entries);
    // The kernel adds a flag of its own to these.
    let added = match info.map_type {
        MapType::DEVMAP | MapType::DEVMAP_HASH => BPF_F_RDONLY_PROG,
        _ => 0,
    };
    let names = |bits: u32| match flags::list_names(bits) {
        names if names.is_empty() => "none".to_owned(),
        names => names.join("|"),
    };
    compare("flags", &names(map.flags), &names(info.flags & !added | map.flags & added));
    compare("map_extra", &map.extra, &MapState::read(existing)?.extra);
    let btf = object.btf.as_deref().map(Btf::parse).and_then(Result::ok);
    let declared = btf.as_ref().and_then(|btf| map.layout(btf));
    if let Some(declared) = declared {
        // The types of a map without BTF are unknown, so they do not differ.
        let existing = Layouts::default().read(info).map_err(|error| error.to_string())?;
        if let Some(existing) = existing {
            compare("layout", &declared, &existing);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::directory_of;

    #[test]
    fn configured_directories_are_found_by_their_numbers() {
        let text = "# ID path\n3\tmine\n  0x10 deep/er # comment\n#4 not\nbad\n";
        assert_eq!(directory_of(text, 3), Some("mine"));
        assert_eq!(directory_of(text, 16), Some("deep/er"));
        assert_eq!(directory_of(text, 4), None);
    }
}
