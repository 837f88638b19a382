//! Bytes to text: words, JSON, table cells and labels. Text is appended to a buffer of the caller,
//! so printing a value does not allocate memory.

mod change;
mod column;
mod forms;
mod leaf;
mod percpu;
mod strings;
mod template;
mod values;

pub use change::Change;
pub use column::{Column, all_columns, columns};
pub use forms::{cell, json, label, plain, word};
pub use leaf::Style;
pub use percpu::{PerCpu, has_sums};
pub use strings::WideIntegersAsStrings;
pub use template::{AllValues, Leaf, Piece, template};
pub use values::Values;
