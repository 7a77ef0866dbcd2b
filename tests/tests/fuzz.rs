//! Fuzz targets. `cargo test` runs each for a moment on random input; `cargo bolero` guides them by
//! coverage (see `docs/testing.md`).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use quorate_protocol::{
    AclList, Decode, Encode, ErrorCode, OpCode, SessionId, Stat, Xid, Zxid, frame, record,
};
use quorate_server::{
    request::{Prepared, Preparer, Request, Settings},
    storage::{
        fs::{Fs as _, MemoryFs},
        log::{Batch, Log, LogError, LogFiles, Options},
    },
    tree::Tree,
    txn::TxnRecord,
    watch::ConnId,
};
use quorate_tests::Op;

/// However a stream arrives, the same frames come out of it, and none is longer than the limit.
#[test]
fn frames() {
    const LIMIT: usize = 64;
    bolero::check!().with_type::<(Vec<u8>, u8)>().for_each(|(stream, cut)| {
        let whole = frames_of([&stream[..]], LIMIT);
        let pieces = stream.chunks(usize::from(*cut).max(1));
        assert_eq!(whole, frames_of(pieces, LIMIT));
        assert!(whole.0.iter().all(|frame| frame.len() <= LIMIT));
    });
}

/// The frames of a stream, and whether it ended with a length that is not allowed.
fn frames_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> (Vec<Bytes>, bool) {
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match frame::next_frame(&mut buffer, limit) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}

/// A macro, because a function could not name the two lifetimes a record is decoded with.
macro_rules! there_and_back {
    ($record:ty, $bytes:expr) => {
        if let Ok(first) = <$record>::from_bytes($bytes) {
            let encoded = first.to_bytes();
            let second = <$record>::from_bytes(&encoded).expect("what was encoded decodes");
            assert_eq!(first, second);
        }
    };
}

