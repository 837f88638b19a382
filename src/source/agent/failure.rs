//! Why a request to an agent failed, in a line that contains the request.

use crate::error::{Cause, Error};
use crate::wire::agent::{Operation, Status};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// The agent's answer, if there is one.
    status: Option<Status>,
    error: Error,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        failure.error
    }
}

impl Failure {
    /// Whether the agent reports that no object has the name.
    pub fn is_absent(&self) -> bool {
        self.status == Some(Status::Absent)
    }

    /// Whether the agent reports that no object has the name, or that its pin does not refer to it
    /// any more.
    pub fn is_lost(&self) -> bool {
        matches!(self.status, Some(Status::Absent | Status::Changed))
    }

    /// Whether the agent answered, and refused: the connection is usable.
    pub fn is_refusal(&self) -> bool {
        self.status.is_some()
    }

    /// As the agent's answer.
    pub fn answered(self, status: Status) -> Failure {
        Failure { status: Some(status), ..self }
    }
}

/// The subject of a message: the agent's path, with the name if there is one, and the operation.
pub struct Subject {
    object: OsString,
    what: &'static str,
}

impl Subject {
    pub fn new(path: &Path, what: &'static str) -> Subject {
        Subject { object: path.into(), what }
    }

    pub fn of(path: &Path, operation: &Operation) -> Subject {
        let (what, names) = match operation {
            Operation::List { .. } => ("list", &[][..]),
            Operation::Get { names, .. } => ("get", &names[..]),
            Operation::Put { name, .. } => ("put", std::slice::from_ref(name)),
            Operation::Remove { name } => ("remove", std::slice::from_ref(name)),
            Operation::Info { name } => ("look up", std::slice::from_ref(name)),
            Operation::Wait { names, .. } => ("wait", &names[..]),
            Operation::WaitChange { name, .. } => ("wait for a change", std::slice::from_ref(name)),
        };
        let mut subject = Subject::new(path, what);
        if let [name] = names {
            subject.object.push("#");
            subject.object.push(OsStr::from_bytes(name));
        }
        subject
    }

    pub fn fail(&self, cause: impl Into<Cause>) -> Failure {
        Failure { status: None, error: Error::new(self.object.as_bytes(), self.what, cause) }
    }

    /// The failure of a change that was sent, and was not answered.
    pub fn unsure(&self, cause: impl fmt::Display) -> Failure {
        self.fail(format!("{cause}: whether it was done is not known"))
    }
}
