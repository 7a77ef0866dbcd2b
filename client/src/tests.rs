//! The client against a server that the test plays itself, over a stream in memory.

use std::fmt::Debug;

use quorate_protocol::{
    SessionId, Xid, Zxid,
    frame::{next_frame, put_frame},
    record::{
        ConnectRequest, ConnectResponse, MultiHeader, MultiOps, MultiResult, ReplyHeader,
        RequestHeader,
    },
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const TIMEOUT: Duration = Duration::from_secs(9);

/// A record without fields.
struct Nothing;

impl Encode for Nothing {
    fn encode(&self, _: &mut BytesMut) {}
}

/// The server's end of a connection.
struct Peer {
    stream: DuplexStream,
    input: BytesMut,
}

impl Peer {
    async fn frame(&mut self) -> Bytes {
        loop {
            if let Some(frame) = next_frame(&mut self.input, 1 << 20).unwrap() {
                return frame;
            }
            assert_ne!(self.stream.read_buf(&mut self.input).await.unwrap(), 0, "client is gone");
        }
    }

    async fn request(&mut self) -> (Xid, OpCode, Bytes) {
        let mut frame = self.frame().await;
        let header = RequestHeader::from_bytes(&frame).unwrap();
        (header.xid, OpCode::from_wire(header.op).unwrap(), frame.split_off(RequestHeader::SIZE))
    }

    async fn send(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        let mut out = BytesMut::new();
        put_frame(&mut out, encode);
        self.stream.write_all(&out).await.unwrap();
    }

    async fn answer(&mut self, xid: Xid, error: i32, body: &impl Encode) {
        let header = ReplyHeader { xid, zxid: Zxid(1), error };
        let encode = |out: &mut BytesMut| {
            header.encode(out);
            body.encode(out);
        };
        self.send(encode).await;
    }
}

async fn connect(granted_ms: i32) -> (Result<Client, Error>, Peer) {
    // So small that no frame passes in one piece.
    let (near, far) = duplex(7);
    let mut peer = Peer { stream: far, input: BytesMut::new() };
    let accept = async {
        let frame = peer.frame().await;
        let request = ConnectRequest::from_bytes(&frame).unwrap();
        assert_eq!((request.session_id, request.timeout_ms), (SessionId::NONE, 9000));
        let response = ConnectResponse {
            timeout_ms: granted_ms,
            session_id: SessionId(0x77),
            ..ConnectResponse::refusal(request.read_only)
        };
        peer.send(|out| response.encode(out)).await;
    };
    let (client, ()) = tokio::join!(Client::over(near, TIMEOUT), accept);
    (client, peer)
}

async fn connected() -> (Client, Peer) {
    let (client, peer) = connect(6000).await;
    (client.unwrap(), peer)
}

fn failure<T: Debug>(result: Result<T, Error>) -> String {
    format!("{:?}", result.unwrap_err())
}

#[tokio::test]
async fn a_session_is_the_servers_to_grant() {
    let (client, _peer) = connected().await;
    assert_eq!(client.session_id(), SessionId(0x77));
    assert_eq!(client.session_timeout(), Duration::from_secs(6));

    let (refused, _peer) = connect(0).await;
    assert_eq!(failure(refused), "SessionExpired");
}

#[tokio::test]
async fn calls_are_sent_in_the_order_they_were_made_whenever_they_are_awaited() {
    let (client, mut peer) = connected().await;
    let acl = [Acl::world(Perms::ALL)];
    let create = client.create("/a", b"1", CreateMode::Persistent, &acl);
    let set = client.clone().set("/a", b"2", 0);
    let get = client.get("/a");
    let exists = client.exists("/b");
    let children = client.get_children("/a");
    let delete = client.delete("/a", 5);

    let serve = async {
        let expected = [
            OpCode::Create2,
            OpCode::SetData,
            OpCode::GetData,
            OpCode::Exists,
            OpCode::GetChildren,
            OpCode::Delete,
        ];
        for (number, op) in (1..).zip(expected) {
            let (xid, sent, _) = peer.request().await;
            assert_eq!((xid, sent), (Xid(number), op));
        }
        let stat = Stat { version: 1, ..Stat::default() };
        peer.answer(Xid(1), 0, &Create2Response { path: "/a".into(), stat }).await;
        peer.answer(Xid(2), 0, &stat).await;
        peer.answer(Xid::PING, 0, &Nothing).await;
        peer.answer(Xid(3), 0, &GetDataResponse { data: None, stat }).await;
        peer.answer(Xid(4), ErrorCode::NoNode.wire(), &Nothing).await;
        peer.answer(Xid(5), 0, &ChildrenResponse { children: vec!["x".into()] }).await;
        peer.answer(Xid(6), ErrorCode::BadVersion.wire(), &Nothing).await;
    };
    let (delete, children, exists, get, set, create, ()) =
        tokio::join!(delete, children, exists, get, set, create, serve);
    assert_eq!(create.unwrap().path, "/a");
    assert_eq!(set.unwrap().version, 1);
    assert_eq!(get.unwrap().data, None);
    assert_eq!(exists.unwrap(), None);
    assert_eq!(children.unwrap(), ["x"]);
    let delete = delete.unwrap_err();
    assert!(matches!(delete, Error::Refused(ErrorCode::BadVersion)));
    assert!(delete.surely_not_done() && !delete.is_retryable());
}

#[tokio::test]
async fn a_lost_connection_tells_what_was_sent_from_what_was_not() {
    let (client, mut peer) = connected().await;
    let sent = client.set("/a", b"", ANY_VERSION);
    peer.request().await;
    drop(peer);
    let sent = sent.await.unwrap_err();
    assert!(matches!(sent, Error::ConnectionLost));
    assert!(sent.is_retryable() && !sent.surely_not_done());

    let unsent = client.set("/a", b"", ANY_VERSION).await.unwrap_err();
    assert!(matches!(unsent, Error::NotConnected));
    assert!(unsent.is_retryable() && unsent.surely_not_done());
}

#[tokio::test]
async fn an_answer_out_of_turn_ends_the_connection() {
    let (client, mut peer) = connected().await;
    let first = client.get("/a");
    let second = client.get("/b");
    peer.answer(Xid(2), ErrorCode::NoNode.wire(), &Nothing).await;
    assert_eq!(failure(first.await), "ConnectionLost");
    assert_eq!(failure(second.await), "ConnectionLost");
}

#[tokio::test]
async fn what_cannot_be_right_is_not_sent() {
    let (client, mut peer) = connected().await;
    let wrong = client.get("a/").await.unwrap_err();
    assert!(matches!(wrong, Error::BadPath(_)) && wrong.surely_not_done());
    assert!(client.create("/a", b"", CreateMode::PersistentWithTtl, &[]).await.is_err());
    assert!(Client::connect("127.0.0.1:1/chroot", TIMEOUT).await.is_err());

    // The number of a sequential node may be its whole name.
    let _pending = client.create("/a/", b"", CreateMode::EphemeralSequential, &[]);
    assert_eq!(peer.request().await.0, Xid(1));
}

#[tokio::test]
async fn a_multi_is_done_or_says_what_failed() {
    let (client, mut peer) = connected().await;
    let acl = [Acl::world(Perms::ALL)];
    let multi = Multi::new()
        .check("/a", 3)
        .create("/a/b", b"1", CreateMode::Ephemeral, &acl)
        .set("/a", b"2", 3)
        .delete("/c", ANY_VERSION);
    let results = |results: Vec<MultiResult<'static>>| {
        let mut body = BytesMut::new();
        for result in results {
            result.encode(&mut body);
        }
        MultiHeader::END.encode(&mut body);
        move |xid: i32| {
            move |out: &mut BytesMut| {
                ReplyHeader { xid: Xid(xid), zxid: Zxid(1), error: 0 }.encode(out);
                out.extend_from_slice(&body);
            }
        }
    };

    let done = client.multi(multi.clone());
    let (_, op, body) = peer.request().await;
    let ops: Vec<_> = MultiOps::new(op, &body).map(|op| op.unwrap().op()).collect();
    assert_eq!(ops, [OpCode::Check, OpCode::Create2, OpCode::SetData, OpCode::Delete]);
    let stat = Stat::default();
    let created = Create2Response { path: "/a/b".into(), stat };
    let all = vec![
        MultiResult::Check,
        MultiResult::Create2(created),
        MultiResult::SetData(stat),
        MultiResult::Delete,
    ];
    peer.send(results(all)(1)).await;
    let created = Created { path: "/a/b".into(), stat };
    assert_eq!(
        done.await.unwrap(),
        [
            MultiOutcome::Checked,
            MultiOutcome::Created(created),
            MultiOutcome::Set(stat),
            MultiOutcome::Deleted
        ]
    );

    let failed = client.multi(multi);
    peer.request().await;
    let all = [0, -110, -2, -2].map(MultiResult::Error).to_vec();
    peer.send(results(all)(2)).await;
    assert_eq!(failure(failed.await), "MultiFailed { index: 1, code: NodeExists }");
}

