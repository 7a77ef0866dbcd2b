//! A node's name, numbers, and data as one string of bytes.
//!
//! ```text
//! digest | name length | name | flags | czxid | ctime | [mzxid - czxid | mtime - ctime | version] | [acl] | [data length | data]
//! ```
//!
//! The digest, the node's share in the tree's, is a `u32`. The other numbers are varints (seven
//! bits to a byte, lowest first), those that can be negative zigzagged. Flags say which of the
//! bracketed parts are there. A node that was never written to and is open to all needs 19 bytes
//! beside name and data. The same bytes are in memory and in the checkpoint.

use quorate_protocol::Zxid;

use super::acl_table::AclId;

/// `mzxid`, `mtime` and `version` are not those of a new node.
const MODIFIED: u8 = 1;
/// The ACL is not the open one.
const GUARDED: u8 = 2;
/// The data is not null.
const DATA: u8 = 4;

/// The bits of eight bytes that say that a number goes on.
const MORE: u64 = 0x8080_8080_8080_8080;

/// Bytes of the digest, which is in front so that it can be replaced alone.
const DIGEST: usize = 4;
/// What a node usually grows by when it is first written to. Room is left for that, or every such
/// node would have to move, and leave a hole that only a new node fits into.
const FIRST_WRITE: usize = 8;

/// The numbers every node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) czxid: Zxid,
    pub(super) ctime: i64,
    pub(super) mzxid: Zxid,
    pub(super) mtime: i64,
    pub(super) version: i32,
    pub(super) acl: AclId,
}

impl Facts {
    fn is_modified(&self) -> bool {
        (self.mzxid, self.mtime, self.version) != (self.czxid, self.ctime, 0)
    }
}

/// A node's packed bytes taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed<'a> {
    pub(super) digest: u32,
    pub(super) name: &'a [u8],
    pub(super) facts: Facts,
    pub(super) data: Option<&'a [u8]>,
    /// How many bytes it took.
    pub(super) length: usize,
}

/// The digest in packed bytes.
pub(super) fn digest(bytes: &[u8]) -> u32 {
    let digest = bytes.first_chunk::<DIGEST>().expect("written by Packer");
    u32::from_be_bytes(*digest)
}

/// Replaces the digest in packed bytes.
pub(super) fn set_digest(bytes: &mut [u8], digest: u32) {
    bytes[..DIGEST].copy_from_slice(&digest.to_be_bytes());
}

/// The name in packed bytes.
pub(super) fn name(bytes: &[u8]) -> &[u8] {
    read_name(&mut Reader { bytes, at: DIGEST }).expect("written by Packer")
}

/// Bytes of the block that `length` packed bytes should have.
pub(super) fn room(length: usize, facts: &Facts) -> usize {
    length + if facts.is_modified() { 0 } else { FIRST_WRITE }
}

impl<'a> Packed<'a> {
    /// Takes apart what [`Packer`] wrote; `None` if it did not.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut input = Reader { bytes, at: 0 };
        let digest = digest(input.take(DIGEST)?);
        let name = read_name(&mut input)?;
        let flags = input.byte()?;
        if flags & !(MODIFIED | GUARDED | DATA) != 0 {
            return None;
        }
        let czxid = input.varint()?.cast_signed();
        let ctime = input.varint()?.cast_signed();
        let (mut mzxid, mut mtime, mut version) = (czxid, ctime, 0);
        if flags & MODIFIED != 0 {
            mzxid = czxid.wrapping_add(input.varint()?.cast_signed());
            mtime = ctime.wrapping_add(input.zigzag()?);
            version = i32::try_from(input.zigzag()?).ok()?;
        }
        let acl = if flags & GUARDED == 0 {
            AclId::OPEN
        } else {
            AclId(u32::try_from(input.varint()?).ok()?)
        };
        let data = if flags & DATA == 0 {
            None
        } else {
            let length = usize::try_from(input.varint()?).ok()?;
            Some(input.take(length)?)
        };
        let (czxid, mzxid) = (Zxid(czxid), Zxid(mzxid));
        let facts = Facts { czxid, ctime, mzxid, mtime, version, acl };
        Some(Self { digest, name, facts, data, length: input.at })
    }
}

