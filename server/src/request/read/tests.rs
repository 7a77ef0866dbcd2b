//! Each read against a small tree: what it answers, and which watches it leaves.

use bytes::{Buf, BytesMut};
use quorate_protocol::{
    Acl, AclList, Decode, Decoder, Encode, ErrorCode, Id, OpCode, Perms, SessionId, Stat, Xid,
    Zxid, frame,
    record::{
        AddWatchRequest, Children2Response, ChildrenResponse, EphemeralsRequest,
        EphemeralsResponse, EventType, GetAclResponse, GetDataResponse, MultiHeader, MultiOp,
        MultiResult, MultiResults, PathRequest, PathWatchRequest, RemoveWatchesRequest,
        ReplyHeader, SetWatches2Request, SetWatchesRequest, SyncRequest, SyncResponse,
        WatcherEvent, WatcherType, WhoAmIResponse,
    },
};

use super::{Read, execute};
use crate::{
    tree::Tree,
    txn::{CreateTxn, SetDataTxn, Txn, TxnHeader, TxnRecord},
    watch::{ConnId, WatchTable},
};

const SESSION: SessionId = SessionId(7);
const CONN: ConnId = ConnId(1);
const NO_WATCH: WatcherType = WatcherType::Any;

/// A tree with
/// - `/open` (data `abc`) and its children `a` and `bb`,
/// - `/null`, whose data is null, readable and writable by everyone,
/// - `/mine`, of `user:hash` only, and `/shown`, which everyone may read as well,
/// - `/e` and `/foo`, ephemeral nodes of the session.
struct Fixture {
    tree: Tree,
    watches: WatchTable,
}

impl Fixture {
    fn new() -> Self {
        let mut fixture = Self { tree: Tree::new(1), watches: WatchTable::new(1) };
        fixture.watches.add_connection(CONN);
        fixture.apply(OpCode::CreateSession, Txn::CreateSession { timeout_ms: 4000 });
        let user = Acl { perms: Perms::ALL, id: Id::new("digest", "user:hash") };
        let mine = [user.clone()].to_bytes();
        let shown = [user, Acl::world(Perms::READ)].to_bytes();
        for (path, data, acl, ephemeral) in [
            ("/open", Some(&b"abc"[..]), AclList::OPEN, false),
            ("/open/a", Some(b""), AclList::OPEN, false),
            ("/open/bb", Some(b""), AclList::OPEN, false),
            ("/null", None, AclList::OPEN, false),
            ("/mine", Some(b"secret"), &mine, false),
            ("/shown", Some(b""), &shown, false),
            ("/e", Some(b""), AclList::OPEN, true),
            ("/foo", Some(b""), AclList::OPEN, true),
        ] {
            fixture.create(path, data, acl, ephemeral);
        }
        fixture
    }

    fn apply(&mut self, kind: OpCode, txn: Txn<'_>) {
        let zxid = Zxid(self.tree.last_zxid().0 + 1);
        let header = TxnHeader { client_id: SESSION, cxid: 0, zxid, time_ms: 1, kind };
        self.tree.apply(&TxnRecord { header, txn, digest: None }, &mut |_| {});
    }

    fn create(&mut self, path: &str, data: Option<&[u8]>, acl: &[u8], ephemeral: bool) {
        let acl = AclList::from_bytes(acl).unwrap();
        let path = path.into();
        let create = CreateTxn { path, data, acl, ephemeral, parent_cversion: None };
        self.apply(OpCode::Create, Txn::Create(create));
    }

    /// The frames that a request is answered with.
    fn frames(&self, op: OpCode, body: &[u8], ids: &[Id]) -> Vec<(ReplyHeader, Vec<u8>)> {
        let request = Read { session: SESSION, conn: CONN, xid: Xid(5), op, body, ids };
        let mut out = BytesMut::new();
        execute(&self.tree, &self.watches, &request, &mut out);
        let mut frames = Vec::new();
        while let Some(frame) = frame::peek_frame(&out, usize::MAX).unwrap() {
            let length = frame.len();
            let mut input = Decoder::new(frame);
            frames.push((ReplyHeader::decode(&mut input).unwrap(), input.rest().to_vec()));
            out.advance(frame::LENGTH_SIZE + length);
        }
        assert!(out.is_empty());
        frames
    }

