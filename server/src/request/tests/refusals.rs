//! Which error a request gets that has several things wrong with it: the first in ZooKeeper's
//! order of checks. Each row adds what would fail later to what fails now.

use quorate_protocol::{
    Acl, AclList, Perms,
    record::{
        CheckRequest, CreateRequest, CreateTtlRequest, DeleteRequest, MultiHeader, MultiOp,
        ReconfigRequest, SetAclRequest, SetDataRequest,
    },
};

use super::*;

const NOBODY: SessionId = SessionId(99);
const EPHEMERAL: i32 = 1;
const TTL: i32 = 5;

/// `/open`, `/open/child`, `/guarded` and `/guarded/child` (nobody may do anything with them),
/// and `/eph` of the session.
fn server() -> (Server, SessionId) {
    let (mut server, [session]) = Server::with_sessions();
    for path in ["/open", "/open/child", "/guarded", "/guarded/child"] {
        server.now(&request(session, OpCode::Create, &create(path, 0))).unwrap();
    }
    server.now(&request(session, OpCode::Create, &create("/eph", EPHEMERAL))).unwrap();
    for path in ["/guarded", "/guarded/child"] {
        let acl = nobodys();
        let acl = AclList::from_bytes(&acl).unwrap();
        let body = SetAclRequest { path: path.into(), acl, version: -1 };
        server.now(&request(session, OpCode::SetAcl, &body)).unwrap();
    }
    (server, session)
}

/// An ACL that lets in none of those who ask here.
fn nobodys() -> BytesMut {
    [Acl { perms: Perms::ALL, id: Id::new("digest", "a:b") }].to_bytes()
}

fn empty() -> AclList<'static> {
    AclList::from_bytes(&[0; 4]).unwrap()
}

fn create(path: &str, flags: i32) -> CreateRequest<'_> {
    CreateRequest { path: path.into(), data: None, acl: AclList::open(), flags }
}

fn check(rows: &[(SessionId, OpCode, BytesMut, ErrorCode)]) {
    for (row, (session, op, body, expected)) in rows.iter().enumerate() {
        let (mut server, _) = server();
        let before = server.tree.digest();
        let request =
            Request { body: body.clone().freeze(), ..request(*session, *op, &create("", 0)) };
        assert_eq!(server.now(&request), Err(*expected), "row {row}");
        assert_eq!(server.tree.digest(), before, "row {row}");
        assert!(server.preparer.is_settled());
    }
}

#[test]
fn create_checks_in_order() {
    let (_, session) = server();
    let row = |session, path: &'static str, acl, flags, expected| {
        let body = CreateRequest { path: path.into(), data: None, acl, flags };
        (session, OpCode::Create, body.to_bytes(), expected)
    };
    let open = AclList::open;
    check(&[
        row(NOBODY, "bad", empty(), 7, ErrorCode::BadArguments),
        row(NOBODY, "bad", empty(), TTL, ErrorCode::BadArguments),
        row(NOBODY, "bad", empty(), EPHEMERAL, ErrorCode::SessionExpired),
        row(NOBODY, "bad", empty(), 0, ErrorCode::UnknownSession),
        row(session, "bad", empty(), 0, ErrorCode::BadArguments),
        row(session, "/guarded\0", empty(), 0, ErrorCode::BadArguments),
        row(session, "/none/a//", empty(), 0, ErrorCode::InvalidAcl),
        row(session, "/none//", open(), 0, ErrorCode::NoNode),
        row(session, "/guarded/", open(), 0, ErrorCode::NoAuth),
        row(session, "/guarded/child", open(), 0, ErrorCode::NoAuth),
        row(session, "/eph/", open(), 0, ErrorCode::BadArguments),
        row(session, "/open/child", open(), 0, ErrorCode::NodeExists),
        row(session, "/", open(), 0, ErrorCode::NodeExists),
        row(session, "/eph/child", open(), 0, ErrorCode::NoChildrenForEphemerals),
        row(session, "/eph/child", open(), 2, ErrorCode::NoChildrenForEphemerals),
    ]);
}

