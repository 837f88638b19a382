//! The conversion of BTF types to layouts: the meaning of each BTF kind and of well-known names.
//!
//! Limits on nesting, on chains of references and on the total work bound the time for a hostile
//! blob to a few milliseconds. Parts beyond a limit become raw bytes and are not an error.

mod chain;
mod scalar;
mod word;

use super::btf::{Btf, BtfError, RawType, entries, kind};
use super::placement::{self, PlacedMember};
use super::types::MemberPart;
use super::{Atom, Lpm, MAX_COST, MAX_DEPTH, Type};
use chain::{BareType, array_words};
use scalar::{int_by_size, int_encoding, resolve_enum, resolve_int};
use word::Word;

/// Structs whose contents belong to the kernel. A lookup returns zeros for most of them, and an
/// update ignores them (`struct btf_record`). They become padding, so that they can be omitted in
/// input.
const KERNEL_STRUCTS: [&str; 12] = [
    "bpf_spin_lock",
    "bpf_res_spin_lock",
    "bpf_timer",
    "bpf_wq",
    "bpf_task_work",
    "bpf_list_head",
    "bpf_list_node",
    "bpf_rb_root",
    "bpf_rb_node",
    "bpf_refcount",
    "bpf_dynptr",
    "bpf_iter_num",
];

/// Type tags of pointers in values that belong to the kernel, like [`KERNEL_STRUCTS`].
const KERNEL_POINTER_TAGS: [&str; 4] = ["kptr", "kptr_untrusted", "percpu_kptr", "uptr"];

impl Btf<'_> {
    /// Returns the layout of type `id`. Its size is the size of the BTF type.
    ///
    /// Members that the notation cannot express, for example overlapping ones, become `hex[n]`;
    /// structs that belong to the kernel, such as locks, become structs of padding. A data section
    /// becomes a struct of its variables. Pointers have 8 bytes, as in BPF programs.
    ///
    /// # Errors
    ///
    /// An unknown id, a type without a size, a cyclic type, and a type larger than
    /// [`crate::MAX_SIZE`] are refused.
    pub fn layout(&self, id: u32) -> Result<Type, BtfError> {
        Resolver { btf: self, spent: 0 }.resolve_type(id, 0)
    }
}

struct Resolver<'b, 'a> {
    btf: &'b Btf<'a>,
    /// Cost of the members, arrays and names resolved so far: beyond [`MAX_COST`], types become raw
    /// bytes.
    spent: usize,
}

impl Resolver<'_, '_> {
    fn resolve_type(&mut self, id: u32, depth: u32) -> Result<Type, BtfError> {
        let size = self.btf.byte_size(id)?;
        if depth >= MAX_DEPTH || self.spent > MAX_COST {
            return Ok(Type::Hex(size));
        }
        let BareType { id: bare, raw, word } = self.btf.strip_aliases(id)?;
        let ty = match raw.kind {
            kind::INT => resolve_int(&raw, word),
            kind::FLOAT => match size {
                4 => Some(Type::Atom(Atom::F32)),
                8 => Some(Type::Atom(Atom::F64)),
                _ => None,
            },
            kind::ENUM | kind::ENUM64 => resolve_enum(self.btf, &raw, &mut self.spent),
            kind::ARRAY => self.resolve_array(&raw, word, depth)?,
            kind::STRUCT if matches!(word, Some(Word::Lpm)) => self.resolve_lpm(&raw, depth)?,
            kind::STRUCT | kind::UNION if let Some(notation) = self.btf.layout_tag(bare) => {
                self.spent += notation.len();
                notation.parse().ok()
            }
            kind::STRUCT | kind::UNION => match self.btf.string(raw.name) {
                "in_addr" if size == 4 => Some(Type::Atom(Atom::Ip4)),
                "in6_addr" if size == 16 => Some(Type::Atom(Atom::Ip6)),
                "ether_addr" if size == 6 => Some(Type::Atom(Atom::Mac)),
                name if KERNEL_STRUCTS.contains(&name) => Some(kernel_padding(size)),
                _ => self.resolve_record(&raw, depth)?,
            },
            kind::DATASEC => self.resolve_section(&raw, depth)?,
            kind::PTR if self.is_kernel_pointer(&raw) => Some(kernel_padding(size)),
            kind::PTR => Some(Type::Atom(Atom::Ptr)),
            _ => None,
        };
        // A type of another size would move the members after it.
        Ok(ty.filter(|ty| ty.size() == size as usize).unwrap_or(Type::Hex(size)))
    }

    fn resolve_array(
        &mut self,
        raw: &RawType<'_>,
        word: Option<Word>,
        depth: u32,
    ) -> Result<Option<Type>, BtfError> {
        self.spent += 16;
        let [elem, _, len] = array_words(raw);
        let bare = self.btf.strip_aliases(elem)?;
        if bare.raw.kind == kind::INT
            && bare.raw.size_or_type == 1
            && let Some(ty) = word.and_then(|word| word.over_bytes(len))
        {
            return Ok(Some(ty));
        }
        if bare.raw.kind == kind::INT && self.is_char(&bare.raw) {
            return Ok(Some(Type::Char(len)));
        }
        let elem = self.resolve_type(elem, depth + 1)?;
        Ok(Type::array(elem, len).ok())
    }

