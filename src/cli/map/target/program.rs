//! Opens programs, and loads those of object files.

use super::reference;
use super::{inherited, named};
use crate::cli::map::output::warn;
use crate::error::Error;
use crate::foreign::Named;
use crate::object::Declaration;
use crate::source::object::ObjectProgramSpec;
use crate::source::object::new_pins::NewPins;
use crate::source::object::program::{self, LoadedProgram};
use crate::text::escape;
use anyhow::{Context, bail};
use bpf_inherit::object::Object;
use bpf_inherit::{AccessMode, Startup};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A program, and the new pins of its maps. The pins are removed when it is dropped, unless they are kept.
pub struct OpenedProgram {
    pub program: Named<Object>,
    pub pins: NewPins,
}

/// The choice of the type of a program of an object file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadOptions {
    /// `enum bpf_prog_type`; None for the type that the section determines.
    pub program_type: Option<u32>,
    /// The type of the programs in the array that the program is for.
    pub owner: Option<u32>,
}

/// Opens the program that `prog:REFERENCE` names. A reference with a `#` is an object file and a
/// program in it, which is loaded.
pub fn open(
    startup: &Startup,
    bpffs: &Path,
    text: &OsStr,
    options: LoadOptions,
) -> anyhow::Result<OpenedProgram> {
    let (_, rest) = reference::split_kind(text);
    if let Some(spec) = ObjectProgramSpec::parse(rest.as_bytes()) {
        let spec = spec.map_err(anyhow::Error::msg).with_context(|| escape(text.as_bytes()))?;
        return Ok(load(startup, bpffs, spec, options)?.0);
    }
    if options.program_type.is_some() {
        bail!("{}: --prog-type is for prog:FILE#NAME", escape(text.as_bytes()));
    }
    let program = named::open(startup, bpffs, text, AccessMode::ReadWrite)?;
    Ok(OpenedProgram { program, pins: NewPins::default() })
}

/// Loads a program of an object file; returns its section, too. Its maps are the inherited maps with
/// their names, else the declared pins, else new maps.
pub fn load(
    startup: &Startup,
    bpffs: &Path,
    mut spec: ObjectProgramSpec,
    options: LoadOptions,
) -> anyhow::Result<(OpenedProgram, String)> {
    let LoadOptions { program_type, owner } = options;
    spec.program_type = program_type;
    let given = |map: &Declaration| {
        let found = inherited::find_map(startup, map.name.as_bytes());
        found.map_err(|error| Error::new(&map.name, "find map", format!("{error:#}")))
    };
    let mut warnings = Vec::new();
    let loaded = program::open(&spec, owner, bpffs, &given, &mut warnings);
    warnings.iter().for_each(warn);
    let LoadedProgram { program, section, unpinned } = loaded?;
    let pins = NewPins::make(unpinned, bpffs, None)?;
    Ok((OpenedProgram { program, pins }, section))
}
