//! Scalar types of fixed size: name, size, alignment and class, one row for each.

/// A scalar type of fixed size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the notation's word of the same name")]
pub enum Atom {
    U8,
    U16,
    U32,
    U64,
    U128,
    I8,
    I16,
    I32,
    I64,
    I128,
    Be16,
    Be32,
    Be64,
    F32,
    F64,
    Bool,
    Ip4,
    Ip6,
    Mac,
    Ptr,
}

/// The class of an atom, which decides how its bytes are parsed, printed and summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtomClass {
    /// An unsigned integer in host byte order.
    Unsigned,
    /// A two's complement integer in host byte order.
    Signed,
    /// An unsigned integer in network byte order.
    Network,
    /// An IEEE 754 number in host byte order.
    Float,
    /// One byte, 0 or 1.
    Bool,
    /// A network address (IPv4, IPv6 or MAC) in network byte order.
    Address,
    /// A memory address in host byte order.
    Pointer,
}

impl Atom {
    /// All atoms, in the order of bpf-layout(7).
    pub(crate) const ALL: [Atom; 20] = [
        Atom::U8,
        Atom::U16,
        Atom::U32,
        Atom::U64,
        Atom::U128,
        Atom::I8,
        Atom::I16,
        Atom::I32,
        Atom::I64,
        Atom::I128,
        Atom::Be16,
        Atom::Be32,
        Atom::Be64,
        Atom::F32,
        Atom::F64,
        Atom::Bool,
        Atom::Ip4,
        Atom::Ip6,
        Atom::Mac,
        Atom::Ptr,
    ];

    // in6_addr is declared over 32-bit words, so its alignment is 4 and not 16; a MAC address is
    // an array of bytes. BPF aligns 64-bit integers to 8 bytes on all hosts.
    const fn properties(self) -> (&'static str, u8, u8, AtomClass) {
        match self {
            Atom::U8 => ("u8", 1, 1, AtomClass::Unsigned),
            Atom::U16 => ("u16", 2, 2, AtomClass::Unsigned),
            Atom::U32 => ("u32", 4, 4, AtomClass::Unsigned),
            Atom::U64 => ("u64", 8, 8, AtomClass::Unsigned),
            Atom::U128 => ("u128", 16, 16, AtomClass::Unsigned),
            Atom::I8 => ("i8", 1, 1, AtomClass::Signed),
            Atom::I16 => ("i16", 2, 2, AtomClass::Signed),
            Atom::I32 => ("i32", 4, 4, AtomClass::Signed),
            Atom::I64 => ("i64", 8, 8, AtomClass::Signed),
            Atom::I128 => ("i128", 16, 16, AtomClass::Signed),
            Atom::Be16 => ("be16", 2, 2, AtomClass::Network),
            Atom::Be32 => ("be32", 4, 4, AtomClass::Network),
            Atom::Be64 => ("be64", 8, 8, AtomClass::Network),
            Atom::F32 => ("f32", 4, 4, AtomClass::Float),
            Atom::F64 => ("f64", 8, 8, AtomClass::Float),
            Atom::Bool => ("bool", 1, 1, AtomClass::Bool),
            Atom::Ip4 => ("ip4", 4, 4, AtomClass::Address),
            Atom::Ip6 => ("ip6", 16, 4, AtomClass::Address),
            Atom::Mac => ("mac", 6, 1, AtomClass::Address),
            Atom::Ptr => ("ptr", 8, 8, AtomClass::Pointer),
        }
    }

    /// Returns the name in the notation.
    pub const fn name(self) -> &'static str {
        self.properties().0
    }

    /// Returns the size in bytes.
    pub const fn size(self) -> usize {
        self.properties().1 as usize
    }

    /// Returns the alignment in bytes.
    pub(crate) const fn align(self) -> usize {
        self.properties().2 as usize
    }

    /// Returns the [`AtomClass`].
    pub const fn class(self) -> AtomClass {
        self.properties().3
    }

    /// Returns the atom with this name in the notation.
    pub(crate) fn from_name(name: &str) -> Option<Atom> {
        Self::ALL.into_iter().find(|atom| atom.name() == name)
    }

    /// Returns the host-order integer of `size` bytes (1, 2, 4, 8 or 16); None for other sizes.
    pub(crate) const fn integer_of_size(size: usize, signed: bool) -> Option<Atom> {
        Some(match (size, signed) {
            (1, false) => Atom::U8,
            (2, false) => Atom::U16,
            (4, false) => Atom::U32,
            (8, false) => Atom::U64,
            (16, false) => Atom::U128,
            (1, true) => Atom::I8,
            (2, true) => Atom::I16,
            (4, true) => Atom::I32,
            (8, true) => Atom::I64,
            (16, true) => Atom::I128,
            _ => return None,
        })
    }

    /// Reports whether enums and bitfields can be declared with this atom: a host-order integer of
    /// at most 8 bytes.
    pub(crate) const fn is_carrier(self) -> bool {
        matches!(self.class(), AtomClass::Unsigned | AtomClass::Signed) && self.size() <= 8
    }

    /// Returns the smallest and the largest value of an integer with the atom's signedness and a
    /// width of `bits` bits.
    ///
    /// The largest value of `u128` exceeds an `i128` and is returned as `i128::MAX`; no caller
    /// uses the range of a `u128`.
    pub(crate) const fn range(self, bits: u32) -> (i128, i128) {
        let signed = matches!(self.class(), AtomClass::Signed);
        match (signed, bits) {
            (true, 128) => (i128::MIN, i128::MAX),
            (true, _) => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
            (false, 127..) => (0, i128::MAX),
            (false, _) => (0, (1 << bits) - 1),
        }
    }
}
