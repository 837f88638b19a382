//! Selects the numbers of a value that become metrics.

use crate::text::escape;
use anyhow::{Context, bail};
use bpf_layout::print::{Column, columns};
use bpf_layout::{AtomClass, Slot, Type, is_identifier};

/// The length of the longest array that is printed without being listed in `--fields`.
const MAX_ARRAY: usize = 256;

/// The position of a number, or of the numbers of an array, in a value.
pub(super) struct Numbers<'t> {
    /// The path of the field; empty for the whole value.
    pub field: String,
    /// The number, or the numbers of an array.
    pub slots: Vec<Slot<'t>>,
    pub is_array: bool,
}

/// Finds all numbers in a value. Also returns descriptions of the arrays that are omitted.
pub(super) fn find_all(value: &Type) -> (Vec<Numbers<'_>>, Vec<String>) {
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

/// Finds the numbers in these fields, given as `FIELD` or `FIELD=NAME`. NAME is used instead of the
/// path.
///
/// # Errors
/// If a field does not exist, has no numbers, or is given twice.
pub(super) fn find_in_fields<'t>(
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
        for Column { name, slot, .. } in find_columns(value, field, "value")? {
            let name = match new {
                Some(new) => format!("{new}{}", name.strip_prefix(field).unwrap_or_default()),
                None => name,
            };
            all.extend(numbers(name, slot, is_number));
        }
        if all.len() == before {
            bail!("{field}: not a number");
        }
    }
    Ok(all)
}

/// The numbers of an array, or a single number; None for other types.
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

/// Whether values of the type are numbers to be counted, and not an enum or a pointer.
fn is_count(ty: &Type) -> bool {
    matches!(ty, Type::Atom(atom) if atom.class() != AtomClass::Pointer) && is_number(ty)
}

fn is_number(ty: &Type) -> bool {
    Slot::from(ty).number(&vec![0; ty.size()]).is_some()
}

/// Refuses a name that is given twice.
pub(super) fn refuse_repeats(names: &[String]) -> anyhow::Result<()> {
    match (1..names.len()).find(|&at| names[..at].contains(&names[at])) {
        Some(at) => bail!("{}: given twice", escape(names[at].as_bytes())),
        None => Ok(()),
    }
}

/// Finds the columns of a field, and names them by their whole paths. `whole` is the name of a type
/// without fields.
pub(super) fn find_columns<'t>(
    ty: &'t Type,
    field: &str,
    whole: &str,
) -> anyhow::Result<Vec<Column<'t>>> {
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