#[tokio::test]
async fn closing_waits_for_the_server_and_ends_clones() {
    let (client, mut peer) = connected().await;
    let clone = client.clone();
    let closed = client.close();
    let (xid, op, _) = peer.request().await;
    assert_eq!(op, OpCode::CloseSession);
    peer.answer(xid, 0, &Nothing).await;
    closed.await.unwrap();
    assert!(clone.get("/a").await.is_err());
}

#[tokio::test]
async fn an_answer_outlives_the_handle() {
    let (client, mut peer) = connected().await;
    let set = client.set("/a", b"", ANY_VERSION);
    drop(client);
    let (xid, ..) = peer.request().await;
    peer.answer(xid, 0, &Stat::default()).await;
    set.await.unwrap();
    assert_eq!(peer.stream.read_buf(&mut peer.input).await.unwrap(), 0, "the connection ends");
}

#[tokio::test(start_paused = true)]
async fn pings_keep_an_idle_session_and_silence_ends_it() {
    let (client, mut peer) = connected().await;
    for _ in 0..5 {
        let (xid, op, _) = peer.request().await;
        assert_eq!((xid, op), (Xid::PING, OpCode::Ping));
        peer.answer(Xid::PING, 0, &Nothing).await;
    }
    // No answers from here on.
    let begin = tokio::time::Instant::now();
    assert_eq!(failure(client.get("/a").await), "ConnectionLost");
    assert!(begin.elapsed() <= client.session_timeout() * 2 / 3);
}