    fn ask_as(&self, auth: &[Id], op: OpCode, request: &impl Encode) -> Result<Vec<u8>, ErrorCode> {
        let mut frames = self.frames(op, &request.to_bytes(), auth);
        assert_eq!(frames.len(), 1);
        let (header, body) = frames.remove(0);
        assert_eq!((header.xid, header.zxid), (Xid(5), self.tree.last_zxid()));
        if header.error == 0 {
            return Ok(body);
        }
        assert!(body.is_empty());
        Err(ErrorCode::from_wire(header.error).unwrap())
    }

    fn ask(&self, op: OpCode, request: &impl Encode) -> Result<Vec<u8>, ErrorCode> {
        self.ask_as(&[], op, request)
    }

    fn stat(&self, path: &str) -> Stat {
        self.tree.get(path).unwrap().stat()
    }

    fn watches(&self, path: &str, kind: WatcherType) -> bool {
        self.watches.check(CONN, path, kind)
    }
}

fn user() -> [Id; 1] {
    [Id::new("digest", "user:hash")]
}

fn path_watch(path: &str, watch: bool) -> PathWatchRequest<'_> {
    PathWatchRequest { path: path.into(), watch }
}

fn names(mut names: Vec<std::borrow::Cow<'_, str>>) -> Vec<String> {
    names.sort();
    names.into_iter().map(Into::into).collect()
}

/// What goes wrong, and what is watched afterwards; `Any` where nothing is.
#[test]
fn refusals_and_the_watches_they_leave() {
    use ErrorCode::{BadArguments, NoAuth, NoNode};
    use OpCode::{Exists, GetChildren, GetChildren2, GetData};
    let fixture = Fixture::new();
    for (op, path, code, watch) in [
        (Exists, "/none", NoNode, WatcherType::Data),
        (Exists, "/mine", NoAuth, NO_WATCH),
        (Exists, "/a\0b", BadArguments, NO_WATCH),
        (Exists, "//", NoNode, WatcherType::Data),
        (Exists, "no slash", NoNode, WatcherType::Data),
        (GetData, "/none", NoNode, NO_WATCH),
        (GetData, "/mine", NoAuth, NO_WATCH),
        (GetData, "/a\0b", NoNode, NO_WATCH),
        (GetData, "/open/", NoNode, NO_WATCH),
        (GetChildren, "/none", NoNode, NO_WATCH),
        (GetChildren, "/mine", NoAuth, NO_WATCH),
        (GetChildren2, "/none", NoNode, NO_WATCH),
        (GetChildren2, "/mine", NoAuth, NO_WATCH),
    ] {
        assert_eq!(fixture.ask(op, &path_watch(path, false)), Err(code), "{op} {path}");
        assert!(!fixture.watches(path, WatcherType::Any), "{op} {path} without a watch");
        assert_eq!(fixture.ask(op, &path_watch(path, true)), Err(code), "{op} {path}");
        assert_eq!(fixture.watches(path, watch), watch != NO_WATCH, "{op} {path}");
        fixture.watches.remove(CONN, path, WatcherType::Any);
    }
    for op in [OpCode::GetAcl, OpCode::GetAllChildrenNumber] {
        for (path, code) in [("/none", NoNode), ("/mine", NoAuth), ("/open/", NoNode)] {
            assert_eq!(fixture.ask(op, &PathRequest { path: path.into() }), Err(code));
        }
    }
}

