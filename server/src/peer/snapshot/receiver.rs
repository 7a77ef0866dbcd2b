//! A snapshot's bytes into a tree.

use bytes::{Buf, BytesMut};
use quorate_protocol::{AclList, Decode, DecodeError, SessionId, Zxid};

use super::{END, NUMBERS, Place, SESSION, SIGNATURE};
use crate::tree::{LoadError, StoredNode, Tree, TreeLoader};

/// What has come of a snapshot so far.
#[derive(Debug)]
pub enum Received {
    /// It goes on.
    Incomplete,
    /// All of it.
    Tree(Box<Tree>),
}

/// Bytes that are no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// A string, a buffer or a list is longer than allowed, of negative length, or null.
    #[error("snapshot: {part} of length {length}, which is outside 0..={limit}")]
    Length {
        /// What it is.
        part: &'static str,
        /// How long it is, as far as is known.
        length: i64,
        /// The longest that is accepted.
        limit: usize,
    },
    /// A node's path is no text.
    #[error("snapshot: a node's path is not UTF-8")]
    Text,
    /// An ACL cannot be read.
    #[error("snapshot: ACL {number}: {source}")]
    Acl {
        /// Its number.
        number: i64,
        /// What is wrong.
        source: DecodeError,
    },
    /// The nodes are no tree.
    #[error("snapshot: {0}")]
    Load(#[from] LoadError),
    /// What must be at the end is not.
    #[error("snapshot: the signature is missing at its end")]
    Signature,
}

/// Receives a snapshot bit by bit.
///
/// No more is kept of what has come than the tree and, in the caller's buffer, a record that is
/// not all there.
///
/// A ZooKeeper server's snapshot is not of one moment: it can show effects of transactions behind
/// its zxid. The tree is therefore lenient (see [`Tree::set_lenient`]) and is exact again when
/// everything has been applied that was committed in the stream before `NEWLEADER`: the leader
/// announces a transaction's commit to this link before it applies it, and writes `NEWLEADER` when
/// the snapshot is written. Until then digests in transactions can differ from the tree's.
#[derive(Debug)]
pub struct SnapshotReceiver {
    zxid: Zxid,
    limit: usize,
    loader: TreeLoader,
    stage: Stage,
    place: Place,
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum Stage {
    SessionCount,
    /// So many sessions.
    Sessions(u32),
    AclCount,
    /// So many ACLs.
    Acls(u32),
    Nodes,
    Signature,
    Done,
}

/// Why a record was not read.
enum Stop {
    /// It is not all there.
    Incomplete,
    Error(SnapshotError),
}

impl<E: Into<SnapshotError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl SnapshotReceiver {
    /// A receiver of the snapshot whose last transaction is `zxid`. `limit` is the greatest length
    /// of a path, of data, and of an ACL. For `seed` see [`Tree::new`].
    pub fn new(zxid: Zxid, limit: usize, seed: u64) -> Self {
        Self::of(Place::Wire, zxid, limit, seed)
    }

    /// As [`new`](Self::new), of a snapshot that is kept or sent there.
    pub fn of(place: Place, zxid: Zxid, limit: usize, seed: u64) -> Self {
        Self { zxid, limit, loader: TreeLoader::new(seed), stage: Stage::SessionCount, place }
    }

    /// Takes from the beginning of `input` what has come. What is behind the snapshot's end stays.
    ///
    /// # Errors
    /// When it is no snapshot; nothing can be done then with this receiver nor with what follows.
    ///
    /// # Panics
    /// When the tree was already handed out.
    pub fn receive(&mut self, input: &mut BytesMut) -> Result<Received, SnapshotError> {
        let (taken, received) = self.take(input);
        input.advance(taken);
        received
    }

    /// As [`receive`](Self::receive), of bytes that are not the receiver's: says how many of them
    /// it has taken.
    pub fn take(&mut self, input: &[u8]) -> (usize, Result<Received, SnapshotError>) {
        let mut records = Records { bytes: input, at: 0, limit: self.limit };
        let stop = loop {
            let start = records.at;
            if let Err(stop) = self.record(&mut records) {
                records.at = start;
                break Some(stop);
            }
            if matches!(self.stage, Stage::Done) {
                break None;
            }
        };
        let received = match stop {
            Some(Stop::Incomplete) => Ok(Received::Incomplete),
            Some(Stop::Error(error)) => Err(error),
            None => {
                let loader = std::mem::replace(&mut self.loader, TreeLoader::new(0));
                let tree = loader.finish(self.zxid).map_err(SnapshotError::from);
                tree.map(|tree| Received::Tree(Box::new(tree)))
            }
        };
        (records.at, received)
    }

