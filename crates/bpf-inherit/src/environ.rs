//! The environment contract: `BPF_NUM_MAPS`, `BPF_MAP<n>` and what belongs to them, and the
//! same for programs and links.
//!
//! Pure: environments are lists of `NAME=VALUE` entries, in bytes. Whether a
//! number really is an open map is for others to find out.

mod variable;

use crate::ObjectKind;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use variable::{Variable, variable};

/// A longer layout is left out of the environment.
pub const MAX_LAYOUT: usize = 64 << 10;

/// An object as an environment declares it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// The kind of the object.
    pub kind: ObjectKind,
    /// The n of `BPF_MAP<n>`, by kind.
    pub index: u32,
    /// The descriptor's number in the process whose environment it is.
    pub fd: i32,
    /// `BPF_MAP<n>_ID`: the kernel's id of the object. None if it is not set: tc sets none.
    pub id: Option<u32>,
    /// `BPF_MAP<n>_NAME`.
    pub name: Option<Vec<u8>>,
    /// `BPF_MAP<n>_LAYOUT`; only maps have one.
    pub layout: Option<Vec<u8>>,
}

impl Claim {
    /// `BPF_MAP<n>`, the variable that holds the descriptor's number.
    pub fn variable(&self) -> String {
        format!("{}{}", self.kind.stem(), self.index)
    }
}

fn split(entry: &[u8]) -> (&[u8], &[u8]) {
    let equals = entry.iter().position(|&b| b == b'=').unwrap_or(entry.len());
    (&entry[..equals], entry.get(equals + 1..).unwrap_or_default())
}

/// What the environment says about the objects of a command that names no sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Nothing: no count and no descriptor of any kind is set.
    #[default]
    Undeclared,
    /// There are none: all counts that are set are 0, and no descriptor is set.
    Empty,
    /// A descriptor, or a count other than 0, is set. Whether they are open is not known here.
    Objects,
}

impl Scope {
    /// Why a command without sources found no object.
    pub fn why_nothing(self) -> &'static str {
        match self {
            Scope::Objects => "the objects that the environment declares are not open",
            Scope::Empty | Scope::Undeclared => "the environment declares no map, program or link",
        }
    }
}

/// What an environment says of maps, programs and links.
#[derive(Debug, Default)]
pub struct Claims {
    /// By kind, then by index.
    pub claims: Vec<Claim>,
    /// Claims whose ids are not numbers, so that the objects cannot be identified.
    pub without_id: Vec<Claim>,
    /// As declared, whether or not the descriptors are there.
    pub scope: Scope,
    /// Whether a variable of an object was dropped.
    pub dropped: bool,
    /// A line for each thing that is not as the contract has it.
    pub warnings: Vec<String>,
}

impl Claims {
    /// The maps alone.
    pub fn maps(self) -> impl DoubleEndedIterator<Item = Claim> {
        self.claims.into_iter().filter(|claim| claim.kind == ObjectKind::Map)
    }
}