#[test]
fn a_body_that_cannot_be_decoded() {
    let fixture = Fixture::new();
    let null_path = [255, 255, 255, 255, 1];
    for op in [
        OpCode::Exists,
        OpCode::GetData,
        OpCode::GetChildren,
        OpCode::GetChildren2,
        OpCode::GetAcl,
        OpCode::GetAllChildrenNumber,
        OpCode::AddWatch,
        OpCode::CheckWatches,
        OpCode::RemoveWatches,
        OpCode::SetWatches,
        OpCode::SetWatches2,
        OpCode::MultiRead,
    ] {
        for body in [&[][..], &[0, 0, 0, 9, b'/'], &null_path] {
            let frames = fixture.frames(op, body, &[]);
            let error = ErrorCode::MarshallingError.wire();
            let header = ReplyHeader { xid: Xid(5), zxid: fixture.tree.last_zxid(), error };
            assert_eq!(frames, [(header, vec![])], "{op} {body:?}");
        }
    }
    assert!(fixture.watches.is_empty());
}

#[test]
fn exists_and_get_data() {
    let fixture = Fixture::new();
    for (path, data, auth) in [
        ("/open", Some(&b"abc"[..]), &[][..]),
        ("/open/a", Some(b""), &[]),
        ("/null", None, &[]),
        ("/mine", Some(b"secret"), &user()),
        ("/", Some(b""), &[]),
        ("", Some(b""), &[]),
    ] {
        let stat = fixture.stat(path);
        let body = fixture.ask_as(auth, OpCode::Exists, &path_watch(path, false)).unwrap();
        assert_eq!(body, stat.to_bytes(), "{path}");
        let body = fixture.ask_as(auth, OpCode::GetData, &path_watch(path, false)).unwrap();
        assert_eq!(body, GetDataResponse { data, stat }.to_bytes(), "{path}");
        for op in [OpCode::Exists, OpCode::GetData] {
            assert!(!fixture.watches(path, WatcherType::Any));
            fixture.ask_as(auth, op, &path_watch(path, true)).unwrap();
            assert!(fixture.watches.remove(CONN, path, WatcherType::Data));
        }
    }
    assert!(fixture.watches.is_empty());
}

#[test]
fn children() {
    let fixture = Fixture::new();
    for (path, children) in [
        ("/open", &["a", "bb"][..]),
        ("/open/a", &[]),
        ("/e", &[]),
        ("/", &["e", "foo", "mine", "null", "open", "shown", "zookeeper"]),
        ("/zookeeper", &["config", "quota"]),
    ] {
        let body = fixture.ask(OpCode::GetChildren, &path_watch(path, false)).unwrap();
        assert_eq!(names(ChildrenResponse::from_bytes(&body).unwrap().children), children);
        let body = fixture.ask(OpCode::GetChildren2, &path_watch(path, true)).unwrap();
        let response = Children2Response::from_bytes(&body).unwrap();
        assert_eq!(response.to_bytes(), body);
        assert_eq!(response.stat, fixture.stat(path));
        assert_eq!(names(response.children), children);
        assert!(fixture.watches.remove(CONN, path, WatcherType::Children));
    }
    assert!(fixture.watches.is_empty());
}

#[test]
fn acls_are_shown_by_rights() {
    let fixture = Fixture::new();
    let shown =
        |id| [Acl { perms: Perms::ALL, id: Id::new("digest", id) }, Acl::world(Perms::READ)];
    for (path, auth, acl) in [
        ("/open", &[][..], [Acl::world(Perms::ALL)].to_bytes()),
        ("/zookeeper/config", &[], [Acl::world(Perms::READ)].to_bytes()),
        ("/shown", &[], shown("user:x").to_bytes()),
        ("/shown", &user(), shown("user:hash").to_bytes()),
        ("/shown", &[Id::new("super", "")], shown("user:hash").to_bytes()),
    ] {
        let request = PathRequest { path: path.into() };
        let body = fixture.ask_as(auth, OpCode::GetAcl, &request).unwrap();
        let acl = AclList::from_bytes(&acl).unwrap();
        assert_eq!(body, GetAclResponse { acl, stat: fixture.stat(path) }.to_bytes(), "{path}");
    }
}

#[test]
fn descendants_are_counted() {
    let fixture = Fixture::new();
    for (path, total) in [("/", 11), ("/open", 2), ("/open/a", 0), ("/zookeeper", 2)] {
        let request = PathRequest { path: path.into() };
        let body = fixture.ask(OpCode::GetAllChildrenNumber, &request).unwrap();
        assert_eq!(body, i32::to_be_bytes(total), "{path}");
    }
}

