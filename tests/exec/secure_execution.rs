//! Executables that would give their callers privileges refuse to run.

use crate::common::*;
use nix::mount::{MsFlags, mount};
use std::ffi::CString;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const PROGRAMS: [(&str, i32); 3] = [("bpf-exec", 125), ("bpf-map", 2), ("bpf-agent", 2)];

/// Gives the executable CAP_BPF when it is executed (capabilities(7), File capabilities).
fn set_capabilities(path: &Path) {
    /// VFS_CAP_REVISION_2 and VFS_CAP_FLAGS_EFFECTIVE.
    const MAGIC: u32 = 0x0200_0001;
    const CAP_BPF: u32 = 39;
    let words = [MAGIC, 0, 0, 1 << (CAP_BPF - 32), 0]; // permitted and inheritable, low then high
    let value = words.map(u32::to_le_bytes).concat();
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let (name, data) = (c"security.capability".as_ptr(), value.as_ptr().cast());
    // SAFETY: path and name are strings, and data is value.len() bytes.
    let set = unsafe { libc::setxattr(path.as_ptr(), name, data, value.len(), 0) };
    assert_eq!(set, 0, "setxattr: {}", std::io::Error::last_os_error());
}

#[test]
fn privileged_executables_refuse_to_run() {
    let lab = Lab::new();
    // Another directory may be mounted with nosuid.
    let directory = lab.path("bin");
    fs::create_dir(&directory).unwrap();
    let none = None::<&str>;
    mount(Some("tmpfs"), &directory, Some("tmpfs"), MsFlags::empty(), none).expect("a tmpfs");
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
    for (program, status) in PROGRAMS {
        let path = directory.join(program);
        // Not copied by this process: a child that another test forks at that time would have the
        // file open for writing, and it could not be executed.
        let from = binary(program);
        stdout_of(&mut lab.program("cp", [from.to_str().unwrap(), path.to_str().unwrap()]));
        let executable = path.to_str().unwrap();
        let version = |user: &[&str]| {
            let words = [user, &[executable, "--version"]].concat();
            run(&mut lab.program(words[0], &words[1..]))
        };
        let set_mode = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let message = "refused to run: set-user-ID, set-group-ID or file capabilities";
        let stderr = format!("{program}: {message}\n");
        let refused = Run { status, stdout: String::new(), stderr };
        let stdout = format!("{program} {}\n", env!("CARGO_PKG_VERSION"));
        let runs = Run { status: 0, stdout, stderr: String::new() };

        set_mode(0o755);
        assert_eq!(version(&NOBODY), runs, "{program} without privileges");
        set_mode(0o4755);
        assert_eq!(version(&NOBODY), refused, "{program} set-user-ID");
        assert_eq!(version(&[]), runs, "{program} set-user-ID, by root");
        set_mode(0o2755);
        assert_eq!(version(&NOBODY), refused, "{program} set-group-ID");
        set_mode(0o755);
        set_capabilities(&path);
        assert_eq!(version(&NOBODY), refused, "{program} with file capabilities");
    }
}
