//! One line of JSON: `{"key": …, "value": …}`, or `"values": […]` with the values of all possible
//! CPUs.

use super::elements::Given;
use super::guess::Guess;
use super::table::CPUS_DIFFER;
use crate::cli::map::json_error::{explain_syntax, without_position};
use crate::cli::map::target::Target;
use crate::cli::map::target::values::Values;
use crate::text::escape;
use anyhow::{anyhow, bail};
use bpf_inherit::Map;
use bpf_layout::Type;
use bpf_layout::parse::SlotSeed;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::error::Category;
use std::fmt;

/// Reads each line into the same buffers.
pub struct JsonReader<'t> {
    key_type: Option<&'t Type>,
    value_type: &'t Type,
    /// The map's type, with an article.
    kind: String,
    key: Vec<u8>,
    value: Vec<u8>,
    /// The values of all CPUs; empty unless it is a per-CPU map.
    each: Vec<u8>,
    map: &'t Map,
    /// Set if a type is not known.
    guess: Option<Guess>,
    seen: FoundMembers,
}

/// The members that were found in the line.
#[derive(Default)]
struct FoundMembers {
    key: bool,
    value: bool,
    values: bool,
    sum: bool,
    /// The member that is being read.
    within: &'static str,
}

impl<'t> JsonReader<'t> {
    pub fn new(target: &'t Target) -> JsonReader<'t> {
        let (info, layout) = (target.map.info(), &target.layout);
        let per_cpu = info.map_type.is_per_cpu();
        JsonReader {
            key_type: layout.key.as_ref(),
            value_type: &layout.value,
            kind: info.map_type.with_article(),
            key: vec![0; target.map.key_len()],
            value: vec![0; info.value_size as usize],
            each: vec![0; if per_cpu { target.map.value_len() } else { 0 }],
            map: &target.map,
            guess: Guess::new(target),
            seen: FoundMembers::default(),
        }
    }

    /// The key and the value of a line that is not blank.
    pub fn read(&mut self, line: &[u8]) -> anyhow::Result<(&[u8], Given<'_>)> {
        match line.trim_ascii_start().first() {
            Some(b'{') => {}
            Some(b'[') => bail!("a JSON array, expected one object per line (dump --jsonl)"),
            _ => bail!("not a JSON object"),
        }
        if let Some(guess) = &self.guess {
            guess.check(line)?;
        }
        self.seen = FoundMembers::default();
        let mut json = serde_json::Deserializer::from_slice(line);
        let read = LineSeed(self).deserialize(&mut json).and_then(|()| json.end());
        read.map_err(|error| self.explain(&error))?;
        match &self.seen {
            FoundMembers { key: false, .. } if self.key_type.is_some() => bail!("key: missing"),
            FoundMembers { value: false, values: false, .. } => bail!("value: missing"),
            FoundMembers { value: true, values: true, .. } => {
                bail!("value and values are both given")
            }
            FoundMembers { values: true, .. } => Ok((&self.key, Given::Each(&self.each))),
            _ => Ok((&self.key, Given::One(&self.value))),
        }
    }

    fn explain(&self, error: &serde_json::Error) -> anyhow::Error {
        let message = without_position(error);
        match (error.classify(), self.seen.within) {
            // dump prints null in place of a sum if the CPUs' values differ.
            (Category::Data, "value")
                if !self.each.is_empty() && message.ends_with("found null") =>
            {
                anyhow!("value: {message}: {CPUS_DIFFER}")
            }
            (Category::Data, "") => anyhow!("{message}"),
            (Category::Data, within) => anyhow!("{within}: {message}"),
            _ => explain_syntax(error),
        }
    }
}

struct LineSeed<'r, 't>(&'r mut JsonReader<'t>);

impl<'de> DeserializeSeed<'de> for LineSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for LineSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with key and value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.0;
        while let Some(name) = map.next_key_seed(Name)? {
            let seen = &mut reader.seen;
            let (was, within) = match name {
                Name::KEY => (&mut seen.key, "key"),
                Name::VALUE => (&mut seen.value, "value"),
                Name::SUM => (&mut seen.sum, "sum"),
                _ => (&mut seen.values, "values"),
            };
            seen.within = within;
            if std::mem::replace(was, true) {
                return Err(A::Error::custom("given twice"));
            }
            match (name, reader.key_type) {
                (Name::KEY, Some(ty)) => map.next_value_seed(SlotSeed::new(ty, &mut reader.key))?,
                (Name::KEY, None) => {
                    return Err(A::Error::custom(format_args!("{} has none", reader.kind)));
                }
                (Name::VALUE, _) => {
                    map.next_value_seed(SlotSeed::new(reader.value_type, &mut reader.value))?;
                }
                // dump prints it for a per-CPU map; the sum may be loaded into any map.
                (Name::SUM, _) => drop(map.next_value::<bool>()?),
                _ if reader.each.is_empty() => {
                    let kind = &reader.kind;
                    return Err(A::Error::custom(format_args!("{kind} has one value per key")));
                }
                _ => map.next_value_seed(Values::new(
                    reader.map,
                    reader.value_type.into(),
                    &mut reader.each,
                ))?,
            }
            reader.seen.within = "";
        }
        Ok(())
    }
}

/// The name of a member.
struct Name;

impl Name {
    const KEY: u8 = 0;
    const VALUE: u8 = 1;
    const VALUES: u8 = 2;
    const SUM: u8 = 3;
}

impl<'de> DeserializeSeed<'de> for Name {
    type Value = u8;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u8, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = u8;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<u8, E> {
        match name {
            "key" => Ok(Name::KEY),
            "value" => Ok(Name::VALUE),
            "values" => Ok(Name::VALUES),
            "sum" => Ok(Name::SUM),
            other => {
                let start: String = other.chars().take(40).collect();
                let start = escape(start.as_bytes());
                Err(E::custom(format_args!(
                    "unknown member \"{start}\", expected key, value, values or sum"
                )))
            }
        }
    }
}