    /// The key of an LPM trie: the data follows the prefix length directly.
    fn resolve_lpm(&mut self, raw: &RawType<'_>, depth: u32) -> Result<Option<Type>, BtfError> {
        let mut members = entries::<3>(raw.tail);
        let (Some([_, prefix, 0]), Some([_, data, 32]), None) =
            (members.next(), members.next(), members.next())
        else {
            return self.resolve_record(raw, depth);
        };
        if self.btf.byte_size(prefix)? as usize != Lpm::HEADER {
            return self.resolve_record(raw, depth);
        }
        Ok(Type::lpm(self.resolve_type(data, depth + 2)?).ok())
    }

    /// Reports whether a pointer belongs to the kernel: whether it points to a type with one of
    /// [`KERNEL_POINTER_TAGS`].
    fn is_kernel_pointer(&self, pointer: &RawType<'_>) -> bool {
        self.btf.raw_type(pointer.size_or_type).is_ok_and(|target| {
            target.kind == kind::TYPE_TAG
                && KERNEL_POINTER_TAGS.contains(&self.btf.string(target.name))
        })
    }

    /// clang encodes plain `char` as a signed integer without BTF_INT_CHAR, so the name decides.
    fn is_char(&self, raw: &RawType<'_>) -> bool {
        raw.size_or_type == 1
            && (self.btf.string(raw.name) == "char" || int_encoding(raw).2 & 2 != 0)
    }

    fn resolve_record(&mut self, raw: &RawType<'_>, depth: u32) -> Result<Option<Type>, BtfError> {
        let mut placed = Vec::new();
        for (index, [name, id, offset]) in entries::<3>(raw.tail).enumerate() {
            let name = self.btf.string(name);
            self.spent += name.len() + 16;
            let (bit, width) =
                if raw.flag { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
            let Some((part, shift)) = self.resolve_member(id, bit, width, depth)? else {
                return Ok(None);
            };
            let name = match (name, &part) {
                ("", MemberPart::Field(Type::Record(_))) => None,
                ("", _) => Some(format!("anonymous_{index}").into()),
                (name, _) => Some(placement::to_identifier(name)),
            };
            placed.push(PlacedMember { name, part, bit: u64::from(bit) + shift });
        }
        Ok(Some(placement::fit_record(raw.kind == kind::UNION, placed, raw.size_or_type)))
    }

    /// Returns the type or bitfield of a member at `bit`, and the number of bits between `bit` and
    /// its first bit; None if the notation cannot express the member.
    fn resolve_member(
        &mut self,
        id: u32,
        bit: u32,
        width: u32,
        depth: u32,
    ) -> Result<Option<(MemberPart, u64)>, BtfError> {
        let bare = match self.btf.strip_aliases(id) {
            Ok(bare) => bare,
            Err(BtfError::NoSize { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let (offset, bits, _) =
            if bare.raw.kind == kind::INT { int_encoding(&bare.raw) } else { (0, 0, 0) };
        // pahole encoded bitfields as integers of odd widths before BTF had bitfield members.
        let odd = width == 0
            && bits != 0
            && (offset != 0 || bits != bare.raw.size_or_type.saturating_mul(8));
        if width == 0 && !odd {
            return match self.resolve_type(id, depth + 1) {
                Ok(_) if !bit.is_multiple_of(8) => Ok(None),
                Ok(ty) => Ok(Some((MemberPart::Field(ty), 0))),
                Err(BtfError::NoSize { .. }) => Ok(None),
                Err(error) => Err(error),
            };
        }
        let (width, shift) = if odd { (bits, u64::from(offset)) } else { (width, 0) };
        let carrier = match bare.raw.kind {
            kind::INT => int_by_size(&bare.raw),
            _ => Some(self.resolve_type(id, depth + 1)?),
        };
        Ok(carrier.and_then(|ty| Some((MemberPart::Bits(ty, u8::try_from(width).ok()?), shift))))
    }

    fn resolve_section(&mut self, raw: &RawType<'_>, depth: u32) -> Result<Option<Type>, BtfError> {
        let mut placed = Vec::new();
        for [id, offset, size] in entries::<3>(raw.tail) {
            let var = self.btf.raw_type(id)?;
            let name = self.btf.string(var.name);
            self.spent += name.len() + 16;
            let ty = match self.resolve_type(id, depth + 1) {
                Ok(ty) => ty,
                Err(BtfError::NoSize { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            // A flexible array with an initialiser is larger than its type.
            let ty = if ty.size() == size as usize { ty } else { Type::Hex(size) };
            placed.push(PlacedMember {
                name: Some(placement::to_identifier(name)),
                part: MemberPart::Field(ty),
                bit: u64::from(offset) * 8,
            });
        }
        Ok(Some(placement::fit_record(false, placed, raw.size_or_type)))
    }
}

/// Returns a struct that contains only padding.
fn kernel_padding(size: u32) -> Type {
    placement::fit_record(false, Vec::new(), size)
}
