//! The classes of objects that the contract has variables for, and how these are called. Pure.

use crate::sys::fd::Kind;

/// What may be handed over. Each class counts from 0 by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    #[default]
    Map,
    Prog,
    Link,
}

impl Class {
    pub const ALL: [Class; 3] = [Class::Map, Class::Prog, Class::Link];

    /// What comes before the n of its variables.
    pub fn stem(self) -> &'static str {
        match self {
            Class::Map => "BPF_MAP",
            Class::Prog => "BPF_PROG",
            Class::Link => "BPF_LINK",
        }
    }

    /// The variable that says how many there are.
    pub fn counter(self) -> &'static str {
        match self {
            Class::Map => "BPF_NUM_MAPS",
            Class::Prog => "BPF_NUM_PROGS",
            Class::Link => "BPF_NUM_LINKS",
        }
    }

    /// One of it, in a sentence.
    pub fn noun(self) -> &'static str {
        match self {
            Class::Map => "map",
            Class::Prog => "program",
            Class::Link => "link",
        }
    }

    /// The name of one that has no other, from its number.
    pub fn numbered(self, index: u32) -> String {
        match self {
            Class::Map => format!("map{index}"),
            Class::Prog => format!("prog{index}"),
            Class::Link => format!("link{index}"),
        }
    }

    /// The operation of giving one a name.
    pub fn naming(self) -> &'static str {
        match self {
            Class::Map => "name a map",
            Class::Prog => "name a program",
            Class::Link => "name a link",
        }
    }

    /// What its descriptors are.
    pub fn kind(self) -> Kind {
        match self {
            Class::Map => Kind::Map,
            Class::Prog => Kind::Prog,
            Class::Link => Kind::Link,
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
pub(super) fn variable(name: &[u8]) -> Option<(Class, Variable)> {
    // Most of an environment ends here.
    let ours = name.starts_with(b"BPF_");
    Class::ALL.into_iter().filter(|_| ours).find_map(|class| Some((class, of_class(class, name)?)))
}

fn of_class(class: Class, name: &[u8]) -> Option<Variable> {
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
        b"_LAYOUT" if class == Class::Map => Variable::Layout,
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
            ("BPF_NUM_MAPS", Some((Class::Map, Count))),
            ("BPF_MAP7", Some((Class::Map, Descriptor(7)))),
            ("BPF_MAP7_LAYOUT", Some((Class::Map, Layout(7)))),
            ("BPF_NUM_PROGS", Some((Class::Prog, Count))),
            ("BPF_PROG0", Some((Class::Prog, Descriptor(0)))),
            ("BPF_MAP7_ID", Some((Class::Map, Id(7)))),
            ("BPF_LINK0_ID", Some((Class::Link, Id(0)))),
            ("BPF_PROG12_NAME", Some((Class::Prog, Name(12)))),
            ("BPF_PROG3_LAYOUT", None),
            ("BPF_PROG01", Some((Class::Prog, Strange))),
            ("BPF_NUM_LINKS", Some((Class::Link, Count))),
            ("BPF_LINK4294967295", Some((Class::Link, Descriptor(u32::MAX)))),
            ("BPF_LINK4294967296_NAME", Some((Class::Link, Strange))),
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
