//! One element of a map, and what a format does with it. The codec prints the leaves.

use bpf_layout::print::{self, Column, PerCpu, Values, WideIntegersAsStrings};
use bpf_layout::{Number, Slot};

/// A format that elements are printed in, one after the other.
pub trait ElementFormat {
    /// How often all elements are gone through: more than once where what belongs together
    /// in the format is not together in the map.
    fn passes(&self) -> usize {
        1
    }

    /// What stands before the elements of a pass.
    fn begin(&mut self, _pass: usize, _out: &mut Vec<u8>) {}

    /// One element.
    fn element(&mut self, key: &[u8], value: Shown, out: &mut Vec<u8>);

    /// What stands after the elements of all passes.
    fn end(&mut self, _out: &mut Vec<u8>) {}

    /// Why what was printed is not complete.
    fn failure(&self) -> Option<String> {
        None
    }
}

/// How JSON has integers of more than 53 bits, which many readers round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integers {
    Numbers,
    Strings,
}

impl Integers {
    /// Appends `values` as JSON.
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

/// What is shown of a value.
#[derive(Clone, Copy)]
pub enum Shown<'b> {
    /// One value: the only one, or one CPU's.
    One(&'b [u8]),
    /// The sum over all CPUs.
    Sum(PerCpu<'b>),
    /// Every CPU's.
    Each(PerCpu<'b>),
}

impl<'b> Shown<'b> {
    /// As words; every CPU's after a tab each.
    pub fn plain(self, slot: Slot, out: &mut Vec<u8>) {
        self.print(out, b"", b"\t", b"", |value, out| match value {
            Ok(one) => print::plain(slot, one, out),
            Err(sum) => print::plain(slot, &sum, out),
        });
    }

    /// As JSON; every CPU's in an array.
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

    /// As the cell of a table. Of every CPU's there is no one cell: go through [`Shown::split`].
    pub fn column(self, column: &Column, out: &mut Vec<u8>) {
        match self {
            Shown::One(value) => column.cell(value, out),
            Shown::Sum(values) | Shown::Each(values) => column.cell(&values, out),
        }
    }

    /// As the label of a metric. Of every CPU's there is no one label: go through [`Shown::split`].
    pub fn label(self, column: &Column, out: &mut Vec<u8>) {
        match self {
            Shown::One(value) => column.label(value, out),
            Shown::Sum(values) | Shown::Each(values) => column.label(&values, out),
        }
    }

    /// The number in `slot`, if there is one; of every CPU's, the sum.
    pub fn number(self, slot: Slot) -> Option<Number> {
        match self {
            Shown::One(value) => value.number(slot),
            Shown::Sum(values) | Shown::Each(values) => values.number(slot),
        }
    }

    /// Every CPU's value with its place among the possible CPUs; else all with None.
    pub fn split(self, mut visit: impl FnMut(Option<usize>, Shown)) {
        match self {
            Shown::Each(values) => values
                .each()
                .enumerate()
                .for_each(|(place, value)| visit(Some(place), Shown::One(value))),
            other => visit(None, other),
        }
    }
}
