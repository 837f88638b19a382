//! One entry of a map, and the operations of an output format. `bpf_layout::print` prints the
//! values of the fields.

use bpf_layout::print::{self, Column, PerCpu, Values, WideIntegersAsStrings};
use bpf_layout::{Number, Slot};

/// An output format, in which entries are printed one after the other.
pub trait ElementFormat {
    /// The number of times that all entries are walked: more than one if the format groups its
    /// output by something other than entries.
    fn passes(&self) -> usize {
        1
    }

    /// Prints the text before the entries of a pass.
    fn begin(&mut self, _pass: usize, _out: &mut Vec<u8>) {}

    /// Prints one entry.
    fn element(&mut self, key: &[u8], value: Shown, out: &mut Vec<u8>);

    /// Prints the text after the last pass.
    fn end(&mut self, _out: &mut Vec<u8>) {}

    /// The reason why the output is incomplete; None if it is complete.
    fn failure(&self) -> Option<String> {
        None
    }
}

/// The JSON type of integers of more than 53 bits, which many readers round if they are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integers {
    Numbers,
    Strings,
}

impl Integers {
    /// Appends `values`, of the type `what`, as JSON.
    pub fn json<'t, V>(self, what: impl Into<Slot<'t>>, values: &V, out: &mut Vec<u8>)
    where
        V: Values + ?Sized,
    {
        match self {
            Integers::Numbers => print::json(what, values, out),
            Integers::Strings => print::json(what, &WideIntegersAsStrings(values), out),
        }
    }
}

/// The part of an entry's value that is printed.
#[derive(Clone, Copy)]
pub enum Shown<'b> {
    /// One value: that of a map that is not per-CPU, or of one CPU.
    One(&'b [u8]),
    /// The sum over all CPUs.
    Sum(PerCpu<'b>),
    /// The value of each CPU.
    Each(PerCpu<'b>),
}

impl<'b> Shown<'b> {
    /// Appends the value as words; the values of several CPUs are separated by tabs.
    pub fn plain(self, slot: Slot, out: &mut Vec<u8>) {
        self.print(out, b"", b"\t", b"", |value, out| match value {
            Ok(one) => print::plain(slot, one, out),
            Err(sum) => print::plain(slot, &sum, out),
        });
    }

    /// Appends the value as JSON; the values of several CPUs are an array.
    pub fn json(self, slot: Slot, integers: Integers, out: &mut Vec<u8>) {
        self.print(out, b"[", b",", b"]", |value, out| match value {
            Ok(one) => integers.json(slot, one, out),
            Err(sum) => integers.json(slot, &sum, out),
        });
    }

    fn print(
        self,
        out: &mut Vec<u8>,
        open: &[u8],
        between: &[u8],
        close: &[u8],
        one: impl Fn(Result<&[u8], PerCpu>, &mut Vec<u8>),
    ) {
        match self {
            Shown::One(value) => one(Ok(value), out),
            Shown::Sum(sum) => one(Err(sum), out),
            Shown::Each(values) => {
                out.extend_from_slice(open);
                for (at, value) in values.each().enumerate() {
                    out.extend_from_slice(if at > 0 { between } else { b"" });
                    one(Ok(value), out);
                }
                out.extend_from_slice(close);
            }
        }
    }

    /// Appends a cell of a table. The values of several CPUs have several cells: call
    /// [`Shown::split`] first.
    pub fn column(self, column: &Column, out: &mut Vec<u8>) {
        match self {
            Shown::One(value) => column.cell(value, out),
            Shown::Sum(values) | Shown::Each(values) => column.cell(&values, out),
        }
    }

    /// Appends a label of a metric. The values of several CPUs have several labels: call
    /// [`Shown::split`] first.
    pub fn label(self, column: &Column, out: &mut Vec<u8>) {
        match self {
            Shown::One(value) => column.label(value, out),
            Shown::Sum(values) | Shown::Each(values) => column.label(&values, out),
        }
    }

    /// The number in `slot`, if it is a number; for the values of several CPUs, their sum.
    pub fn number(self, slot: Slot) -> Option<Number> {
        match self {
            Shown::One(value) => value.number(slot),
            Shown::Sum(values) | Shown::Each(values) => values.number(slot),
        }
    }

    /// Calls `visit` with the value of each CPU and its index among the possible CPUs; or once,
    /// with None, if this is a single value or a sum.
    pub fn split(self, mut visit: impl FnMut(Option<usize>, Shown)) {
        match self {
            Shown::Each(values) => values
                .each()
                .enumerate()
                .for_each(|(index, value)| visit(Some(index), Shown::One(value))),
            other => visit(None, other),
        }
    }
}
