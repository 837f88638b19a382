//! The id of one function in a large BTF blob, without an index of all types.

use super::btf::{Btf, COMMON, kind, tail_len, u32_at};

impl Btf<'_> {
    /// Returns the id of the function with this name, as [`Btf::parse`] and [`Btf::function`] do, in
    /// a fraction of their time: the kernel's own BTF has some 150,000 types.
    ///
    /// None if there is no such function, or if the blob is malformed.
    pub fn find_function(blob: &[u8], name: &str) -> Option<u32> {
        let word = |at| Some(u32_at(blob, at)? as usize);
        let start = word(4)?;
        let section = |offset: usize, len: usize| {
            let from = start.checked_add(offset)?;
            blob.get(from..from.checked_add(len)?)
        };
        let (types, strings) = (section(word(8)?, word(12)?)?, section(word(16)?, word(20)?)?);
        let name = find_string(strings, name.as_bytes())?;
        let (mut at, mut id) = (0, 1);
        while let (Some(name_at), Some(info)) = (u32_at(types, at), u32_at(types, at + 4)) {
            let (type_kind, len) = ((info >> 24 & 0x1f) as u8, (info & 0xffff) as usize);
            if type_kind == kind::FUNC && name_at == name {
                return Some(id);
            }
            at += COMMON + tail_len(type_kind, len)?;
            id += 1;
        }
        None
    }
}

/// The offset of a string that is ended by a NUL byte and begins after one.
fn find_string(strings: &[u8], wanted: &[u8]) -> Option<u32> {
    let mut at = 0;
    for string in strings.split(|byte| *byte == 0) {
        if string == wanted {
            return u32::try_from(at).ok();
        }
        at += string.len() + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_that_of_the_index() {
        let blob = std::fs::read("/sys/kernel/btf/vmlinux").expect("the kernel's BTF");
        let btf = Btf::parse(&blob).expect("BTF");
        for name in ["bpf_iter_bpf_map", "vfs_read", "no_such_function", ""] {
            assert_eq!(Btf::find_function(&blob, name), btf.function(name), "{name}");
        }
        for len in [0, 8, 24, blob.len() / 2] {
            assert_eq!(Btf::find_function(&blob[..len], "vfs_read"), None, "{len}");
        }
    }
}