fn read_name<'a>(input: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = usize::try_from(input.varint()?).ok()?;
    input.take(length)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    #[inline]
    fn varint(&mut self) -> Option<u64> {
        let first = *self.bytes.get(self.at)?;
        if first < 0x80 {
            self.at += 1;
            return Some(first.into());
        }
        self.varint_by_words()
    }

    /// Eight bytes at once, of which seven bits each count: a load and a few shifts.
    #[inline]
    fn varint_by_words(&mut self) -> Option<u64> {
        let ahead = self.bytes.get(self.at..)?;
        let Some(word) = ahead.first_chunk().map(|chunk| u64::from_le_bytes(*chunk)) else {
            return self.varint_by_bytes();
        };
        let ends = !word & MORE;
        if ends == 0 {
            return self.varint_by_bytes();
        }
        let bits = ends.trailing_zeros() + 1;
        self.at += bits as usize / 8;
        let sevens = word & (u64::MAX >> (64 - bits)) & !MORE;
        let fourteens = (sevens & 0x007f_007f_007f_007f) | ((sevens & !0x007f_007f_007f_007f) >> 1);
        let halves =
            (fourteens & 0x0000_3fff_0000_3fff) | ((fourteens & !0x0000_3fff_0000_3fff) >> 2);
        Some((halves & 0x0fff_ffff) | ((halves >> 32) << 28))
    }

    /// Near the end of the bytes, and for numbers of more than 56 bits.
    #[cold]
    fn varint_by_bytes(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}

/// What goes between a node's name and its data. The numbers are packed first, so that the length
/// is known before there is a block to write into.
pub(super) struct Packer<'a> {
    /// With room to write eight bytes behind the last.
    numbers: [u8; 72],
    end: usize,
    data: &'a [u8],
}

impl<'a> Packer<'a> {
    pub(super) fn new(facts: &Facts, data: Option<&'a [u8]>) -> Self {
        let mut packer = Self { numbers: [0; 72], end: 1, data: data.unwrap_or_default() };
        packer.put_varint(facts.czxid.0.cast_unsigned());
        packer.put_varint(facts.ctime.cast_unsigned());
        let mut flags = 0;
        if facts.is_modified() {
            flags |= MODIFIED;
            packer.put_varint(facts.mzxid.0.wrapping_sub(facts.czxid.0).cast_unsigned());
            packer.put_zigzag(facts.mtime.wrapping_sub(facts.ctime));
            packer.put_zigzag(facts.version.into());
        }
        if facts.acl != AclId::OPEN {
            flags |= GUARDED;
            packer.put_varint(facts.acl.0.into());
        }
        if let Some(data) = data {
            flags |= DATA;
            packer.put_varint(data.len() as u64);
        }
        packer.numbers[0] = flags;
        packer
    }

    /// How many bytes it takes with a name of this length.
    pub(super) fn length(&self, name: usize) -> usize {
        name_end(name) + self.end + self.data.len()
    }

    /// Writes everything, with a digest of 0.
    pub(super) fn write(&self, name: &[u8], out: &mut [u8]) {
        let mut length = Self { numbers: [0; 72], end: 0, data: &[] };
        length.put_varint(name.len() as u64);
        set_digest(out, 0);
        let (head, behind) = out[DIGEST..].split_at_mut(length.end);
        head.copy_from_slice(&length.numbers[..length.end]);
        behind[..name.len()].copy_from_slice(name);
        self.write_behind_name(name.len(), out);
    }

    /// Writes everything but digest and name, which stand in `out` already.
    pub(super) fn write_behind_name(&self, name: usize, out: &mut [u8]) {
        let out = &mut out[name_end(name)..];
        out[..self.end].copy_from_slice(&self.numbers[..self.end]);
        out[self.end..][..self.data.len()].copy_from_slice(self.data);
    }

