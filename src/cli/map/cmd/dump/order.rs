//! Sorting: `--sort FIELD`, `--top N FIELD`.

use super::shown::ShownValues;
use crate::cli::map::arguments;
use crate::cli::map::target::Target;
use crate::cli::map::target::walk::Walk;
use crate::output::element::Shown;
use anyhow::{Context, anyhow};
use bpf_layout::{Slot, Type};
use clap::{Arg, ArgGroup, ArgMatches, Command};
use std::cmp::Ordering;

/// How many elements are held in memory beyond those that `--top` keeps.
const SLACK: usize = 4096;

pub fn arguments(command: Command) -> Command {
    command
        .args([
            Arg::new("sort")
                .long("sort")
                .value_name("FIELD")
                .help("Sort by a field of the value, by value, key or key.FIELD; lowest first"),
            Arg::new("top")
                .long("top")
                .value_names(["N", "FIELD"])
                .num_args(2)
                .help("Print the N entries with the highest FIELD, highest first"),
            arguments::flag("reverse", "Reverse the order").requires("order"),
        ])
        .group(ArgGroup::new("order").args(["sort", "top"]))
}

/// `--sort` or `--top`, with `--reverse`.
#[derive(Debug, PartialEq)]
pub struct OrderArguments<'a> {
    option: &'static str,
    field: &'a str,
    descending: bool,
    /// How many elements are printed, if not all.
    pub limit: Option<usize>,
}

impl<'a> OrderArguments<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Option<OrderArguments<'a>>> {
        let reverse = matches.get_flag("reverse");
        if let Some(field) = arguments::text(matches, "sort") {
            let descending = reverse;
            return Ok(Some(OrderArguments { option: "--sort", field, descending, limit: None }));
        }
        let Some(mut top) = arguments::texts(matches, "top") else { return Ok(None) };
        let (count, field) = (top.next(), top.next().unwrap_or_default());
        let count = count.and_then(|count| count.parse().ok());
        let limit = Some(count.ok_or_else(|| anyhow!("--top: N is not a number"))?);
        Ok(Some(OrderArguments { option: "--top", field, descending: !reverse, limit }))
    }
}

/// The field to sort by, in which direction, and how many elements are kept.
pub struct Order<'t> {
    key: &'t Type,
    by: SortField<'t>,
    descending: bool,
    limit: Option<usize>,
}

#[derive(Clone, Copy)]
enum SortField<'t> {
    Key(Slot<'t>),
    Value(Slot<'t>),
}

impl<'t> Order<'t> {
    /// An error if neither the key nor the value has the field.
    pub fn new(
        arguments: &OrderArguments,
        target: &'t Target,
        key: &'t Type,
    ) -> anyhow::Result<Order<'t>> {
        let OrderArguments { option, field, descending, limit } = *arguments;
        let by = find_field(target, key, field);
        let by = by.with_context(|| format!("{}: {option}", target.label))?;
        Ok(Order { key, by, descending, limit })
    }

    /// Reads all elements; returns the elements to print, in order.
    pub fn sort(&self, values: &ShownValues, mut walk: Walk) -> anyhow::Result<Sorted> {
        let mut kept = Sorted::default();
        while let Some(chunk) = walk.next()? {
            for (key, value) in chunk.iter() {
                kept.push(key, value);
                if self.limit.is_some_and(|limit| {
                    kept.len() >= limit.saturating_mul(2).saturating_add(SLACK)
                }) {
                    self.arrange(values, &mut kept);
                }
            }
        }
        self.arrange(values, &mut kept);
        Ok(kept)
    }

    /// Sorts, and drops elements past the limit.
    pub fn arrange(&self, values: &ShownValues, kept: &mut Sorted) {
        let mut order: Vec<usize> = (0..kept.len()).collect();
        order.sort_unstable_by(|&a, &b| self.compare(values, kept.element(a), kept.element(b)));
        if let Some(limit) = self.limit.filter(|limit| *limit < order.len()) {
            order.truncate(limit);
            kept.keep(&mut order);
        }
        kept.order = order;
    }

    fn compare(&self, values: &ShownValues, a: (&[u8], &[u8]), b: (&[u8], &[u8])) -> Ordering {
        let order = match self.by {
            SortField::Key(slot) => slot.compare(a.0, b.0),
            SortField::Value(slot) => match (values.shown(a.1), values.shown(b.1)) {
                (Shown::One(a), Shown::One(b)) => slot.compare(a, b),
                (a, b) => match (a.number(slot), b.number(slot)) {
                    (Some(a), Some(b)) => a.compare(b),
                    (a, b) => a.is_some().cmp(&b.is_some()),
                },
            },
        };
        let order = if self.descending { order.reverse() } else { order };
        // The same output for the same map, whatever order the kernel has.
        order.then_with(|| Slot::from(self.key).compare(a.0, b.0))
    }
}

/// The field of the value or of the key that `field` names, or the whole value or key. If there is
/// no such field, the error names the side of the prefix `key.` or `value.`, else the value.
fn find_field<'t>(target: &'t Target, key: &'t Type, field: &str) -> anyhow::Result<SortField<'t>> {
    let value = &target.layout.value;
    let whole = |name: &str| {
        field.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let mut error = match value.field(field) {
        Ok(slot) if !field.is_empty() => return Ok(SortField::Value(slot)),
        Ok(_) => anyhow!("an empty name"),
        Err(error) => error.into(),
    };
    if let Some(path) = whole("value") {
        match value.field(path) {
            Ok(slot) => return Ok(SortField::Value(slot)),
            Err(wrong) => error = anyhow!("value: {wrong}"),
        }
    }
    if let Some(path) = whole("key") {
        match key.field(path) {
            Ok(slot) => return Ok(SortField::Key(slot)),
            Err(wrong) => error = anyhow!("key: {wrong}"),
        }
    }
    match key.field(field) {
        Ok(slot) if !field.is_empty() => Ok(SortField::Key(slot)),
        _ => Err(error),
    }
}

/// Elements in memory.
#[derive(Default)]
pub struct Sorted {
    /// Keys and values one after the other.
    bytes: Vec<u8>,
    key_len: usize,
    element_len: usize,
    order: Vec<usize>,
}

impl Sorted {
    /// Appends an element, which has no place in the order yet.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        (self.key_len, self.element_len) = (key.len(), key.len() + value.len());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
    }

    /// Gives all elements the order in which they were appended.
    pub fn keep_order(&mut self) {
        self.order = (0..self.len()).collect();
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn len(&self) -> usize {
        self.bytes.len().checked_div(self.element_len).unwrap_or(0)
    }

    fn element(&self, at: usize) -> (&[u8], &[u8]) {
        self.bytes[at * self.element_len..][..self.element_len].split_at(self.key_len)
    }

    /// Moves the elements of `order` to the front, in that order, and drops the others.
    fn keep(&mut self, order: &mut [usize]) {
        let mut bytes = Vec::with_capacity(order.len() * self.element_len);
        for (place, at) in order.iter_mut().enumerate() {
            bytes.extend_from_slice(&self.bytes[*at * self.element_len..][..self.element_len]);
            *at = place;
        }
        self.bytes = bytes;
    }

    /// Calls `put` with each key and value, in order.
    pub fn each(
        &self,
        put: &mut impl FnMut(&[u8], &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.order.iter().try_for_each(|at| {
            let (key, value) = self.element(*at);
            put(key, value)
        })
    }
}
