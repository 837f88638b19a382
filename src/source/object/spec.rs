//! `FILE[#NAME,…]` and `FILE#PROGRAM`: an object file, and what to take from it.

use crate::text::escape;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// An object file, and what to take from it.
#[derive(Debug)]
pub struct ObjectSpec {
    pub path: PathBuf,
    /// The maps to hand over; all if it is empty.
    pub names: Vec<String>,
    /// Variables to set before the maps are created: a name or a path such as `a.b`, and a value.
    pub variables: Vec<(String, String)>,
}

impl ObjectSpec {
    /// Reads `FILE[#NAME,…]`, which is split at the last `#`.
    pub fn parse(text: &[u8]) -> Result<ObjectSpec, &'static str> {
        let at = text.iter().rposition(|byte| *byte == b'#');
        let (path, names) = match at {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        if path.is_empty() {
            return Err("the path of a file is missing");
        }
        let names = names.map(std::str::from_utf8).transpose().map_err(|_| "not UTF-8")?;
        let names: Vec<String> =
            names.map(|names| names.split(',').map(String::from).collect()).unwrap_or_default();
        if names.iter().any(String::is_empty) {
            return Err("an empty name after #");
        }
        let path = PathBuf::from(OsStr::from_bytes(path));
        Ok(ObjectSpec { path, names, variables: Vec::new() })
    }
}

impl fmt::Display for ObjectSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&escape(self.path.as_os_str().as_bytes()))
    }
}

/// A program of an object file.
#[derive(Debug)]
pub struct ObjectProgramSpec {
    pub path: PathBuf,
    /// A function or a section; None for the only program of the file.
    pub name: Option<String>,
    /// `enum bpf_prog_type`; None for the type that the section determines.
    pub program_type: Option<u32>,
}

impl ObjectProgramSpec {
    /// Reads `FILE#NAME`, which is split at the last `#`; None if there is no `#`.
    pub fn parse(text: &[u8]) -> Option<Result<ObjectProgramSpec, &'static str>> {
        let at = text.iter().rposition(|byte| *byte == b'#')?;
        Some(ObjectProgramSpec::new(&text[..at], Some(&text[at + 1..])))
    }

    /// Reads `FILE[#NAME]`.
    pub fn parse_file(text: &[u8]) -> Result<ObjectProgramSpec, &'static str> {
        ObjectProgramSpec::parse(text).unwrap_or_else(|| ObjectProgramSpec::new(text, None))
    }

    fn new(path: &[u8], name: Option<&[u8]>) -> Result<ObjectProgramSpec, &'static str> {
        if path.is_empty() {
            return Err("the path of a file is missing");
        }
        let name = name.map(std::str::from_utf8).transpose().map_err(|_| "not UTF-8")?;
        if name == Some("") {
            return Err("the name of a program is missing after #");
        }
        let path = PathBuf::from(OsStr::from_bytes(path));
        Ok(ObjectProgramSpec { path, name: name.map(String::from), program_type: None })
    }
}

impl fmt::Display for ObjectProgramSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&escape(self.path.as_os_str().as_bytes()))?;
        self.name.iter().try_for_each(|name| write!(f, "#{}", escape(name.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_and_names_are_split_at_the_last_hash() {
        for (text, path, names) in [
            ("x.o", "x.o", &[][..]),
            ("x.o#a", "x.o", &["a"]),
            ("d#1/x.o#a,.bss", "d#1/x.o", &["a", ".bss"]),
        ] {
            let spec = ObjectSpec::parse(text.as_bytes()).expect(text);
            assert_eq!(
                (spec.path.to_str(), &spec.names[..]),
                (Some(path), &names.iter().map(|n| n.to_string()).collect::<Vec<_>>()[..])
            );
        }
        for (text, error) in [
            ("", "the path of a file is missing"),
            ("#a", "the path of a file is missing"),
            ("x.o#", "an empty name after #"),
            ("x.o#a,", "an empty name after #"),
        ] {
            assert_eq!(ObjectSpec::parse(text.as_bytes()).expect_err(text), error);
        }
    }

    #[test]
    fn program_is_named_after_the_last_hash() {
        let parse = |text: &str| ObjectProgramSpec::parse(text.as_bytes());
        assert!(parse("x.o").is_none());
        for (text, path, name) in [("x.o#f", "x.o", "f"), ("d#1/x.o#tc/2", "d#1/x.o", "tc/2")] {
            let spec = parse(text).and_then(Result::ok).expect(text);
            assert_eq!((spec.path.to_str(), spec.name.as_deref()), (Some(path), Some(name)));
            assert_eq!(spec.to_string(), text);
        }
        for (text, error) in [
            ("#f", "the path of a file is missing"),
            ("x.o#", "the name of a program is missing after #"),
        ] {
            assert_eq!(parse(text).and_then(Result::err), Some(error));
        }
        let whole = ObjectProgramSpec::parse_file(b"x.o").expect("a file");
        assert_eq!((whole.path.to_str(), whole.name), (Some("x.o"), None));
    }
}
