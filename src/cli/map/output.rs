//! The output of bpf-map: data on stdout, and messages, which begin with the program's name.

use crate::cli::exit::{self, FAILED};
use std::fmt::Display;

pub const PROGRAM: &str = "bpf-map";

/// Prints a warning to stderr.
pub fn warn(message: impl Display) {
    exit::warn(PROGRAM, message);
}

/// Warns of each missing part of a result; returns the exit status.
pub fn warn_if_incomplete(missing: &[String]) -> u8 {
    missing.iter().for_each(warn);
    if missing.is_empty() { 0 } else { FAILED }
}

/// The output of a command: data, collected and written in large pieces, and messages.
#[derive(Debug, Default)]
pub struct Output {
    /// Data that has not been written.
    pub data: Vec<u8>,
    /// The input line that messages refer to.
    pub line: Option<usize>,
    /// The start of the current row in the data: it becomes one line.
    row: Option<usize>,
    /// Whether all data is kept, for a file that is replaced at the end.
    is_held: bool,
}

impl Output {
    /// Keeps all data, which the caller writes to a file.
    pub fn held() -> Output {
        Output { is_held: true, ..Output::default() }
    }

    /// Writes the data if there is much of it; to be called after every entry or so.
    pub fn spill(&mut self) -> anyhow::Result<()> {
        if self.is_held || self.data.len() < 64 << 10 { Ok(()) } else { self.flush() }
    }

    /// Writes all data except that of an incomplete row; [`exit::ReaderGone`] if no process reads it.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        let end = self.row.unwrap_or(self.data.len());
        let result = exit::write(&self.data[..end]);
        self.data.drain(..end);
        self.row = self.row.and(Some(0));
        result
    }

    /// Begins a row: its data becomes one line.
    pub fn begin_row(&mut self) {
        self.row = Some(self.data.len());
    }

    /// Cancels the row: its lines remain lines.
    pub fn many(&mut self) {
        self.row = None;
    }

    /// Ends the current row, if any: its lines are joined by tabs, and even an empty row is a line.
    pub fn end_row(&mut self) {
        if let Some(start) = self.row.take() {
            if self.data.len() == start || self.data.last() != Some(&b'\n') {
                self.data.push(b'\n');
            }
            let last = self.data.len() - 1;
            self.data[start..last].iter_mut().filter(|b| **b == b'\n').for_each(|b| *b = b'\t');
        }
    }

    /// Adds an empty field for a missing entry, if there is a row.
    pub fn absent(&mut self) {
        if self.row.is_some() {
            self.data.push(b'\n');
        }
    }

    /// Prints a message to stderr, after writing the data.
    pub fn report(&mut self, message: impl Display) -> anyhow::Result<()> {
        self.flush()?;
        match self.line {
            Some(line) => exit::report(PROGRAM, format_args!("line {line}: {message}")),
            None => exit::report(PROGRAM, message),
        }
        Ok(())
    }
}
