//! The map that a command works on: how it is named, which layout it has, and how its keys and
//! values are read and written.

pub mod advice;
mod change;
pub mod cpus;
mod element;
pub mod inherited;
pub mod inner;
pub mod origin;
pub mod program;
pub mod reference;
pub mod values;
pub mod walk;

pub use change::Condition;
pub use element::inherited as check_inherited;

use bpf_inherit::Map;
use bpf_layout::Layout;
use origin::Origin;

/// A map, and how its user named it.
#[derive(Debug)]
pub struct Target {
    pub map: Map,
    /// The reference, escaped.
    pub label: String,
    pub layout: Layout,
    /// Where the layout comes from.
    pub origin: Origin,
}
