//! BTF types to layouts: decides what each kind and each well-known name means.
//!
//! Bounds on depth, on chains and on the work as a whole keep a hostile blob from taking more than
//! a few milliseconds; past a bound the rest is raw bytes, never an error.

mod chain;
mod scalar;

use super::btf::{Btf, BtfError, Raw, entries, kind};
use super::fit::{self, Placed};
use super::types::Part;
use super::{Atom, MAX_COST, MAX_DEPTH, Type};
use chain::{Bare, array};
use scalar::{enumeration, int, int_bits, plain_int};

/// Structs whose bytes are the kernel's own. In a map's value it reads most of them as zeros, and
/// ignores them in an update (`struct btf_record`). As padding they need not be given.
const OPAQUE: [&str; 12] = [
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

/// Type tags of pointers that the kernel keeps in a map's value, as it keeps [`OPAQUE`] structs.
const KEPT: [&str; 4] = ["kptr", "kptr_untrusted", "percpu_kptr", "uptr"];

impl Btf<'_> {
    /// The layout of type `id`, of exactly as many bytes as BTF gives it.
    ///
    /// What the notation cannot say (members that overlap) becomes `hex[n]` in its place, and what belongs
    /// to the kernel (a lock) padding. A data section becomes a struct of its variables. Pointers are 8
    /// bytes, as BPF has them.
    pub fn layout(&self, id: u32) -> Result<Type, BtfError> {
        Resolver { btf: self, spent: 0 }.ty(id, 0)
    }
}

struct Resolver<'b, 'a> {
    btf: &'b Btf<'a>,
    /// Members seen so far, as a share of [`MAX_COST`].
    spent: usize,
}

impl Resolver<'_, '_> {
    fn ty(&mut self, id: u32, depth: u32) -> Result<Type, BtfError> {
        let size = self.btf.size_of(id)?;
        if depth >= MAX_DEPTH || self.spent > MAX_COST {
            return Ok(Type::Hex(size));
        }
        let Bare { raw, network, .. } = self.btf.bare(id)?;
        let ty = match raw.kind {
            kind::INT => int(&raw, network),
            kind::FLOAT => match size {
                4 => Some(Type::Atom(Atom::F32)),
                8 => Some(Type::Atom(Atom::F64)),
                _ => None,
            },
            kind::ENUM | kind::ENUM64 => enumeration(self.btf, &raw, &mut self.spent),
            kind::ARRAY => self.array(&raw, depth)?,
            kind::STRUCT | kind::UNION => match self.btf.string(raw.name) {
                "in_addr" if size == 4 => Some(Type::Atom(Atom::Ip4)),
                "in6_addr" if size == 16 => Some(Type::Atom(Atom::Ip6)),
                "ether_addr" if size == 6 => Some(Type::Atom(Atom::Mac)),
                name if OPAQUE.contains(&name) => Some(opaque(size)),
                _ => self.record(&raw, depth)?,
            },
            kind::DATASEC => self.section(&raw, depth)?,
            kind::PTR if self.is_kept(&raw) => Some(opaque(size)),
            kind::PTR => Some(Type::Atom(Atom::Ptr)),
            _ => None,
        };
        // Nothing may change a size: members behind it would move.
        Ok(ty.filter(|ty| ty.size() == size as usize).unwrap_or(Type::Hex(size)))
    }

    fn array(&mut self, raw: &Raw<'_>, depth: u32) -> Result<Option<Type>, BtfError> {
        let [elem, _, len] = array(raw);
        let bare = self.btf.bare(elem)?;
        if bare.raw.kind == kind::INT && self.is_char(&bare.raw) {
            return Ok(Some(Type::Char(len)));
        }
        let elem = self.ty(elem, depth + 1)?;
        Ok(Type::array(elem, len).ok())
    }

