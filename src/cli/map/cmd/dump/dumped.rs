//! A map that is printed: opened, and read in its own order or sorted.

use super::order::{Order, OrderArguments, Sorted};
use super::shown::ShownValues;
use crate::cli::map::arguments::{MapArguments, ReadCpus};
use crate::cli::map::fields::Fields;
use crate::cli::map::output::Output;
use crate::cli::map::session::Session;
use crate::cli::map::target::Target;
use crate::cli::map::target::origin::LayoutPart;
use crate::cli::map::target::walk::{self, Walk};
use crate::output::element::ElementFormat;
use bpf_inherit::{AccessMode, Map};
use bpf_layout::Type;
use std::rc::Rc;

/// The command, for messages.
pub const OPERATION: &str = "dump";

/// A map that is printed.
pub struct Dumped {
    pub target: Rc<Target>,
    /// The type of the value with the fields that are printed.
    pub printed: Type,
    pub values: ShownValues,
    /// Another file descriptor, through which the map can be read from memory.
    writable: Option<Map>,
}

impl Dumped {
    /// Opens `map`, whose `fields` and `cpus` are printed.
    pub fn open(
        map: &MapArguments,
        fields: &Fields,
        cpus: ReadCpus,
        session: &mut Session,
    ) -> anyhow::Result<Dumped> {
        let target = session.open(map, AccessMode::ReadOnly)?;
        target.walked_key(OPERATION)?;
        target.check_readable(OPERATION)?;
        target.warn_of_guess(&LayoutPart::BOTH);
        let values = ShownValues::new(&target, target.select_cpus(cpus)?);
        let printed = fields.select(&target)?;
        let writable = walk::writable(&session.startup, &session.bpffs, map.reference, &target);
        Ok(Dumped { target, printed, values, writable })
    }

    /// A map whose entries were read by other means.
    pub fn of_entries(target: Rc<Target>, printed: Type, values: ShownValues) -> Dumped {
        Dumped { target, printed, values, writable: None }
    }

    fn walk(&self) -> anyhow::Result<Walk<'_>> {
        Walk::new(&self.target, OPERATION, self.writable.as_ref())
    }

    /// The elements in the order that was asked for; None if that is the map's own order.
    pub fn sort(&self, order: Option<&OrderArguments>) -> anyhow::Result<Option<Sorted>> {
        let Some(order) = order else { return Ok(None) };
        let order = Order::new(order, &self.target, self.target.walked_key(OPERATION)?)?;
        order.sort(&self.values, self.walk()?).map(Some)
    }

    /// Goes through all elements once.
    pub fn print(
        &self,
        pass: usize,
        format: &mut dyn ElementFormat,
        sorted: Option<&Sorted>,
        out: &mut Output,
    ) -> anyhow::Result<()> {
        if let Some(sorted) = sorted {
            format.begin(pass, &mut out.data);
            return sorted.each(&mut |key, value| {
                format.element(key, self.values.shown(value), &mut out.data);
                out.spill()
            });
        }
        let mut walk = self.walk()?;
        // A map that cannot be read is reported before anything is printed.
        let mut chunk = walk.next()?;
        format.begin(pass, &mut out.data);
        while let Some(elements) = chunk {
            for (key, value) in elements.iter() {
                format.element(key, self.values.shown(value), &mut out.data);
                out.spill()?;
            }
            chunk = walk.next()?;
        }
        Ok(())
    }
}
