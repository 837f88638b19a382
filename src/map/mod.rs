//! One BPF map: its type, and the layout of what it holds.

pub mod kind;
pub mod typed;
