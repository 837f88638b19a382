//! Bytes on sockets, without sockets: pure functions from and to bytes.

// Reachable for this package's own fuzz targets; names that say all need no words.
#![allow(missing_docs)]

pub mod agent;
pub mod tc;