#[test]
fn create_ttl_checks_in_order() {
    let row = |flags, ttl, expected| {
        let (path, acl) = ("bad".into(), empty());
        let body = CreateTtlRequest { path, data: None, acl, flags, ttl };
        (NOBODY, OpCode::CreateTtl, body.to_bytes(), expected)
    };
    check(&[
        row(7, 0, ErrorCode::BadArguments),
        row(0, 1, ErrorCode::BadArguments),
        row(TTL, 0, ErrorCode::BadArguments),
        row(TTL, 0x100_0000_0000, ErrorCode::BadArguments),
        row(TTL, 0xff_ffff_ffff, ErrorCode::UnknownSession),
    ]);

    let mut server = Server::new(Settings { extended_types: false, ..all_on() });
    let (_, op, body, _) = row(TTL, 0, ErrorCode::Ok);
    let request = Request { body: body.freeze(), ..request(NOBODY, op, &create("", 0)) };
    assert_eq!(server.now(&request), Err(ErrorCode::Unimplemented));
}

#[test]
fn delete_checks_in_order() {
    let (_, session) = server();
    let row = |session, path: &'static str, version, expected| {
        let body = DeleteRequest { path: path.into(), version };
        (session, OpCode::Delete, body.to_bytes(), expected)
    };
    check(&[
        row(NOBODY, "/", 9, ErrorCode::UnknownSession),
        row(session, "/", 9, ErrorCode::BadArguments),
        row(session, "bad", 9, ErrorCode::BadArguments),
        row(session, "/none\0", 9, ErrorCode::BadArguments),
        row(session, "/zookeeper/config", 9, ErrorCode::BadArguments),
        row(session, "/none/child", 9, ErrorCode::NoNode),
        row(session, "/guarded/none", 9, ErrorCode::NoAuth),
        row(session, "/open/none", 9, ErrorCode::NoNode),
        row(session, "/open", 9, ErrorCode::BadVersion),
        row(session, "/open", 0, ErrorCode::NotEmpty),
    ]);
}

#[test]
fn set_data_checks_in_order() {
    let (_, session) = server();
    let row = |session, path: &'static str, version, expected| {
        let body = SetDataRequest { path: path.into(), data: None, version };
        (session, OpCode::SetData, body.to_bytes(), expected)
    };
    check(&[
        row(NOBODY, "/none/", 9, ErrorCode::UnknownSession),
        row(session, "/none/", 9, ErrorCode::BadArguments),
        row(session, "/none", 9, ErrorCode::NoNode),
        row(session, "/guarded", 9, ErrorCode::NoAuth),
        row(session, "/open", 9, ErrorCode::BadVersion),
    ]);
}

#[test]
fn set_acl_checks_in_order() {
    let (_, session) = server();
    let row = |session, path: &'static str, acl, version, expected| {
        let body = SetAclRequest { path: path.into(), acl, version };
        (session, OpCode::SetAcl, body.to_bytes(), expected)
    };
    let open = AclList::open;
    check(&[
        row(NOBODY, "/none/", empty(), 9, ErrorCode::UnknownSession),
        row(session, "/none/", empty(), 9, ErrorCode::BadArguments),
        row(session, "/none", empty(), 9, ErrorCode::InvalidAcl),
        row(session, "/none", open(), 9, ErrorCode::NoNode),
        row(session, "/guarded", open(), 9, ErrorCode::NoAuth),
        row(session, "/open", open(), 9, ErrorCode::BadVersion),
    ]);
}

#[test]
fn delete_container_checks_in_order() {
    for (path, expected) in [
        ("/zookeeper", ErrorCode::BadArguments),
        ("/none/child", ErrorCode::NoNode),
        ("/open", ErrorCode::NotEmpty),
        ("/eph", ErrorCode::BadVersion),
    ] {
        let (mut server, _) = server();
        assert_eq!(server.now(&Request::delete_container(path)), Err(expected), "{path}");
    }
    let (mut server, _) = server();
    assert_eq!(server.now(&Request::delete_container("/guarded/child")), Ok(()));
}

#[test]
fn reconfig_of_a_server_alone_is_refused_in_order() {
    let body = ReconfigRequest { joining: None, leaving: None, new_members: None, config_id: -1 };
    let (mut server, session) = server();
    let ask = |server: &mut Server, session| server.now(&request(session, OpCode::Reconfig, &body));
    assert_eq!(ask(&mut server, NOBODY), Err(ErrorCode::UnknownSession));
    assert_eq!(ask(&mut server, session), Err(ErrorCode::Unimplemented));
    let mut server = Server::new(Settings { reconfig: false, ..all_on() });
    assert_eq!(ask(&mut server, NOBODY), Err(ErrorCode::ReconfigDisabled));
}

