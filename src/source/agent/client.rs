//! A client of bpf-agent: one request at a time, and every reply is checked.

use super::connect::connect_to;
use super::connection::{Bounds, Connection, ConnectionError};
use super::failure::{Failure, Subject};
use super::reply::{Budget, Held, Part, check_names, check_object, packet};
use super::socket::Socket;
use crate::error::Cause;
use crate::text::{escape, quote};
use crate::wire::agent::{Access, AgentRequest, MAX_PACKET, Operation, Record, Status};
use bpf_inherit::Errno;
use bpf_inherit::object::Object;
use bpf_inherit::scm::MAX_FDS;
use std::os::fd::BorrowedFd;

/// How often a request is sent again when the connection ends without a reply.
const RETRIES: u32 = 5;
/// Names of one GET: as many as descriptors fit into one packet.
const NAMES: usize = MAX_FDS;

/// An object that the agent handed out, and its record.
#[derive(Debug)]
pub struct Got {
    pub record: Record,
    pub object: Object,
}

/// A connection to the agent at a path, which is made again if it is lost.
pub struct Client<'s> {
    socket: Socket,
    bounds: Bounds<'s>,
    /// Whether to wait for an agent that does not run.
    patient: bool,
    connection: Option<Connection>,
    /// The number of the last request.
    number: u32,
}

