//! Objects that an agent holds (bpf-agent), requested by name over its socket.

mod client;
mod connect;
mod connection;
mod failure;
mod reply;
mod socket;

pub use client::Client;
pub use connection::Bounds;
pub use failure::Failure;
pub use socket::{DEFAULT as DEFAULT_SOCKET, Socket, private_path};

use crate::error::Error;
use crate::foreign::{ForeignLayout, Named};
use crate::text::escape;
use crate::wire::agent::{Access, PacketError, check_name};
use bpf_inherit::ObjectKind;
use client::Got;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// An agent's socket, and the names asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Spec {
    pub path: PathBuf,
    /// None means all that are available.
    pub names: Vec<Vec<u8>>,
}

impl Spec {
    /// Reads `PATH[#NAME,…]`. The path ends at the first `#` after the last `/`: no name
    /// has one.
    pub fn parse(text: &[u8]) -> Result<Spec, PacketError> {
        let last = text.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
        let end = text[last..].iter().position(|&b| b == b'#').map(|at| last + at);
        let (path, names) = match end {
            Some(end) => (&text[..end], Some(&text[end + 1..])),
            None => (text, None),
        };
        let names = names.into_iter().flat_map(|names| names.split(|&b| b == b','));
        let names: Vec<Vec<u8>> = names.map(<[u8]>::to_vec).collect();
        names.iter().try_for_each(|name| check_name(name))?;
        Ok(Spec { path: OsStr::from_bytes(path).into(), names })
    }

    /// A name with the path, for messages.
    fn with(&self, name: &[u8]) -> Vec<u8> {
        [self.path.as_os_str().as_bytes(), b"#", name].concat()
    }
}

impl fmt::Display for Spec {
    /// As on the command line, escaped.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&escape(self.path.as_os_str().as_bytes()))?;
        let names = self.names.join(&b','.to_owned());
        if names.is_empty() { Ok(()) } else { write!(f, "#{}", escape(&names)) }
    }
}

/// Gets the objects of these names, in their order, or all available ones, sorted bytewise.
pub fn open(spec: &Spec, read_only: bool, wait: bool, bounds: Bounds) -> Result<Vec<Named>, Error> {
    let wanted = if read_only { Access::READ } else { Access::BOTH };
    let socket = Socket::given(&spec.path);
    let got = match &spec.names[..] {
        names if wait => {
            Client::connect_when_there(socket, bounds)?.get_when_there(names, wanted)?
        }
        [] => all(&mut Client::connect(socket, bounds)?, wanted)?,
        names => Client::connect(socket, bounds)?.get(names, wanted)?,
    };
    Ok(got.into_iter().map(|got| opened(got, spec)).collect())
}

/// All objects that are available with the wanted access.
fn all(client: &mut Client, wanted: Access) -> Result<Vec<Got>, Error> {
    let mut records = client.list_without_layouts()?;
    // Only maps can be opened read-only: programs and links are skipped, as pins of them are.
    let fits = |kind| kind == ObjectKind::Map || wanted == Access::BOTH;
    records.retain(|record| record.access.and(wanted) != Access::NONE && fits(record.kind));
    let mut names: Vec<Vec<u8>> = records.into_iter().map(|record| record.name).collect();
    names.sort_unstable();
    match client.get(&names, wanted) {
        Err(failure) if failure.is_lost() => {}
        got => return Ok(got?),
    }
    // Objects that were removed after they were listed, or that need more access, are skipped, as
    // pins are.
    let mut found = Vec::new();
    for name in &names {
        match client.get(std::slice::from_ref(name), wanted) {
            Err(failure) if failure.is_lost() => {}
            got => found.extend(got?),
        }
    }
    Ok(found)
}

/// The object, with the name and layout that the agent declares.
fn opened(got: Got, spec: &Spec) -> Named {
    let Got { record, object } = got;
    let label = escape(&spec.with(&record.name));
    let layout = Some(record.layout).filter(|layout| !layout.is_empty());
    let layout = layout.map(|layout| ForeignLayout::new(layout, label));
    Named { layout, ..Named::new(object).with_name(record.name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_ends_at_the_first_hash_after_the_last_slash() {
        let name = |name: &str| name.as_bytes().to_vec();
        for (text, path, names) in [
            ("/run/a.sock", "/run/a.sock", vec![]),
            ("/run/a.sock#hits", "/run/a.sock", vec![name("hits")]),
            ("/run/a#b/c#hits,x.o:3", "/run/a#b/c", vec![name("hits"), name("x.o:3")]),
            ("a#b#c", "a", vec![name("b#c")]),
            ("#hits", "", vec![name("hits")]),
            ("/run/#hits", "/run/", vec![name("hits")]),
        ] {
            let spec = Spec { path: path.into(), names };
            assert_eq!(spec.to_string(), text);
            assert_eq!(Spec::parse(text.as_bytes()), Ok(spec));
        }
        for text in ["/run/a#", "/run/a#x,", "/run/a#,x", "/run/a#12", "/run/a#x=y"] {
            assert!(Spec::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
