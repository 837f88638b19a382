//! Globs over names. Pure.

/// Whether `glob` matches the whole `name`: `*` matches any bytes, `?` one byte.
///
/// The time is proportional to the product of both lengths at most, because only the last star is
/// ever retried.
pub fn matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut g, mut n) = (0, 0);
    // The last star, and the end of the bytes that it matches.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, n));
                g += 1;
            }
            Some(&b) if b == b'?' || b == name[n] => {
                g += 1;
                n += 1;
            }
            _ => {
                let Some((at, end)) = star else { return false };
                star = Some((at, end + 1));
                g = at + 1;
                n = end + 1;
            }
        }
    }
    glob[g..].iter().all(|&b| b == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn globs_match_whole_names() {
        for (glob, name, want) in [
            ("*", "", true),
            ("*", "anything", true),
            ("hits", "hits", true),
            ("hits", "hits2", false),
            ("hit?", "hits", true),
            ("hit?", "hit", false),
            ("a*c", "abcabc", true),
            ("a*c", "abcab", false),
            ("*.o:*", "filter.o:3", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("**", "x", true),
            ("[ab]", "a", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(glob.as_bytes(), name.as_bytes()), want, "{glob} {name}");
        }
    }

    /// The definition of a glob: a star matches every possible number of bytes.
    fn plain_match(glob: &[u8], name: &[u8]) -> bool {
        match (glob.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', glob)), _) => (0..=name.len()).any(|at| plain_match(glob, &name[at..])),
            (Some((b'?', glob)), Some((_, name))) => plain_match(glob, name),
            (Some((a, glob)), Some((b, name))) => a == b && plain_match(glob, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_glob_matches_as_defined(
            glob in vec(prop::sample::select(&b"*?ab"[..]), 0..8),
            name in vec(prop::sample::select(&b"ab"[..]), 0..10),
        ) {
            prop_assert_eq!(matches(&glob, &name), plain_match(&glob, &name));
        }
    }
}
