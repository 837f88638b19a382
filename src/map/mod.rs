//! One BPF map: its type, and the layout of what it holds.

pub mod advice;
pub mod empty;
pub mod flags;
pub mod percpu;
pub mod scan;
pub mod state;
pub mod typed;
pub mod usage;
