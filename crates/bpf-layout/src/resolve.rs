//! BTF types to layouts: decides what each kind and each well-known name means.
//!
//! Bounds on depth, on chains and on the work as a whole keep a hostile blob from taking more than
//! a few milliseconds; past a bound the rest is raw bytes, never an error.

mod chain;
mod scalar;

use super::btf::{Btf, BtfError, RawType, entries, kind};
use super::fit::{self, PlacedMember};
use super::types::MemberPart;
use super::{Atom, MAX_COST, MAX_DEPTH, Type};
use chain::{BareType, array_words};
use scalar::{int_by_size, int_encoding, resolve_enum, resolve_int};

/// Structs whose bytes are the kernel's own. In a map's value it reads most of them as zeros, and
/// ignores them in an update (`struct btf_record`). As padding they need not be given.
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

/// Type tags of pointers that the kernel keeps in a map's value, as it keeps [`KERNEL_STRUCTS`] structs.
const KERNEL_POINTER_TAGS: [&str; 4] = ["kptr", "kptr_untrusted", "percpu_kptr", "uptr"];

impl Btf<'_> {
    /// The layout of type `id`, of exactly as many bytes as BTF gives it.
    ///
    /// What the notation cannot say (members that overlap) becomes `hex[n]` in its place, and what belongs
    /// to the kernel (a lock) padding. A data section becomes a struct of its variables. Pointers are 8
    /// bytes, as BPF has them.
    pub fn layout(&self, id: u32) -> Result<Type, BtfError> {
        Resolver { btf: self, spent: 0 }.resolve_type(id, 0)
    }
}

struct Resolver<'b, 'a> {
    btf: &'b Btf<'a>,
    /// Members seen so far, as a share of [`MAX_COST`].
    spent: usize,
}

impl Resolver<'_, '_> {
    fn resolve_type(&mut self, id: u32, depth: u32) -> Result<Type, BtfError> {
        let size = self.btf.byte_size(id)?;
        if depth >= MAX_DEPTH || self.spent > MAX_COST {
            return Ok(Type::Hex(size));
        }
        let BareType { raw, network, .. } = self.btf.strip_aliases(id)?;
        let ty = match raw.kind {
            kind::INT => resolve_int(&raw, network),
            kind::FLOAT => match size {
                4 => Some(Type::Atom(Atom::F32)),
                8 => Some(Type::Atom(Atom::F64)),
                _ => None,
            },
            kind::ENUM | kind::ENUM64 => resolve_enum(self.btf, &raw, &mut self.spent),
            kind::ARRAY => self.resolve_array(&raw, depth)?,
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
        // Nothing may change a size: members behind it would move.
        Ok(ty.filter(|ty| ty.size() == size as usize).unwrap_or(Type::Hex(size)))
    }

    fn resolve_array(&mut self, raw: &RawType<'_>, depth: u32) -> Result<Option<Type>, BtfError> {
        let [elem, _, len] = array_words(raw);
        let bare = self.btf.strip_aliases(elem)?;
        if bare.raw.kind == kind::INT && self.is_char(&bare.raw) {
            return Ok(Some(Type::Char(len)));
        }
        let elem = self.resolve_type(elem, depth + 1)?;
        Ok(Type::array(elem, len).ok())
    }

    /// Whether a pointer belongs to the kernel: it points to a type with one of the tags [`KERNEL_POINTER_TAGS`].
    fn is_kernel_pointer(&self, pointer: &RawType<'_>) -> bool {
        self.btf.raw_type(pointer.size_or_type).is_ok_and(|target| {
            target.kind == kind::TYPE_TAG
                && KERNEL_POINTER_TAGS.contains(&self.btf.string(target.name))
        })
    }

    /// clang marks plain `char` as a signed integer and leaves BTF_INT_CHAR alone: the name decides.
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
                (name, _) => Some(fit::to_identifier(name)),
            };
            placed.push(PlacedMember { name, part, bit: u64::from(bit) + shift });
        }
        Ok(Some(fit::fit_record(raw.kind == kind::UNION, placed, raw.size_or_type)))
    }

    /// What a member at `bit` occupies, and how many bits later it begins; None if it has no words.
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
        // pahole wrote bitfields as integers of odd widths before struct members had one.
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
            // A flexible array with an initialiser takes more room than its type.
            let ty = if ty.size() == size as usize { ty } else { Type::Hex(size) };
            placed.push(PlacedMember {
                name: Some(fit::to_identifier(name)),
                part: MemberPart::Field(ty),
                bit: u64::from(offset) * 8,
            });
        }
        Ok(Some(fit::fit_record(false, placed, raw.size_or_type)))
    }
}

/// A struct of padding alone.
fn kernel_padding(size: u32) -> Type {
    fit::fit_record(false, Vec::new(), size)
}
