//! Unix sockets: binding them, connecting to them, and sending maps to those of tc and bpf-exec.

pub mod bound;
pub mod connect;
pub mod endpoint;
pub mod send;