    /// Reads what comes next, all of it or nothing.
    fn record(&mut self, input: &mut Records<'_>) -> Result<(), Stop> {
        self.stage = match self.stage {
            Stage::SessionCount => Stage::Sessions(input.count()?),
            Stage::Sessions(0) => Stage::AclCount,
            Stage::Sessions(left) => {
                let session: &[u8; SESSION] = input.array()?;
                let (id, timeout_ms) = session.split_first_chunk().expect("12 bytes");
                let timeout_ms = timeout_ms.try_into().expect("4 bytes");
                let id = SessionId(i64::from_be_bytes(*id));
                self.loader.session(id, i32::from_be_bytes(timeout_ms));
                Stage::Sessions(left - 1)
            }
            Stage::AclCount => Stage::Acls(input.count()?),
            Stage::Acls(0) => Stage::Nodes,
            Stage::Acls(left) => {
                let number = i64::from_be_bytes(*input.array()?);
                let acl = AclList::from_bytes(input.acl()?)
                    .map_err(|source| SnapshotError::Acl { number, source })?;
                self.loader.acl(number, acl);
                Stage::Acls(left - 1)
            }
            Stage::Nodes => {
                let path = input.string("path")?;
                let path = std::str::from_utf8(path).map_err(|_| SnapshotError::Text)?;
                if path == END {
                    match self.place {
                        Place::Wire => Stage::Signature,
                        Place::File => Stage::Done,
                    }
                } else {
                    let data = input.buffer("data")?;
                    self.loader.node(&node(path, data, input.array()?))?;
                    Stage::Nodes
                }
            }
            Stage::Signature => {
                if input.string("signature")? != SIGNATURE.as_bytes() {
                    return Err(SnapshotError::Signature.into());
                }
                Stage::Done
            }
            Stage::Done => unreachable!("the snapshot was received already"),
        };
        Ok(())
    }
}

fn node<'a>(path: &'a str, data: Option<&'a [u8]>, numbers: &[u8; NUMBERS]) -> StoredNode<'a> {
    let long = |at: usize| i64::from_be_bytes(numbers[at..at + 8].try_into().expect("8 bytes"));
    let int = |at: usize| i32::from_be_bytes(numbers[at..at + 4].try_into().expect("4 bytes"));
    StoredNode {
        path,
        data,
        acl: long(0),
        czxid: Zxid(long(8)),
        mzxid: Zxid(long(16)),
        ctime: long(24),
        mtime: long(32),
        version: int(40),
        create_count: int(44),
        aversion: int(48),
        owner: long(52),
        pzxid: Zxid(long(60)),
    }
}

/// Reads what may not be all there.
struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    limit: usize,
}

impl<'a> Records<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        let taken = self.bytes[self.at..].get(..length).ok_or(Stop::Incomplete)?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Stop> {
        Ok(self.take(N)?.try_into().expect("of this length"))
    }

    fn int(&mut self) -> Result<i32, Stop> {
        Ok(i32::from_be_bytes(*self.array()?))
    }

    /// A count in front of records. `Compat:` negative ones mean none.
    fn count(&mut self) -> Result<u32, Stop> {
        Ok(self.int()?.max(0).cast_unsigned())
    }

    /// A length up to the limit; `None` is null.
    fn length(&mut self, part: &'static str) -> Result<Option<usize>, Stop> {
        let length = self.int()?;
        if length == -1 {
            return Ok(None);
        }
        match usize::try_from(length) {
            Ok(n) if n <= self.limit => Ok(Some(n)),
            _ => Err(self.wrong_length(part, length.into()).into()),
        }
    }

    fn wrong_length(&self, part: &'static str, length: i64) -> SnapshotError {
        SnapshotError::Length { part, length, limit: self.limit }
    }

    fn buffer(&mut self, part: &'static str) -> Result<Option<&'a [u8]>, Stop> {
        match self.length(part)? {
            None => Ok(None),
            Some(length) => self.take(length).map(Some),
        }
    }

    fn string(&mut self, part: &'static str) -> Result<&'a [u8], Stop> {
        self.buffer(part)?.ok_or_else(|| self.wrong_length(part, -1).into())
    }

    /// The bytes of a list of ACL entries: int, two strings each.
    fn acl(&mut self) -> Result<&'a [u8], Stop> {
        const PART: &str = "ACL";
        let start = self.at;
        let count = self.int()?;
        if count < 0 || count.cast_unsigned() as usize > self.limit / 12 {
            return Err(self.wrong_length(PART, 12 * i64::from(count)).into());
        }
        for _ in 0..count {
            self.int()?;
            self.buffer(PART)?;
            self.buffer(PART)?;
            if self.at - start > self.limit {
                return Err(self
                    .wrong_length(PART, ((self.at - start) as u64).cast_signed())
                    .into());
            }
        }
        Ok(&self.bytes[start..self.at])
    }
}
