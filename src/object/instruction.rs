//! One `struct bpf_insn`, in the byte order of memory.

/// Bytes of an instruction.
pub const INSTRUCTION: u64 = 8;
/// An instruction, or the second half of a 16-byte instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawInstruction([u8; 8]);

/// `BPF_LD | BPF_IMM | BPF_DW`, which has 16 bytes.
const LOAD_WIDE: u8 = 0x18;
/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
/// The number of a helper that does not exist; libbpf uses the same number.
pub const POISON: i32 = 0xbad_2310;

impl RawInstruction {
    /// The instructions of a section; an incomplete instruction at the end is omitted.
    pub fn all(bytes: &[u8]) -> Vec<RawInstruction> {
        bytes.as_chunks().0.iter().copied().map(RawInstruction).collect()
    }

    pub fn word(self) -> u64 {
        u64::from_ne_bytes(self.0)
    }

    pub fn code(self) -> u8 {
        self.0[0]
    }

    pub fn set_code(&mut self, code: u8) {
        self.0[0] = code;
    }

    /// Whether it is the first half of the load of a 64-bit immediate.
    pub fn is_wide_load(self) -> bool {
        self.code() == LOAD_WIDE
    }

    pub fn is_call(self) -> bool {
        self.code() == CALL
    }

    /// The source register: in a wide load or a call, it determines the meaning of the immediate.
    pub fn source(self) -> u8 {
        if cfg!(target_endian = "little") { self.0[1] >> 4 } else { self.0[1] & 0xf }
    }

    pub fn set_source(&mut self, source: u8) {
        self.0[1] = match cfg!(target_endian = "little") {
            true => self.0[1] & 0xf | source << 4,
            false => self.0[1] & 0xf0 | source & 0xf,
        };
    }

    pub fn set_offset(&mut self, offset: i16) {
        self.0[2..4].copy_from_slice(&offset.to_ne_bytes());
    }

    pub fn immediate(self) -> i32 {
        let [.., a, b, c, d] = self.0;
        i32::from_ne_bytes([a, b, c, d])
    }

    pub fn set_immediate(&mut self, immediate: i32) {
        self.0[4..].copy_from_slice(&immediate.to_ne_bytes());
    }

    /// Replaces it by a call of a helper that does not exist: the verifier accepts it only in code
    /// that is not reachable.
    pub fn poison(&mut self) {
        *self = RawInstruction([CALL, 0, 0, 0, 0, 0, 0, 0]);
        self.set_immediate(POISON);
    }
}
