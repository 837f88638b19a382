//! Parsing of table rows: the header is checked once, then each row is parsed cell by cell.

use super::error::{Problem, ValueError};
use super::given_leaves::GivenLeaves;
use super::hex;
use super::sink::Scratch;
use super::words;
use crate::Type;
use crate::print::{Column, all_columns};

/// The columns of a type in the order of a table header.
pub struct RowReader<'t> {
    ty: &'t Type,
    columns: Vec<Column<'t>>,
    scratch: Scratch,
}

impl<'t> RowReader<'t> {
    /// Resolves the names of a header. The names are those of [`all_columns`], in any order.
    /// Padding without a column is zero. A type that is not a struct has one column with an empty
    /// name.
    ///
    /// # Errors
    ///
    /// Unknown and duplicate names and missing fields are refused.
    pub fn new<'n>(
        ty: &'t Type,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<RowReader<'t>, ValueError> {
        let known = all_columns(ty);
        let mut given = GivenLeaves::new(ty);
        let mut found: Vec<Column<'t>> = Vec::new();
        for name in names {
            let at = known.iter().position(|column| column.name == name);
            let at = at.ok_or_else(|| Problem::expected("a column of the layout", name))?;
            if found.iter().any(|column| column.name == name) {
                return Err(ValueError::from(Problem::Duplicate).within(name));
            }
            // Columns of fields precede those of padding and have the order of the leaves.
            if known[at].gap.is_none() {
                given.mark(at..at + 1);
            }
            found.push(known[at].clone());
        }
        match ty.as_record() {
            Some(record) => given.check_complete(record)?,
            None if found.is_empty() => return Err(Problem::Missing("missing".to_owned()).into()),
            None => {}
        }
        Ok(RowReader { ty, columns: found, scratch: Scratch::default() })
    }

    /// Parses the cells of a row, in the order of the header, into a buffer of the type's size.
    ///
    /// # Errors
    ///
    /// The errors are those of [`super::value_into`], and [`Problem::Length`] if the number of
    /// cells is wrong.
    pub fn read<'c>(
        &mut self,
        cells: impl IntoIterator<Item = &'c str>,
        out: &mut [u8],
    ) -> Result<(), ValueError> {
        let mut sink = self.scratch.value_sink(self.ty, out)?;
        let mut cells = cells.into_iter();
        for (index, column) in self.columns.iter().enumerate() {
            let cell = cells
                .next()
                .ok_or(Problem::Length { expected: self.columns.len(), found: index })?;
            let read = match column.gap {
                None => words::parse_word(column.slot, cell, &mut sink),
                // An empty cell is zero padding.
                Some(_) if cell.is_empty() => Ok(()),
                Some(gap) => {
                    let base = column.slot.offset();
                    hex::store_padding(base, gap, cell, &mut sink).map_err(ValueError::from)
                }
            };
            read.map_err(|error| error.within(&column.name))?;
        }
        match cells.next() {
            Some(_) => {
                let expected = self.columns.len();
                Err(Problem::Length { expected, found: expected + 1 }.into())
            }
            None => Ok(()),
        }
    }
}
