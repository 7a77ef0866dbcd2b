//! What becomes of calls when connections end.

use std::time::Duration;

use quorate_protocol::{
    Decode, ErrorCode, OpCode, SessionId, Stat, Xid, Zxid,
    record::{
        Children2Response, Create2Response, CreateRequest, GetDataResponse, PathWatchRequest,
        SetDataRequest,
    },
};
use tokio::{io::AsyncWriteExt, time::Instant};

use super::peer::{Nothing, builder};
use crate::{Disconnect, Error, ErrorKind, RetryPolicy, State};

fn data(data: &'static [u8]) -> GetDataResponse<'static> {
    GetDataResponse { data: Some(data), stat: Stat::default() }
}

fn is_lost(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionLost(_))
}

#[tokio::test(start_paused = true)]
async fn calls_are_sent_in_the_order_they_were_made_whenever_they_are_awaited() {
    // So small that no frame passes in one piece.
    let (builder, mut listener) = builder(7);
    let client = builder.connect_lazily().unwrap();
    let create = client.create("/a", b"1").send();
    let set = client.set("/a", b"2").version(0).send();
    let read = client.get("/a").linearizable().send();
    let exists = client.exists("/b").send();
    let serve = async {
        let mut peer = listener.open().await;
        let ops = [OpCode::Create2, OpCode::SetData, OpCode::Sync, OpCode::GetData, OpCode::Exists];
        for (number, op) in (1..).zip(ops) {
            assert_eq!(peer.expect(op).await.0, Xid(number));
        }
        let stat = Stat { version: 1, ..Stat::default() };
        peer.answer(Xid(1), 0, &Create2Response { path: "/a".into(), stat }).await;
        peer.answer(Xid(2), 0, &stat).await;
        peer.answer(Xid::PING, 0, &Nothing).await;
        peer.answer(Xid(3), 0, &Nothing).await;
        peer.answer_at(Xid(4), 9, 0, &data(b"2")).await;
        peer.answer(Xid(5), ErrorCode::NoNode.wire(), &Nothing).await;
        peer
    };
    let (exists, read, set, create, _peer) =
        tokio::join!(exists, read.with_zxid(), set, create, serve);
    assert_eq!(create.unwrap().path, "/a");
    assert_eq!(set.unwrap().version, 1);
    let (node, zxid) = read.unwrap();
    assert_eq!((&node.data[..], zxid), (&b"2"[..], Zxid(9)));
    assert_eq!(exists.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_fails_what_may_have_been_done_and_keeps_the_rest_in_order() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.connect_lazily().unwrap();
    let mut peer = listener.open().await;
    let sent_read = client.get("/r").send();
    let sent_write = client.set("/w", b"").send();
    let sent_repeatable = client.set("/x", b"").version(3).repeatable().send();
    for _ in 0..3 {
        peer.request().await;
    }
    drop(peer);
    let mut peer = listener.accept().await;
    // Made without a connection.
    let later = client.create("/l", b"").send();
    assert_eq!(peer.greet(SessionId(0x77), 6000).await, SessionId(0x77));
    let lost = sent_write.await.unwrap_err();
    assert!(is_lost(&lost) && !lost.surely_not_done() && lost.is_retryable(), "{lost:?}");
    assert_eq!(lost.path(), Some("/w"));

    let (read, body) = peer.expect(OpCode::GetData).await;
    assert_eq!(PathWatchRequest::from_bytes(&body).unwrap().path, "/r");
    let (set, body) = peer.expect(OpCode::SetData).await;
    assert_eq!(SetDataRequest::from_bytes(&body).unwrap().path, "/x");
    let (create, _) = peer.expect(OpCode::Create2).await;
    peer.answer(read, 0, &data(b"1")).await;
    peer.answer(set, ErrorCode::BadVersion.wire(), &Nothing).await;
    let stat = Stat::default();
    peer.answer(create, 0, &Create2Response { path: "/l".into(), stat }).await;
    assert_eq!(sent_read.await.unwrap().data, "1");
    let repeated = sent_repeatable.await.unwrap_err();
    assert!(repeated.is_bad_version() && !repeated.surely_not_done(), "the first may have done it");
    later.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_write_that_did_not_leave_wholly_goes_out_on_the_next_connection() {
    let (builder, mut listener) = builder(64);
    let client = builder.connect_lazily().unwrap();
    let peer = listener.open().await;
    let client_status = client.wait_connected().await.unwrap();
    assert_eq!(client_status.state, State::Connected);
    let large = client.set("/large", vec![1; 500]).send();
    // Fills the stream in between.
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    drop(peer);
    let mut peer = listener.open().await;
    let (xid, body) = peer.expect(OpCode::SetData).await;
    assert_eq!(SetDataRequest::from_bytes(&body).unwrap().path, "/large");
    peer.answer(xid, 0, &Stat::default()).await;
    large.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_fails_writes_and_calls_bound_to_it() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.connect_lazily().unwrap();
    let peer = listener.open().await;
    client.wait_connected().await.unwrap();
    let bound = client.in_this_session();
    drop(peer);
    let mut refusing = listener.accept().await;
    let write = client.set("/w", b"").send();
    let read = client.get("/r").send();
    let bound_read = bound.get("/r").send();
    refusing.greet(SessionId::NONE, 0).await;
    for (answer, op) in [(write.await.map(|_| ()), "w"), (bound_read.await.map(|_| ()), "r")] {
        let error = answer.unwrap_err();
        assert!(error.is_session_lost() && error.surely_not_done(), "{op}: {error:?}");
    }
    let mut peer = listener.accept().await;
    assert_eq!(peer.greet(SessionId(0x78), 6000).await, SessionId::NONE);
    let (xid, _) = peer.expect(OpCode::GetData).await;
    peer.answer(xid, 0, &data(b"")).await;
    read.await.unwrap();
    assert!(bound.get("/r").await.unwrap_err().is_session_lost());
    assert_eq!(client.status().borrow().session_number, 2);
}

#[tokio::test(start_paused = true)]
async fn calls_fail_when_an_outage_lasts_longer_than_the_policy_has_it() {
    let (builder, mut listener) = builder(1 << 16);
    let policy = RetryPolicy::default().max_elapsed(Duration::from_secs(2));
    let client = builder.retry(policy).connect_lazily().unwrap();
    let peer = listener.open().await;
    client.wait_connected().await.unwrap();
    drop(peer);
    let _hanging = listener.accept().await;
    let begin = Instant::now();
    let error = client.get("/a").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotConnected(Some(_))), "{error:?}");
    assert!(begin.elapsed() <= Duration::from_secs(2));
    // From now on at once.
    let begin = Instant::now();
    assert!(client.set("/a", b"").await.unwrap_err().surely_not_done());
    assert_eq!(begin.elapsed(), Duration::ZERO);

    let (builder, mut listener) = super::peer::builder(1 << 16);
    let client = builder.retry(RetryPolicy::none()).connect_lazily().unwrap();
    let _peer = listener.accept().await;
    let error = client.get("/a").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotConnected(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn garbage_ends_the_connection_with_its_reason() {
    let answers: [(&str, &[u8]); 4] = [
        ("bad frame", &[0xff; 4]),
        ("bad frame", &[0x7f, 0xff, 0xff, 0xff]),
        ("bad record", &[0, 0, 0, 2, 1, 1]),
        ("out of turn", &[0, 0, 0, 16, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]),
    ];
    for (reason, bytes) in answers {
        let (builder, mut listener) = builder(1 << 16);
        let client = builder.connect_lazily().unwrap();
        let mut peer = listener.open().await;
        let set = client.set("/a", b"").send();
        peer.expect(OpCode::SetData).await;
        peer.stream.write_all(bytes).await.unwrap();
        let error = set.await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(is_lost(&error) && cause.contains(reason), "{cause}");
        // It goes on with another connection.
        let mut peer = listener.open().await;
        let get = client.get("/a").send();
        let (xid, _) = peer.expect(OpCode::GetData).await;
        peer.answer(xid, 0, &Stat::default()).await;
        assert!(matches!(get.await.unwrap_err().kind(), ErrorKind::Undecodable(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_in_place_of_the_first_record_is_a_failed_attempt() {
    let (builder, mut listener) = builder(1 << 16);
    let connecting = builder.connect_timeout(Duration::from_secs(3)).connect();
    let serve = async {
        loop {
            let mut peer = listener.accept().await;
            peer.frame().await;
            peer.send(|out| out.extend_from_slice(&[1; 16])).await;
        }
    };
    let error = tokio::select! {
        connected = connecting => connected.unwrap_err(),
        () = serve => unreachable!("it serves for ever"),
    };
    let ErrorKind::NotConnected(Some(cause)) = error.kind() else { panic!("{error:?}") };
    assert!(matches!(**cause, Disconnect::BadRecord(_)), "{cause:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_left_and_deadlines_tell() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.connect_lazily().unwrap();
    let mut peer = listener.open().await;
    client.wait_connected().await.unwrap();
    let begin = Instant::now();
    let late = client.get("/a").timeout(Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(late.kind(), ErrorKind::Timeout) && late.surely_not_done(), "it is a read");
    assert_eq!(begin.elapsed(), Duration::from_secs(1));
    let late = client.set("/a", b"").timeout(Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(late.kind(), ErrorKind::Timeout) && !late.surely_not_done());

    let deadline = client.session_deadline();
    assert_eq!(deadline.latest - begin, Duration::from_secs(6));
    assert!(deadline.earliest <= deadline.latest);
    // Two thirds of 6 s.
    let error = client.set("/b", b"").await.unwrap_err();
    assert!(is_lost(&error), "{error:?}");
    assert!(begin.elapsed() <= Duration::from_secs(4) + Duration::from_millis(2));
    while peer.frame().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_now_is_followed_by_another_attempt() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.connect_lazily().unwrap();
    let mut peer = listener.open().await;
    let serve = async {
        for error in [ErrorCode::ThrottledOp.wire(), ErrorCode::ThrottledOp.wire(), 0] {
            let (xid, _) = peer.expect(OpCode::SetData).await;
            peer.answer(xid, error, &Stat::default()).await;
        }
    };
    let (set, ()) = tokio::join!(async { client.set("/a", b"").await }, serve);
    set.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_is_refused_refuses_its_read() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.connect_lazily().unwrap();
    let mut peer = listener.open().await;
    let read = client.get("/a").linearizable().send();
    let other = client.get("/b").send();
    let (sync, _) = peer.expect(OpCode::Sync).await;
    peer.answer(sync, ErrorCode::NotReadOnly.wire(), &Nothing).await;
    for _ in 0..2 {
        let (xid, _) = peer.expect(OpCode::GetData).await;
        peer.answer(xid, 0, &data(b"")).await;
    }
    assert_eq!(read.await.unwrap_err().code(), Some(ErrorCode::NotReadOnly));
    other.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_protected_create_is_found_again() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.connect_lazily().unwrap();
    let serve = async {
        let mut peer = listener.open().await;
        let (_, body) = peer.expect(OpCode::Create2).await;
        let request = CreateRequest::from_bytes(&body).unwrap();
        let name = format!("{}0000000007", request.path.strip_prefix("/p/").unwrap());
        drop(peer);
        let mut peer = listener.open().await;
        let (sync, _) = peer.expect(OpCode::Sync).await;
        peer.answer(sync, 0, &Nothing).await;
        let (list, _) = peer.expect(OpCode::GetChildren2).await;
        let children = vec!["other-0000000008".into(), name.as_str().into()];
        let stat = Stat::default();
        let response = Children2Response { children, stat };
        peer.answer(list, 0, &response).await;
        let (exists, _) = peer.expect(OpCode::Exists).await;
        let stat = Stat { czxid: Zxid(5), ephemeral_owner: SessionId(0x77), ..stat };
        peer.answer(exists, 0, &stat).await;
        name
    };
    let create = async { client.create("/p/n-", b"").ephemeral().sequential().protected().await };
    let (created, name) = tokio::join!(create, serve);
    let created = created.unwrap();
    assert_eq!((created.path, created.stat.czxid), (format!("/p/{name}"), Zxid(5)));
}

#[tokio::test(start_paused = true)]
async fn awaited_calls_wait_for_room_and_sent_ones_do_not() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.budget(100).connect_lazily().unwrap();
    let mut peer = listener.open().await;
    let first = client.set("/a", vec![0; 200]).send();
    let waiting = async { client.get("/b").await };
    tokio::pin!(waiting);
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("there is no room"),
        () = tokio::time::sleep(Duration::from_millis(10)) => {}
    }
    let second = client.set("/c", b"").send();
    let serve = async {
        for op in [OpCode::SetData, OpCode::SetData] {
            let (xid, _) = peer.expect(op).await;
            peer.answer(xid, 0, &Stat::default()).await;
        }
        let (xid, _) = peer.expect(OpCode::GetData).await;
        peer.answer(xid, 0, &data(b"")).await;
    };
    let (first, second, waiting, ()) = tokio::join!(first, second, waiting, serve);
    first.unwrap();
    second.unwrap();
    waiting.unwrap();
    client.ready().await;
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_closes_the_session() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.connect_lazily().unwrap();
    let mut peer = listener.open().await;
    let set = client.set("/a", b"").send();
    drop(client);
    let (xid, _) = peer.expect(OpCode::SetData).await;
    peer.answer(xid, 0, &Stat::default()).await;
    set.await.unwrap();
    let (xid, _) = peer.expect(OpCode::CloseSession).await;
    peer.answer(xid, 0, &Nothing).await;
    assert_eq!(peer.frame().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_protected_node_of_a_lost_session_is_not_taken_for_ones_own() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.connect_lazily().unwrap();
    let serve = async {
        let mut peer = listener.open().await;
        let (_, body) = peer.expect(OpCode::Create2).await;
        let request = CreateRequest::from_bytes(&body).unwrap();
        let name = request.path.strip_prefix("/p/").unwrap().to_owned();
        drop(peer);
        listener.accept().await.greet(SessionId::NONE, 0).await;
        let mut peer = listener.accept().await;
        peer.greet(SessionId(0x78), 6000).await;
        let (sync, _) = peer.expect(OpCode::Sync).await;
        peer.answer(sync, 0, &Nothing).await;
        let (list, _) = peer.expect(OpCode::GetChildren2).await;
        let (children, stat) = (vec![format!("{name}1").into()], Stat::default());
        peer.answer(list, 0, &Children2Response { children, stat }).await;
        let (exists, _) = peer.expect(OpCode::Exists).await;
        let old = Stat { ephemeral_owner: SessionId(0x77), ..stat };
        peer.answer(exists, 0, &old).await;
        let (create, _) = peer.expect(OpCode::Create2).await;
        let path = format!("/p/{name}2").into();
        peer.answer(create, 0, &Create2Response { path, stat }).await;
    };
    let create = async { client.create("/p/n-", b"").ephemeral().sequential().protected().await };
    let (created, ()) = tokio::join!(create, serve);
    assert!(created.unwrap().path.ends_with("n-2"));
}

#[tokio::test(start_paused = true)]
async fn closing_outlasts_a_lost_connection() {
    // The session is still there, or it was closed after all.
    for refused in [false, true] {
        let (builder, mut listener) = builder(1 << 16);
        let client = builder.connect_lazily().unwrap();
        let mut peer = listener.open().await;
        let close = client.close().send();
        peer.expect(OpCode::CloseSession).await;
        drop(peer);
        let mut peer = listener.accept().await;
        if refused {
            peer.greet(SessionId::NONE, 0).await;
        } else {
            peer.greet(SessionId(0x77), 6000).await;
            let (xid, _) = peer.expect(OpCode::CloseSession).await;
            peer.answer(xid, 0, &Nothing).await;
        }
        close.await.unwrap();
        let mut status = client.status();
        status.wait_for(|status| status.state == State::Closed).await.unwrap();
        assert!(matches!(client.get("/a").await.unwrap_err().kind(), ErrorKind::Closed));
    }
}
