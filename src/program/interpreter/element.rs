//! Programs that change an element of a map: the value, its key, the lock, and another writer.

use super::super::assembler::{Code, Instruction};
use super::{CONTEXT, KEY, MAP, Machine, STACK, STACK_SIZE, VALUE};

/// What a program returns that changes the value of `key`, the only one of its map if there is a value,
/// with the context as the program leaves it. `interfere` is called before each change of the value.
pub fn change(
    code: &Code,
    context: &mut [u8],
    key: &[u8],
    value: Option<&mut [u8]>,
    interfere: impl FnMut(&mut [u8]) + 'static,
) -> u64 {
    let mut memory = vec![
        (CONTEXT, context.to_vec()),
        (KEY, key.to_vec()),
        (STACK, vec![0xa5; STACK_SIZE as usize]),
    ];
    memory.extend(value.as_deref().map(|value| (VALUE, value.to_vec())));
    let mut machine = Machine { interfere: Box::new(interfere), ..Machine::new(memory) };
    let returned = machine.run(code);
    assert!(!machine.is_locked);
    context.copy_from_slice(machine.bytes(CONTEXT, context.len()));
    if let Some(value) = value {
        value.copy_from_slice(machine.bytes(VALUE, value.len()));
    }
    returned
}

impl Machine {
    /// An atomic operation on `size` bytes at `at`.
    pub(super) fn exchange(&mut self, i: Instruction, at: u64, size: usize) {
        assert!(at.is_multiple_of(size as u64));
        if let Some((_, value)) = self.memory.iter_mut().find(|(base, _)| *base == VALUE) {
            (self.interfere)(value);
        }
        let old = self.load(at, size);
        let (from, expected) = (self.registers[usize::from(i.from)], self.registers[0]);
        let (new, returned_in) = match i.immediate {
            0x51 => (old & from, usize::from(i.from)),
            0xe1 => (from, usize::from(i.from)),
            0xf1 => (if old == expected { from } else { old }, 0),
            other => panic!("atomic operation {other:#x}"),
        };
        self.store(at, size, new);
        self.registers[returned_in] = old;
    }

    /// A helper for maps and locks, which returns a number.
    pub(super) fn call_for_element(&mut self, helper: i32) -> u64 {
        let [_, first, key, ..] = self.registers;
        match helper {
            1 | 195 => {
                assert_eq!(first, MAP);
                let known = self.memory.iter().find(|(base, _)| *base == KEY).expect("a key");
                let known = known.1.clone();
                assert_eq!(self.bytes(key, known.len()), known);
                let found = self.memory.iter().any(|(base, _)| *base == VALUE);
                if found { VALUE } else { 0 }
            }
            93 | 94 => {
                assert_eq!((first >> 32 << 32, self.is_locked), (VALUE, helper == 94));
                self.is_locked = helper == 93;
                0
            }
            other => panic!("helper {other}"),
        }
    }
}
