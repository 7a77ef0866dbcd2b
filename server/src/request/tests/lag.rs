//! However many transactions are outstanding, the next one is what it would be if each had been
//! applied before the next was prepared.

use proptest::prelude::*;
use quorate_protocol::{
    Acl, AclList, Perms,
    record::{
        CheckRequest, CreateRequest, CreateTtlRequest, DeleteRequest, MultiHeader, SetAclRequest,
        SetDataRequest,
    },
};

use super::*;

/// A write of one of a few sessions, mostly about nodes that others touch too.
#[derive(Debug, Clone)]
struct Write {
    session: i64,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Open,
    Close,
    One(Op),
    SetAcl { path: String, open: bool, version: i32 },
    DeleteContainer { path: String },
    Multi(Vec<Op>),
}

#[derive(Debug, Clone)]
enum Op {
    Create { op: OpCode, path: String, data: Option<Vec<u8>>, open: bool, flags: i32 },
    CreateTtl { path: String, flags: i32, ttl: i64 },
    Delete { path: String, version: i32 },
    SetData { path: String, data: Option<Vec<u8>>, version: i32 },
    Check { path: String, version: i32 },
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::collection::vec("[ab]", 1..4).prop_map(|names| format!("/{}", names.join("/"))),
        2 => "/[ab]/s-000000000[0-3]",
        1 => Just("/".to_owned()),
        1 => Just("/zookeeper/a".to_owned()),
        1 => Just("/zookeeper".to_owned()),
        1 => Just("//a/".to_owned()),
    ]
}

fn version() -> impl Strategy<Value = i32> {
    prop_oneof![6 => Just(-1), 1 => Just(0), 1 => Just(1)]
}

fn data() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::weighted(0.8, prop::collection::vec(any::<u8>(), 0..6))
}

fn op() -> impl Strategy<Value = Op> {
    let create = prop::sample::select(vec![
        OpCode::Create,
        OpCode::Create,
        OpCode::Create2,
        OpCode::CreateContainer,
    ]);
    prop_oneof![
        5 => (create, path(), data(), prop::bool::weighted(0.9), prop::sample::select(vec![0, 0, 1, 2, 3, 4, 9]))
            .prop_map(|(op, path, data, open, flags)| {
                let path = if flags & 2 == 2 { path + "/s-" } else { path };
                Op::Create { op, path, data, open, flags }
            }),
        1 => (path(), 4..7, -1..3i64).prop_map(|(path, flags, ttl)| Op::CreateTtl { path, flags, ttl }),
        3 => (path(), version()).prop_map(|(path, version)| Op::Delete { path, version }),
        3 => (path(), data(), version())
            .prop_map(|(path, data, version)| Op::SetData { path, data, version }),
        1 => (path(), version()).prop_map(|(path, version)| Op::Check { path, version }),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    let what = prop_oneof![
        1 => Just(What::Open),
        1 => Just(What::Close),
        12 => op().prop_filter_map("alone a check is no write", |op| match op {
            Op::Check { .. } => None,
            op => Some(What::One(op)),
        }),
        1 => (path(), prop::bool::weighted(0.7), version())
            .prop_map(|(path, open, version)| What::SetAcl { path, open, version }),
        1 => path().prop_map(|path| What::DeleteContainer { path }),
        4 => prop::collection::vec(op(), 0..5).prop_map(What::Multi),
    ];
    (0..4i64, what).prop_map(|(session, what)| Write { session, what })
}

impl Op {
    fn encode(&self) -> (OpCode, BytesMut) {
        let guarded = [Acl::world(Perms::READ)].to_bytes();
        let acl = |open: bool| {
            let raw = if open { AclList::OPEN } else { &guarded };
            AclList::from_bytes(raw).unwrap()
        };
        match self {
            Self::Create { op, path, data, open, flags } => {
                let (path, data) = (path.into(), data.as_deref());
                let request = CreateRequest { path, data, acl: acl(*open), flags: *flags };
                (*op, request.to_bytes())
            }
            Self::CreateTtl { path, flags, ttl } => {
                let (path, acl) = (path.into(), acl(true));
                let request = CreateTtlRequest { path, data: None, acl, flags: *flags, ttl: *ttl };
                (OpCode::CreateTtl, request.to_bytes())
            }
            Self::Delete { path, version } => {
                let request = DeleteRequest { path: path.into(), version: *version };
                (OpCode::Delete, request.to_bytes())
            }
            Self::SetData { path, data, version } => {
                let (path, data) = (path.into(), data.as_deref());
                (OpCode::SetData, SetDataRequest { path, data, version: *version }.to_bytes())
            }
            Self::Check { path, version } => {
                let request = CheckRequest { path: path.into(), version: *version };
                (OpCode::Check, request.to_bytes())
            }
        }
    }
}

impl Write {
    fn request(&self, sessions: &mut Sessions) -> Request {
        let session = sessions.id(self);
        match &self.what {
            What::Open => Request::create_session(session, ConnId(1), 10_000),
            What::Close => Request::expire_session(session),
            What::One(op) => {
                let (op, body) = op.encode();
                Request { body: body.freeze(), ..request(session, op, &Raw(&[])) }
            }
            What::SetAcl { path, open, version } => {
                let acl = [Acl::world(if *open { Perms::ALL } else { Perms::READ })].to_bytes();
                let acl = AclList::from_bytes(&acl).unwrap();
                let body = SetAclRequest { path: path.into(), acl, version: *version };
                request(session, OpCode::SetAcl, &body)
            }
            What::DeleteContainer { path } => Request::delete_container(path),
            What::Multi(ops) => {
                let mut body = BytesMut::new();
                for op in ops {
                    let (op, record) = op.encode();
                    MultiHeader::request(op).encode(&mut body);
                    body.extend_from_slice(&record);
                }
                MultiHeader::END.encode(&mut body);
                request(session, OpCode::Multi, &Raw(&body))
            }
        }
    }
}

/// Ids are never used again: once a session was closed, its number stands for another one.
#[derive(Default)]
struct Sessions {
    ended: [i64; 4],
}

impl Sessions {
    fn id(&mut self, write: &Write) -> SessionId {
        let ended = &mut self.ended[usize::try_from(write.session).unwrap()];
        let id = SessionId(write.session << 32 | *ended);
        if matches!(write.what, What::Close) {
            *ended += 1;
        }
        id
    }
}

/// Bytes that are a record already.
struct Raw<'a>(&'a [u8]);

