//! The kinds of bpf(2) objects that a process can inherit as file descriptors.

/// The kind of a bpf(2) object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A map.
    #[default]
    Map,
    /// A program.
    Program,
    /// A link, which attaches a program.
    Link,
}

impl ObjectKind {
    /// All kinds, in the order in which the environment declares them.
    pub const ALL: [ObjectKind; 3] = [ObjectKind::Map, ObjectKind::Program, ObjectKind::Link];

    /// `map`, `program` or `link`.
    pub fn noun(self) -> &'static str {
        match self {
            ObjectKind::Map => "map",
            ObjectKind::Program => "program",
            ObjectKind::Link => "link",
        }
    }

    /// With an article, for a sentence: `a BPF link`.
    pub fn with_article(self) -> &'static str {
        match self {
            ObjectKind::Map => "a BPF map",
            ObjectKind::Program => "a BPF program",
            ObjectKind::Link => "a BPF link",
        }
    }

    /// `map`, `prog` or `link`, as references and output name the kind.
    pub fn short_name(self) -> &'static str {
        match self {
            ObjectKind::Map => "map",
            ObjectKind::Program => "prog",
            ObjectKind::Link => "link",
        }
    }

    /// The name for an object without a usable name: `map0`, `prog0` or `link0`.
    pub fn numbered(self, index: u32) -> String {
        format!("{}{index}", self.short_name())
    }
}
