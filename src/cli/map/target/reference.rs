//! References to maps, programs and links: what a text refers to, by its syntax alone.

use crate::bpffs::pin;
use bpf_inherit::ObjectKind;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How an object is found.
#[derive(Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    Pin(&'a Path),
    Id(&'a str),
    KernelName(&'a str),
    Descriptor(&'a str),
    Inherited(&'a [u8]),
}

/// The kind of object that a text refers to: a map, unless it begins with `prog:` or `link:`. With
/// the rest of the text.
pub fn split_kind(text: &OsStr) -> (ObjectKind, &OsStr) {
    for (prefix, kind) in [("prog:", ObjectKind::Program), ("link:", ObjectKind::Link)] {
        if let Some(rest) = text.as_bytes().strip_prefix(prefix.as_bytes()) {
            return (kind, OsStr::from_bytes(rest));
        }
    }
    (ObjectKind::Map, text)
}

/// How the object is found, from the text after its kind. A prefix is looked for before a `/`: the
/// name after it may contain one.
pub fn parse(text: &OsStr) -> Reference<'_> {
    let bytes = text.as_bytes();
    if let Some(name) = bytes.strip_prefix(b"env:") {
        return Reference::Inherited(name);
    }
    match text.to_str().and_then(|text| text.split_once(':')) {
        Some(("id", id)) => Reference::Id(id),
        Some(("name", name)) => Reference::KernelName(name),
        Some(("fd", number)) => Reference::Descriptor(number),
        _ if bytes.contains(&b'/') => Reference::Pin(Path::new(text)),
        _ => match text.to_str() {
            Some(digits) if is_number(digits) => Reference::Descriptor(digits),
            _ => Reference::Inherited(bytes),
        },
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a reference names an inherited file descriptor, whose open file other processes have.
pub fn is_inherited(text: &OsStr) -> bool {
    matches!(parse(text), Reference::Descriptor(_) | Reference::Inherited(_))
}

/// Whether a reference is the path of a pin.
pub fn is_pin(text: &OsStr) -> bool {
    matches!(parse(text), Reference::Pin(_))
}

/// Whether a reference is `name:` and the kernel's name of a map.
pub fn is_kernel_name(text: &OsStr) -> bool {
    matches!(parse(text), Reference::KernelName(_))
}

/// The identity of the pin that a reference names now; None for any other reference.
pub fn pin_identity(text: &OsStr) -> Option<pin::Identity> {
    match parse(text) {
        Reference::Pin(path) => pin::identity(path),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_decides_in_the_documented_order() {
        for (text, kind, reference) in [
            ("hits", ObjectKind::Map, Reference::Inherited(b"hits")),
            ("7", ObjectKind::Map, Reference::Descriptor("7")),
            ("./7", ObjectKind::Map, Reference::Pin(Path::new("./7"))),
            ("id:7", ObjectKind::Map, Reference::Id("7")),
            ("id:a/b", ObjectKind::Map, Reference::Id("a/b")),
            ("name:a/b", ObjectKind::Map, Reference::KernelName("a/b")),
            ("fd:a/b", ObjectKind::Map, Reference::Descriptor("a/b")),
            ("env:7", ObjectKind::Map, Reference::Inherited(b"7")),
            ("env:a/b", ObjectKind::Map, Reference::Inherited(b"a/b")),
            ("./id:7", ObjectKind::Map, Reference::Pin(Path::new("./id:7"))),
            ("x:a/b", ObjectKind::Map, Reference::Pin(Path::new("x:a/b"))),
            ("prog:hits", ObjectKind::Program, Reference::Inherited(b"hits")),
            ("prog:a/b", ObjectKind::Program, Reference::Pin(Path::new("a/b"))),
            ("prog:./id:7", ObjectKind::Program, Reference::Pin(Path::new("./id:7"))),
            ("link:id:7", ObjectKind::Link, Reference::Id("7")),
            ("./prog:a", ObjectKind::Map, Reference::Pin(Path::new("./prog:a"))),
        ] {
            let (found, rest) = split_kind(OsStr::new(text));
            assert_eq!((found, parse(rest)), (kind, reference), "{text}");
        }
    }
}
