//! The names of types of the kernel, of which a program may declare several variants.

/// The name of a type without the suffix of a variant, which begins with three underscores.
pub fn essential(name: &str) -> &str {
    let bytes = name.as_bytes();
    let is_mark = |at: &usize| {
        &bytes[*at..*at + 3] == b"___" && bytes[*at - 1] != b'_' && bytes[*at + 3] != b'_'
    };
    let mark = (1..bytes.len().saturating_sub(3)).rev().find(is_mark);
    mark.and_then(|at| name.get(..at)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::essential;

    #[test]
    fn variants_of_a_type_have_its_name() {
        for (name, want) in [
            ("task_struct", "task_struct"),
            ("task_struct___old", "task_struct"),
            ("a___b___c", "a___b"),
            ("___x", "___x"),
            ("x___", "x___"),
            ("a____b", "a____b"),
            ("", ""),
            ("é___b", "é"),
        ] {
            assert_eq!(essential(name), want);
        }
    }
}
