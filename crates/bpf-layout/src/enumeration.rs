//! Integers with named values.

use super::atom::Atom;
use super::limits::{MAX_COST, TypeError, check_unique, is_identifier};
use std::sync::Arc;

/// An integer type with names for some of its values.
#[derive(PartialEq, Eq)]
pub struct Enum {
    carrier: Atom,
    names: Box<[(Arc<str>, i128)]>,
    cost: usize,
}

impl Enum {
    /// Builds an enum stored in `carrier`, with `names` in the order of declaration.
    pub(crate) fn new(
        carrier: Atom,
        names: impl IntoIterator<Item = (Arc<str>, i128)>,
    ) -> Result<Enum, TypeError> {
        if !carrier.is_carrier() {
            return Err(TypeError::BadEnum);
        }
        let names: Box<[_]> = names.into_iter().collect();
        let (min, max) = carrier.range(carrier.size() as u32 * 8);
        let mut cost = 16;
        for (name, value) in &names {
            if !is_identifier(name) {
                return Err(TypeError::BadName);
            }
            if !(min..=max).contains(value) {
                return Err(TypeError::EnumRange { value: *value, carrier: carrier.name() });
            }
            // Longest form: ", NAME=-9223372036854775808".
            cost += name.len() + 23;
        }
        if cost > MAX_COST {
            return Err(TypeError::TooLong);
        }
        check_unique(names.iter().map(|entry| &entry.0))?;
        Ok(Enum { carrier, names, cost })
    }

    /// Returns the integer type that is stored: 1 to 8 bytes, host byte order.
    pub fn carrier(&self) -> Atom {
        self.carrier
    }

    /// Returns names and values in the order of declaration. Names are unique; values may repeat.
    pub fn names(&self) -> impl Iterator<Item = (&str, i128)> {
        self.names.iter().map(|(name, value)| (&**name, *value))
    }

    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// Returns the first name of `value`.
    pub fn name_of(&self, value: i128) -> Option<&str> {
        // The values of most enums count from 0, so the value is tried as an index first.
        let guess = usize::try_from(value).ok().and_then(|index| self.names.get(index));
        let found = guess.filter(|entry| entry.1 == value);
        found.or_else(|| self.names.iter().find(|entry| entry.1 == value)).map(|entry| &*entry.0)
    }

    /// Returns the value of `name`.
    pub(crate) fn value_of(&self, name: &str) -> Option<i128> {
        self.names.iter().find(|entry| &*entry.0 == name).map(|entry| entry.1)
    }
}
