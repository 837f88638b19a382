//! A type of which only some fields are printed.

use super::{Array, Field, Record, Type};
use crate::path::{PathError, describe_type, no_field_error};
use std::sync::Arc;

impl Type {
    /// This type with only the fields that `paths` name (`.a.b`, the first dot optional), in the order
    /// of the type, at the same offsets, and without padding. For printing: the notation of the result
    /// is that of the whole type.
    ///
    /// # Errors
    /// A path that names no field, or a field of an array.
    pub fn select<P: AsRef<str>>(&self, paths: &[P]) -> Result<Type, PathError> {
        let steps = |path: &P| -> Vec<String> {
            let path = path.as_ref();
            let path = path.strip_prefix('.').unwrap_or(path);
            path.split('.').map(String::from).collect()
        };
        let paths: Vec<Vec<String>> = paths.iter().map(steps).collect();
        let paths: Vec<&[String]> = paths.iter().map(Vec::as_slice).collect();
        select(self, &paths)
    }

    /// This type without its padding, likewise for printing.
    pub fn without_padding(&self) -> Type {
        match self {
            Type::Record(record) => {
                let fields = record.fields.iter().map(|field| (field, field.ty.without_padding()));
                rebuild(record, fields.collect())
            }
            Type::Array(array) => {
                let elem = array.elem.without_padding();
                Type::Array(Arc::new(Array { elem, len: array.len }))
            }
            _ => self.clone(),
        }
    }
}

/// Returns the part of `ty` that the paths name; all of it if a path ends here.
fn select(ty: &Type, paths: &[&[String]]) -> Result<Type, PathError> {
    if paths.iter().any(|path| path.is_empty()) {
        return Ok(ty.without_padding());
    }
    let Some(record) = ty.as_record() else {
        return Err(PathError::NoFields { ty: describe_type(ty) });
    };
    let is_known = |name: &String| record.fields.iter().any(|field| *field.name == **name);
    if let Some(path) = paths.iter().find(|path| !is_known(&path[0])) {
        return Err(no_field_error(record, &path[0]));
    }
    let mut fields = Vec::new();
    for field in &record.fields {
        let below: Vec<&[String]> =
            paths.iter().filter(|path| path[0] == *field.name).map(|path| &path[1..]).collect();
        if !below.is_empty() {
            fields.push((field, select(&field.ty, &below)?));
        }
    }
    Ok(rebuild(record, fields))
}

/// Returns a record with some fields of another, at the same offsets.
fn rebuild(record: &Record, fields: Vec<(&Field, Type)>) -> Type {
    let mut leaves = 0;
    let fields = fields.into_iter().map(|(field, ty)| {
        let leaf = leaves;
        leaves += ty.leaves();
        Field { name: Arc::clone(&field.name), ty, bit: field.bit, width: field.width, leaf }
    });
    let fields = fields.collect();
    Type::Record(Arc::new(Record {
        members: record.members.clone(),
        fields,
        gaps: Box::default(),
        leaves,
        ..*record
    }))
}

#[cfg(test)]
mod tests {
    use crate::print;
    use crate::tests::ty;

    #[test]
    fn only_the_fields_that_are_named_are_printed() {
        let value =
            ty("struct{a: u8, b: struct{c: u8, d: u8:3, e: char[2]}, struct{f: u8}, g: u8[2]}");
        let bytes = [1, 2, 0xfb, b'x', 0, 6, 7, 8];
        for (paths, want) in [
            (&["a"][..], "a=1"),
            (&["g", ".a"], "a=1 g=[7,8]"),
            (&["b"], "b.c=2 b.d=3 b.e=x"),
            (&["b.d", "f", "b.c"], "b.c=2 b.d=3 f=6"),
        ] {
            let mut out = Vec::new();
            print::plain(&value.select(paths).expect("fields"), &bytes[..], &mut out);
            assert_eq!(String::from_utf8_lossy(&out), want);
        }
        for (path, want) in [
            ("x", "no field \"x\"; fields: a, b, f, g"),
            ("b.x", "no field \"x\"; fields: c, d, e"),
            ("a.x", "u8 has no fields"),
            ("", "no field \"\"; fields: a, b, f, g"),
        ] {
            let error = value.select(&[path]).expect_err("no field");
            assert_eq!(error.to_string(), want);
        }
    }
}
