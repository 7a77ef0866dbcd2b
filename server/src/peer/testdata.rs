//! What real servers wrote, by `testdata/record.sh`.

use bytes::BytesMut;
use quorate_protocol::{Decoder, Zxid, codec::PutJute};

/// A snapshot file of a ZooKeeper 3.9.5 server.
const SNAPSHOT: &[u8] = include_bytes!("testdata/zookeeper-3.9.5.snapshot");
/// What was said on the quorum port of the leader of three such servers, from its beginning.
pub(super) const FROM_FOLLOWER: &[u8] = include_bytes!("testdata/zookeeper-3.9.5.from-follower");
pub(super) const TO_FOLLOWER: &[u8] = include_bytes!("testdata/zookeeper-3.9.5.to-follower");
pub(super) const FROM_OBSERVER: &[u8] = include_bytes!("testdata/zookeeper-3.9.5.from-observer");
pub(super) const TO_OBSERVER: &[u8] = include_bytes!("testdata/zookeeper-3.9.5.to-observer");

/// The snapshot as it would be on the wire, its zxid, and the digest of its tree.
pub(super) fn snapshot_file() -> (BytesMut, Zxid, u64) {
    // Behind a header of 16 bytes the nodes; then a seal (a long and the string "/"), zxid and
    // digest, a seal, the zxid again and a seal.
    let end = SNAPSHOT.len() - 13 - 8 - 13 - 20 - 13;
    let mut body = BytesMut::from(&SNAPSHOT[16..end]);
    body.put_ustring("BenWasHere");
    let mut trailer = Decoder::new(&SNAPSHOT[end + 13..]);
    let mut long = || trailer.long().expect("the file is complete");
    let zxid = Zxid(long());
    let version = trailer.int().expect("the file is complete");
    assert_eq!(version, 2);
    let digest = trailer.long().expect("the file is complete");
    (body, zxid, digest.cast_unsigned())
}
