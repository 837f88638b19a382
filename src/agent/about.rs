//! The properties of an object that its pin does not have, as one line of text; and object names
//! as file names. Pure.

use crate::wire::agent::{Access, MAX_NAME, check_name};
use bpf_inherit::ObjectKind;

/// The properties of an object that are stored beside its pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    pub kind: ObjectKind,
    /// The kernel's id, by which another object in its place is noticed.
    pub id: u32,
    /// The access of the fd that was put.
    pub bound: Access,
    /// The peer that put it.
    pub uid: u32,
    pub gid: u32,
    pub pid: u32,
    /// The time of the PUT, in seconds since 1970.
    pub time: u64,
}

impl About {
    /// `v1 map id=57 access=rw uid=0 gid=0 pid=4242 time=1700000000`.
    pub fn encode(&self) -> String {
        let About { kind, id, bound, uid, gid, pid, time } = self;
        let (kind, access) = (kind.short_name(), bound.name());
        format!("v1 {kind} id={id} access={access} uid={uid} gid={gid} pid={pid} time={time}")
    }

    /// None for what [`About::encode`] does not write.
    pub fn decode(text: &[u8]) -> Option<About> {
        let mut words = std::str::from_utf8(text).ok()?.split(' ');
        if words.next()? != "v1" {
            return None;
        }
        let kind = words.next()?;
        let kind = ObjectKind::ALL.into_iter().find(|known| known.short_name() == kind)?;
        let mut value = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
        let (id, access) = (value("id")?.parse().ok()?, value("access")?);
        let bound = (1..=3).filter_map(Access::from_bits).find(|mode| mode.name() == access)?;
        let (uid, gid) = (value("uid")?.parse().ok()?, value("gid")?.parse().ok()?);
        let (pid, time) = (value("pid")?.parse().ok()?, value("time")?.parse().ok()?);
        let about = About { kind, id, bound, uid, gid, pid, time };
        words.next().is_none().then_some(about)
    }
}

/// The file name of an object: `%XX` replaces bytes that a bpf file system or a line of text does
/// not accept. No other file in the state has such a name: those have `%` before a letter that is
/// not a hexadecimal digit.
pub fn encode_name(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for &byte in name {
        match byte {
            // bpffs accepts no dot, and `%` and `/` have meanings here; colons have been
            // encoded since the first version of the state.
            b'.' | b'%' | b'/' | b':' => out.push_str(&format!("%{byte:02X}")),
            0x21..=0x7e => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The name that [`encode_name`] made this text of; None for any other text, and for a name that
/// an object may not have.
pub fn decode_name(text: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        name.push(match byte {
            b'%' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                rest = &rest[2..];
                u8::from_str_radix(digits, 16).ok()?
            }
            byte => byte,
        });
    }
    // One name, one file: other spellings are refused.
    (name.len() <= MAX_NAME && check_name(&name).is_ok() && encode_name(&name).as_bytes() == text)
        .then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_comes_back_from_its_file(name in proptest::collection::vec(any::<u8>(), 1..40)) {
            let text = encode_name(&name);
            prop_assert!(text.bytes().all(|b| b.is_ascii_graphic() && b != b'.' && b != b':'));
            let want = check_name(&name).is_ok().then_some(name);
            prop_assert_eq!(decode_name(text.as_bytes()), want);
        }

        #[test]
        fn encoded_properties_are_decoded_and_others_refused(
            bits in 1u8..=3, numbers: [u32; 4], time: u64, cut in 0usize..90, junk in ".{0,60}",
        ) {
            let [id, uid, gid, pid] = numbers;
            let bound = Access::from_bits(bits).unwrap();
            let about = About { kind: ObjectKind::Program, id, bound, uid, gid, pid, time };
            let text = about.encode();
            prop_assert_eq!(About::decode(text.as_bytes()), Some(about));
            let _ = About::decode(&text.as_bytes()[..cut.min(text.len())]);
            prop_assert_eq!(About::decode(junk.as_bytes()), None);
        }
    }

    #[test]
    fn names_of_files_are_readable() {
        assert_eq!(encode_name(b"filter.o:3"), "filter%2Eo%3A3");
        assert_eq!(encode_name("größe 1".as_bytes()), "gr%C3%B6%C3%9Fe%201");
        for text in ["", "a.b", "%6eew", "%new-1", "a%", "a%2", "a%2e", "12", "%2F"] {
            assert_eq!(decode_name(text.as_bytes()), None, "{text}");
        }
    }
}
