//! The files of a BPF file system, as a table and as JSON.

use super::document;
use super::table::align;
use crate::bpffs::survey::{File, FileContent};
use crate::object_type;
use crate::text::escape;
use bpf_inherit::describe;
use bpf_inherit::object::Info;
use serde::Serialize;
use std::os::unix::ffi::OsStrExt;

/// The members of the JSON object of a file, in their order.
#[derive(Serialize)]
struct FileRow {
    #[serde(serialize_with = "document::text")]
    path: Vec<u8>,
    /// directory, symlink, map, prog or link; null for a pin that cannot be opened.
    kind: Option<&'static str>,
    id: Option<u32>,
    /// The name of the type.
    #[serde(rename = "type")]
    object_type: Option<String>,
    #[serde(serialize_with = "document::optional_text")]
    name: Option<Vec<u8>>,
    mode: String,
    uid: u32,
    gid: u32,
    /// The target of a symbolic link.
    #[serde(serialize_with = "document::optional_text")]
    target: Option<Vec<u8>>,
    error: Option<String>,
}

impl FileRow {
    fn new(file: &File) -> FileRow {
        let mut row = FileRow {
            path: file.path.as_os_str().as_bytes().to_vec(),
            kind: None,
            id: None,
            object_type: None,
            name: None,
            mode: format!("{:04o}", file.mode),
            uid: file.uid,
            gid: file.gid,
            target: None,
            error: None,
        };
        match &file.content {
            FileContent::Directory => row.kind = Some("directory"),
            FileContent::Unread(errno) => {
                row.kind = Some("directory");
                row.error = Some(describe(*errno));
            }
            FileContent::TooDeep => {
                row.kind = Some("directory");
                row.error = Some("nested too deeply".into());
            }
            FileContent::Symlink(target) => {
                row.kind = Some("symlink");
                row.target = Some(target.clone());
            }
            // What the kernel answers for a file that holds none of the three.
            FileContent::Unopened(bpf_inherit::Errno::ENOENT) => {
                row.error = Some("neither a map, a program nor a link".into());
            }
            FileContent::Unopened(errno) => row.error = Some(describe(*errno)),
            FileContent::Pin(info) => {
                row.id = Some(info.id());
                row.name = info.name().map(<[u8]>::to_vec);
                let (kind, object_type) = match info {
                    Info::Map(info, _) => ("map", info.map_type.name()),
                    Info::Program(info) => ("prog", object_type::program_type(info.program_type)),
                    Info::Link(info) => ("link", object_type::link_type(info.link_type)),
                };
                row.kind = Some(kind);
                row.object_type = Some(object_type);
            }
        }
        row
    }

    fn cells(self) -> Vec<String> {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let target = self.target.map(|target| format!("-> {}", escape(&target)));
        let error = self.error.map(|error| format!("({error})"));
        vec![
            or_dash(self.kind.map(String::from)),
            or_dash(self.id.map(|id| id.to_string())),
            or_dash(self.object_type),
            or_dash(self.name.map(|name| escape(&name))),
            self.mode,
            format!("{}:{}", self.uid, self.gid),
            [Some(escape(&self.path)), target, error]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" "),
        ]
    }
}

/// A line for each file, below a header.
pub fn table(files: &[File]) -> String {
    let header = ["KIND", "ID", "TYPE", "NAME", "MODE", "OWNER", "PATH"].map(String::from).to_vec();
    let rows = files.iter().map(|file| FileRow::new(file).cells());
    let lines: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    align(&lines, &[false, true, false, false, false, false, false])
}

/// An array of objects.
pub fn json(files: &[File]) -> Vec<u8> {
    document::json(&files.iter().map(FileRow::new).collect::<Vec<_>>())
}
