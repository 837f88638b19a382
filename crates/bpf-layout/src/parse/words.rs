//! Parsing of command-line arguments: scalars, JSON, raw bytes and `name=value` words.

use super::error::{Problem, ValueError};
use super::given_leaves::GivenLeaves;
use super::hex;
use super::json;
use super::scalar::store_text;
use super::sink::Sink;
use crate::padding::Gap;
use crate::path::{PathError, find_field, find_gap, no_field_error};
use crate::types::Record;
use crate::{Slot, Type};
use std::borrow::Cow;

const BLANK: [char; 4] = [' ', '\t', '\n', '\r'];

/// Parses a value of any type in any form.
pub(super) fn parse_value(
    slot: Slot<'_>,
    text: &str,
    sink: &mut Sink<'_>,
) -> Result<(), ValueError> {
    if let Some(record) = slot.record() {
        let trimmed = text.trim_matches(BLANK);
        return match trimmed.bytes().next() {
            Some(b'{' | b'"') => json::parse_text(slot, trimmed, sink),
            _ if trimmed.contains('=') || trimmed.is_empty() => {
                parse_words(slot, record, text, sink)
            }
            _ => store_text(slot, trimmed, false, sink).map_err(ValueError::from),
        };
    }
    let text = if let Type::Array(_) = slot.ty { text.trim_matches(BLANK) } else { text };
    parse_word(slot, text, sink)
}

/// Parses the value of a word or of a table cell.
pub(super) fn parse_word(
    slot: Slot<'_>,
    text: &str,
    sink: &mut Sink<'_>,
) -> Result<(), ValueError> {
    match (slot.ty, text.bytes().next()) {
        (Type::Array(_), Some(b'[' | b'"')) => json::parse_text(slot, text, sink),
        (_, Some(b'"')) => Ok(store_text(slot, &unquote(text)?, true, sink)?),
        _ => Ok(store_text(slot, text, false, sink)?),
    }
}

/// Returns the text of a JSON string.
fn unquote(text: &str) -> Result<Cow<'_, str>, Problem> {
    if let Some(inside) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))
        && !inside.contains(['"', '\\'])
        && !inside.contains(char::is_control)
    {
        return Ok(Cow::Borrowed(inside));
    }
    serde_json::from_str(text)
        .map(Cow::Owned)
        .map_err(|_| Problem::expected("text in double quotes", text))
}

fn parse_words(
    slot: Slot<'_>,
    record: &Record,
    text: &str,
    sink: &mut Sink<'_>,
) -> Result<(), ValueError> {
    let mut given = GivenLeaves::new(slot.ty);
    let mut rest = text.trim_start_matches(BLANK);
    let mut padding: Vec<&str> = Vec::new();
    let mut hint = 0;
    while !rest.is_empty() {
        let end = rest.find(|c| c == '=' || BLANK.contains(&c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let Some(after) = after.strip_prefix('=') else {
            return Err(Problem::expected("name=value", name).into());
        };
        let target = find_target(slot, record, name, &mut hint)?;
        let with_name = |problem: Problem| ValueError::from(problem).within(name);
        let (value, after) = after.split_at(value_extent(after));
        if !after.is_empty() && !after.starts_with(BLANK) {
            return Err(with_name(Problem::expected("a space", after)));
        }
        rest = after.trim_start_matches(BLANK);
        let (field, leaf) = match target {
            WordTarget::Field(field, leaf) => (field, leaf),
            WordTarget::Padding(outer, gap) => {
                if padding.contains(&name) {
                    return Err(with_name(Problem::Duplicate));
                }
                padding.push(name);
                hex::store_padding(outer.offset(), gap, value, sink).map_err(with_name)?;
                continue;
            }
        };
        let leaves = leaf..leaf + field.ty.leaves();
        if given.any_marked(leaves.clone()) {
            return Err(with_name(Problem::Duplicate));
        }
        let read = match (field.record(), value.bytes().next()) {
            (Some(_), Some(b'{')) => json::parse_text(field, value, sink),
            _ => parse_word(field, value, sink),
        };
        read.map_err(|error| error.within(name))?;
        given.mark(leaves);
    }
    given.check_complete(record)
}

/// The target of a word.
enum WordTarget<'t> {
    /// A field, and the index of its first leaf.
    Field(Slot<'t>, usize),
    /// A run of padding, and the struct or union that contains it.
    Padding(Slot<'t>, &'t Gap),
}

/// Finds the field or the run of padding with a dotted name.
fn find_target<'t>(
    slot: Slot<'t>,
    record: &'t Record,
    name: &str,
    hint: &mut usize,
) -> Result<WordTarget<'t>, ValueError> {
    let (mut slot, mut record, mut leaf) = (slot, record, 0);
    let mut steps = name.split('.').peekable();
    let mut outermost = true;
    while let Some(step) = steps.next() {
        if step.starts_with('@') && steps.peek().is_none() {
            let gap = find_gap(record, step).map_err(Problem::from)?;
            return Ok(WordTarget::Padding(slot, gap));
        }
        let guess = if outermost { *hint } else { 0 };
        let (index, field) = find_field(record, step, guess)
            .ok_or_else(|| Problem::from(no_field_error(record, step)))?;
        if outermost {
            // The fields of an inner struct are usually given one after the other.
            *hint = if steps.peek().is_some() { index } else { index + 1 };
            outermost = false;
        }
        slot = slot.field(field);
        leaf += field.leaf;
        if steps.peek().is_some() {
            let ty = || crate::path::describe_type(slot.ty);
            record =
                slot.record().ok_or_else(|| Problem::from(PathError::NoFields { ty: ty() }))?;
        }
    }
    Ok(WordTarget::Field(slot, leaf))
}

/// Returns the length in bytes of the value at the start of `text`: up to the closing quote or
/// bracket, else up to a blank.
fn value_extent(text: &str) -> usize {
    let bytes = text.as_bytes();
    if !matches!(bytes.first(), Some(b'"' | b'[' | b'{')) {
        return text.find(BLANK).unwrap_or(text.len());
    }
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => depth += 1,
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && !quoted {
            return at + 1;
        }
    }
    text.len()
}
