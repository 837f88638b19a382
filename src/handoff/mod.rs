//! Handing objects over: numbers, environment, fds, execution of the command.

pub mod activation;
pub mod launch;
pub mod lock;
pub mod number;
pub mod place;
