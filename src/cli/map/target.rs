//! The map that a command works on: how it is named, which layout it has, and how its keys and
//! values are read and written.

pub mod advice;
mod change;
pub mod cpus;
mod element;
mod guess;
pub mod inherited;
pub mod inner;
pub mod method;
pub mod named;
mod opened;
pub mod origin;
pub mod program;
pub mod reference;
pub mod values;
pub mod walk;

pub use change::Condition;
pub use element::check_inherited;
pub use opened::Target;
