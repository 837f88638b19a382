//! The layout notation of bpf-layout(7): parsing and printing of types. Unknown input is refused
//! with its column.

mod display;
mod grammar;
mod tokens;

pub use tokens::NotationError;
