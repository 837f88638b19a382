//! `--expect NAME=LAYOUT`: maps with another layout than the command was written for are refused.

use crate::cli::name::{check_name, split_name};
use crate::error::Error;
use crate::handoff::launch::HandedObject;
use crate::map::typed::{LayoutSource, parse_layout_for};
use crate::text::{escape_argument, quote};
use anyhow::{Context, anyhow};
use bpf_inherit::MapType;
use bpf_inherit::bpf::MapInfo;
use bpf_inherit::object::Info;
use bpf_layout::{Layout, to_lpm_key};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

const COMPARE: &str = "compare with --expect";

/// The layout that all maps of a name must have.
#[derive(Debug)]
pub struct Expectation {
    name: Vec<u8>,
    layout: Layout,
}

impl Expectation {
    /// Reads `NAME=KEY -> VALUE`.
    pub fn parse(text: &OsStr) -> anyhow::Result<Expectation> {
        let wrong = || format!("--expect {}", escape_argument(text.as_bytes()));
        let (name, layout) = split_name(text);
        let name = name.ok_or_else(|| anyhow!("not NAME=LAYOUT")).with_context(wrong)?;
        check_name(name).with_context(wrong)?;
        let layout = std::str::from_utf8(layout).context("not UTF-8").with_context(wrong)?;
        let layout = layout.parse().with_context(wrong)?;
        Ok(Expectation { name: name.to_vec(), layout })
    }

    /// Compares the maps of the name, with warnings about those of which only the sizes are known.
    fn check(&self, objects: &[HandedObject]) -> Result<Vec<String>, Error> {
        let mut warnings = Vec::new();
        let mut is_found = false;
        for HandedObject { claim, layout_source, info, .. } in objects {
            let (Info::Map(map, _), Some(name)) = (info, &claim.name) else { continue };
            if *name != self.name {
                continue;
            }
            is_found = true;
            let fail = |cause: String| Error::new(name, COMPARE, cause);
            let difference = match &claim.layout {
                Some(layout) => {
                    self.layout_for(map).difference(&parse_layout_for(layout, map).map_err(fail)?)
                }
                None => {
                    warnings.push(format!("{}: {}", quote(name), unknown(*layout_source)));
                    let (key, value) = (map.key_size as usize, map.value_size as usize);
                    self.layout.size_difference(key, value)
                }
            };
            if let Some(difference) = difference {
                return Err(fail(difference.to_string()));
            }
        }
        match is_found {
            true => Ok(warnings),
            false => Err(Error::new(&self.name, COMPARE, "no map with this name is handed over")),
        }
    }

    /// The layout, with the key of an LPM trie as it is read from BTF.
    fn layout_for(&self, map: &MapInfo) -> Layout {
        let mut layout = self.layout.clone();
        if map.map_type == MapType::LPM_TRIE {
            layout.key = layout.key.map(to_lpm_key);
        }
        layout
    }
}

/// Compares all maps with what is expected of them. Returns warnings.
pub fn check(expectations: &[Expectation], objects: &[HandedObject]) -> Result<Vec<String>, Error> {
    let checked = expectations.iter().map(|expectation| expectation.check(objects));
    Ok(checked.collect::<Result<Vec<_>, _>>()?.concat())
}

/// The warning that only the sizes of a map are compared.
fn unknown(source: LayoutSource) -> String {
    let why = match source {
        LayoutSource::Guess => "its BTF cannot be read",
        _ => "it has no BTF",
    };
    format!("--expect: only the sizes of key and value are compared: {why}")
}
