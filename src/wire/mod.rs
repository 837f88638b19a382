//! The formats of messages on sockets: pure functions that encode and decode bytes.

// Public only for the fuzz targets of this package.
#![allow(missing_docs)]

pub mod agent;
pub mod tc;
