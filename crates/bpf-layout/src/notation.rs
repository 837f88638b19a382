//! Notation text to a type and back. The grammar is in bpf-layout(7); it refuses what it does not know,
//! and says at which column.

mod display;
mod grammar;
mod tokens;

pub use tokens::NotationError;