/// Reads what `environment` declares. Of a name that stands twice the first counts, as
/// getenv(3) has it.
pub fn claims<'a>(environment: impl IntoIterator<Item = &'a [u8]>) -> Claims {
    let mut seen = BTreeSet::new();
    let mut scope = Scope::Undeclared;
    let mut claims: BTreeMap<(ObjectKind, u32), Claim> = BTreeMap::new();
    let (mut names, mut layouts, mut ids) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut counts: BTreeMap<ObjectKind, &[u8]> = BTreeMap::new();
    let mut dropped = false;
    let mut warnings = Vec::new();
    for entry in environment {
        let (name, value) = split(entry);
        let Some((kind, variable)) = variable(name) else { continue };
        match variable {
            Variable::Count => {
                counts.entry(kind).or_insert(value);
                if decimal(value) != Some(0u32) {
                    scope = Scope::Objects;
                } else if scope == Scope::Undeclared {
                    scope = Scope::Empty;
                }
            }
            Variable::Name(n) => {
                names.entry((kind, n)).or_insert(value.to_vec());
            }
            Variable::Id(n) => {
                ids.entry((kind, n)).or_insert(value);
            }
            Variable::Layout(n) => {
                layouts.entry((kind, n)).or_insert(value.to_vec());
            }
            Variable::Strange => {
                scope = Scope::Objects;
                dropped = true;
                let (name, noun) = (name.escape_ascii(), kind.noun());
                warnings.push(format!("{name}: not a number for a {noun}, dropped"));
            }
            Variable::Descriptor(index) => {
                scope = Scope::Objects;
                let claim = Claim { kind, index, ..Claim::default() };
                let first = seen.insert((kind, index));
                match read_number(&claim, value, first) {
                    Ok(fd) => drop(claims.insert((kind, index), Claim { fd, ..claim })),
                    Err(warning) => {
                        dropped |= first;
                        warnings.push(warning);
                    }
                }
            }
        }
    }
    for (place, claim) in &mut claims {
        claim.name = names.remove(place);
        claim.layout = layouts.remove(place);
        claim.id = ids.get(place).and_then(|text| decimal(text));
    }
    let (claims, without_id): (Vec<Claim>, Vec<Claim>) = claims
        .into_values()
        .partition(|claim| claim.id.is_some() || !ids.contains_key(&(claim.kind, claim.index)));
    dropped |= !without_id.is_empty();
    for claim in &without_id {
        let (variable, id) = (claim.variable(), ids[&(claim.kind, claim.index)].escape_ascii());
        warnings.push(format!("{variable}_ID: \"{id}\" is not an id, {variable} is dropped"));
    }
    for kind in ObjectKind::ALL {
        let found = claims.iter().filter(|claim| claim.kind == kind).count();
        warnings.extend(doubt(kind, counts.remove(&kind), found));
    }
    Claims { claims, without_id, scope, dropped, warnings }
}

/// The descriptor that a variable names, which must be its first; else a warning.
fn read_number(claim: &Claim, value: &[u8], first: bool) -> Result<i32, String> {
    let variable = claim.variable();
    if !first {
        return Err(format!("{variable}: set more than once, the first counts"));
    }
    decimal(value).ok_or_else(|| {
        format!("{variable}: \"{}\" is not a descriptor number, dropped", value.escape_ascii())
    })
}

/// What is wrong with the count of a kind, where so many of it are declared.
fn doubt(kind: ObjectKind, count: Option<&[u8]>, found: usize) -> Option<String> {
    let (counter, noun) = (kind.counter(), kind.noun());
    let plural = if found == 1 { "" } else { "s" };
    match count {
        None if found == 0 => None,
        None => Some(format!("{counter} is not set (found {found} {noun}{plural})")),
        Some(text) => match decimal::<i32>(text) {
            Some(n) if n as usize == found => None,
            Some(n) => Some(format!("{counter} is {n} (found {found} {noun}{plural})")),
            None => Some(format!("{counter}: \"{}\" is not a number", text.escape_ascii())),
        },
    }
}

/// A decimal number without sign or spaces, as the contract's variables hold it.
fn decimal<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if digits { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// The environment of the command: `inherited` without any of the contract's variables, then
/// those of `objects`, by kind. A layout over [`MAX_LAYOUT`] is left out.
///
/// Maps are always counted, programs and links only where there are any: what knows of maps
/// alone then sees the environment that it always saw.
pub fn build(inherited: Vec<CString>, objects: &[Claim]) -> Vec<CString> {
    let ours = |entry: &CString| variable(split(entry.as_bytes()).0).is_some();
    let mut entries: Vec<CString> = inherited.into_iter().filter(|e| !ours(e)).collect();
    let mut push = |name: &str, value: &[u8]| {
        let entry = [name.as_bytes(), b"=", value].concat();
        // A NUL cannot occur: names and layouts come from C strings, paths and arguments.
        entries.extend(CString::new(entry).ok());
    };
    for kind in ObjectKind::ALL {
        let of_class = || objects.iter().filter(|claim| claim.kind == kind);
        let count = of_class().count();
        if count > 0 || kind == ObjectKind::Map {
            push(kind.counter(), count.to_string().as_bytes());
        }
        for claim in of_class() {
            let variable = claim.variable();
            push(&variable, claim.fd.to_string().as_bytes());
            if let Some(id) = claim.id {
                push(&format!("{variable}_ID"), id.to_string().as_bytes());
            }
            if let Some(value) = &claim.name {
                push(&format!("{variable}_NAME"), value);
            }
            if let Some(value) = claim.layout.as_ref().filter(|l| l.len() <= MAX_LAYOUT) {
                push(&format!("{variable}_LAYOUT"), value);
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests;