    #[inline]
    fn put_varint(&mut self, mut value: u64) {
        if value < 0x80 {
            self.put_low_bits(value, 0);
            return;
        }
        if value < 1 << 56 {
            let length = varint_length(value);
            let halves = (value & 0x0fff_ffff) | ((value >> 28) << 32);
            let fourteens =
                (halves & 0x0000_3fff_0000_3fff) | ((halves & !0x0000_3fff_0000_3fff) << 2);
            let sevens =
                (fourteens & 0x007f_007f_007f_007f) | ((fourteens & !0x007f_007f_007f_007f) << 1);
            let more = MORE & ((1 << (8 * (length - 1))) - 1);
            self.numbers[self.end..][..8].copy_from_slice(&(sevens | more).to_le_bytes());
            self.end += length;
            return;
        }
        while value >= 0x80 {
            self.put_low_bits(value, 0x80);
            value >>= 7;
        }
        self.put_low_bits(value, 0);
    }

    fn put_zigzag(&mut self, value: i64) {
        self.put_varint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    fn put_low_bits(&mut self, value: u64, more: u8) {
        self.numbers[self.end] = value.to_le_bytes()[0] & 0x7f | more;
        self.end += 1;
    }
}

/// Bytes of digest, name, and its length.
fn name_end(name: usize) -> usize {
    DIGEST + varint_length(name as u64) + name
}

/// Bytes of a number.
fn varint_length(value: u64) -> usize {
    (u64::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pack(name: &[u8], facts: &Facts, data: Option<&[u8]>) -> Vec<u8> {
        let packer = Packer::new(facts, data);
        let mut out = vec![0; packer.length(name.len())];
        packer.write(name, &mut out);
        out
    }

    #[test]
    fn numbers_of_every_length() {
        for bits in 0..=64 {
            for value in [1_u64.unbounded_shl(bits), 1_u64.unbounded_shl(bits).wrapping_sub(1)] {
                let mut packer = Packer { numbers: [0; 72], end: 0, data: &[] };
                packer.put_varint(value);
                assert_eq!(packer.end, varint_length(value));
                for behind in [packer.end, packer.end + 1, 72] {
                    let mut reader = Reader { bytes: &packer.numbers[..behind], at: 0 };
                    assert_eq!((reader.varint(), reader.at), (Some(value), packer.end));
                }
                let mut cut = Reader { bytes: &packer.numbers[..packer.end - 1], at: 0 };
                assert_eq!(cut.varint(), None);
            }
        }
    }

    fn new_node() -> Facts {
        let (czxid, ctime) = (Zxid::new(1, 1_000_000), 1_795_250_568_721);
        Facts { czxid, ctime, mzxid: czxid, mtime: ctime, version: 0, acl: AclId::OPEN }
    }

    #[test]
    fn a_new_open_node_has_19_bytes_beside_name_and_data() {
        assert_eq!(pack(&[b'n'; 20], &new_node(), Some(&[b'd'; 128])).len(), 20 + 128 + 19);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            name in prop::collection::vec(any::<u8>(), 0..300),
            data in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
            zxids in any::<(i64, i64)>(),
            times in any::<(i64, i64)>(),
            version in any::<i32>(),
            acl in any::<u32>(),
            modified in any::<bool>(),
        ) {
            let mut facts = Facts {
                czxid: Zxid(zxids.0), ctime: times.0, mzxid: Zxid(zxids.1), mtime: times.1,
                version, acl: AclId(acl),
            };
            if !modified {
                facts = Facts { acl: facts.acl, ..new_node() };
            }
            let mut bytes = pack(&name, &facts, data.as_deref());
            let length = bytes.len();
            for cut in 0..length {
                prop_assert_eq!(Packed::read(&bytes[..cut]), None);
            }
            bytes.extend_from_slice(b"behind");
            set_digest(&mut bytes, 77);
            let expected = Packed { digest: 77, name: &name, facts, data: data.as_deref(), length };
            prop_assert_eq!(Packed::read(&bytes), Some(expected));
            prop_assert_eq!((digest(&bytes), super::name(&bytes)), (77, &name[..]));
        }
    }
}
