//! Numbers and strings in a packet, in host byte order, without padding.

use super::packet::PacketError;

/// The rest of a packet that is being decoded.
pub struct PacketReader<'a>(pub &'a [u8]);

impl<'a> PacketReader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], PacketError> {
        let (first, rest) = self.0.split_first_chunk().ok_or(PacketError::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    pub fn u8(&mut self) -> Result<u8, PacketError> {
        self.array().map(u8::from_ne_bytes)
    }

    pub fn u16(&mut self) -> Result<u16, PacketError> {
        self.array().map(u16::from_ne_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, PacketError> {
        self.array().map(u32::from_ne_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, PacketError> {
        self.array().map(u64::from_ne_bytes)
    }

    /// A u32 with the number of bytes, and as many bytes.
    pub fn string(&mut self) -> Result<&'a [u8], PacketError> {
        let length = self.u32()? as usize;
        let (string, rest) = self.0.split_at_checked(length).ok_or(PacketError::Short)?;
        self.0 = rest;
        Ok(string)
    }

    /// An error unless everything was read.
    pub fn end(&self) -> Result<(), PacketError> {
        if self.0.is_empty() { Ok(()) } else { Err(PacketError::Long(self.0.len())) }
    }
}

/// Appends a string as [`PacketReader::string`] reads it.
pub fn push_string(out: &mut Vec<u8>, string: &[u8]) {
    out.extend((string.len() as u32).to_ne_bytes());
    out.extend(string);
}
