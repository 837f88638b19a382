//! Links and loads the programs of object files, with the maps that they refer to.

use super::create::{GivenMaps, Maps};
use super::file::read;
use super::new_pins::Unpinned;
use super::pins::PinPlaces;
use super::spec::ObjectProgramSpec;
use crate::error::{Cause, Error};
use crate::foreign::Named;
use crate::object::{KernelTarget, Linked, Object, Program, Slot, link, section_type, select};
use crate::object_type::PROGRAM_TYPES;
use crate::program::kernel_btf;
use crate::program::load::{LoadError, load_program};
use crate::source::create::kernel_name;
use crate::text::{escape, quote};
use bpf_inherit::Map;
use bpf_inherit::program::{ProgramBtf, ProgramSpec};
use bpf_layout::Btf;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const LOAD: &str = "load program";

/// A loaded program.
pub struct LoadedProgram {
    /// Its name is that of its function.
    pub program: Named,
    pub section: String,
    /// New maps of the program that are declared as pinned.
    pub unpinned: Vec<Unpinned>,
}

/// Loads a program. Its maps are those that `given` finds, else the declared pins, else new maps.
/// `owner` is the type of the programs in the array that the program is for.
pub fn open(
    spec: &ObjectProgramSpec,
    owner: Option<u32>,
    bpffs: &Path,
    given: &GivenMaps,
    warnings: &mut Vec<String>,
) -> Result<LoadedProgram, Error> {
    let (bytes, object) = read(&spec.path)?;
    let label = spec.path.as_os_str().as_bytes();
    let program = select(&object.programs, spec.name.as_deref())
        .map_err(|error| Error::new(label, LOAD, error.to_string()))?;
    let places = PinPlaces::new(bpffs, &bytes);
    let mut loader = Loader::new(&spec.path, &bytes, &object);
    let program_type = spec.program_type;
    let fd = loader.load(program, WantedType { program_type, owner }, &places, given, warnings)?;
    loader.fill_slots(&places, given, warnings)?;
    let unpinned = loader.maps.unpinned;
    let loaded =
        bpf_inherit::object::Object::program(fd).map_err(|errno| Error::new(label, LOAD, errno))?;
    let loaded = Named::new(loaded).with_name(program.name.as_str());
    Ok(LoadedProgram { program: loaded, section: program.section.clone(), unpinned })
}

/// The type of a program that is loaded: the type on the command line, else that of its section, else
/// that of the array that it is for.
#[derive(Clone, Copy, Default)]
struct WantedType {
    program_type: Option<u32>,
    owner: Option<u32>,
}

/// Loads programs of one object, which share maps.
pub struct Loader<'o> {
    file: &'o Path,
    bytes: &'o [u8],
    object: &'o Object,
    pub maps: Maps<'o>,
}