#[test]
fn a_closing_session_may_do_no_more() {
    let (mut server, session) = server();
    let set = SetDataRequest { path: "/open".into(), data: None, version: -1 };
    let set = request(session, OpCode::SetData, &set);
    server.prepare(&Request::expire_session(session), NOW_MS).unwrap();
    server.prepare(&set, NOW_MS).unwrap();
    server.apply();
    assert_eq!(server.apply_for_error(), ErrorCode::SessionExpired);
    assert_eq!(server.now(&set), Err(ErrorCode::UnknownSession));
    assert_eq!(server.now(&Request::expire_session(session)), Ok(()));
}

#[test]
fn what_cannot_be_read_uses_up_a_zxid_where_zookeeper_does_so() {
    let short = &[0, 0, 0, 9][..];
    let null = &[0xff; 64][..];
    let mut null_acl = MultiHeader::request(OpCode::Create).to_bytes();
    null_acl.extend_from_slice(&[0, 0, 0, 1, b'/', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    null_acl.extend_from_slice(&[0; 4]);
    MultiHeader::END.encode(&mut null_acl);
    for (op, body, code, uses_zxid) in [
        (OpCode::Create, short, ErrorCode::MarshallingError, false),
        (OpCode::CreateTtl, short, ErrorCode::MarshallingError, false),
        (OpCode::Delete, short, ErrorCode::MarshallingError, false),
        (OpCode::SetData, short, ErrorCode::MarshallingError, false),
        (OpCode::SetAcl, short, ErrorCode::MarshallingError, false),
        (OpCode::Reconfig, short, ErrorCode::MarshallingError, false),
        // A null path in front of what cannot be read.
        (OpCode::Delete, &null[..7], ErrorCode::MarshallingError, false),
        (OpCode::SetData, &null[..11], ErrorCode::MarshallingError, false),
        (OpCode::SetAcl, &null[..11], ErrorCode::MarshallingError, false),
        (OpCode::Multi, short, ErrorCode::MarshallingError, true),
        (OpCode::Multi, &null_acl, ErrorCode::MarshallingError, false),
        (OpCode::Create, null, ErrorCode::MarshallingError, true),
        (OpCode::Delete, null, ErrorCode::MarshallingError, true),
        (OpCode::SetData, null, ErrorCode::BadArguments, true),
        (OpCode::SetAcl, null, ErrorCode::BadArguments, true),
    ] {
        let (mut server, session) = server();
        let last = server.preparer.last_zxid();
        let body = Bytes::copy_from_slice(body);
        let request = Request { body, ..request(session, op, &create("", 0)) };
        assert_eq!(server.now(&request), Err(code), "{op}");
        assert_eq!(server.preparer.last_zxid().0 - last.0, i64::from(uses_zxid), "{op}");
    }
}

/// What a client is told of each operation, or that it is told nothing but this of the whole.
#[test]
fn nulls_in_a_multi_are_found_in_order() {
    let whole = |uses_zxid| Err((ErrorCode::MarshallingError, uses_zxid));
    let acl = |bytes: &'static [u8]| AclList::from_bytes(bytes).unwrap();
    let null = || acl(&[0xff; 4]);
    let null_id = || acl(b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\xff\xff\xff\xff");
    let create = |acl, flags| {
        MultiOp::Create(OpCode::Create, CreateRequest { acl, ..create("/new", flags) }).to_bytes()
    };
    let create_ttl = |acl, ttl| {
        let (path, data) = ("/new".into(), None);
        MultiOp::CreateTtl(CreateTtlRequest { path, data, acl, flags: TTL, ttl }).to_bytes()
    };
    let ahead = || create(AclList::open(), 0);
    let mut null_path = MultiHeader::request(OpCode::Delete).to_bytes();
    null_path.extend_from_slice(&[0xff; 8]);
    let missing = MultiOp::Check(CheckRequest { path: "/none".into(), version: 0 }).to_bytes();
    for (row, (ops, expected)) in [
        // A null ACL of a create is found while the request is read, but after its flags.
        (vec![ahead(), create(null(), 0)], whole(false)),
        (vec![create(null(), 7)], whole(true)),
        (vec![create(null(), TTL)], whole(false)),
        (vec![missing.clone(), create(null(), 0)], whole(false)),
        // That of a createTTL like anything else that is wrong with an operation.
        (vec![create_ttl(null(), 1)], Ok(ErrorCode::InvalidAcl)),
        (vec![create_ttl(null(), -1)], Ok(ErrorCode::BadArguments)),
        (vec![missing.clone(), create_ttl(null(), 1)], Ok(ErrorCode::NoNode)),
        // A null id spoils the whole, once it is looked at.
        (vec![ahead(), create(null_id(), 0)], whole(true)),
        (vec![create_ttl(null_id(), 1)], whole(true)),
        (vec![ahead(), create_ttl(null_id(), 1)], whole(true)),
        (vec![missing, create(null_id(), 0)], Ok(ErrorCode::NoNode)),
        // A null path does not keep the rest from being read.
        (vec![null_path.clone(), create(AclList::open(), 0)], whole(true)),
        (vec![null_path, create(null(), 0)], whole(false)),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut server, session) = server();
        let last = server.preparer.last_zxid();
        let body = [ops.concat(), MultiHeader::END.to_bytes().to_vec()].concat().into();
        let request = Request { body, ..request(session, OpCode::Multi, &MultiHeader::END) };
        let outcome = server.prepare(&request, NOW_MS);
        let uses_zxid = server.preparer.last_zxid() != last;
        let told = match outcome.as_ref().map(|txn| TxnRecord::from_bytes(txn).unwrap().txn) {
            Ok(Txn::Multi(multi)) => Ok(multi.error()),
            Ok(Txn::Error { code }) => Err((code, uses_zxid)),
            Ok(other) => panic!("row {row}: {other:?}"),
            Err(code) => Err((code.wire(), uses_zxid)),
        };
        let expected = expected.map(|code: ErrorCode| Some(code.wire()));
        let expected = expected.map_err(|(code, uses_zxid)| (code.wire(), uses_zxid));
        assert_eq!(told, expected, "row {row}");
    }
}

#[test]
fn check_in_a_multi_checks_in_order() {
    let (_, session) = server();
    for (session, path, expected) in [
        (NOBODY, "/none/", ErrorCode::UnknownSession),
        (session, "/none/", ErrorCode::BadArguments),
        (session, "/none", ErrorCode::NoNode),
        (session, "/guarded", ErrorCode::NoAuth),
        (session, "/open", ErrorCode::BadVersion),
    ] {
        let (mut server, _) = server();
        let mut body = MultiHeader::request(OpCode::Check).to_bytes();
        CheckRequest { path: path.into(), version: 9 }.encode(&mut body);
        MultiHeader::END.encode(&mut body);
        let request =
            Request { body: body.freeze(), ..request(session, OpCode::Multi, &create("", 0)) };
        let txn = server.prepare(&request, NOW_MS).unwrap();
        let Txn::Multi(multi) = TxnRecord::from_bytes(&txn).unwrap().txn else { panic!() };
        assert_eq!(multi.error(), Some(expected.wire()), "{path}");
    }
}

#[test]
fn a_soft_quota_forbids_nothing_and_is_mentioned() {
    let (mut server, session) = server();
    let limits = "/zookeeper/quota/open/zookeeper_limits";
    let stats = "/zookeeper/quota/open/zookeeper_stats";
    let rows = [("/zookeeper/quota/open", ""), (limits, "count=3,bytes=-1"), (stats, "")];
    for (path, data) in rows {
        let body = CreateRequest { data: Some(data.as_bytes()), ..create(path, 0) };
        server.now(&request(session, OpCode::Create, &body)).unwrap();
    }
    for (path, mentioned) in [("/open/2", None), ("/open/3", Some("/open/3")), ("/else", None)] {
        server.now(&request(session, OpCode::Create, &create(path, 0))).unwrap();
        assert_eq!(server.preparer.take_over_quota().as_deref(), mentioned, "{path}");
    }
}
