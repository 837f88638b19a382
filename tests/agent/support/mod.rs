//! What the tests of the agent share.

pub mod peers;
pub mod played;
pub mod supervisor;