impl<'s> Client<'s> {
    /// Connects to the agent that listens at `socket`. `bounds` apply to all requests.
    pub fn connect(socket: Socket, bounds: Bounds<'s>) -> Result<Client<'s>, Failure> {
        Client::new(socket, bounds, false)
    }

    /// Likewise, as soon as an agent listens there, now and after the agent has ended.
    pub fn connect_when_there(socket: Socket, bounds: Bounds<'s>) -> Result<Client<'s>, Failure> {
        Client::new(socket, bounds, true)
    }

    fn new(socket: Socket, bounds: Bounds<'s>, patient: bool) -> Result<Client<'s>, Failure> {
        let mut client = Client { socket, bounds, patient, connection: None, number: 0 };
        client.connection = Some(client.reconnect().map_err(|c| client.unreachable(c))?);
        Ok(client)
    }

    /// The records of all names, in the agent's order, without their layouts.
    pub fn list_without_layouts(&mut self) -> Result<Vec<Record>, Failure> {
        self.records(Operation::List { glob: Vec::new(), layouts: false })
    }

    /// The records of all names that match, in the agent's order. An empty glob matches all names.
    pub fn list(&mut self, glob: &[u8]) -> Result<Vec<Record>, Failure> {
        self.records(Operation::List { glob: glob.to_vec(), layouts: true })
    }

    /// Likewise, sorted bytewise by name; if none matches, that is an error.
    pub fn find(&mut self, glob: &[u8]) -> Result<Vec<Record>, Failure> {
        let mut records = self.list(glob)?;
        records.sort_by(|a, b| a.name.cmp(&b.name));
        if records.is_empty() {
            let subject = Subject::new(self.socket.path(), "list");
            let failure = subject.fail(format!("no name matches {}", quote(glob)));
            return Err(failure.answered(Status::Absent));
        }
        Ok(records)
    }

    /// The objects of these names, in their order. A map's descriptor has no more access
    /// than is wanted, and may have less.
    pub fn get(&mut self, names: &[Vec<u8>], wanted: Access) -> Result<Vec<Got>, Failure> {
        let mut budget = Budget::default();
        let mut all = Vec::new();
        for names in names.chunks(NAMES) {
            let operation = Operation::Get { names: names.to_vec(), wanted };
            let subject = Subject::of(self.socket.path(), &operation);
            for (record, fd) in self.ask(operation, None, &mut budget)? {
                let object =
                    check_object(&record, fd, wanted).map_err(|cause| subject.fail(cause))?;
                all.push(Got { record, object });
            }
        }
        Ok(all)
    }

    /// Stores the object of `fd`.
    pub fn put(
        &mut self,
        name: &[u8],
        fd: BorrowedFd,
        layout: &[u8],
        replace: bool,
    ) -> Result<(), Failure> {
        let (name, layout) = (name.to_vec(), layout.to_vec());
        let operation = Operation::Put { name, layout, replace };
        self.ask(operation, Some(fd), &mut Budget::default()).map(drop)
    }

    /// Removes a name.
    pub fn remove(&mut self, name: &[u8]) -> Result<(), Failure> {
        self.records(Operation::Remove { name: name.to_vec() }).map(drop)
    }

    /// The record of a name, with the id of the object that its pin refers to now.
    pub fn info(&mut self, name: &[u8]) -> Result<Record, Failure> {
        let operation = Operation::Info { name: name.to_vec() };
        let subject = Subject::of(self.socket.path(), &operation);
        // The reply to a request with one name has one record, or was refused.
        self.records(operation)?.pop().ok_or_else(|| subject.fail("a reply without a record"))
    }

    /// The record of a name, as soon as its object has another id than this, within the time limit.
    pub fn wait_change(&mut self, name: &[u8], id: u32) -> Result<Record, Failure> {
        let operation = Operation::WaitChange { name: name.to_vec(), id, milliseconds: 0 };
        let subject = Subject::of(self.socket.path(), &operation);
        let record = self.records(operation)?.pop().filter(|record| record.id != id);
        record.ok_or_else(|| subject.fail("a reply without a change"))
    }

    /// The objects of these names, as soon as all are there, within the time limit; one that
    /// goes before it is handed out is waited for again.
    pub fn get_when_there(
        &mut self,
        names: &[Vec<u8>],
        wanted: Access,
    ) -> Result<Vec<Got>, Failure> {
        loop {
            let wait = Operation::Wait { names: names.to_vec(), milliseconds: 0 };
            let subject = Subject::of(self.socket.path(), &wait);
            self.records(wait)?;
            match self.get(names, wanted) {
                Err(failure) if failure.is_absent() => {}
                got => return got,
            }
            self.bounds.pause().map_err(|trouble| self.unanswered(&subject, trouble, false))?;
        }
    }

    fn records(&mut self, operation: Operation) -> Result<Vec<Record>, Failure> {
        let reply = self.ask(operation, None, &mut Budget::default())?;
        Ok(reply.into_iter().map(|(record, _)| record).collect())
    }

    /// Sends a request, and sends it again if the connection ends without a reply: repeating a
    /// request changes nothing.
    fn ask(
        &mut self,
        mut operation: Operation,
        fd: Option<BorrowedFd>,
        budget: &mut Budget,
    ) -> Result<Held, Failure> {
        let subject = Subject::of(self.socket.path(), &operation);
        let changes = matches!(operation, Operation::Put { .. } | Operation::Remove { .. });
        let mut sent = false;
        let mut tries = 0;
        loop {
            if let Operation::Wait { milliseconds, .. }
            | Operation::WaitChange { milliseconds, .. } = &mut operation
            {
                *milliseconds = self.milliseconds();
            }
            self.number = self.number.wrapping_add(1);
            let request = AgentRequest { number: self.number, operation };
            let connection = self.connection.take().map_or_else(|| self.reconnect(), Ok);
            let mut connection = connection.map_err(|cause| match sent && changes {
                true => {
                    let hint = self.socket.hint();
                    subject.unsure(format_args!("connect again: {cause}{hint}"))
                }
                false => self.unreachable(cause),
            })?;
            let asked = self.exchange(&mut connection, &request, fd, budget, &mut sent);
            operation = request.operation;
            tries += 1;
            let trouble = match asked {
                Ok(reply) => {
                    self.connection = Some(connection);
                    return reply.map_err(|(status, why)| self.refusal(&subject, status, &why));
                }
                Err(ConnectionError::Ended) if self.patient => match self.bounds.pause() {
                    Ok(()) => continue,
                    Err(trouble) => trouble,
                },
                Err(ConnectionError::Ended) if tries <= RETRIES => continue,
                Err(trouble) => trouble,
            };
            return Err(self.unanswered(&subject, trouble, sent && changes));
        }
    }

    /// Sends a request, sets `sent`, and receives the whole reply.
    fn exchange(
        &self,
        connection: &mut Connection,
        request: &AgentRequest,
        fd: Option<BorrowedFd>,
        budget: &mut Budget,
        sent: &mut bool,
    ) -> Result<Result<Held, (Status, String)>, ConnectionError> {
        let wrong = |cause: String| ConnectionError::Other(cause.into());
        let bytes = request.encode();
        if bytes.len() > MAX_PACKET {
            let cause =
                format!("a request of {} bytes, where at most {MAX_PACKET} are taken", bytes.len());
            return Err(wrong(cause));
        }
        match connection.send(&bytes, fd.as_slice(), self.bounds) {
            Err(ConnectionError::FdRefused) => self.send_after_info(connection, request, fd)?,
            result => result?,
        }
        *sent = true;
        let is_get = matches!(request.operation, Operation::Get { .. });
        let mut all = Held::new();
        loop {
            let (bytes, fds) = connection.receive(if is_get { MAX_FDS } else { 0 }, self.bounds)?;
            budget.take(bytes.len()).map_err(wrong)?;
            let part = packet(bytes, fds, request.number, is_get).map_err(wrong)?;
            let (records, more) = match part {
                Part::Records(records, more) => (records, more),
                Part::Refusal(status, reason) => return Ok(Err((status, reason))),
            };
            all.extend(records);
            let names = all.iter().map(|(record, _)| record.name.as_slice());
            check_names(&request.operation, names, more).map_err(wrong)?;
            if !more {
                return Ok(Ok(all));
            }
        }
    }

    /// Sends a PUT to an agent that accepts fds only from clients of which it has seen that they may
    /// put (SO_PASSRIGHTS): INFO makes the agent check that. If this one may not, the agent replies
    /// with the reason to a PUT without an fd.
    fn send_after_info(
        &self,
        connection: &mut Connection,
        request: &AgentRequest,
        fd: Option<BorrowedFd>,
    ) -> Result<(), ConnectionError> {
        let Operation::Put { name, .. } = &request.operation else {
            return Err(ConnectionError::FdRefused);
        };
        let info = AgentRequest {
            number: request.number,
            operation: Operation::Info { name: name.clone() },
        };
        connection.send(&info.encode(), &[], self.bounds)?;
        let (bytes, fds) = connection.receive(0, self.bounds)?;
        packet(bytes, fds, info.number, false).map_err(|why| ConnectionError::Other(why.into()))?;
        let bytes = request.encode();
        match connection.send(&bytes, fd.as_slice(), self.bounds) {
            Err(ConnectionError::FdRefused) => connection.send(&bytes, &[], self.bounds),
            result => result,
        }
    }

    /// A new connection. Waits for an agent if the client does.
    fn reconnect(&self) -> Result<Connection, Cause> {
        loop {
            let why = match connect_to(self.socket.path(), self.bounds) {
                Err(ConnectionError::Nobody(why)) if self.patient => why,
                result => return result.map_err(|trouble| self.cause(trouble)),
            };
            self.bounds.pause().map_err(|trouble| match trouble {
                ConnectionError::Late => {
                    format!("no agent came within {}: {why}", self.bounds.limit.text()).into()
                }
                trouble => self.cause(trouble),
            })?;
        }
    }

    fn unreachable(&self, cause: Cause) -> Failure {
        let subject = Subject::new(self.socket.path(), "connect");
        subject.fail(format!("{cause}{}", self.socket.hint()))
    }

    /// The remaining time for a WAIT; 0 if there is no limit, or if it does not fit.
    fn milliseconds(&self) -> u32 {
        let Some(left) = self.bounds.limit.left() else { return 0 };
        u32::try_from(left.as_millis() + 1).unwrap_or(0)
    }

    /// Why there is no answer; `unsure` if the request may have been carried out.
    fn unanswered(&self, subject: &Subject, trouble: ConnectionError, unsure: bool) -> Failure {
        match trouble {
            ConnectionError::Late if unsure => {
                subject.unsure(format_args!("no answer within {}", self.bounds.limit.text()))
            }
            trouble if unsure => subject.unsure(self.cause(trouble)),
            trouble => subject.fail(self.cause(trouble)),
        }
    }

    fn cause(&self, trouble: ConnectionError) -> Cause {
        match trouble {
            ConnectionError::Ended => "the agent ended the connection".into(),
            ConnectionError::Late => format!("timed out after {}", self.bounds.limit.text()).into(),
            ConnectionError::FdRefused => Errno::EPERM.into(),
            ConnectionError::Nobody(cause) | ConnectionError::Other(cause) => cause,
        }
    }

    fn refusal(&self, subject: &Subject, status: Status, reason: &str) -> Failure {
        let failure = match (status, reason) {
            // The clock of the agent, or of this process.
            (Status::Late, _) => subject.fail(self.cause(ConnectionError::Late)),
            (_, "") => subject.fail("refused without a reason"),
            (_, reason) => subject.fail(escape(reason.as_bytes())),
        };
        failure.answered(status)
    }
}