impl Encode for Raw<'_> {
    fn encode(&self, out: &mut BytesMut) {
        out.extend_from_slice(self.0);
    }
}

proptest! {
    #[test]
    fn lag_changes_nothing(
        writes in prop::collection::vec((write(), 0..6usize), 1..80),
    ) {
        let mut prompt = Server::new(all_on());
        let mut late = Server { reports_late: true, ..Server::new(all_on()) };
        let mut sessions = Sessions::default();
        for session in 0..3 {
            let open = Write { session, what: What::Open }.request(&mut sessions);
            prompt.now(&open).unwrap();
            late.now(&open).unwrap();
        }
        let mut replies = VecDeque::new();
        for (i, (write, lag)) in writes.iter().enumerate() {
            let now_ms = NOW_MS + i64::try_from(i).unwrap();
            let request = write.request(&mut sessions);
            let expected = prompt.prepare(&request, now_ms);
            prop_assert_eq!(late.prepare(&request, now_ms), expected.clone(), "{:?}", write);
            if expected.is_ok() {
                replies.push_back(prompt.apply());
            }
            while late.waiting.len() > *lag {
                prop_assert_eq!(late.apply(), replies.pop_front().unwrap());
            }
            if lag % 2 == 0 {
                late.report();
            }
        }
        late.apply_all();
        late.report();
        prop_assert!(late.preparer.is_settled());
    }

    #[test]
    fn a_failed_multi_leaves_no_trace(
        before in prop::collection::vec(write(), 0..20),
        ops in prop::collection::vec(op(), 0..6),
        after in prop::collection::vec(write(), 1..20),
        applied in 0..20usize,
    ) {
        let failing = Op::Check { path: "/none/such".to_owned(), version: -1 };
        let multi = What::Multi(ops.into_iter().chain([failing.clone()]).collect());
        let [mut one, mut other] = [multi, What::Multi(vec![failing])].map(|failing| {
            let mut server = Server::new(all_on());
            let mut sessions = Sessions::default();
            let opened = (0..3).map(|session| Write { session, what: What::Open });
            for write in opened.chain(before.iter().cloned()) {
                server.prepare(&write.request(&mut sessions), NOW_MS).unwrap();
            }
            for _ in 0..applied.min(server.waiting.len()) {
                server.apply();
            }
            let failing = Write { session: 0, what: failing }.request(&mut sessions);
            server.prepare(&failing, NOW_MS).unwrap();
            (server, sessions)
        });
        for write in &after {
            let [one, other] = [&mut one, &mut other].map(|(server, sessions)| {
                server.prepare(&write.request(sessions), NOW_MS)
            });
            prop_assert_eq!(one, other);
        }
        let [one, other] = [one, other].map(|(mut server, _)| {
            server.apply_all();
            server
        });
        prop_assert_eq!(one.tree.digest(), other.tree.digest());
        prop_assert!(one.preparer.is_settled());
    }
}
