//! An object that a source gave, with what is known of its name and layout.

use crate::foreign::{ForeignLayout, ForeignName};
use crate::map::typed::LayoutSource;
use bpf_inherit::ObjectKind;
use bpf_inherit::object::Object;

/// What a source gave.
#[derive(Debug)]
pub struct Opened {
    pub object: Object,
    /// The name given on the command line.
    pub given: Option<Vec<u8>>,
    /// Else the source's, such as that of the pin's file, or the kernel's.
    pub name: Option<ForeignName>,
    /// `KEY -> VALUE` in the layout notation, if known: of a map.
    pub layout: Option<Vec<u8>>,
    pub layout_source: LayoutSource,
    /// What the source says of it.
    pub told: Option<ForeignLayout>,
    /// The number that the sender declared for it: of a map.
    pub declared: Option<u32>,
}

impl Opened {
    /// An object that nothing else is known of: its name is the kernel's.
    pub(super) fn new(object: impl Into<Object>) -> Opened {
        let object = object.into();
        let name = object.name().map(ForeignName::new);
        let layout_source = LayoutSource::Size;
        Opened {
            object,
            given: None,
            name,
            layout: None,
            layout_source,
            told: None,
            declared: None,
        }
    }

    pub fn kind(&self) -> ObjectKind {
        match self.object {
            Object::Map(_) => ObjectKind::Map,
            Object::Program(..) => ObjectKind::Program,
            Object::Link(..) => ObjectKind::Link,
        }
    }

    pub(super) fn named(self, name: impl Into<Vec<u8>>) -> Opened {
        Opened { name: Some(ForeignName::new(name)), ..self }
    }

    /// The name in an error message, which escapes it.
    pub(super) fn label(&self) -> Option<&[u8]> {
        self.given.as_deref().or(self.name.as_ref().map(ForeignName::label))
    }
}