    /// Whether a pointer belongs to the kernel: it points to a type with one of the tags [`KEPT`].
    fn is_kept(&self, pointer: &Raw<'_>) -> bool {
        self.btf.raw(pointer.size_or_type).is_ok_and(|target| {
            target.kind == kind::TYPE_TAG && KEPT.contains(&self.btf.string(target.name))
        })
    }

    /// clang marks plain `char` as a signed integer and leaves BTF_INT_CHAR alone: the name decides.
    fn is_char(&self, raw: &Raw<'_>) -> bool {
        raw.size_or_type == 1 && (self.btf.string(raw.name) == "char" || int_bits(raw).2 & 2 != 0)
    }

    fn record(&mut self, raw: &Raw<'_>, depth: u32) -> Result<Option<Type>, BtfError> {
        let mut placed = Vec::new();
        for (index, [name, id, offset]) in entries::<3>(raw.tail).enumerate() {
            let name = self.btf.string(name);
            self.spent += name.len() + 16;
            let (bit, width) =
                if raw.flag { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
            let Some((part, shift)) = self.part(id, bit, width, depth)? else {
                return Ok(None);
            };
            let name = match (name, &part) {
                ("", Part::Field(Type::Record(_))) => None,
                ("", _) => Some(format!("anonymous_{index}").into()),
                (name, _) => Some(fit::identifier(name)),
            };
            placed.push(Placed { name, part, bit: u64::from(bit) + shift });
        }
        Ok(Some(fit::record(raw.kind == kind::UNION, placed, raw.size_or_type)))
    }

    /// What a member at `bit` occupies, and how many bits later it begins; None if it has no words.
    fn part(
        &mut self,
        id: u32,
        bit: u32,
        width: u32,
        depth: u32,
    ) -> Result<Option<(Part, u64)>, BtfError> {
        let bare = match self.btf.bare(id) {
            Ok(bare) => bare,
            Err(BtfError::NoSize { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let (offset, bits, _) =
            if bare.raw.kind == kind::INT { int_bits(&bare.raw) } else { (0, 0, 0) };
        // pahole wrote bitfields as integers of odd widths before struct members had one.
        let odd = width == 0
            && bits != 0
            && (offset != 0 || bits != bare.raw.size_or_type.saturating_mul(8));
        if width == 0 && !odd {
            return match self.ty(id, depth + 1) {
                Ok(_) if !bit.is_multiple_of(8) => Ok(None),
                Ok(ty) => Ok(Some((Part::Field(ty), 0))),
                Err(BtfError::NoSize { .. }) => Ok(None),
                Err(error) => Err(error),
            };
        }
        let (width, shift) = if odd { (bits, u64::from(offset)) } else { (width, 0) };
        let carrier = match bare.raw.kind {
            kind::INT => plain_int(&bare.raw),
            _ => Some(self.ty(id, depth + 1)?),
        };
        Ok(carrier.and_then(|ty| Some((Part::Bits(ty, u8::try_from(width).ok()?), shift))))
    }

    fn section(&mut self, raw: &Raw<'_>, depth: u32) -> Result<Option<Type>, BtfError> {
        let mut placed = Vec::new();
        for [id, offset, size] in entries::<3>(raw.tail) {
            let var = self.btf.raw(id)?;
            let name = self.btf.string(var.name);
            self.spent += name.len() + 16;
            let ty = match self.ty(id, depth + 1) {
                Ok(ty) => ty,
                Err(BtfError::NoSize { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            // A flexible array with an initialiser takes more room than its type.
            let ty = if ty.size() == size as usize { ty } else { Type::Hex(size) };
            placed.push(Placed {
                name: Some(fit::identifier(name)),
                part: Part::Field(ty),
                bit: u64::from(offset) * 8,
            });
        }
        Ok(Some(fit::record(false, placed, raw.size_or_type)))
    }
}

/// A struct of padding alone.
fn opaque(size: u32) -> Type {
    fit::record(false, Vec::new(), size)
}
