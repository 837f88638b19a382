//! Bytes to text: plain words for shells, JSON, and cells of a table. Appends to a buffer that the
//! caller reuses, so that a dump allocates nothing per value.

mod change;
mod column;
mod forms;
mod leaf;
mod percpu;
mod strings;
mod values;

pub use change::Change;
pub use column::{Column, all_columns, columns};
pub use forms::{cell, json, label, plain, word};
pub use percpu::{PerCpu, has_sums};
pub use strings::WideIntegersAsStrings;
pub use values::Values;
