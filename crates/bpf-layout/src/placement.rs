//! Expresses a struct whose member offsets are given: by the rules of C, else with explicit
//! padding, else as a packed struct, else as raw bytes.

use super::limits::{MAX_SIZE, TypeError, is_identifier};
use super::member_cursor::MemberCursor;
use super::types::{Member, MemberPart, Record, RecordKind, Type};
use std::collections::HashSet;
use std::sync::Arc;

/// A member and its required offset in bits.
pub(super) struct PlacedMember {
    pub(super) name: Option<Arc<str>>,
    pub(super) part: MemberPart,
    pub(super) bit: u64,
}

/// Returns a type of exactly `size` bytes whose members have the given offsets; `hex[size]` if the
/// notation cannot express it.
pub(super) fn fit_record(union: bool, mut placed: Vec<PlacedMember>, size: u32) -> Type {
    for packed in [false, true] {
        let kind = RecordKind { union, packed };
        let Some(members) = arrange_members(kind, &placed, size) else {
            continue;
        };
        let ty = match Record::build(kind, members) {
            Err(TypeError::DuplicateName(_)) => {
                rename_members(&mut placed);
                arrange_members(kind, &placed, size)
                    .and_then(|members| Record::build(kind, members).ok())
            }
            other => other.ok(),
        };
        if let Some(ty) = ty {
            return ty;
        }
    }
    Type::Hex(size)
}

/// Returns the members with padding between them; None if a member would get another offset.
fn arrange_members(kind: RecordKind, placed: &[PlacedMember], size: u32) -> Option<Vec<Member>> {
    let mut cursor = MemberCursor::new(kind);
    let mut members = Vec::with_capacity(placed.len());
    for PlacedMember { name, part, bit } in placed {
        // A bitfield has a storage unit only if its type is an integer.
        part.check(name.is_some()).ok()?;
        let member = Member { name: name.clone(), part: part.clone() };
        // Padding is added only if the rules of C give another offset.
        let before = cursor.pos;
        if cursor.place(part) != *bit {
            cursor.pos = before;
            if kind.union {
                return None;
            }
            push_padding(&mut cursor, &mut members, *bit)?;
            if cursor.place(part) != *bit {
                return None;
            }
        }
        members.push(member);
    }
    let end = u64::from(size) * 8;
    if cursor.size() * 8 != end {
        if kind.union {
            cursor.pos = 0;
        }
        push_padding(&mut cursor, &mut members, end)?;
    }
    (cursor.size() * 8 == end && size as usize <= MAX_SIZE).then_some(members)
}

/// Adds padding up to `end`: bits up to a byte boundary, then bytes, then bits.
fn push_padding(cursor: &mut MemberCursor, members: &mut Vec<Member>, end: u64) -> Option<()> {
    let gap = end.checked_sub(cursor.pos).filter(|gap| *gap > 0)?;
    let head = gap.min(cursor.pos.next_multiple_of(8) - cursor.pos);
    let (bytes, tail) = ((gap - head) / 8, (gap - head) % 8);
    let parts = [
        MemberPart::PadBits(head as u32),
        MemberPart::Pad(u32::try_from(bytes).ok()?),
        MemberPart::PadBits(tail as u32),
    ];
    for part in parts {
        if !matches!(part, MemberPart::Pad(0) | MemberPart::PadBits(0)) {
            cursor.place(&part);
            members.push(Member { name: None, part });
        }
    }
    Some(())
}

/// Makes all names unique. Nameless structs get a name, because their fields may collide.
fn rename_members(placed: &mut [PlacedMember]) {
    let mut taken = HashSet::new();
    for (index, member) in placed.iter_mut().enumerate() {
        let mut name = match &member.name {
            Some(name) => Arc::clone(name),
            None => format!("anonymous_{index}").into(),
        };
        // Each iteration consumes one of the given names, so hostile names cannot make the loop
        // quadratic.
        let mut suffix = format!("_{index}");
        while !taken.insert(Arc::clone(&name)) {
            name = format!("{name}{suffix}").into();
            suffix = "_".to_owned();
        }
        member.name = Some(name);
    }
}

/// Converts a name to an identifier: other characters become `_`, as in skeletons of libbpf.
pub(super) fn to_identifier(name: &str) -> Arc<str> {
    if is_identifier(name) {
        return name.into();
    }
    let mut fixed: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if !fixed.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        fixed.insert(0, '_');
    }
    fixed.into()
}

/// Returns the members of a record except padding, with their offsets in bits.
pub(super) fn place_members(record: &Record) -> Vec<PlacedMember> {
    let mut cursor = MemberCursor::new(record.kind());
    let place = |member: &Member| PlacedMember {
        name: member.name.clone(),
        bit: cursor.place(&member.part),
        part: member.part.clone(),
    };
    let all = record.members().iter().map(place);
    all.filter(|member| !matches!(member.part, MemberPart::Pad(_) | MemberPart::PadBits(_)))
        .collect()
}
