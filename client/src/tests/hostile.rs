//! Whatever a server sends, the client does not panic, does not hang, and does its work again as
//! soon as a server is honest.

use std::{collections::VecDeque, time::Duration};

use bolero::TypeGenerator;
use bytes::{BufMut, BytesMut};
use quorate_protocol::{
    Encode, ErrorCode, OpCode, SessionId, Stat, Xid, Zxid,
    codec::PutJute,
    frame::put_frame,
    record::{
        Children2Response, ConnectResponse, Create2Response, GetDataResponse, ReplyHeader,
        SaslResponse,
    },
};
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{
    peer::{Listener, Peer, builder},
    sasl::Polite,
};
use crate::{Client, Error, ErrorKind, RetryPolicy};

/// Longer than any timeout of a client, in virtual time.
const FOREVER: Duration = Duration::from_secs(1_000_000);

/// What a hostile server does next.
#[derive(Debug, TypeGenerator)]
enum Move {
    /// Answers the first record as it ought to.
    Greet,
    /// Answers it with anything.
    GreetWith { timeout_ms: i32, session: i8, cut: u8 },
    /// Answers the oldest request it knows of, perhaps with another xid, and cut short.
    Answer { xid_off: Option<i8>, zxid: i64, error: Option<i8>, body: Body, cut: u8 },
    /// Tells of an event.
    Event { kind: i8, state: i8, path: String, zxid: i64 },
    /// Answers a ping, whether there was one or not.
    Pong,
    /// A frame with anything in it.
    Frame(Vec<u8>),
    /// The beginning of a frame of any length.
    Length(i32),
    /// Anything at all.
    Bytes(Vec<u8>),
    /// Lets time pass.
    Wait { sixteenths: u8 },
    /// Ends the connection.
    Close,
}

/// What an answer holds.
#[derive(Debug, TypeGenerator)]
enum Body {
    Nothing,
    Bytes(Vec<u8>),
    Stat,
    Data {
        length: u8,
    },
    Created {
        path: String,
    },
    Children {
        name: String,
    },
    Token(Option<Vec<u8>>),
    /// As many as it says would not fit into memory.
    Count(i32),
}

impl Encode for Body {
    fn encode(&self, out: &mut BytesMut) {
        let stat = Stat::default();
        match self {
            Self::Nothing => {}
            Self::Bytes(bytes) => out.put_slice(bytes),
            Self::Stat => stat.encode(out),
            Self::Data { length } => {
                let data = vec![0; usize::from(*length)];
                GetDataResponse { data: Some(&data), stat }.encode(out);
            }
            Self::Created { path } => Create2Response { path: path.into(), stat }.encode(out),
            Self::Children { name } => {
                Children2Response { children: vec![name.as_str().into()], stat }.encode(out);
            }
            Self::Token(token) => SaslResponse { token: token.as_deref() }.encode(out),
            Self::Count(count) => out.put_i32(*count),
        }
    }
}

/// A connection, and the requests on it without an answer.
struct Hostile {
    peer: Peer,
    asked: VecDeque<Xid>,
}

impl Hostile {
    /// Makes a move; whether the connection is still of use.
    async fn make(&mut self, step: &Move) -> bool {
        self.take_requests().await;
        let mut out = BytesMut::new();
        match step {
            Move::Greet => greeting(6000, 0x77).encode(&mut out),
            Move::GreetWith { timeout_ms, session, cut } => {
                greeting(*timeout_ms, i64::from(*session)).encode(&mut out);
                shorten(&mut out, *cut);
            }
            Move::Answer { xid_off, zxid, error, body, cut } => {
                let xid = self.asked.pop_front().unwrap_or(Xid(1));
                let xid = Xid(xid.0.wrapping_add(i32::from(xid_off.unwrap_or(0))));
                let error = error.map_or(0, i32::from);
                ReplyHeader { xid, zxid: Zxid(*zxid), error }.encode(&mut out);
                body.encode(&mut out);
                shorten(&mut out, *cut);
            }
            Move::Event { kind, state, path, zxid } => {
                ReplyHeader { xid: Xid::EVENT, zxid: Zxid(*zxid), error: 0 }.encode(&mut out);
                out.put_i32((*kind).into());
                out.put_i32((*state).into());
                out.put_ustring(path);
            }
            Move::Pong => {
                ReplyHeader { xid: Xid::PING, zxid: Zxid(1), error: 0 }.encode(&mut out);
            }
            Move::Frame(bytes) => out.put_slice(bytes),
            Move::Length(length) => return self.write(&length.to_be_bytes()).await,
            Move::Bytes(bytes) => return self.write(bytes).await,
            Move::Wait { sixteenths } => {
                tokio::time::sleep(Duration::from_secs(1) / 16 * u32::from(*sixteenths)).await;
                return true;
            }
            Move::Close => return false,
        }
        let length = u32::try_from(out.len()).unwrap().to_be_bytes();
        self.write(&length).await && self.write(&out).await
    }

    async fn write(&mut self, bytes: &[u8]) -> bool {
        self.peer.stream.write_all(bytes).await.is_ok()
    }

