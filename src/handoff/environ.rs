//! The environment contract: `BPF_NUM_MAPS`, `BPF_MAP<n>` and what belongs to them.
//!
//! Pure: environments are lists of `NAME=VALUE` entries, in bytes. Whether a
//! number really is an open map is for others to find out.

use crate::text::{count as count_of, escape};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fmt::Write;

const COUNT: &str = "BPF_NUM_MAPS";
/// A longer layout is left out of the environment.
pub const MAX_LAYOUT: usize = 64 << 10;

/// A map as an environment declares it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// The n of `BPF_MAP<n>`.
    pub index: u32,
    /// The descriptor's number in the process whose environment it is.
    pub fd: i32,
    /// `BPF_MAP<n>_NAME`.
    pub name: Option<Vec<u8>>,
    /// `BPF_MAP<n>_LAYOUT`.
    pub layout: Option<Vec<u8>>,
}

/// One of the contract's variables.
enum Variable {
    Count,
    Map(u32),
    Name(u32),
    Layout(u32),
    /// `BPF_MAP<digits>` whose number has leading zeroes or is over 32 bits.
    Strange,
}

/// Which of the contract's variables `name` is, if any.
fn variable(name: &[u8]) -> Option<Variable> {
    if name == COUNT.as_bytes() {
        return Some(Variable::Count);
    }
    let rest = name.strip_prefix(b"BPF_MAP")?;
    let end = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, suffix) = rest.split_at(end);
    if digits.is_empty() {
        return None;
    }
    let index = std::str::from_utf8(digits).ok()?.parse::<u32>();
    let canonical = digits.len() == 1 || digits[0] != b'0';
    let of = match suffix {
        b"" => Variable::Map,
        b"_NAME" => Variable::Name,
        b"_LAYOUT" => Variable::Layout,
        _ => return None,
    };
    Some(index.map_or(Variable::Strange, |n| if canonical { of(n) } else { Variable::Strange }))
}

fn split(entry: &[u8]) -> (&[u8], &[u8]) {
    let equals = entry.iter().position(|&b| b == b'=').unwrap_or(entry.len());
    (&entry[..equals], entry.get(equals + 1..).unwrap_or_default())
}

/// What an environment says of maps.
#[derive(Debug, Default)]
pub struct Claims {
    /// By index.
    pub claims: Vec<Claim>,
    /// Whether a `BPF_MAP<digits>` is set at all, to whatever.
    pub declared: bool,
    /// A line for each thing that is not as the contract has it.
    pub warnings: Vec<String>,
}

/// Reads the maps that `environment` declares. Of a name that stands twice the
/// first counts, as getenv(3) has it.
pub fn claims<'a>(environment: impl IntoIterator<Item = &'a [u8]>) -> Claims {
    let mut seen = BTreeSet::new();
    let mut declared = false;
    let mut claims: BTreeMap<u32, Claim> = BTreeMap::new();
    let (mut names, mut layouts) = (BTreeMap::new(), BTreeMap::new());
    let mut count: Option<&[u8]> = None;
    let mut warnings = Vec::new();
    for entry in environment {
        let (name, value) = split(entry);
        match variable(name) {
            None => {}
            Some(Variable::Count) => {
                count.get_or_insert(value);
            }
            Some(Variable::Name(n)) => {
                names.entry(n).or_insert(value.to_vec());
            }
            Some(Variable::Layout(n)) => {
                layouts.entry(n).or_insert(value.to_vec());
            }
            Some(Variable::Strange) => {
                declared = true;
                warnings.push(format!("{}: not a number for a map, dropped", escape(name)));
            }
            Some(Variable::Map(index)) => match number(value) {
                _ if !seen.insert(index) => {
                    warnings.push(format!("BPF_MAP{index}: set more than once, the first counts"));
                }
                Some(fd) => {
                    claims.insert(index, Claim { index, fd, ..Claim::default() });
                }
                None => warnings.push(format!(
                    "BPF_MAP{index}: \"{}\" is not a descriptor number, dropped",
                    escape(value)
                )),
            },
        }
    }
    let mut claims: Vec<Claim> = claims.into_values().collect();
    for claim in &mut claims {
        claim.name = names.remove(&claim.index);
        claim.layout = layouts.remove(&claim.index);
    }
    warnings.extend(doubt(count, claims.len()));
    Claims { claims, declared: declared || !seen.is_empty(), warnings }
}

/// What is wrong with the value of BPF_NUM_MAPS, where so many maps are declared.
fn doubt(count: Option<&[u8]>, found: usize) -> Option<String> {
    match count {
        None if found == 0 => None,
        None => Some(format!("{COUNT} is not set (found {})", count_of(found, "map"))),
        Some(text) => match number(text) {
            Some(n) if n as usize == found => None,
            Some(n) => Some(format!("{COUNT} is {n} (found {})", count_of(found, "map"))),
            None => Some(format!("{COUNT}: \"{}\" is not a number", escape(text))),
        },
    }
}

