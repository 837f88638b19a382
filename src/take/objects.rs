//! Inherited programs and links, as owned descriptors.

use super::{TakeError, find};
use crate::handoff::environ::{Claim, Class};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

/// A program or a link that this process inherited.
#[derive(Debug)]
#[non_exhaustive]
pub struct InheritedObject {
    /// The n of `BPF_PROG<n>` or `BPF_LINK<n>`.
    pub index: u32,
    /// Its name, in bytes: `BPF_PROG<n>_NAME` or `BPF_LINK<n>_NAME`, where that is set.
    pub name: Option<Vec<u8>>,
    /// The kernel's number for its type: `enum bpf_prog_type` or `enum bpf_link_type`.
    pub object_type: u32,
    /// The kernel's id of the program, or of the link.
    pub id: u32,
    /// The descriptor, close-on-exec from now on. A link that nothing else holds ends with it.
    pub fd: OwnedFd,
}

/// The programs, or the links, that were inherited and have not been asked for yet.
#[derive(Debug)]
pub struct InheritedObjects {
    class: Class,
    objects: BTreeMap<u32, InheritedObject>,
}

impl InheritedObjects {
    pub(super) fn new(class: Class) -> InheritedObjects {
        InheritedObjects { class, objects: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, claim: Claim, object_type: u32, id: u32, fd: OwnedFd) {
        let Claim { index, name, .. } = claim;
        self.objects.insert(index, InheritedObject { index, name, object_type, id, fd });
    }

    /// Gives out the one with this `BPF_PROG<n>_NAME` or `BPF_LINK<n>_NAME`.
    ///
    /// # Errors
    /// [`TakeError::Unknown`], or [`TakeError::Ambiguous`] where several have it.
    pub fn by_name(&mut self, name: impl AsRef<[u8]>) -> Result<InheritedObject, TakeError> {
        let names = self.iter().map(|object| (object.index, object.name.as_deref()));
        let index = find(names, name.as_ref())?;
        self.by_index(index)
    }

    /// Gives out the one of `BPF_PROG<n>` or `BPF_LINK<n>`.
    ///
    /// # Errors
    /// [`TakeError::Unknown`].
    pub fn by_index(&mut self, n: u32) -> Result<InheritedObject, TakeError> {
        let unknown = || TakeError::Unknown(format!("{}{n}", self.class.stem()));
        self.objects.remove(&n).ok_or_else(unknown)
    }

    /// Those that have not been asked for, by rising number.
    pub fn iter(&self) -> impl Iterator<Item = &InheritedObject> {
        self.objects.values()
    }
}