impl<'o> Loader<'o> {
    pub fn new(file: &'o Path, bytes: &'o [u8], object: &'o Object) -> Loader<'o> {
        Loader { file, bytes, object, maps: Maps::new(file, object) }
    }

    fn fail(&self, program: &Program, cause: impl Into<Cause>) -> Error {
        let file = self.file.as_os_str().as_bytes();
        Error::new([file, b": ", program.name.as_bytes()].concat(), LOAD, cause)
    }

    fn load(
        &mut self,
        program: &Program,
        wanted: WantedType,
        places: &PinPlaces,
        given: &GivenMaps,
        warnings: &mut Vec<String>,
    ) -> Result<OwnedFd, Error> {
        let fail = |cause: String| self.fail(program, cause);
        let known = section_type(&program.section);
        let number = |name: &str| PROGRAM_TYPES.iter().position(|other| *other == name);
        let by_section = known.and_then(|known| number(known.program_type)).map(|n| n as u32);
        let program_type = wanted.program_type.or(by_section).or(wanted.owner);
        let Some(program_type) = program_type else {
            let section = quote(program.section.as_bytes());
            return Err(fail(format!(
                "the section {section} does not name a program type: use --prog-type"
            )));
        };
        // The other properties of the section apply only to its own type.
        let known = known.filter(|_| by_section == Some(program_type));
        let type_name = crate::object_type::program_type(program_type);
        if matches!(&*type_name, "struct_ops" | "ext") {
            return Err(fail(format!(
                "a program of the type {type_name} depends on others (load it with bpftool, and use its pin)"
            )));
        }
        let linked = link(self.bytes, self.object, program);
        // The error names the function, which may be one that the program calls.
        let mut linked = linked.map_err(|error| {
            Error::new(self.file.as_os_str().as_bytes(), LOAD, error.to_string())
        })?;
        let target = known.and_then(|known| known.target);
        let attach_btf_id = self.use_kernel(&mut linked, target).map_err(fail)?;
        let used: Vec<usize> = linked.maps.iter().map(|(_, map)| *map).collect();
        self.maps.load_types(warnings);
        self.maps.require(&used, places, given, warnings)?;
        for (at, map) in &linked.maps {
            let fd = self.maps.get(*map).map_or(-1, |map| map.as_fd().as_raw_fd());
            linked.instructions[*at].set_immediate(fd);
        }
        let instructions: Vec<u64> = linked.instructions.iter().map(|one| one.word()).collect();
        let btf = self.maps.btf().map(|fd| ProgramBtf {
            fd,
            functions: &linked.functions,
            lines: &linked.lines,
        });
        let name = kernel_name(&program.name);
        let spec = ProgramSpec {
            program_type,
            attach_type: known.map_or(0, |known| known.attach_type),
            attach_btf_id,
            flags: known.map_or(0, |known| known.flags),
            name: &name,
            license: &linked.license,
            instructions: &instructions,
            btf,
        };
        load_program(&spec, &type_name).map_err(|error| match error {
            LoadError::Verifier { message, log } => {
                self.fail(program, Cause::Verifier { message, log })
            }
            LoadError::Errno(errno) => self.fail(program, errno),
            other => self.fail(program, other.to_string()),
        })
    }

    /// Adapts a program to the running kernel. Returns the id of the function that the program is attached
    /// to, or 0.
    fn use_kernel(&self, linked: &mut Linked, target: Option<KernelTarget>) -> Result<u32, String> {
        if linked.core.is_empty() && target.is_none() {
            return Ok(0);
        }
        let blob = kernel_btf().map_err(|error| error.to_string())?;
        let kernel = Btf::parse(&blob).map_err(|error| error.to_string())?;
        if !linked.core.is_empty() {
            let own = self.object.btf.as_deref().map(Btf::parse).and_then(Result::ok);
            let own = own.ok_or("it depends on the types of the kernel, but has no BTF")?;
            linked.relocate(&own, &kernel).map_err(|error| error.to_string())?;
        }
        let (name, id) = match target {
            None => return Ok(0),
            Some(KernelTarget::Function(prefix, name)) => {
                let name = format!("{prefix}{name}");
                let id = kernel.function(&name);
                (name, id)
            }
            Some(KernelTarget::Typedef(prefix, name)) => {
                let name = format!("{prefix}{name}");
                let id = kernel.typedef(&name);
                (name, id)
            }
        };
        id.ok_or_else(|| format!("the kernel does not have {}", escape(name.as_bytes())))
    }

    /// Loads the programs that new program arrays declare for their slots, and stores them.
    pub fn fill_slots(
        &mut self,
        places: &PinPlaces,
        given: &GivenMaps,
        warnings: &mut Vec<String>,
    ) -> Result<(), Error> {
        let mut loaded: BTreeMap<&str, OwnedFd> = BTreeMap::new();
        // A program may refer to another array, which is created with it.
        while let Some(array) = self.maps.unfilled.pop() {
            let declared = &self.object.maps[array];
            for (slot, content) in &declared.slots {
                let Slot::Program(name) = content else { continue };
                if !loaded.contains_key(name.as_str()) {
                    let program = select(&self.object.programs, Some(name)).map_err(|error| {
                        self.maps.fail(declared, "fill slot", error.to_string())
                    })?;
                    let fd = self.load(program, WantedType::default(), places, given, warnings)?;
                    loaded.insert(name, fd);
                }
                let fd = loaded[name.as_str()].as_raw_fd();
                let stored = self
                    .maps
                    .get(array)
                    .map(|map: &Map| map.update(&slot.to_ne_bytes(), &fd.to_ne_bytes(), 0));
                if let Some(Err(errno)) = stored {
                    return Err(self.maps.fail(declared, "fill slot", errno));
                }
            }
        }
        Ok(())
    }
}