/// What decodes is the same after it was encoded and decoded again.
#[test]
fn records() {
    bolero::check!().with_type::<(u8, Vec<u8>)>().for_each(|(kind, bytes)| match kind % 20 {
        0 => there_and_back!(record::ConnectRequest<'_>, bytes),
        1 => there_and_back!(record::RequestHeader, bytes),
        2 => there_and_back!(record::CreateRequest<'_>, bytes),
        3 => there_and_back!(record::CreateTtlRequest<'_>, bytes),
        4 => there_and_back!(record::DeleteRequest<'_>, bytes),
        5 => there_and_back!(record::SetDataRequest<'_>, bytes),
        6 => there_and_back!(record::SetAclRequest<'_>, bytes),
        7 => there_and_back!(record::CheckRequest<'_>, bytes),
        8 => there_and_back!(record::PathWatchRequest<'_>, bytes),
        9 => there_and_back!(record::ReconfigRequest<'_>, bytes),
        10 => there_and_back!(record::AddWatchRequest<'_>, bytes),
        11 => there_and_back!(record::RemoveWatchesRequest<'_>, bytes),
        12 => there_and_back!(record::SetWatchesRequest<'_>, bytes),
        13 => there_and_back!(record::SetWatches2Request<'_>, bytes),
        14 => there_and_back!(record::WatcherEvent<'_>, bytes),
        15 => there_and_back!(record::AuthRequest<'_>, bytes),
        16 => there_and_back!(AclList<'_>, bytes),
        17 => there_and_back!(Stat, bytes),
        18 => drop(record::MultiOps::new(OpCode::Multi, bytes).count()),
        _ => drop(TxnRecord::from_bytes(bytes).map(|txn| format!("{txn:?}"))),
    });
}

/// Transactions in the log under test: this many are known to be durable by a mark behind them,
/// and this many follow.
const MARKED: i64 = 12;
const UNMARKED: i64 = 5;

/// A damaged log gives back the beginning of what was written, or an error, and never loses in
/// silence what a mark vouches for.
#[test]
fn log_files() {
    bolero::check!().with_type::<Vec<(u32, u8)>>().for_each(|damages| {
        let (fs, dir) = (Arc::new(MemoryFs::new()), Path::new("/log"));
        let segment = write_log(&fs, dir);
        fs.damage(&segment, |bytes| {
            // What lies behind the records is all zeros; damage where it can matter.
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            for (offset, mask) in damages {
                let offset = usize::try_from(*offset).expect("32 bits") % (used + 64);
                bytes[offset] ^= mask;
            }
        });
        if let Ok(read) = read_log(&fs, dir) {
            assert!(read <= MARKED + UNMARKED);
            let hit = damages.iter().filter(|(_, mask)| *mask != 0).count();
            assert!(hit > 1 || read >= MARKED, "{read} of {MARKED} are left");
            assert!(hit > 0 || read == MARKED + UNMARKED);
        }
    });
}

fn body_of(zxid: i64) -> [u8; 24] {
    let mut body = [0x5a; 24];
    body[..8].copy_from_slice(&zxid.to_be_bytes());
    body
}

/// Writes the transactions and answers the one file they are in.
fn write_log(fs: &Arc<MemoryFs>, dir: &Path) -> PathBuf {
    let options = Options { segment_bytes: 16 << 10 };
    let mut log = Log::create(fs.clone(), dir, options, 7, 1, Zxid::ZERO).expect("an empty folder");
    for zxids in [1..=MARKED, MARKED + 1..=MARKED + UNMARKED] {
        let mut batch = Batch::new();
        for zxid in zxids {
            batch.push(Zxid(zxid), |out| out.extend_from_slice(&body_of(zxid)));
        }
        log.append(&mut batch).expect("there is room");
        log.sync().expect("memory does not fail");
    }
    // Dropped as by a kill: nothing is sealed.
    drop(log);
    let files = fs.list(dir).expect("the folder is there");
    let segment =
        files.iter().max_by_key(|name| fs.open(&dir.join(name)).and_then(|f| f.size()).ok());
    dir.join(segment.expect("there is a segment"))
}

/// How many transactions can be read, each of which is the one that was written.
fn read_log(fs: &Arc<MemoryFs>, dir: &Path) -> Result<i64, LogError> {
    let options = Options { segment_bytes: 16 << 10 };
    let Some(files) = LogFiles::find(fs.clone(), dir, options)? else {
        return Ok(0);
    };
    let log = files.replay(Zxid::ZERO)?.finish()?;
    let mut reader = log.source().open(Zxid::ZERO).expect("it begins there");
    let mut last = 0;
    while let Some((zxid, body)) = reader.next(log.last_zxid()).expect("it was verified") {
        last += 1;
        assert_eq!((zxid, body), (Zxid(last), &body_of(last)[..]));
    }
    assert_eq!(log.last_zxid(), Zxid(last));
    Ok(last)
}

/// Any sequence of writes, prepared while others are pending, leaves the tree that a plain map
/// would be, and is refused where a plain map refuses.
#[test]
fn operation_sequences() {
    bolero::check!().with_type::<Vec<[u8; 4]>>().for_each(|steps| {
        let mut server = Pipeline::new();
        let mut model = BTreeMap::from([(String::new(), (Vec::new(), 0))]);
        for [kind, path, version, flush] in steps {
            let ops: Vec<_> = if kind % 5 == 4 {
                vec![write(*kind / 5, *path, *version), write(kind / 25, path / 7, version / 7)]
            } else {
                vec![write(kind % 5, *path, *version)]
            };
            let wanted = apply_to_model(&mut model, &ops);
            server.push(&ops, wanted);
            if flush % 4 == 0 {
                server.flush();
            }
        }
        server.flush();
        for (path, (data, version)) in &model {
            let shown = if path.is_empty() { "/" } else { path };
            let node = server.tree.get(shown).expect("what the model has is there");
            assert_eq!(node.stat().version, *version, "{shown}");
            assert_eq!(node.data().unwrap_or_default(), &data[..], "{shown}");
        }
        // The model has no system nodes: three of them, and an alias of the root.
        assert_eq!(server.tree.node_count(), model.len() + 4);
    });
}

/// One of few writes on few paths.
fn write(kind: u8, path: u8, version: u8) -> Op {
    let names = ["/a", "/b"];
    let depth = path % 3 + 1;
    let path: String = (0..depth).map(|i| names[usize::from(path >> i & 1)]).collect();
    let version = i32::from(version % 4) - 1;
    let data = [kind, depth];
    match kind % 3 {
        0 => Op::create(&path, &data, 0),
        1 => Op::Delete(path, version),
        _ => Op::SetData(path, Some(data.to_vec()), version),
    }
}

type Model = BTreeMap<String, (Vec<u8>, i32)>;

/// Applies all operations, or none and says why.
fn apply_to_model(model: &mut Model, ops: &[Op]) -> Result<(), ErrorCode> {
    let mut next = model.clone();
    for op in ops {
        match op {
            Op::Create(_, node) => {
                let parent = node.path.rsplit_once('/').map_or("", |(parent, _)| parent);
                if !next.contains_key(parent) {
                    return Err(ErrorCode::NoNode);
                }
                if next.contains_key(&node.path) {
                    return Err(ErrorCode::NodeExists);
                }
                next.insert(node.path.clone(), (node.data.clone().unwrap_or_default(), 0));
            }
            Op::Delete(path, version) => {
                check_version(&next, path, *version)?;
                let below = format!("{path}/");
                if next.keys().any(|other| other.starts_with(&below)) {
                    return Err(ErrorCode::NotEmpty);
                }
                next.remove(path);
            }
            Op::SetData(path, data, version) => {
                check_version(&next, path, *version)?;
                let node = next.get_mut(path).expect("its version was checked");
                *node = (data.clone().unwrap_or_default(), node.1 + 1);
            }
            _ => unreachable!("write() makes no others"),
        }
    }
    *model = next;
    Ok(())
}

fn check_version(model: &Model, path: &str, version: i32) -> Result<(), ErrorCode> {
    let (_, present) = model.get(path).ok_or(ErrorCode::NoNode)?;
    if version == -1 || version == *present { Ok(()) } else { Err(ErrorCode::BadVersion) }
}

/// The deciding part of a server: what is prepared waits until it is flushed into the tree.
struct Pipeline {
    tree: Tree,
    preparer: Preparer,
    waiting: Vec<(BytesMut, Zxid, Result<(), ErrorCode>)>,
}

const SESSION: SessionId = SessionId(1);

impl Pipeline {
    fn new() -> Self {
        let tree = Tree::new(0);
        let preparer = Preparer::new(Settings::default(), &tree, 0);
        let mut this = Self { tree, preparer, waiting: Vec::new() };
        this.prepare(&Request::create_session(SESSION, ConnId::NONE, 10_000), Ok(()));
        this
    }

    fn push(&mut self, ops: &[Op], wanted: Result<(), ErrorCode>) {
        let multi = Op::Multi(OpCode::Multi, ops.to_vec());
        let op = if let [op] = ops { op } else { &multi };
        let mut body = BytesMut::new();
        op.encode(&mut body);
        let request = Request {
            session: SESSION,
            conn: ConnId::NONE,
            xid: Xid(1),
            op: OpCode::from_wire(op.code()).expect("write() makes known operations"),
            body: body.freeze(),
            auth: Arc::from([]),
            is_local: false,
        };
        self.prepare(&request, wanted);
    }

    fn prepare(&mut self, request: &Request, wanted: Result<(), ErrorCode>) {
        let mut out = BytesMut::new();
        match self.preparer.prepare(&self.tree, 1_000, request, &mut out) {
            Prepared::Logged(zxid) => self.waiting.push((out, zxid, wanted)),
            Prepared::Refused(code) => panic!("{request:?} was refused without a zxid: {code}"),
        }
    }

    fn flush(&mut self) {
        for (bytes, zxid, wanted) in self.waiting.drain(..) {
            let txn = TxnRecord::from_bytes(&bytes).expect("a prepared transaction decodes");
            let outcome = self.tree.apply(&txn, &mut |_| {});
            // Of a multi, the first error that is not just another operation's.
            let causes = outcome.multi.iter().map(|op| op.error);
            let silent = [ErrorCode::Ok, ErrorCode::RuntimeInconsistency];
            let cause = causes.chain([outcome.error]).find(|code| !silent.contains(code));
            assert_eq!(cause.map_or(Ok(()), Err), wanted, "{txn:?}");
            assert_eq!(outcome.digest_mismatch, None, "{txn:?}");
            self.preparer.applied(zxid);
        }
    }
}