/// A decimal number without sign or spaces, as the contract's variables hold it.
fn number(text: &[u8]) -> Option<i32> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if digits { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// The environment of the command: `inherited` without any of the contract's
/// variables, then those of `maps`. A layout over [`MAX_LAYOUT`] is left out.
pub fn build(inherited: Vec<CString>, maps: &[Claim]) -> Vec<CString> {
    let ours = |entry: &CString| variable(split(entry.as_bytes()).0).is_some();
    let mut entries: Vec<CString> = inherited.into_iter().filter(|e| !ours(e)).collect();
    let mut push = |name: &str, value: &[u8]| {
        let entry = [name.as_bytes(), b"=", value].concat();
        // A NUL cannot occur: names and layouts come from C strings, paths and arguments.
        entries.extend(CString::new(entry).ok());
    };
    push(COUNT, maps.len().to_string().as_bytes());
    for map in maps {
        let mut name = format!("BPF_MAP{}", map.index);
        push(&name, map.fd.to_string().as_bytes());
        let stem = name.len();
        if let Some(value) = &map.name {
            name.push_str("_NAME");
            push(&name, value);
            name.truncate(stem);
        }
        if let Some(value) = map.layout.as_ref().filter(|l| l.len() <= MAX_LAYOUT) {
            let _ = write!(name, "_LAYOUT"); // a String takes everything
            push(&name, value);
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[&str]) -> (Vec<Claim>, Vec<String>) {
        let Claims { claims, warnings, .. } = claims(entries.iter().map(|e| e.as_bytes()));
        (claims, warnings)
    }

    #[test]
    fn what_build_writes_is_what_claims_reads() {
        let maps = [
            Claim { index: 0, fd: 64, name: Some(b"hits".to_vec()), layout: None },
            Claim { index: 9, fd: 65, name: None, layout: Some(b"u32 -> u64".to_vec()) },
        ];
        let env = build(vec![c"HOME=/".into(), c"BPF_MAP3=9".into(), c"odd".into()], &maps);
        assert_eq!(env[..2], [c"HOME=/".to_owned(), c"odd".to_owned()]);
        let Claims { claims: read, warnings, .. } = claims(env.iter().map(|e| e.as_bytes()));
        assert_eq!(read, maps);
        assert_eq!(warnings, [""; 0]);
    }

    #[test]
    fn other_variables_are_none_of_ours() {
        for name in
            ["BPF_MAP", "BPF_MAPX", "BPF_MAP1X", "BPF_MAP_1", "BPF_MAP1_name", "BPF_NUM_MAPS2"]
        {
            assert!(variable(name.as_bytes()).is_none(), "{name}");
        }
        assert_eq!(build(vec![c"BPF_MAPS=1".into()], &[]).len(), 2);
    }

    #[test]
    fn what_is_not_as_it_should_be_is_a_warning() {
        for (entries, found, warning) in [
            (&["BPF_NUM_MAPS=0"][..], 0, None),
            (&["BPF_MAP9=64"], 1, Some("BPF_NUM_MAPS is not set (found 1 map)")),
            (&["BPF_NUM_MAPS=abc"], 0, Some("BPF_NUM_MAPS: \"abc\" is not a number")),
            (&["BPF_NUM_MAPS=3", "BPF_MAP0=5"], 1, Some("BPF_NUM_MAPS is 3 (found 1 map)")),
            (
                &["BPF_NUM_MAPS=0", "BPF_MAP1=x"],
                0,
                Some("BPF_MAP1: \"x\" is not a descriptor number, dropped"),
            ),
            (
                &["BPF_NUM_MAPS=0", "BPF_MAP1=-1"],
                0,
                Some("BPF_MAP1: \"-1\" is not a descriptor number, dropped"),
            ),
            (
                &["BPF_NUM_MAPS=0", "BPF_MAP01=5"],
                0,
                Some("BPF_MAP01: not a number for a map, dropped"),
            ),
            (
                &["BPF_NUM_MAPS=0", "BPF_MAP4294967296=5"],
                0,
                Some("BPF_MAP4294967296: not a number for a map, dropped"),
            ),
            (
                &["BPF_NUM_MAPS=1", "BPF_MAP0=5", "BPF_MAP0=6"],
                1,
                Some("BPF_MAP0: set more than once, the first counts"),
            ),
            (&["BPF_MAP7_NAME=stale"], 0, None),
        ] {
            let (claims, warnings) = read(entries);
            assert_eq!(claims.len(), found, "{entries:?}");
            assert_eq!(warnings, warning.into_iter().collect::<Vec<_>>(), "{entries:?}");
        }
    }

    #[test]
    fn a_layout_over_the_limit_is_left_out() {
        let map = |n| Claim { layout: Some(vec![b'x'; n]), ..Claim::default() };
        assert_eq!(build(vec![], &[map(MAX_LAYOUT)]).len(), 3);
        assert_eq!(build(vec![], &[map(MAX_LAYOUT + 1)]).len(), 2);
    }
}
