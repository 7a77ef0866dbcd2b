//! What is hard to come by with requests alone.

use quorate_protocol::{
    AclList, Zxid,
    record::{CreateRequest, DeleteRequest, SetDataRequest},
};

use super::*;
use crate::txn::{CreateTxn, SetDataTxn, TxnHeader};

/// Applies a transaction that this server did not prepare, and continues after it.
fn inject(server: &mut Server, kind: OpCode, txn: Txn<'_>) {
    let zxid = Zxid(server.tree.last_zxid().0 + 1);
    let header = TxnHeader { client_id: SessionId(1), cxid: 0, zxid, time_ms: NOW_MS, kind };
    server.tree.apply(&TxnRecord { header, txn, digest: None }, &mut |_| {});
    server.preparer.reset(&server.tree);
}

fn create(path: &str, flags: i32) -> CreateRequest<'_> {
    CreateRequest { path: path.into(), data: None, acl: AclList::open(), flags }
}

#[test]
fn a_sequence_sticks_at_its_end() {
    let (mut server, [session]) = Server::with_sessions();
    let create_txn = CreateTxn {
        path: "/last".into(),
        data: None,
        acl: AclList::open(),
        ephemeral: false,
        parent_cversion: Some(i32::MAX),
    };
    inject(&mut server, OpCode::Create, Txn::Create(create_txn));
    let numbered = request(session, OpCode::Create, &create("/n-", 2));
    let first = server.prepare(&numbered, NOW_MS).unwrap();
    let second = server.prepare(&numbered, NOW_MS).unwrap();
    let other = request(session, OpCode::Create, &create("/other", 0));
    let third = server.prepare(&other, NOW_MS).unwrap();
    let created = |bytes| match TxnRecord::from_bytes(bytes).unwrap().txn {
        Txn::Create(create) => Ok((create.path.into_owned(), create.parent_cversion.unwrap())),
        Txn::Error { code } => Err(ErrorCode::from_wire(code).unwrap()),
        txn => panic!("{txn:?}"),
    };
    assert_eq!(created(&first), Ok(("/n-2147483647".to_owned(), i32::MIN)));
    assert_eq!(created(&second), Err(ErrorCode::NodeExists));
    assert_eq!(created(&third), Ok(("/other".to_owned(), i32::MIN)));
    server.apply_all();
}

#[test]
fn versions_skip_the_one_that_means_any() {
    let (mut server, [session]) = Server::with_sessions();
    server.now(&request(session, OpCode::Create, &create("/a", 0))).unwrap();
    for (present, next) in [(i32::MAX, i32::MIN), (-3, -2), (-2, 0)] {
        let set = SetDataTxn { path: "/a".into(), data: None, version: present };
        inject(&mut server, OpCode::SetData, Txn::SetData(set));
        let set = SetDataRequest { path: "/a".into(), data: None, version: present };
        let txn = server.prepare(&request(session, OpCode::SetData, &set), NOW_MS).unwrap();
        let Txn::SetData(set) = TxnRecord::from_bytes(&txn).unwrap().txn else { panic!() };
        assert_eq!(set.version, next);
        server.apply_all();
    }
}

#[test]
fn what_was_not_logged_is_forgotten() {
    let (mut server, [session, closed]) = Server::with_sessions();
    server.now(&request(session, OpCode::Create, &create("/a", 0))).unwrap();
    let last = server.preparer.last_zxid();
    let lost = [
        request(session, OpCode::Create, &create("/a/b", 1)),
        request(session, OpCode::Delete, &DeleteRequest { path: "/a/b".into(), version: -1 }),
        request(session, OpCode::Delete, &DeleteRequest { path: "/a".into(), version: -1 }),
        Request::expire_session(closed),
        Request::create_session(SessionId(77), ConnId(1), 1),
    ];
    for request in &lost {
        server.prepare(request, NOW_MS).unwrap();
    }
    server.waiting.clear();
    server.preparer.reset(&server.tree);
    assert_eq!(server.preparer.last_zxid(), last);
    assert!(server.preparer.is_settled());
    assert_eq!(server.now(&request(closed, OpCode::Create, &create("/a/b", 0))), Ok(()));
    assert_eq!(
        server.now(&request(SessionId(77), OpCode::Create, &create("/c", 0))),
        Err(ErrorCode::UnknownSession)
    );
}

#[test]
fn a_session_takes_along_what_it_still_has_under_way() {
    let (mut server, [session, other]) = Server::with_sessions();
    for path in ["/applied", "/deleted", "/recreated"] {
        server.now(&request(session, OpCode::Create, &create(path, 1))).unwrap();
    }
    let delete = |path: &str| DeleteRequest { path: path.to_owned().into(), version: -1 };
    let under_way = [
        request(session, OpCode::Create, &create("/new", 1)),
        request(other, OpCode::Delete, &delete("/deleted")),
        request(other, OpCode::Delete, &delete("/recreated")),
        request(other, OpCode::Create, &create("/recreated", 1)),
        request(session, OpCode::Create, &create("/brief", 1)),
        request(session, OpCode::Delete, &delete("/brief")),
        request(session, OpCode::Create, &create("/brief", 1)),
        request(session, OpCode::Create, &create("/gone", 1)),
        request(session, OpCode::Delete, &delete("/gone")),
    ];
    for request in &under_way {
        server.prepare(request, NOW_MS).unwrap();
    }
    let txn = server.prepare(&Request::expire_session(session), NOW_MS).unwrap();
    let Txn::CloseSession(close) = TxnRecord::from_bytes(&txn).unwrap().txn else { panic!() };
    assert_eq!(close.paths().collect::<Vec<_>>(), ["/applied", "/brief", "/new"]);
    server.apply_all();
    assert!(server.tree.ephemerals(session).is_empty());
    assert_eq!(server.tree.ephemerals(other), ["/recreated"]);
}
