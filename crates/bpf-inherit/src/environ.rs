//! The environment contract: the variables that declare maps (`BPF_NUM_MAPS`, `BPF_MAP<n>` and its
//! `_ID`, `_NAME` and `_LAYOUT`), programs and links.
//!
//! Pure: an environment is a list of `NAME=VALUE` entries, in bytes. Whether a number is an open
//! map is checked elsewhere ([`crate::inherited`]).

mod variable;

use crate::ObjectKind;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use variable::{Variable, variable};

/// The longest layout in bytes; longer layouts are omitted from the environment.
pub const MAX_LAYOUT: usize = 64 << 10;

/// An object as an environment declares it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// The kind of the object.
    pub kind: ObjectKind,
    /// The n of `BPF_MAP<n>`. Each kind is numbered by itself.
    pub index: u32,
    /// The number of the file descriptor in the process that has the environment.
    pub fd: i32,
    /// `BPF_MAP<n>_ID`: the kernel's id of the object. None if it is not set: tc sets none.
    pub id: Option<u32>,
    /// `BPF_MAP<n>_NAME`.
    pub name: Option<Vec<u8>>,
    /// `BPF_MAP<n>_LAYOUT`; only maps have one.
    pub layout: Option<Vec<u8>>,
}

impl Claim {
    /// `BPF_MAP<n>`, the variable with the number of the file descriptor.
    pub fn variable(&self) -> String {
        format!("{}{}", self.kind.stem(), self.index)
    }
}

fn split(entry: &[u8]) -> (&[u8], &[u8]) {
    let equals = entry.iter().position(|&b| b == b'=').unwrap_or(entry.len());
    (&entry[..equals], entry.get(equals + 1..).unwrap_or_default())
}

/// What an environment declares: the scope of a command without sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Nothing: no variable of the contract is set.
    #[default]
    Undeclared,
    /// No object: all counts that are set are 0, and no file descriptor is declared.
    Empty,
    /// A file descriptor, or a count other than 0, is declared. It may be closed.
    Objects,
}

impl Scope {
    /// The reason why a command without sources found no object.
    pub fn why_nothing(self) -> &'static str {
        match self {
            Scope::Objects => "the objects that the environment declares are not open",
            Scope::Empty | Scope::Undeclared => "the environment declares no map, program or link",
        }
    }
}

/// The maps, programs and links that an environment declares.
#[derive(Debug, Default)]
pub struct Claims {
    /// By kind, then by index.
    pub claims: Vec<Claim>,
    /// Claims whose ids are not numbers, so that the objects cannot be identified.
    pub without_id: Vec<Claim>,
    /// The scope, which does not depend on whether the file descriptors are open.
    pub scope: Scope,
    /// Whether a variable of an object was dropped.
    pub dropped: bool,
    /// A line for each violation of the contract.
    pub warnings: Vec<String>,
}

impl Claims {
    /// The claims of maps.
    pub fn maps(self) -> impl DoubleEndedIterator<Item = Claim> {
        self.claims.into_iter().filter(|claim| claim.kind == ObjectKind::Map)
    }
}

/// Reads the declarations of `environment`, a list of `NAME=VALUE` entries. If a name appears
/// twice, the first one wins, as for getenv(3).
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
            Variable::Malformed => {
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

/// The number in a variable; a warning if it is malformed, or if the variable appeared before.
fn read_number(claim: &Claim, value: &[u8], first: bool) -> Result<i32, String> {
    let variable = claim.variable();
    if !first {
        return Err(format!("{variable}: set more than once, the first one is used"));
    }
    decimal(value).ok_or_else(|| {
        format!("{variable}: \"{}\" is not a descriptor number, dropped", value.escape_ascii())
    })
}

/// A warning if the declared count of a kind differs from the number of objects found.
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

/// A decimal number without sign or spaces, as in the variables of the contract.
fn decimal<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if digits { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// The environment of the command: `inherited` without any of the contract's variables, followed by
/// the variables of `objects`, by kind. A layout over [`MAX_LAYOUT`] is omitted.
///
/// The count of maps is always set, the counts of programs and links only if there are any: a
/// command that uses maps only then sees an environment without other variables.
pub fn build(inherited: Vec<CString>, objects: &[Claim]) -> Vec<CString> {
    let ours = |entry: &CString| variable(split(entry.as_bytes()).0).is_some();
    let mut entries: Vec<CString> = inherited.into_iter().filter(|e| !ours(e)).collect();
    let mut push = |name: &str, value: &[u8]| {
        let entry = [name.as_bytes(), b"=", value].concat();
        // A NUL cannot occur: names and layouts are from C strings, paths and arguments.
        entries.extend(CString::new(entry).ok());
    };
    for kind in ObjectKind::ALL {
        let of_kind = || objects.iter().filter(|claim| claim.kind == kind);
        let count = of_kind().count();
        if count > 0 || kind == ObjectKind::Map {
            push(kind.counter(), count.to_string().as_bytes());
        }
        for claim in of_kind() {
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