    /// Takes what the client has said so far. Its first record looks like one more request.
    async fn take_requests(&mut self) {
        while let Ok(Some(frame)) = timeout(Duration::from_millis(1), self.peer.frame()).await {
            let xid = frame.first_chunk().map_or(0, |xid| i32::from_be_bytes(*xid));
            if xid > 0 {
                self.asked.push_back(Xid(xid));
            }
        }
    }
}

fn greeting(timeout_ms: i32, session: i64) -> ConnectResponse {
    let session_id = SessionId(session);
    ConnectResponse { timeout_ms, session_id, ..ConnectResponse::refusal(Some(false)) }
}

/// Takes bytes away at the end, most often none.
fn shorten(out: &mut BytesMut, cut: u8) {
    out.truncate(out.len().saturating_sub(usize::from(cut.saturating_sub(200))));
}

/// Makes all moves, on as many connections as it takes.
async fn harass(listener: &mut Listener, moves: &[Move]) {
    let mut connection = None;
    for step in moves {
        let hostile = if let Some(hostile) = &mut connection {
            hostile
        } else {
            let peer = listener.accept_if_any().await;
            connection.insert(Hostile { peer, asked: VecDeque::new() })
        };
        if !hostile.make(step).await {
            connection = None;
        }
    }
}

/// Serves as it ought to: there is no node at all. Whom it serves may have gone already.
async fn serve(listener: &mut Listener) {
    loop {
        let mut peer = listener.accept_if_any().await;
        if peer.frame().await.is_none()
            || !write(&mut peer, |out| greeting(6000, 0x78).encode(out)).await
        {
            continue;
        }
        while let Some(frame) = peer.frame().await {
            let (xid, op) = (Xid(first_int(&frame)), first_int(&frame[4..]));
            let op = OpCode::from_wire(op).expect("a client asks for what there is");
            let itself = [OpCode::Ping, OpCode::Auth, OpCode::SetWatches, OpCode::SetWatches2];
            let fine = op == OpCode::Sasl || itself.contains(&op);
            let error = if fine { 0 } else { ErrorCode::NoNode.wire() };
            let answer = |out: &mut BytesMut| {
                ReplyHeader { xid, zxid: Zxid(5), error }.encode(out);
                if op == OpCode::Sasl {
                    SaslResponse { token: Some(b"good") }.encode(out);
                }
            };
            if !write(&mut peer, answer).await {
                break;
            }
        }
    }
}

/// Writes a frame; whether the client takes it.
async fn write(peer: &mut Peer, encode: impl FnOnce(&mut BytesMut)) -> bool {
    let mut out = BytesMut::new();
    put_frame(&mut out, encode);
    peer.stream.write_all(&out).await.is_ok()
}

fn first_int(bytes: &[u8]) -> i32 {
    bytes.first_chunk().map_or(0, |int| i32::from_be_bytes(*int))
}

/// An error that tells of a client that fell over: nobody has closed it.
fn assert_alive<T>(result: &Result<T, Error>) {
    if let Err(error) = result {
        assert!(
            !matches!(error.kind(), ErrorKind::Closed),
            "the connection's task is gone: {error:?}"
        );
    }
}

async fn use_it(client: &Client) {
    let multi = client.multi().delete("/a", -1).check("/b", 1);
    let (create, set, get) = tokio::join!(
        client.create("/a", "1"),
        client.set("/a", "2"),
        client.get("/a").linearizable(),
    );
    assert_alive(&create);
    assert_alive(&set);
    assert_alive(&get);
    let (children, exists, multi, stream) =
        tokio::join!(client.children("/").send(), client.exists("/a").watch(), multi, async {
            client.watch("/").recursive().await
        },);
    assert_alive(&children);
    assert_alive(&exists);
    assert_alive(&multi);
    assert_alive(&stream);
}

async fn is_harassed(moves: &[Move], sasl: bool) {
    let (builder, mut listener) = builder(1 << 10);
    let patient = RetryPolicy::default().max_elapsed(FOREVER);
    let builder = builder.retry(patient).auth("digest", "u:p").max_answer(1 << 16);
    let builder = if sasl { builder.sasl(Polite) } else { builder };
    let client = builder.connect_lazily().unwrap();
    let user = async {
        use_it(&client).await;
        let after = client.exists("/b").await;
        assert_alive(&after);
    };
    let server = async {
        harass(&mut listener, moves).await;
        serve(&mut listener).await;
    };
    tokio::select! {
        done = timeout(FOREVER, user) => done.expect("each call is answered or fails"),
        () = server => unreachable!("it serves for ever"),
    }
}

#[test]
fn a_hostile_server_is_survived() {
    bolero::check!().with_type::<(Vec<Move>, bool)>().for_each(|(moves, sasl)| {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(is_harassed(moves, *sasl));
    });
}

/// What the announced length of a frame sets aside is bounded, and its bytes are not waited for.
#[tokio::test(start_paused = true)]
async fn a_greeting_that_is_announced_too_long_ends_the_attempt_at_once() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.connect_lazily().unwrap();
    for length in [i32::MAX, 1 << 20, -1] {
        let mut peer = listener.accept().await;
        peer.stream.write_all(&length.to_be_bytes()).await.unwrap();
        while peer.frame().await.is_some() {}
    }
    let _peer = listener.open().await;
    client.wait_connected().await.unwrap();
}
