//! Transactions: what a write changes, as logged and replicated.
//!
//! The bytes are ZooKeeper's own (`org.apache.zookeeper.txn`): header, record, optional digest,
//! the same in a proposal and in a log entry, so that records travel between the two systems
//! without translation. `request` writes them, `tree` applies them, `storage` keeps them; nobody
//! but this module knows their layout.
//!
//! Decoding borrows from the bytes and checks everything, the operations inside a multi included:
//! whoever holds a [`TxnRecord`] can apply it to its end. Encoding goes straight into the caller's
//! buffer.

mod multi;
mod record;

use bytes::BytesMut;
use quorate_protocol::{
    Decode, DecodeError, Decoder, Encode, OpCode, SessionId, Zxid, codec::PutJute,
};

pub use multi::{MultiTxn, MultiWriter};
pub use record::{CloseSessionTxn, CreateTtlTxn, CreateTxn, SetAclTxn, SetDataTxn, Txn};

/// Who asked for the transaction, and its place and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxnHeader {
    /// The session that sent the request.
    pub client_id: SessionId,
    /// The request's xid.
    pub cxid: i32,
    /// The transaction's place in the order of all.
    pub zxid: Zxid,
    /// The leader's clock in milliseconds since 1970; the only time that applying it may use.
    pub time_ms: i64,
    /// What kind of record follows. [`OpCode::Error`] for a request that was refused.
    pub kind: OpCode,
}

impl TxnHeader {
    /// Bytes of a header.
    pub const SIZE: usize = 32;
}

impl Decode<'_> for TxnHeader {
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            client_id: SessionId(input.long()?),
            cxid: input.int()?,
            zxid: Zxid(input.long()?),
            time_ms: input.long()?,
            kind: decode_kind(input)?,
        })
    }
}

impl Encode for TxnHeader {
    fn encode(&self, out: &mut BytesMut) {
        out.reserve(Self::SIZE);
        out.put_long(self.client_id.0);
        out.put_int(self.cxid);
        out.put_long(self.zxid.0);
        out.put_long(self.time_ms);
        out.put_int(self.kind.wire());
    }
}

fn decode_kind(input: &mut Decoder<'_>) -> Result<OpCode, DecodeError> {
    let number = input.int()?;
    OpCode::from_wire(number)
        .ok_or(DecodeError::BadValue { field: "transaction type", value: number.into() })
}

/// The digest of the whole tree after a transaction, as its maker expects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxnDigest {
    /// How the digest is computed. Digests of different versions cannot be compared.
    pub version: i32,
    /// The sum over all nodes.
    pub tree_digest: u64,
}

impl TxnDigest {
    /// Bytes of a digest.
    pub const SIZE: usize = 12;
    /// The version that ZooKeeper has used since 3.6.
    pub const VERSION: i32 = 2;
}

impl Decode<'_> for TxnDigest {
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self { version: input.int()?, tree_digest: input.long()?.cast_unsigned() })
    }
}

impl Encode for TxnDigest {
    fn encode(&self, out: &mut BytesMut) {
        out.put_int(self.version);
        out.put_long(self.tree_digest.cast_signed());
    }
}

/// A whole transaction as it stands in a log or a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnRecord<'a> {
    /// Who, when, what.
    pub header: TxnHeader,
    /// The change itself.
    pub txn: Txn<'a>,
    /// The tree's digest afterwards; absent in error transactions and where it is switched off.
    pub digest: Option<TxnDigest>,
}

impl<'a> Decode<'a> for TxnRecord<'a> {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let header = TxnHeader::decode(input)?;
        let txn = Txn::decode(header.kind, input)?;
        let digest = if input.remaining() == 0 { None } else { Some(TxnDigest::decode(input)?) };
        Ok(Self { header, txn, digest })
    }
}

