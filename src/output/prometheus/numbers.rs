//! Which numbers of a value become metrics.

use crate::text::escape;
use anyhow::{Context, bail};
use bpf_layout::print::{Column, columns};
use bpf_layout::{AtomClass, Slot, Type, is_identifier};

/// Elements of an array that become samples if the array is not named; a longer one is left out.
const MAX_ARRAY: usize = 256;

/// Where numbers are in a value.
pub(super) struct Numbers<'t> {
    /// The path of the field; empty for the value as a whole.
    pub field: String,
    /// The number, or the numbers of an array.
    pub slots: Vec<Slot<'t>>,
    pub is_array: bool,
}

/// All numbers in a value, and descriptions of the arrays that are left out.
pub(super) fn all_numbers(value: &Type) -> (Vec<Numbers<'_>>, Vec<String>) {
    let (mut all, mut left_out) = (Vec::new(), Vec::new());
    for Column { name, slot, .. } in columns(value) {
        match slot.ty() {
            Type::Array(array) if array.len() > MAX_ARRAY || !is_count(array.elem()) => {
                left_out.push(format!("{name} ({})", slot.ty()));
            }
            _ => all.extend(numbers(name, slot, is_count)),
        }
    }
    (all, left_out)
}

/// The numbers in the fields that are named, `FIELD` or `FIELD=NAME`, where the name is used in place
/// of the path. A field without numbers is an error.
pub(super) fn chosen_numbers<'t>(
    value: &'t Type,
    fields: &[String],
) -> anyhow::Result<Vec<Numbers<'t>>> {
    refuse_repeats(fields)?;
    let mut all = Vec::new();
    for item in fields {
        let (field, new) = item.split_once('=').map_or((&**item, None), |(f, new)| (f, Some(new)));
        if new.is_some_and(|new| !is_identifier(new)) {
            bail!(
                "{}: not a part of a metric's name: [a-zA-Z_][a-zA-Z0-9_]*",
                escape(item.as_bytes())
            );
        }
        let before = all.len();
        for Column { name, slot, .. } in named(value, field, "value")? {
            let name = match new {
                Some(new) => format!("{new}{}", name.strip_prefix(field).unwrap_or_default()),
                None => name,
            };
            all.extend(numbers(name, slot, is_number));
        }
        if all.len() == before {
            bail!("{field}: no number");
        }
    }
    Ok(all)
}

/// The numbers of an array, or the one number; None if it is something else.
fn numbers<'t>(
    field: String,
    slot: Slot<'t>,
    is_wanted: impl Fn(&Type) -> bool,
) -> Option<Numbers<'t>> {
    match slot.ty() {
        Type::Array(array) if is_wanted(array.elem()) => {
            let slots = (0..array.len()).map(|at| slot.element(array.elem(), at)).collect();
            Some(Numbers { field, slots, is_array: true })
        }
        ty => is_wanted(ty).then(|| Numbers { field, slots: vec![slot], is_array: false }),
    }
}

/// Whether it is a number that does not stand for something else, as an enum or a pointer does.
fn is_count(ty: &Type) -> bool {
    matches!(ty, Type::Atom(atom) if atom.class() != AtomClass::Pointer) && is_number(ty)
}

fn is_number(ty: &Type) -> bool {
    Slot::from(ty).number(&vec![0; ty.size()]).is_some()
}

/// An error if a name is given twice.
pub(super) fn refuse_repeats(names: &[String]) -> anyhow::Result<()> {
    match (1..names.len()).find(|&at| names[..at].contains(&names[at])) {
        Some(at) => bail!("{}: given twice", escape(names[at].as_bytes())),
        None => Ok(()),
    }
}

/// The columns of a field, by its whole path; `whole` names a type without fields as a whole.
pub(super) fn named<'t>(ty: &'t Type, field: &str, whole: &str) -> anyhow::Result<Vec<Column<'t>>> {
    let (slot, field) = match ty.field(field) {
        Ok(_) if field.is_empty() && !whole.is_empty() => bail!("an empty name"),
        Err(_) if field == whole => (Slot::from(ty), ""),
        result => (result.with_context(|| field.to_owned())?, field),
    };
    let mut columns = columns(slot);
    for column in &mut columns {
        let between = if field.is_empty() || column.name.is_empty() { "" } else { "." };
        column.name = format!("{field}{between}{}", column.name);
    }
    Ok(columns)
}