#[test]
fn ephemerals_are_found_by_the_text_they_begin_with() {
    let fixture = Fixture::new();
    for (prefix, found) in [
        (None, &["/e", "/foo"][..]),
        (Some(""), &["/e", "/foo"]),
        (Some("/"), &["/e", "/foo"]),
        (Some(" / "), &["/e", "/foo"]),
        (Some("/f"), &["/foo"]),
        (Some("/foo"), &["/foo"]),
        (Some("/foo/"), &[]),
        (Some(" /f"), &[]),
    ] {
        let request = EphemeralsRequest { prefix: prefix.map(Into::into) };
        let body = fixture.ask(OpCode::GetEphemerals, &request).unwrap();
        let response = EphemeralsResponse::from_bytes(&body).unwrap();
        assert_eq!(response.to_bytes(), body);
        assert_eq!(names(response.ephemerals), found, "{prefix:?}");
    }
}

#[test]
fn what_needs_no_node() {
    let fixture = Fixture::new();
    let body = fixture.frames(OpCode::Ping, &[], &[]);
    let zxid = fixture.tree.last_zxid();
    assert_eq!(body, [(ReplyHeader { xid: Xid::PING, zxid, error: 0 }, vec![])]);
    for path in [None, Some("/none"), Some("")] {
        let request = SyncRequest { path: path.map(Into::into) };
        let body = fixture.ask(OpCode::Sync, &request).unwrap();
        assert_eq!(body, SyncResponse { path: path.map(Into::into) }.to_bytes());
    }
    let body = fixture.ask_as(&user(), OpCode::WhoAmI, &Raw(&[])).unwrap();
    let who = WhoAmIResponse::from_bytes(&body).unwrap().identities;
    assert_eq!((who.len(), &*who[0].scheme, &*who[0].user), (1, "digest", "user"));
}

#[test]
fn a_multi_read_answers_each_operation() {
    let fixture = Fixture::new();
    let mut request = BytesMut::new();
    for op in [
        MultiOp::GetData(path_watch("/open", true)),
        MultiOp::GetData(path_watch("/none", false)),
        MultiOp::GetChildren(path_watch("/open/a", true)),
        MultiOp::GetChildren(path_watch("/mine", false)),
    ] {
        op.encode(&mut request);
    }
    let unfinished = request.clone();
    MultiHeader::END.encode(&mut request);
    let body = fixture.ask(OpCode::MultiRead, &Raw(&request)).unwrap();
    let stat = fixture.stat("/open");
    assert_eq!(
        MultiResults::new(&body).collect::<Result<Vec<_>, _>>().unwrap(),
        [
            MultiResult::GetData(GetDataResponse { data: Some(b"abc"), stat }),
            MultiResult::Error(ErrorCode::NoNode.wire()),
            MultiResult::GetChildren(ChildrenResponse { children: vec![] }),
            MultiResult::Error(ErrorCode::NoAuth.wire()),
        ]
    );
    assert!(fixture.watches.is_empty());
    let empty = fixture.ask(OpCode::MultiRead, &MultiHeader::END).unwrap();
    assert_eq!(empty, MultiHeader::END.to_bytes());
    let refused = Err(ErrorCode::MarshallingError);
    assert_eq!(fixture.ask(OpCode::MultiRead, &Raw(&unfinished)), refused);
}

