//! Addresses: IPv4, IPv6 and MAC.

use super::generator::{Generator, Place};
use crate::program::assembler::Register::*;
use crate::program::assembler::{If, Label, Op, Width};
use bpf_layout::Atom;

/// Groups of an IPv6 address.
const GROUPS: u32 = 8;

impl Generator {
    pub(super) fn address(&mut self, atom: Atom, place: Place) {
        self.length += 39;
        match atom {
            Atom::Ip4 => self.bytes(place, 4, b".", "%llu"),
            Atom::Ip6 => self.ip6(place),
            _ => self.bytes(place, 6, b":", "%02llx"),
        }
    }

    fn bytes(&mut self, place: Place, count: u32, separator: &[u8], conversion: &str) {
        for at in 0..count {
            if at > 0 {
                self.text(separator);
            }
            self.out.reserve(8);
            self.load(Width::One, R1, Place { offset: place.offset + at, ..place });
            self.argument(conversion, R1);
        }
    }

    /// Prints as RFC 5952 asks for: the longest run of zero groups is left out.
    fn ip6(&mut self, place: Place) {
        self.out.flush();
        let (mapped, after, _) = self.labels();
        // R3 has a bit for each group that is zero.
        self.out.asm.set(R3, 0);
        for group in 0..GROUPS {
            self.load(Width::Two, R1, at(place, group));
            let asm = &mut self.out.asm;
            asm.op(Op::Sub, R1, 1);
            asm.op(Op::ShiftRight, R1, 63);
            asm.op(Op::ShiftLeft, R1, group as i32);
            // Not Or: before Linux 6.10 the verifier forgets the bounds of its result.
            asm.op(Op::Add, R3, R1);
        }
        // R1 is now the last one's bit: an IPv4-mapped address has five zero groups and one of ones.
        let general = self.out.asm.label();
        self.out.asm.set(R1, R3);
        self.out.asm.op(Op::And, R1, 0x1f);
        self.out.asm.jump_if(If::NotEqual, R1, 0x1f, general);
        self.load(Width::Two, R1, at(place, 5));
        self.out.asm.jump_if(If::Equal, R1, 0xffff, mapped);
        self.out.asm.put(general);
        let table: Vec<u8> = (0..=255).map(|zeros| code(run(zeros))).collect();
        let table = self.out.asm.add_constant(&table);
        let asm = &mut self.out.asm;
        asm.constant(R1, table);
        asm.op(Op::Add, R1, R3);
        asm.load(Width::One, R3, R1, 0);
        let mut runs: Vec<(u32, u32)> = (0..=255).map(run).collect();
        runs.sort_unstable();
        runs.dedup();
        for run in runs {
            let next = self.out.asm.label();
            self.out.asm.jump_if(If::NotEqual, R3, i32::from(code(run)), next);
            self.groups(place, run, after);
            self.out.asm.put(next);
        }
        // No other code is in the table.
        self.out.asm.jump(after);
        self.out.asm.put(mapped);
        self.text(b"::ffff:");
        self.bytes(Place { offset: place.offset + 12, ..place }, 4, b".", "%llu");
        self.out.flush();
        self.out.asm.put(after);
    }

    /// Prints all groups but a run of them.
    fn groups(&mut self, place: Place, (start, len): (u32, u32), after: Label) {
        let printed = (0..GROUPS).filter(|group| !(start..start + len).contains(group));
        for group in printed {
            if group > 0 && group != start + len {
                self.text(b":");
            } else if group > 0 && len > 0 {
                self.text(b"::");
            }
            self.out.reserve(8);
            self.load(Width::Two, R1, at(place, group));
            self.out.asm.swap_network(R1, Width::Two);
            self.argument("%llx", R1);
        }
        if len > 0 && start + len == GROUPS {
            self.text(b"::");
        }
        self.out.flush();
        self.out.asm.jump(after);
    }
}

fn at(place: Place, group: u32) -> Place {
    Place { offset: place.offset + group * 2, ..place }
}

/// The longest run of bits that are set, if it has two at least; the first of several.
fn run(zeros: u32) -> (u32, u32) {
    let len = |start: u32| (zeros >> start).trailing_ones().min(GROUPS - start);
    let longest = (0..GROUPS).map(|start| (start, len(start))).rev().max_by_key(|run| run.1);
    longest.filter(|run| run.1 > 1).unwrap_or((0, 0))
}

fn code((start, len): (u32, u32)) -> u8 {
    (start << 4 | len) as u8
}
