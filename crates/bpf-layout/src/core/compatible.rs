//! Whether a type of the kernel is compatible with one of a program.

use super::name::essential;
use crate::btf::{Btf, BtfError, RawType, entries, kind};

/// As libbpf has it.
const MAX_DEPTH: usize = 32;
/// Prototypes that refer to prototypes could be compared without end.
const MAX_COMPARED: usize = 10_000;

/// Whether two types are of the same kind: enums of any size are.
pub fn kinds_are_compatible(
    program: &Btf,
    ours: u32,
    kernel: &Btf,
    theirs: u32,
) -> Result<bool, BtfError> {
    Ok(same_kind(&program.raw_type(ours)?, &kernel.raw_type(theirs)?))
}

fn same_kind(ours: &RawType, theirs: &RawType) -> bool {
    let is_enum = |raw: &RawType| matches!(raw.kind, kind::ENUM | kind::ENUM64);
    ours.kind == theirs.kind || is_enum(ours) && is_enum(theirs)
}

/// Whether a member of the kernel can be read as one of the program.
pub fn fields_are_compatible(
    program: &Btf,
    mut ours: u32,
    kernel: &Btf,
    mut theirs: u32,
) -> Result<bool, BtfError> {
    for _ in 0..MAX_DEPTH {
        let (left, right) = (program.strip_aliases(ours)?.raw, kernel.strip_aliases(theirs)?.raw);
        let is_composite = |raw: &RawType| matches!(raw.kind, kind::STRUCT | kind::UNION);
        if is_composite(&left) && is_composite(&right) {
            return Ok(true);
        }
        if !same_kind(&left, &right) {
            return Ok(false);
        }
        return Ok(match left.kind {
            kind::PTR | kind::FLOAT => true,
            // A forward declaration.
            7 | kind::ENUM | kind::ENUM64 => {
                let [left, right] = [program.string_at(left.name), kernel.string_at(right.name)];
                left.is_empty() || right.is_empty() || essential(left) == essential(right)
            }
            kind::INT => bit_offset(&left) == 0 && bit_offset(&right) == 0,
            kind::ARRAY => {
                (ours, theirs) = (element(&left), element(&right));
                continue;
            }
            _ => false,
        });
    }
    Ok(false)
}

/// Whether types have the same shape, up to the members of structs.
pub fn types_are_compatible(
    program: &Btf,
    ours: u32,
    kernel: &Btf,
    theirs: u32,
) -> Result<bool, BtfError> {
    let mut unchecked = vec![(ours, theirs, 0)];
    let mut left_over = MAX_COMPARED;
    while let Some((ours, theirs, depth)) = unchecked.pop() {
        left_over -= 1;
        // Types of void have no more parts.
        if ours == 0 && theirs == 0 && left_over > 0 {
            continue;
        }
        if depth == MAX_DEPTH || left_over == 0 || ours == 0 || theirs == 0 {
            return Ok(false);
        }
        let (left, right) = match (program.strip_aliases(ours), kernel.strip_aliases(theirs)) {
            (Ok(left), Ok(right)) => (left.raw, right.raw),
            // A typedef or a qualifier of void.
            (Err(BtfError::NoSize { .. }), Err(BtfError::NoSize { .. })) => continue,
            (Err(BtfError::NoSize { .. }), _) | (_, Err(BtfError::NoSize { .. })) => {
                return Ok(false);
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        if !same_kind(&left, &right) {
            return Ok(false);
        }
        match left.kind {
            kind::INT if bit_offset(&left) != 0 || bit_offset(&right) != 0 => return Ok(false),
            kind::PTR => unchecked.push((left.size_or_type, right.size_or_type, depth + 1)),
            kind::ARRAY => unchecked.push((element(&left), element(&right), depth + 1)),
            kind::FUNC_PROTO => {
                if left.vlen != right.vlen {
                    return Ok(false);
                }
                let pairs = entries::<2>(left.tail).zip(entries::<2>(right.tail));
                unchecked.extend(pairs.map(|([_, ours], [_, theirs])| (ours, theirs, depth + 1)));
                unchecked.push((left.size_or_type, right.size_or_type, depth + 1));
            }
            _ => {}
        }
    }
    Ok(true)
}

fn bit_offset(raw: &RawType) -> u32 {
    entries::<1>(raw.tail).next().map_or(0, |[word]| word >> 16 & 0xff)
}

fn element(raw: &RawType) -> u32 {
    entries::<3>(raw.tail).next().unwrap_or_default()[0]
}
