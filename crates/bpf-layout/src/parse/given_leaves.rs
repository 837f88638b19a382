//! A record of the fields that were given. No field may be given twice, and none may be missing.

use super::error::{Problem, ValueError};
use crate::Type;
use crate::types::{Member, MemberPart, Record};
use std::ops::Range;

const INLINE: usize = 4;

/// A mark for each leaf of a type (see `Type::leaves`).
pub(super) struct GivenLeaves {
    small: [u64; INLINE],
    large: Vec<u64>,
}

impl GivenLeaves {
    pub(super) fn new(ty: &Type) -> GivenLeaves {
        let words = ty.leaves().div_ceil(64);
        let large = if words > INLINE { vec![0; words] } else { Vec::new() };
        GivenLeaves { small: [0; INLINE], large }
    }

    pub(super) fn clear(&mut self) {
        self.small = [0; INLINE];
        // `fill` on an empty Vec is not free: the masked store to its dangling address takes 100
        // ns on CPUs with AVX-512.
        if !self.large.is_empty() {
            self.large.fill(0);
        }
    }

    fn words(&self) -> &[u64] {
        if self.large.is_empty() { &self.small } else { &self.large }
    }

    pub(super) fn is_marked(&self, leaf: usize) -> bool {
        self.words()[leaf / 64] >> (leaf % 64) & 1 == 1
    }

    pub(super) fn any_marked(&self, mut leaves: Range<usize>) -> bool {
        leaves.any(|leaf| self.is_marked(leaf))
    }

    pub(super) fn mark(&mut self, leaves: Range<usize>) {
        let words = if self.large.is_empty() { &mut self.small[..] } else { &mut self.large[..] };
        leaves.for_each(|leaf| words[leaf / 64] |= 1 << (leaf % 64));
    }

    /// Returns an error that names the first missing field of `record`.
    pub(super) fn check_complete(&self, record: &Record) -> Result<(), ValueError> {
        // Fast path for types without unions: all marks are set.
        let (whole, rest) = (record.leaves() / 64, record.leaves() % 64);
        let words = self.words();
        if words[..whole].iter().all(|word| *word == u64::MAX)
            && (rest == 0 || words[whole] == (1 << rest) - 1)
        {
            return Ok(());
        }
        self.check_record(record, 0)
    }

    fn check_record(&self, record: &Record, base: usize) -> Result<(), ValueError> {
        let mut leaf = base;
        let mut touched = false;
        for member in record.members() {
            let (MemberPart::Field(ty) | MemberPart::Bits(ty, _)) = &member.part else {
                continue;
            };
            let leaves = leaf..leaf + ty.leaves();
            leaf = leaves.end;
            let is_touched = self.any_marked(leaves.clone());
            touched |= is_touched;
            if record.kind().union && !is_touched {
                continue;
            }
            self.check_member(member, ty, leaves).map_err(|error| match &member.name {
                Some(name) => error.within(name),
                None => error,
            })?;
        }
        if record.kind().union && !touched && leaf > base {
            let names: Vec<_> = record.fields().iter().take(8).map(|field| &*field.name).collect();
            return Err(Problem::Missing(format!("missing one of {}", names.join(", "))).into());
        }
        Ok(())
    }

    fn check_member(
        &self,
        member: &Member,
        ty: &Type,
        leaves: Range<usize>,
    ) -> Result<(), ValueError> {
        match (ty.as_record(), &member.part) {
            (Some(inner), MemberPart::Field(_)) => self.check_record(inner, leaves.start),
            _ if self.is_marked(leaves.start) => Ok(()),
            _ => Err(Problem::Missing("missing".to_owned()).into()),
        }
    }
}
