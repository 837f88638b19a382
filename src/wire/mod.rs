//! Bytes on sockets, without sockets: pure functions from and to bytes.

pub mod agent;
pub mod tc;
