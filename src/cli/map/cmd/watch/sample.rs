//! The elements of a map at one moment, in the order of their keys.

use crate::cli::map::target::Target;
use crate::map::scan::Scan;
use crate::output::watch::WatchedEntry;
use bpf_layout::Slot;
use std::cmp::Ordering;
use std::time::Instant;

/// A key and its value, of all CPUs in a per-CPU map.
type Element = (Box<[u8]>, Box<[u8]>);

pub struct Sample {
    pub at: Instant,
    elements: Vec<Element>,
}

impl Sample {
    /// Reads the values of `keys`, or all values if `keys` is empty.
    pub fn read(target: &Target, keys: &[Vec<u8>], order: Slot) -> anyhow::Result<Sample> {
        let at = Instant::now();
        let mut elements: Vec<Element> = Vec::new();
        for key in keys {
            if let Some(value) = target.lookup("watch", key)? {
                elements.push((key.as_slice().into(), value.into()));
            }
        }
        if keys.is_empty() {
            let fail = |errno| target.explain_walk("watch", errno);
            let mut scan = Scan::new(&target.map).map_err(fail)?;
            while let Some(chunk) = scan.next().map_err(fail)? {
                elements.extend(chunk.iter().map(|(key, value)| (key.into(), value.into())));
            }
            elements.sort_by(|(a, _), (b, _)| compare(order, a, b));
        }
        Ok(Sample { at, elements })
    }

    /// Each element with its value in `before`. If `keys` were given, there is an entry for each of
    /// them, even if it is missing; otherwise for each element of this sample or of `before`.
    pub fn entries<'a>(
        &'a self,
        before: Option<&'a Sample>,
        keys: &'a [Vec<u8>],
        order: Slot,
    ) -> Vec<WatchedEntry<'a>> {
        let before = before.map_or(&[][..], |before| &before.elements);
        if !keys.is_empty() {
            let of = |elements: &'a [Element], key: &[u8]| {
                elements.iter().find(|(k, _)| **k == *key).map(|(_, value)| &**value)
            };
            let entry = |key: &'a Vec<u8>| WatchedEntry {
                key,
                before: of(before, key),
                after: of(&self.elements, key),
            };
            return keys.iter().map(entry).collect();
        }
        let (mut old, mut new) = (before.iter().peekable(), self.elements.iter().peekable());
        let mut entries = Vec::with_capacity(self.elements.len());
        loop {
            let turn = match (old.peek(), new.peek()) {
                (None, None) => return entries,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((a, _)), Some((b, _))) => compare(order, a, b),
            };
            let was = if turn.is_le() { old.next() } else { None };
            let is = if turn.is_ge() { new.next() } else { None };
            let key = was.or(is).map_or(&[][..], |(key, _)| key);
            let value = |element: Option<&'a Element>| element.map(|(_, v)| &**v);
            entries.push(WatchedEntry { key, before: value(was), after: value(is) });
        }
    }
}

/// Compares keys as numbers if they are. No two keys are equal: padding distinguishes them too.
fn compare(order: Slot, a: &[u8], b: &[u8]) -> Ordering {
    order.compare(a, b).then_with(|| a.cmp(b))
}
