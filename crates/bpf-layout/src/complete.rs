//! Completes the BTF of an object file, which a compiler leaves unfinished, so that the kernel loads
//! it.

use super::btf::{Btf, BtfError, RawType, entries, kind};

/// Where the sections and symbols of an object file have its data.
pub trait DataPlaces {
    /// Bytes of a section; None if there is none of this name.
    fn section_size(&self, section: &str) -> Option<u32>;
    /// The offset of a global variable in a section.
    fn variable_offset(&self, section: &str, variable: &str) -> Option<u32>;
    /// Whether a global function is not visible outside of its program; by default, none is hidden.
    fn is_hidden(&self, _function: &str) -> bool {
        false
    }
}

/// Sections of declarations without storage.
const EXTERNS: [&str; 2] = [".ksyms", ".kconfig"];
/// The linkage of an external declaration: BTF_VAR_GLOBAL_EXTERN, BTF_FUNC_EXTERN.
const EXTERN: u32 = 2;
/// The linkage of a function that other files can refer to: BTF_FUNC_GLOBAL. The kernel verifies it
/// for any arguments, and a static one, whose linkage is 0, for those of its calls.
const GLOBAL: u32 = 1;

impl Btf<'_> {
    /// The blob with the sizes of data sections and the offsets of their variables, which are 0
    /// unless the object was linked. Every type keeps its id.
    ///
    /// The kernel refuses external declarations. No type of a map refers to them, so each becomes a
    /// type that the kernel accepts. Hidden functions become static, as for libbpf.
    pub fn complete(&self, places: &impl DataPlaces) -> Result<Vec<u8>, BtfError> {
        let mut blob = self.blob.to_vec();
        for id in 1..=self.len() {
            let raw = self.raw_type(id)?;
            let kind = |kind: u8| u32::from(kind) << 24;
            let words = match raw.kind {
                kind::VAR if entries::<1>(raw.tail).next() == Some([EXTERN]) => {
                    vec![raw.name, kind(kind::INT), 4, 32]
                }
                // The linkage of a function is in the place of a number of entries.
                kind::FUNC if raw.vlen == EXTERN => {
                    vec![raw.name, kind(kind::TYPEDEF), raw.size_or_type]
                }
                kind::FUNC if raw.vlen == GLOBAL && places.is_hidden(self.string(raw.name)) => {
                    vec![raw.name, kind(kind::FUNC), raw.size_or_type]
                }
                kind::DATASEC => self.section(&raw, places),
                _ => continue,
            };
            let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
            let at = self.place(id)?;
            // As long as the type was, which has been checked to be in the blob.
            if let Some(to) = blob.get_mut(at..at + bytes.len()) {
                to.copy_from_slice(&bytes);
            }
        }
        Ok(blob)
    }

    /// The words of a data section with everything filled in; of external declarations, or of a
    /// section that the object does not have, an enum of the same length.
    fn section(&self, raw: &RawType<'_>, places: &impl DataPlaces) -> Vec<u32> {
        let name = self.string(raw.name);
        let linked = raw.size_or_type != 0;
        let size = match linked {
            true => Some(raw.size_or_type),
            false => places.section_size(name).filter(|size| *size != 0),
        };
        let mut variables: Vec<[u32; 3]> = entries::<3>(raw.tail).collect();
        let (Some(size), false) = (size, EXTERNS.contains(&name)) else {
            let named = |[id, ..]: [u32; 3]| [self.raw_type(id).map_or(0, |raw| raw.name), 0, 0];
            let info = raw.vlen | u32::from(kind::ENUM64) << 24;
            return [0, info, 8].into_iter().chain(variables.into_iter().flat_map(named)).collect();
        };
        for [id, offset, _] in variables.iter_mut().filter(|_| !linked) {
            // The offsets of static variables do not depend on symbols, and are final.
            if let Ok(variable) = self.raw_type(*id)
                && entries::<1>(variable.tail).next() == Some([1])
                && let Some(known) = places.variable_offset(name, self.string(variable.name))
            {
                *offset = known;
            }
        }
        variables.sort_by_key(|[_, offset, _]| *offset);
        let info = raw.vlen | u32::from(kind::DATASEC) << 24;
        [raw.name, info, size].into_iter().chain(variables.into_iter().flatten()).collect()
    }
}
