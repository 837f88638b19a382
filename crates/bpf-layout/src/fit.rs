//! Finds the notation for a struct whose members' places are given: C's own rules where they lead
//! there, padding and `packed` where they do not, raw bytes where nothing else fits.

use super::limits::{MAX_SIZE, TypeError, is_identifier};
use super::types::{Member, MemberPart};
use super::types::{MemberCursor, RecordKind};
use super::{Record, Type};
use std::collections::HashSet;
use std::sync::Arc;

/// A member and the bit at which it has to begin.
pub(super) struct PlacedMember {
    pub(super) name: Option<Arc<str>>,
    pub(super) part: MemberPart,
    pub(super) bit: u64,
}

/// A type of exactly `size` bytes with `placed` where they are; `hex[size]` if there is none.
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

/// The members with padding between them; None if a member would land elsewhere.
fn arrange_members(kind: RecordKind, placed: &[PlacedMember], size: u32) -> Option<Vec<Member>> {
    let mut cursor = MemberCursor::new(kind);
    let mut members = Vec::with_capacity(placed.len());
    for PlacedMember { name, part, bit } in placed {
        // A bitfield of what is no integer has no unit to be placed in.
        part.check(name.is_some()).ok()?;
        let member = Member { name: name.clone(), part: part.clone() };
        // Placed on trial; padding goes ahead only where the rules alone do not lead there.
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

/// Padding from the cursor to `end`: bits up to a whole byte, then bytes, then bits.
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

/// Gives every member a name of its own, nameless structs too: their fields may clash.
fn rename_members(placed: &mut [PlacedMember]) {
    let mut taken = HashSet::new();
    for (index, member) in placed.iter_mut().enumerate() {
        let mut name = match &member.name {
            Some(name) => Arc::clone(name),
            None => format!("anonymous_{index}").into(),
        };
        // Each round costs one of the names given, so hostile names cannot make this quadratic.
        let mut suffix = format!("_{index}");
        while !taken.insert(Arc::clone(&name)) {
            name = format!("{name}{suffix}").into();
            suffix = "_".to_owned();
        }
        member.name = Some(name);
    }
}

/// A name as the notation can say it: other characters become `_`, as in libbpf's skeletons.
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

/// The members of a record as [`fit_record`] takes them: padding is left out.
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
