//! The variables of the contract, by object kind. Pure.

use crate::ObjectKind;

impl ObjectKind {
    /// What comes before the n of its variables.
    pub fn stem(self) -> &'static str {
        match self {
            ObjectKind::Map => "BPF_MAP",
            ObjectKind::Program => "BPF_PROG",
            ObjectKind::Link => "BPF_LINK",
        }
    }

    /// The variable that says how many there are.
    pub fn counter(self) -> &'static str {
        match self {
            ObjectKind::Map => "BPF_NUM_MAPS",
            ObjectKind::Program => "BPF_NUM_PROGS",
            ObjectKind::Link => "BPF_NUM_LINKS",
        }
    }
}

/// One of the contract's variables of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    Count,
    Descriptor(u32),
    Id(u32),
    Name(u32),
    Layout(u32),
    /// `BPF_MAP<digits>` whose number has leading zeroes or is over 32 bits.
    Strange,
}

/// Which of the contract's variables `name` is, if any.
pub(super) fn variable(name: &[u8]) -> Option<(ObjectKind, Variable)> {
    // Most of an environment ends here.
    let ours = name.starts_with(b"BPF_");
    ObjectKind::ALL
        .into_iter()
        .filter(|_| ours)
        .find_map(|class| Some((class, of_class(class, name)?)))
}

fn of_class(class: ObjectKind, name: &[u8]) -> Option<Variable> {
    if name == class.counter().as_bytes() {
        return Some(Variable::Count);
    }
    let rest = name.strip_prefix(class.stem().as_bytes())?;
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
        b"_LAYOUT" if class == ObjectKind::Map => Variable::Layout,
        _ => return None,
    };
    Some(index.map_or(Variable::Strange, |n| if canonical { of(n) } else { Variable::Strange }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_variables_of_its_own_and_only_maps_have_layouts() {
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
            ("BPF_PROG01", Some((ObjectKind::Program, Strange))),
            ("BPF_NUM_LINKS", Some((ObjectKind::Link, Count))),
            ("BPF_LINK4294967295", Some((ObjectKind::Link, Descriptor(u32::MAX)))),
            ("BPF_LINK4294967296_NAME", Some((ObjectKind::Link, Strange))),
            ("BPF_LINK3_LAYOUT", None),
        ] {
            assert_eq!(variable(name.as_bytes()), want, "{name}");
        }
    }

    #[test]
    fn other_variables_are_none_of_ours() {
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
