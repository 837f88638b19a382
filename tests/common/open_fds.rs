//! The open file descriptors of a process. A check that fails describes each unexpected fd: its
//! number, the target of its link in /proc, and its fdinfo.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::fd::RawFd;
use std::path::Path;

/// The target and the fdinfo of each open fd.
#[derive(Clone)]
pub struct OpenFds(BTreeMap<RawFd, (String, String)>);

impl OpenFds {
    #[track_caller]
    pub fn of(pid: u32) -> OpenFds {
        let directory = format!("/proc/{pid}/fd");
        let mut fds = BTreeMap::new();
        for entry in std::fs::read_dir(&directory).expect("a process") {
            let path = entry.expect("an entry").path();
            let number = path.file_name().expect("a name").to_string_lossy().into_owned();
            // The process may have closed the fd; and if it is this process, one fd is the
            // directory's.
            let Ok(target) = path.read_link() else { continue };
            if target == Path::new(&directory) {
                continue;
            }
            let fdinfo = std::fs::read(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
            let text = (
                target.to_string_lossy().into_owned(),
                String::from_utf8_lossy(&fdinfo).into_owned(),
            );
            fds.insert(number.parse().expect("a number"), text);
        }
        OpenFds(fds)
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn numbers(&self) -> Vec<RawFd> {
        self.0.keys().copied().collect()
    }

    /// What the link of an fd in /proc contains; None if the fd is closed.
    pub fn target(&self, number: RawFd) -> Option<&str> {
        self.0.get(&number).map(|(target, _)| target.as_str())
    }

    pub fn has_socket(&self) -> bool {
        self.0.values().any(|(target, _)| target.starts_with("socket:"))
    }

    /// Fails unless exactly these numbers are open.
    #[track_caller]
    pub fn assert_numbers(&self, want: &[RawFd], case: &str) {
        let unexpected = self.describe(|number, _| !want.contains(&number));
        let closed: Vec<_> = want.iter().filter(|number| !self.0.contains_key(number)).collect();
        assert!(
            unexpected.is_empty() && closed.is_empty(),
            "{case}: closed: {closed:?}, unexpected:\n{unexpected}"
        );
    }

    /// Fails unless `more` fds are open than in `before`: fewer, if the number is negative.
    #[track_caller]
    pub fn assert_more(&self, more: isize, before: &OpenFds) {
        let difference = self.difference(before);
        assert_eq!(difference, more, "unexpected:\n{}", self.describe_new(before));
    }

    pub fn difference(&self, before: &OpenFds) -> isize {
        self.count() as isize - before.count() as isize
    }

    /// The fds that `before` has not, or that had another target.
    pub fn describe_new(&self, before: &OpenFds) -> String {
        self.describe(|number, target| before.target(number) != Some(target))
    }

    fn describe(&self, is_wanted: impl Fn(RawFd, &str) -> bool) -> String {
        let mut text = String::new();
        for (number, (target, fdinfo)) in &self.0 {
            if is_wanted(*number, target) {
                writeln!(text, "fd {number}: {target}").expect("memory");
                fdinfo.lines().for_each(|line| writeln!(text, "    {line}").expect("memory"));
            }
        }
        text
    }
}
