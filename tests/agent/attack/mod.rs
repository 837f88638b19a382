//! Attacks on the availability and the secrets of an agent, by users with few or no permissions.
//!
//! Those with fds that are slow to close are tested in `tests/agent_linger.rs`.

mod admission;
mod disclosure;
mod layouts;
mod log;
mod turns;
