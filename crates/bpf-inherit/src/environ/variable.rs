//! The variables of the contract, by object kind. Pure.

use crate::ObjectKind;

impl ObjectKind {
    /// The start of the names of its variables, before the n: `BPF_MAP`.
    pub fn stem(self) -> &'static str {
        match self {
            ObjectKind::Map => "BPF_MAP",
            ObjectKind::Program => "BPF_PROG",
            ObjectKind::Link => "BPF_LINK",
        }
    }

    /// The variable with the number of objects: `BPF_NUM_MAPS`.
    pub fn counter(self) -> &'static str {
        match self {
            ObjectKind::Map => "BPF_NUM_MAPS",
            ObjectKind::Program => "BPF_NUM_PROGS",
            ObjectKind::Link => "BPF_NUM_LINKS",
        }
    }
}

/// One of the variables of an object kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    Count,
    Descriptor(u32),
    Id(u32),
    Name(u32),
    Layout(u32),
    /// `BPF_MAP<digits>` whose number has leading zeroes or is over 32 bits.
    Malformed,
}

/// Identifies a variable of the contract by its name; None for other names.
pub(super) fn variable(name: &[u8]) -> Option<(ObjectKind, Variable)> {
    // Most names of an environment are decided here.
    let ours = name.starts_with(b"BPF_");
    ObjectKind::ALL
        .into_iter()
        .filter(|_| ours)
        .find_map(|kind| Some((kind, identify_as(kind, name)?)))
}

fn identify_as(kind: ObjectKind, name: &[u8]) -> Option<Variable> {
    if name == kind.counter().as_bytes() {
        return Some(Variable::Count);
    }
    let rest = name.strip_prefix(kind.stem().as_bytes())?;
    let end = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, suffix) = rest.split_at(end);
    if digits.is_empty() {
        return None;
    }
    let index = std::str::from_utf8(digits).ok()?.parse::<u32>();
    let canonical = digits.len() == 1 || digits[0] != b'0';
    let of = match suffix {
        b"" => Variable::Descriptor,
        b"_ID" => Variable::Id,
        b"_NAME" => Variable::Name,
        b"_LAYOUT" if kind == ObjectKind::Map => Variable::Layout,
        _ => return None,
    };
    Some(index.map_or(Variable::Malformed, |n| if canonical { of(n) } else { Variable::Malformed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_each_kind_are_recognized() {
        use Variable::*;
        for (name, want) in [
            ("BPF_NUM_MAPS", Some((ObjectKind::Map, Count))),
            ("BPF_MAP7", Some((ObjectKind::Map, Descriptor(7)))),
            ("BPF_MAP7_LAYOUT", Some((ObjectKind::Map, Layout(7)))),
            ("BPF_NUM_PROGS", Some((ObjectKind::Program, Count))),
            ("BPF_PROG0", Some((ObjectKind::Program, Descriptor(0)))),
            ("BPF_MAP7_ID", Some((ObjectKind::Map, Id(7)))),
            ("BPF_LINK0_ID", Some((ObjectKind::Link, Id(0)))),
            ("BPF_PROG12_NAME", Some((ObjectKind::Program, Name(12)))),
            ("BPF_PROG3_LAYOUT", None),
            ("BPF_PROG01", Some((ObjectKind::Program, Malformed))),
            ("BPF_NUM_LINKS", Some((ObjectKind::Link, Count))),
            ("BPF_LINK4294967295", Some((ObjectKind::Link, Descriptor(u32::MAX)))),
            ("BPF_LINK4294967296_NAME", Some((ObjectKind::Link, Malformed))),
            ("BPF_LINK3_LAYOUT", None),
        ] {
            assert_eq!(variable(name.as_bytes()), want, "{name}");
        }
    }

    #[test]
    fn other_variables_are_not_recognized() {
        for name in [
            "BPF_MAP",
            "BPF_MAPX",
            "BPF_MAP1X",
            "BPF_MAP_1",
            "BPF_MAP1_name",
            "BPF_NUM_MAPS2",
            "BPF_NUM_PROG",
            "BPF_PROGRAM0",
            "BPF_PROG_NAME",
            "BPF_LINKS",
            "XBPF_LINK0",
        ] {
            assert!(variable(name.as_bytes()).is_none(), "{name}");
        }
    }
}