#[test]
fn watches_are_added_checked_and_removed() {
    let fixture = Fixture::new();
    let on = |op, path: &str, kind| {
        fixture.ask(op, &RemoveWatchesRequest { path: path.to_owned().into(), kind })
    };
    for (mode, kind) in [(0, 4), (1, 5)] {
        for path in ["/none", "/mine", "/open"] {
            assert_eq!(on(OpCode::CheckWatches, path, kind), Err(ErrorCode::NoWatcher));
            let request = AddWatchRequest { path: path.into(), mode };
            // The answer has a body: an `int` of 0.
            assert_eq!(fixture.ask(OpCode::AddWatch, &request), Ok(vec![0; 4]));
            assert_eq!(on(OpCode::CheckWatches, path, kind), Ok(vec![]));
            assert_eq!(on(OpCode::CheckWatches, path, 3), Ok(vec![]));
            assert_eq!(on(OpCode::CheckWatches, path, 2), Err(ErrorCode::NoWatcher));
            assert_eq!(on(OpCode::RemoveWatches, path, kind), Ok(vec![]));
            assert_eq!(on(OpCode::RemoveWatches, path, kind), Err(ErrorCode::NoWatcher));
        }
    }
    let refused = Err(ErrorCode::MarshallingError);
    for number in [-1, 2, 7] {
        let request = AddWatchRequest { path: "/open".into(), mode: number };
        assert_eq!(fixture.ask(OpCode::AddWatch, &request), refused);
    }
    for number in [-1, 0, 6] {
        assert_eq!(on(OpCode::CheckWatches, "/open", number), refused);
        assert_eq!(on(OpCode::RemoveWatches, "/open", number), refused);
    }
    assert!(fixture.watches.is_empty());
}

#[test]
fn what_was_missed_is_told_and_the_rest_watched() {
    let mut fixture = Fixture::new();
    let since = fixture.tree.last_zxid();
    fixture.create("/open/new", None, AclList::OPEN, false);
    let set = SetDataTxn { path: "/null".into(), data: None, version: 1 };
    fixture.apply(OpCode::SetData, Txn::SetData(set));
    let paths = || ["/none", "/null", "/open", "/mine"].map(Into::into).to_vec();
    let request =
        SetWatchesRequest { relative_zxid: since, data: paths(), exist: paths(), child: paths() };
    let mut frames = fixture.frames(OpCode::SetWatches, &request.to_bytes(), &[]);
    let zxid = fixture.tree.last_zxid();
    assert_eq!(frames.pop(), Some((ReplyHeader { xid: Xid(5), zxid, error: 0 }, vec![])));
    let told: Vec<_> = frames
        .iter()
        .map(|(header, body)| {
            assert_eq!((header.xid, header.zxid, header.error), (Xid::EVENT, Zxid(-1), 0));
            let event = WatcherEvent::from_bytes(body).unwrap();
            assert_eq!(event.state, 3);
            (event.kind, event.path)
        })
        .collect();
    assert_eq!(
        told,
        [
            (EventType::NodeDeleted, "/none".into()),
            (EventType::NodeDataChanged, "/null".into()),
            (EventType::NodeCreated, "/null".into()),
            (EventType::NodeCreated, "/open".into()),
            (EventType::NodeCreated, "/mine".into()),
            (EventType::NodeDeleted, "/none".into()),
            (EventType::NodeChildrenChanged, "/open".into()),
        ]
    );
    for (path, data, child) in [
        ("/none", true, false),
        ("/null", false, true),
        ("/open", true, false),
        ("/mine", true, true),
    ] {
        assert_eq!(fixture.watches(path, WatcherType::Data), data, "{path}");
        assert_eq!(fixture.watches(path, WatcherType::Children), child, "{path}");
    }
}

#[test]
fn persistent_watches_are_set_without_a_look_at_the_node() {
    let fixture = Fixture::new();
    let request = SetWatches2Request {
        relative_zxid: Zxid(0),
        data: vec![],
        exist: vec![],
        child: vec![],
        persistent: vec!["/open".into(), "/none".into()],
        persistent_recursive: vec!["/".into(), "/open".into()],
    };
    assert_eq!(fixture.ask(OpCode::SetWatches2, &request), Ok(vec![]));
    for (path, persistent, recursive) in
        [("/open", true, true), ("/none", true, false), ("/", false, true)]
    {
        assert_eq!(fixture.watches(path, WatcherType::Persistent), persistent);
        assert_eq!(fixture.watches(path, WatcherType::PersistentRecursive), recursive);
    }
}

/// Bytes that are encoded already.
struct Raw<'a>(&'a [u8]);

impl Encode for Raw<'_> {
    fn encode(&self, out: &mut BytesMut) {
        out.extend_from_slice(self.0);
    }
}
