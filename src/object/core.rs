//! Adapts instructions that depend on types of the kernel (CO-RE) to the running kernel.

use super::error::ObjectError;
use super::linked::Linked;
use aya_obj::generated::{
    BPF_ALU, BPF_ALU64, BPF_B, BPF_DW, BPF_H, BPF_LD, BPF_LDX, BPF_ST, BPF_STX, BPF_W, BPF_X,
};
use bpf_layout::{Btf, CoreResolver, CoreValue, FieldSize};

/// The bits of the opcode that encode the number of bytes of a load or store (`BPF_SIZE`).
const SIZE: u8 = 0x18;

impl Linked {
    /// Resolves all relocations against `kernel`, the BTF of the kernel; `program` is the BTF of the object.
    pub fn relocate(&mut self, program: &Btf, kernel: &Btf) -> Result<(), ObjectError> {
        let resolver = CoreResolver::new(program, kernel);
        for (at, relocation) in std::mem::take(&mut self.core) {
            let name = program.name(relocation.type_id).unwrap_or("a type without a name");
            let refused = |cause: String| ObjectError::refused(name, cause);
            let value =
                resolver.resolve(&relocation).map_err(|error| refused(error.to_string()))?;
            self.store(at, value).map_err(|cause| refused(cause.into()))?;
        }
        Ok(())
    }

    /// Stores a value in an instruction: as its immediate, or as the offset of a load or store.
    fn store(&mut self, at: usize, value: Option<CoreValue>) -> Result<(), &'static str> {
        let [instruction, rest @ ..] = &mut self.instructions[at..] else {
            return Err("a relocation outside of the program");
        };
        let is_wide = instruction.is_wide_load();
        let unreadable = value.is_none_or(|value| value.size == Some(FieldSize::Incompatible));
        let class = u32::from(instruction.code() & 7);
        let is_memory = matches!(class, BPF_LDX | BPF_ST | BPF_STX);
        let (Some(CoreValue { value, size }), false) = (value, unreadable && is_memory) else {
            instruction.poison();
            if let (true, [second, ..]) = (is_wide, rest) {
                second.poison();
            }
            return Ok(());
        };
        match class {
            BPF_ALU | BPF_ALU64 if instruction.code() & BPF_X as u8 == 0 => {
                instruction.set_immediate(value as i32);
            }
            BPF_LDX | BPF_ST | BPF_STX => {
                let offset = i16::try_from(value).map_err(|_| "a field too far from the start")?;
                instruction.set_offset(offset);
                if let Some(FieldSize::Bytes(bytes)) = size {
                    let width = match bytes {
                        8 => BPF_DW,
                        4 => BPF_W,
                        2 => BPF_H,
                        1 => BPF_B,
                        _ => return Err("a field whose size is not that of a load or store"),
                    };
                    instruction.set_code(instruction.code() & !SIZE | width as u8);
                }
            }
            BPF_LD if is_wide => {
                instruction.set_immediate(value as i32);
                let [second, ..] = rest else { return Err("ends within an instruction") };
                second.set_immediate((value >> 32) as i32);
            }
            _ => return Err("a relocation of an instruction that has no immediate"),
        }
        Ok(())
    }
}