impl Encode for TxnRecord<'_> {
    fn encode(&self, out: &mut BytesMut) {
        self.header.encode(out);
        self.txn.encode(out);
        if let Some(digest) = &self.digest {
            digest.encode(out);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::borrow::Cow;

    use quorate_protocol::AclList;

    use super::*;

    /// Transactions of a real log (Apache ZooKeeper 3.9.5, driven by kazoo), each behind its
    /// length as an `int`.
    const REAL: &[u8] = include_bytes!("testdata/zookeeper-3.9.5.txns");

    /// What that server held after transaction 0x38: path, the fields of `Stat`, and data.
    pub(crate) const REAL_NODES: &str = include_str!("testdata/zookeeper-3.9.5.nodes");

    /// The transactions of a real log in order.
    pub(crate) fn real_log() -> impl Iterator<Item = &'static [u8]> {
        let mut input = Decoder::new(REAL);
        std::iter::from_fn(move || {
            (input.remaining() > 0).then(|| input.buffer().unwrap().unwrap())
        })
    }

    /// Kind, cxid and digest behind a record's bytes, in hexadecimal.
    fn check(kind: OpCode, hex: &str, txn: Txn<'_>, digest: Option<TxnDigest>) {
        let header = TxnHeader {
            client_id: SessionId(0x100_0020_1fb2_0000),
            cxid: 7,
            zxid: Zxid(0x1e),
            time_ms: 1_795_250_568_721,
            kind,
        };
        let mut bytes = header.to_bytes().to_vec();
        bytes.extend(unhex(hex));
        let expected = TxnRecord { header, txn, digest };
        assert_eq!(TxnRecord::from_bytes(&bytes), Ok(expected.clone()));
        assert_eq!(expected.to_bytes(), bytes);
    }

    fn unhex(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }

    fn digest(tree_digest: u64) -> TxnDigest {
        TxnDigest { version: TxnDigest::VERSION, tree_digest }
    }

    const OPEN_HEX: &str = "000000010000001f00000005776f726c6400000006616e796f6e65";

    #[test]
    fn a_real_log_decodes_and_encodes_to_the_same_bytes() {
        let mut kinds = std::collections::BTreeSet::new();
        for (i, bytes) in real_log().enumerate() {
            let record = TxnRecord::from_bytes(bytes).unwrap();
            assert_eq!(record.header.zxid, Zxid(i64::try_from(i).unwrap() + 1));
            assert_eq!(record.to_bytes(), bytes);
            assert_eq!(record.digest.is_none(), record.header.kind == OpCode::Error);
            kinds.insert(record.header.kind.wire());
        }
        assert_eq!(
            kinds.into_iter().collect::<Vec<_>>(),
            [-11, -10, -1, 1, 2, 5, 7, 14, 15, 19, 20, 21]
        );
    }

    #[test]
    fn golden_records() {
        let open = AclList::from_bytes(AclList::OPEN).unwrap();
        check(
            OpCode::Create,
            &format!("000000042f6570680000000165{OPEN_HEX}01000000050000000200000003eb3a5a4f"),
            Txn::Create(CreateTxn {
                path: Cow::Borrowed("/eph"),
                data: Some(b"e"),
                acl: open,
                ephemeral: true,
                parent_cversion: Some(5),
            }),
            Some(digest(0x3_eb3a_5a4f)),
        );
        check(
            OpCode::CreateContainer,
            &format!("000000052f636f6e740000000163{OPEN_HEX}00000007000000020000000536e54d0f"),
            Txn::CreateContainer(CreateTxn {
                path: Cow::Borrowed("/cont"),
                data: Some(b"c"),
                acl: open,
                ephemeral: false,
                parent_cversion: Some(7),
            }),
            Some(digest(0x5_36e5_4d0f)),
        );
        check(
            OpCode::CreateTtl,
            &format!(
                "000000042f74746c0000000174{OPEN_HEX}\
                 0000000800000000000493e00000000200000006579e9dba"
            ),
            Txn::CreateTtl(CreateTtlTxn {
                path: Cow::Borrowed("/ttl"),
                data: Some(b"t"),
                acl: open,
                parent_cversion: 8,
                ttl_ms: 300_000,
            }),
            Some(digest(0x6_579e_9dba)),
        );
        check(
            OpCode::SetData,
            "000000022f6100000009616c7068612074776f0000000100000002000000031aa4abe1",
            Txn::SetData(SetDataTxn {
                path: Cow::Borrowed("/a"),
                data: Some(b"alpha two"),
                version: 1,
            }),
            Some(digest(0x3_1aa4_abe1)),
        );
        check(
            OpCode::Delete,
            "000000022f6e000000020000000371bac32b",
            Txn::Delete { path: Cow::Borrowed("/n") },
            Some(digest(0x3_71ba_c32b)),
        );
        check(OpCode::Error, "ffffff92", Txn::Error { code: -110 }, None);
        check(
            OpCode::CreateSession,
            "00002710000000020000000051c6d660",
            Txn::CreateSession { timeout_ms: 10_000 },
            Some(digest(1_371_985_504)),
        );
    }

    #[test]
    fn a_create_of_before_3_4_has_no_parent_version() {
        check(
            OpCode::Create,
            &format!("000000022f61ffffffff{OPEN_HEX}00"),
            Txn::Create(CreateTxn {
                path: Cow::Borrowed("/a"),
                data: None,
                acl: AclList::from_bytes(AclList::OPEN).unwrap(),
                ephemeral: false,
                parent_cversion: None,
            }),
            None,
        );
    }

    #[test]
    fn close_session_with_and_without_body() {
        let none = || Txn::CloseSession(CloseSessionTxn::default());
        check(OpCode::CloseSession, "", none(), None);
        check(
            OpCode::CloseSession,
            "000000020000000051c6d660",
            none(),
            Some(digest(1_371_985_504)),
        );

        let body = "00000001000000042f6d2f78";
        let with_digest = format!("{body}0000000200000008b2948f07");
        for (hex, digest) in [(body, None), (&with_digest, Some(digest(0x8_b294_8f07)))] {
            let vector = unhex(body);
            let txn = Txn::CloseSession(CloseSessionTxn::from_bytes(&vector).unwrap());
            check(OpCode::CloseSession, hex, txn.clone(), digest);
            let Txn::CloseSession(close) = txn else { unreachable!() };
            assert_eq!(close.paths().collect::<Vec<_>>(), ["/m/x"]);
        }
    }

    #[test]
    fn a_failed_multi_keeps_what_came_before_the_failing_operation() {
        let multi = real_log()
            .map(|bytes| TxnRecord::from_bytes(bytes).unwrap().txn)
            .filter_map(|txn| match txn {
                Txn::Multi(multi) => Some(multi),
                _ => None,
            })
            .find(|multi| multi.error().is_some())
            .unwrap();
        let ops: Vec<_> = multi.ops().collect();
        assert_eq!(multi.error(), Some(-103));
        assert!(matches!(&ops[0], (OpCode::Create, Txn::Create(create)) if create.path == "/m2"));
        assert_eq!(ops[1], (OpCode::Error, Txn::Error { code: -103 }));
        assert_eq!(ops[2], (OpCode::Error, Txn::Error { code: -2 }));
    }

    #[test]
    fn a_multi_written_anew_has_the_same_bytes() {
        for bytes in real_log() {
            let record = TxnRecord::from_bytes(bytes).unwrap();
            let Txn::Multi(multi) = &record.txn else { continue };
            let mut out = BytesMut::from(&bytes[..TxnHeader::SIZE]);
            let mut writer = MultiWriter::begin(&mut out);
            for (kind, txn) in multi.ops() {
                writer.push(&mut out, kind, &txn);
            }
            writer.finish(&mut out);
            record.digest.unwrap().encode(&mut out);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn what_is_no_transaction_is_refused() {
        let whole = real_log().nth(2).unwrap();
        for end in 0..whole.len() {
            // The digest, and by the rule for old creates the parent's version, may be missing.
            let legal = [whole.len() - 12, whole.len() - 16].contains(&end);
            assert_eq!(TxnRecord::from_bytes(&whole[..end]).is_ok(), legal, "cut at {end}");
        }
        let mut no_such_kind = whole.to_vec();
        no_such_kind[31] = 4;
        assert_eq!(
            TxnRecord::from_bytes(&no_such_kind),
            Err(DecodeError::BadValue { field: "transaction type", value: 4 })
        );
        // A multi inside a multi.
        let mut nested = BytesMut::new();
        nested.put_int(1);
        nested.put_int(OpCode::Multi.wire());
        nested.put_buffer(Some(&[0; 4]));
        assert!(MultiTxn::from_bytes(&nested).is_err());
    }
}
