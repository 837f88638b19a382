//! `FILE[#NAME,…]`: an object file, and what to take from it.

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
}
