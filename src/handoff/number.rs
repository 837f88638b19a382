//! The numbers *n* of `BPF_MAP<n>`, and separately those of programs and links. Pure.

use std::collections::BTreeSet;

/// The objects of one kind from one source, in order, each with its declared id.
pub type DeclaredIds = Vec<Option<u32>>;

/// The position of a group, and its declared ids that are duplicate or in use.
pub type Collisions = (usize, BTreeSet<u32>);

/// Assigns a unique number to every object of every group, in the order of the groups.
///
/// `taken` are the numbers of inherited objects, which keep them. Declared ids come first. If some
/// of a group are taken, or duplicate, no declared id of the group is used, and the second list has
/// an item for the group. All other objects get the lowest free numbers.
pub fn assign_numbers(
    mut taken: BTreeSet<u32>,
    groups: &[DeclaredIds],
) -> (Vec<Vec<u32>>, Vec<Collisions>) {
    let mut refused = Vec::new();
    let mut honoured = Vec::new();
    for (place, group) in groups.iter().enumerate() {
        let mut all = taken.clone();
        let collide: BTreeSet<u32> =
            group.iter().flatten().copied().filter(|&id| !all.insert(id)).collect();
        honoured.push(collide.is_empty());
        if collide.is_empty() {
            taken = all;
        } else {
            refused.push((place, collide));
        }
    }
    let mut lowest = 0;
    let mut next = || {
        while !taken.insert(lowest) {
            lowest += 1;
        }
        lowest
    };
    let numbers = groups.iter().zip(honoured).map(|(group, honoured)| {
        group.iter().map(|id| id.filter(|_| honoured).unwrap_or_else(&mut next)).collect()
    });
    (numbers.collect(), refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_ids_come_first_and_others_fill_the_gaps() {
        // Taken numbers and declared ids; assigned numbers and collisions.
        type Case<'a> = (&'a [u32], &'a [&'a [Option<u32>]], &'a [&'a [u32]], &'a [(usize, u32)]);
        let cases: [Case; 7] = [
            (&[], &[&[None], &[None, None]], &[&[0], &[1, 2]], &[]),
            (&[1], &[&[None], &[None]], &[&[0], &[2]], &[]),
            (&[], &[&[None], &[Some(0), Some(5)]], &[&[1], &[0, 5]], &[]),
            // Duplicate in one transfer.
            (&[], &[&[Some(0), Some(0)], &[None]], &[&[0, 1], &[2]], &[(0, 0)]),
            // Taken by an inherited object.
            (&[5], &[&[Some(5), Some(6)], &[Some(7)]], &[&[0, 1], &[7]], &[(0, 5)]),
            // Taken by an earlier transfer.
            (&[], &[&[Some(3)], &[Some(3)]], &[&[3], &[0]], &[(1, 3)]),
            (&[], &[&[Some(u32::MAX)], &[None]], &[&[u32::MAX], &[0]], &[]),
        ];
        for (taken, groups, want, refused) in cases {
            let groups: Vec<DeclaredIds> = groups.iter().map(|g| g.to_vec()).collect();
            let got = assign_numbers(taken.iter().copied().collect(), &groups);
            assert_eq!(got.0, want, "{groups:?}");
            let refused: Vec<Collisions> =
                refused.iter().map(|&(at, id)| (at, [id].into())).collect();
            assert_eq!(got.1, refused, "{groups:?}");
        }
    }
}
