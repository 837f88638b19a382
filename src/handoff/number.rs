//! Which n each map gets in `BPF_MAP<n>`. Pure.

use std::collections::BTreeSet;

/// Maps that came from one source, in order, with the number each declares for itself.
pub type Group = Vec<Option<u32>>;

/// Gives every map of every group a number of its own, in the groups' order.
///
/// `taken` are the numbers of inherited maps, which keep them. Declared numbers
/// come first; where one of a group is taken, or declared twice in it, the whole
/// group counts as having declared none, and its place is in the second list.
/// All others get the lowest free number.
pub fn assign(mut taken: BTreeSet<u32>, groups: &[Group]) -> (Vec<Vec<u32>>, Vec<usize>) {
    let mut refused = Vec::new();
    let mut honoured = Vec::new();
    for (place, group) in groups.iter().enumerate() {
        let mut all = taken.clone();
        let free = group.iter().flatten().all(|&id| all.insert(id));
        if free {
            taken = all;
        } else {
            refused.push(place);
        }
        honoured.push(free);
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
    fn declared_numbers_come_first_and_others_fill_the_gaps() {
        // Taken, then declared; assigned, then the places of what was refused.
        type Case<'a> = (&'a [u32], &'a [&'a [Option<u32>]], &'a [&'a [u32]], &'a [usize]);
        let cases: [Case; 7] = [
            (&[], &[&[None], &[None, None]], &[&[0], &[1, 2]], &[]),
            (&[1], &[&[None], &[None]], &[&[0], &[2]], &[]),
            (&[], &[&[None], &[Some(0), Some(5)]], &[&[1], &[0, 5]], &[]),
            // Declared twice in one transfer.
            (&[], &[&[Some(0), Some(0)], &[None]], &[&[0, 1], &[2]], &[0]),
            // Taken by what was inherited.
            (&[5], &[&[Some(5), Some(6)], &[Some(7)]], &[&[0, 1], &[7]], &[0]),
            // Taken by an earlier transfer.
            (&[], &[&[Some(3)], &[Some(3)]], &[&[3], &[0]], &[1]),
            (&[], &[&[Some(u32::MAX)], &[None]], &[&[u32::MAX], &[0]], &[]),
        ];
        for (taken, groups, want, refused) in cases {
            let groups: Vec<Group> = groups.iter().map(|g| g.to_vec()).collect();
            let got = assign(taken.iter().copied().collect(), &groups);
            assert_eq!(got.0, want, "{groups:?}");
            assert_eq!(got.1, refused, "{groups:?}");
        }
    }
}
