//! Runs generated programs in tests: the instructions and helpers that they use, on memory of the
//! test's. The kernel's verifier is not replaced by it.

mod helpers;
mod machine;

use super::assembler::Code;
use machine::{CONSTANTS, CONTEXT, KEY, META, Machine, SEQ, STACK, STACK_SIZE, VALUE};

/// Where the seq_file has the number of bytes in its buffer.
pub const BUFFERED: (i16, usize) = (24, 8);

/// What the program prints for an entry, if it has the number `before`, or after the last one, with
/// `buffered` bytes in the buffer.
pub fn print(code: &Code, entry: Option<(&[u8], &[u8])>, before: u64, buffered: u64) -> Vec<u8> {
    let (key, value) = entry.unwrap_or_default();
    let null = |address: u64| if entry.is_some() { address } else { 0 };
    let context = [META, 0, null(KEY), null(VALUE)].map(u64::to_ne_bytes).concat();
    let meta = [SEQ, 0, before].map(u64::to_ne_bytes).concat();
    let memory = vec![
        (CONTEXT, context),
        (META, meta),
        (CONSTANTS, code.constants.clone()),
        (KEY, key.to_vec()),
        (VALUE, value.to_vec()),
        (SEQ, [0, 0, 0, buffered].map(u64::to_ne_bytes).concat()),
        (STACK, vec![0xa5; STACK_SIZE as usize]),
    ];
    let mut machine = Machine::new(memory);
    assert_eq!(machine.run(code), 0);
    machine.out
}

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
