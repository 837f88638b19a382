//! The state: a directory of a bpf file system with a pin of each object, and beside it the
//! properties that a pin does not have.
//!
//! `DIR/NAME/map` (or `prog`, `link`) is the pin, the target of the symbolic link
//! `DIR/NAME/about` is [`About`], and those of `layout-0` and its followers are the layout in
//! pieces. [`change`] changes it.

mod change;
mod dir;

pub use change::{Change, New};
pub use dir::StateDir;

use super::about::{About, decode_name};
use crate::error::Error;
use crate::wire::agent::MAX_LAYOUT;
use bpf_inherit::Errno;
use bpf_inherit::object::Object;
use dir::{ABOUT, OPEN};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// An object in the state.
#[derive(Debug)]
pub struct Saved {
    pub name: Vec<u8>,
    pub about: About,
    pub layout: Vec<u8>,
    /// The pinned object; None if it is another object than was stored, or cannot be opened.
    pub object: Option<Object>,
}

impl Saved {
    /// Whether `object` is the one that was stored.
    pub fn is(object: &Object, about: &About) -> bool {
        object.kind() == about.kind && object.id() == about.id
    }
}

impl StateDir {
    /// All stored objects, sorted by name, and a warning for each unexpected file.
    /// Changes that a crash left unfinished are removed.
    pub fn load(&self) -> Result<(Vec<Saved>, Vec<String>), Error> {
        let fail = |errno: Errno| Error::new(self.path.as_os_str().as_bytes(), OPEN, errno);
        let mut warnings = self.clear_up().map_err(fail)?;
        let mut saved = Vec::new();
        for file in self.files("".as_ref()).map_err(fail)? {
            match self.read(&file) {
                Ok(one) => saved.push(one),
                // A warning reports it already.
                Err(_) if change::is_temporary(&file) => {}
                Err(reason) => warnings.push(format!("{}: {reason}, left alone", self.show(&file))),
            }
        }
        saved.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((saved, warnings))
    }

    fn read(&self, file: &OsStr) -> Result<Saved, &'static str> {
        let name = decode_name(file.as_bytes()).ok_or("not the name of an object")?;
        let text = self.target(file, ABOUT).map_err(|_| "it has no description")?;
        let about = About::decode(&text).ok_or("its description is malformed")?;
        let mut layout = Vec::new();
        for n in 0.. {
            match self.target(file, &format!("layout-{n}")) {
                Ok(piece) if layout.len() + piece.len() <= MAX_LAYOUT => layout.extend(piece),
                _ => break,
            }
        }
        let object = self.open_pin(&name, about.kind, about.bound.mode()).ok();
        let object = object.filter(|object| Saved::is(object, &about));
        Ok(Saved { name, about, layout, object })
    }
}
