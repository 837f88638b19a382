//! One BPF map: its layout, its entries, its flags and its state.

pub mod advice;
pub mod create;
pub mod empty;
pub mod flags;
pub mod percpu;
pub mod scan;
pub mod state;
pub mod typed;
pub mod usage;
