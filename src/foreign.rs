//! Objects that were opened, with the names and layouts that another process, an agent, a pin's
//! file name or an environment provides. These cannot be read before they are checked.

use crate::map::typed::{LayoutSource, Layouts, parse_layout_for};
use crate::name;
use crate::text::quote;
use bpf_inherit::ObjectKind;
use bpf_inherit::bpf::MapInfo;
use bpf_inherit::object::Object;
use bpf_layout::Layout;

/// An open object with the name and the layout that its source provides.
#[derive(Debug)]
pub struct Named<T = Object> {
    pub object: T,
    pub name: Option<ForeignName>,
    /// Only maps have one.
    pub layout: Option<ForeignLayout>,
}

impl Named {
    /// An object with its kernel name, and without a layout.
    pub fn new(object: impl Into<Object>) -> Named {
        let object = object.into();
        let name = object.name().map(ForeignName::new);
        Named { object, name, layout: None }
    }

    /// The object with another name.
    pub fn with_name(self, name: impl Into<Vec<u8>>) -> Named {
        Named { name: Some(ForeignName::new(name)), ..self }
    }
}

/// A name that has not been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignName(Vec<u8>);

impl ForeignName {
    pub fn new(name: impl Into<Vec<u8>>) -> ForeignName {
        ForeignName(name.into())
    }

    /// The name in an error message, which escapes it.
    pub fn label(&self) -> &[u8] {
        &self.0
    }

    /// The name of an object: the name on the command line, else `foreign` after its check, with a
    /// warning if it is replaced, else none.
    pub fn choose(
        given: Option<Vec<u8>>,
        foreign: Option<ForeignName>,
        kind: ObjectKind,
        index: Option<u32>,
        kernel: Option<&[u8]>,
    ) -> (Option<Vec<u8>>, Option<String>) {
        match (given, foreign) {
            (Some(given), _) => (Some(given), None),
            (None, Some(foreign)) => foreign.check(kind, index, kernel),
            (None, None) => (None, None),
        }
    }

    /// This name if it is allowed; otherwise, with a warning, the kernel name, or `map<n>`, `prog<n>`
    /// or `link<n>` if the object has a number.
    fn check(
        self,
        kind: ObjectKind,
        index: Option<u32>,
        kernel: Option<&[u8]>,
    ) -> (Option<Vec<u8>>, Option<String>) {
        let Some(fault) = name::fault(&self.0) else { return (Some(self.0), None) };
        let good = |name: &&[u8]| name::fault(name).is_none();
        let numbered = || index.map(|index| kind.numbered(index).into_bytes());
        let used = kernel.filter(good).map(<[u8]>::to_vec).or_else(numbered);
        let instead = used.as_deref().map_or("no name".into(), quote);
        let place = index.map_or(String::new(), |index| format!("{}{index}: ", kind.stem()));
        let name = quote(&self.0);
        (used, Some(format!("{place}the name {name} {fault}: {instead} is used")))
    }
}

/// A layout that has not been checked against the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignLayout {
    content: LayoutContent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum LayoutContent {
    Text {
        text: Vec<u8>,
        /// The source of the layout, for messages, escaped.
        label: String,
    },
    /// The layout of BTF with which the map was created or compared: the kernel need not be asked.
    Btf(Layout),
}

impl ForeignLayout {
    pub fn new(text: impl Into<Vec<u8>>, label: impl Into<String>) -> ForeignLayout {
        let content = LayoutContent::Text { text: text.into(), label: label.into() };
        ForeignLayout { content }
    }

    /// The layout of the BTF with which the map was created, or with which it was compared.
    pub fn of_btf(layout: Layout) -> ForeignLayout {
        ForeignLayout { content: LayoutContent::Btf(layout) }
    }

    /// The layout if it fits the sizes of the map; else a warning.
    ///
    /// For the environment of this process, which wins over BTF.
    pub fn fit(self, map: &MapInfo) -> Result<Layout, String> {
        match self.content {
            LayoutContent::Text { text, label } => parse_layout_for(&text, map)
                .map_err(|why| format!("{label}: {why}: the layout is dropped")),
            LayoutContent::Btf(layout) => Ok(layout),
        }
    }

    /// The layout for a map: that of its BTF if readable, else this one if it fits.
    pub fn check(
        self,
        map: &MapInfo,
        layouts: &mut Layouts,
    ) -> (Option<(Layout, LayoutSource)>, Option<String>) {
        if let LayoutContent::Btf(layout) = self.content {
            return (Some((layout, LayoutSource::Btf)), None);
        }
        let (fitting, warning) = match self.fit(map) {
            Ok(layout) => (Some((layout, LayoutSource::Environment)), None),
            Err(warning) => (None, Some(warning)),
        };
        let btf = layouts.read(map).ok().flatten().map(|layout| (layout, LayoutSource::Btf));
        (btf.or(fitting), warning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_name_precedes_the_foreign_one() {
        let choose = |given: Option<&str>, foreign: Option<&str>| {
            let given = given.map(|name| name.as_bytes().to_vec());
            let foreign = foreign.map(ForeignName::new);
            ForeignName::choose(given, foreign, ObjectKind::Map, Some(1), Some(b"k"))
        };
        let name = |name: &str| Some(name.as_bytes().to_vec());
        assert_eq!(choose(Some("given"), Some("12")), (name("given"), None));
        assert_eq!(choose(Some("given"), None), (name("given"), None));
        assert_eq!(choose(None, Some("hits")), (name("hits"), None));
        let warning = "BPF_MAP1: the name \"12\" is a number: \"k\" is used";
        assert_eq!(choose(None, Some("12")), (name("k"), Some(warning.into())));
        assert_eq!(choose(None, None), (None, None));
    }

    #[test]
    fn bad_name_is_replaced_by_the_kernel_name_or_a_number() {
        let check = |name: &[u8], index, kernel: Option<&[u8]>| {
            let (name, warning) = ForeignName::new(name).check(ObjectKind::Program, index, kernel);
            (name.map(|name| String::from_utf8(name).unwrap()), warning)
        };
        let warned = |name: &str, warning: &str| (Some(name.into()), Some(warning.into()));
        assert_eq!(check(b"hits", Some(1), Some(b"k")), (Some("hits".into()), None));
        assert_eq!(
            check(b"--help", Some(1), Some(b"k")),
            warned("k", "BPF_PROG1: the name \"--help\" begins with a hyphen: \"k\" is used")
        );
        for kernel in [None, Some(&b""[..]), Some(b"12")] {
            assert_eq!(
                check(b"a\n", Some(7), kernel),
                warned(
                    "prog7",
                    "BPF_PROG7: the name \"a\\n\" contains '/', ':', '=' or a control byte: \
                     \"prog7\" is used"
                )
            );
        }
        let none = "the name \"\" is empty: no name is used".to_owned();
        assert_eq!(check(b"", None, None), (None, Some(none)));
    }
}
