//! `--fields`: which fields of the value are printed.

use crate::cli::map::arguments;
use crate::cli::map::target::Target;
use anyhow::{Context, bail};
use bpf_layout::Type;
use clap::{Arg, ArgAction, ArgMatches};

pub fn argument(help: &'static str) -> Arg {
    let fields = Arg::new("fields").long("fields").value_name("FIELD,...").help(help);
    fields.value_delimiter(',').action(ArgAction::Append)
}

/// The paths of the fields that are printed; None for all.
#[derive(Debug, Default, PartialEq)]
pub struct Fields<'a>(Option<Vec<&'a str>>);

impl<'a> Fields<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Fields<'a>> {
        let Some(fields) = arguments::texts(matches, "fields") else { return Ok(Fields(None)) };
        let fields = fields.filter(|field| !field.is_empty());
        let fields: Vec<&str> = fields.collect();
        if fields.is_empty() {
            bail!("--fields: no field is named");
        }
        Ok(Fields(Some(fields)))
    }

    /// The type of the value with only these fields.
    pub fn select(&self, target: &Target) -> anyhow::Result<Type> {
        let value = &target.layout.value;
        let Some(fields) = &self.0 else { return Ok(value.clone()) };
        value.select(fields).with_context(|| format!("{}: --fields", target.label))
    }
}
