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

/// How the object is found, from the text after its kind.
pub fn parse(text: &OsStr) -> Reference<'_> {
    let bytes = text.as_bytes();
    if bytes.contains(&b'/') {
        return Reference::Pin(Path::new(text));
    }
    let prefixed = text.to_str().and_then(|text| text.split_once(':'));
    match prefixed {
        Some(("id", id)) => Reference::Id(id),
        Some(("name", name)) => Reference::KernelName(name),
        Some(("fd", number)) => Reference::Descriptor(number),
        Some(("env", name)) => Reference::Inherited(name.as_bytes()),
        _ => match text.to_str() {
            Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                Reference::Descriptor(text)
            }
            _ => Reference::Inherited(bytes),
        },
    }
}

/// Whether a reference names an inherited file descriptor, whose open file other processes have.
pub fn is_inherited(text: &OsStr) -> bool {
    matches!(parse(text), Reference::Descriptor(_) | Reference::Inherited(_))
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
