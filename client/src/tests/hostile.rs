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

/// What a hostile server does on a connection.
#[derive(Debug, TypeGenerator)]
struct Visit {
    opening: Opening,
    moves: Vec<Move>,
}

/// How it begins.
#[derive(Debug, TypeGenerator)]
enum Opening {
    /// As it ought to, so that the client makes its calls.
    Honest,
    /// Not at all.
    None,
    /// With anything.
    Greeting { timeout_ms: i32, session: i8, cut: u8 },
    /// As it ought to, with a session of its own and a timeout that servers may grant.
    Session { timeout_ms: u8, session: u8, read_only: bool },
}

/// What it does next.
#[derive(Debug, TypeGenerator)]
enum Move {
    /// Answers the oldest request it knows of.
    Answer { zxid: u8, body: Body },
    /// The same, perhaps with another xid, a refusal, or cut short.
    Misanswer { xid_off: i8, zxid: i64, error: i8, body: Body, cut: u8 },
    /// Tells of an event.
    Event { kind: u8, state: i8, path: Path, zxid: i64 },
    /// Answers a ping, whether there was one or not.
    Pong,
    /// Lets time pass.
    Wait { sixteenths: u8 },
    /// Something after which the connection is of little use.
    Break(Break),
}

/// What ends most connections.
#[derive(Debug, TypeGenerator)]
enum Break {
    /// A frame with anything in it.
    Frame(Vec<u8>),
    /// The beginning of a frame of any length.
    Length(i32),
    /// Anything at all.
    Bytes(Vec<u8>),
    /// Ends it.
    Close,
}

/// A path of an event.
#[derive(Debug, TypeGenerator)]
enum Path {
    Root,
    Watched,
    Any(String),
}

impl Path {
    fn as_str(&self) -> &str {
        match self {
            Self::Root => "/",
            Self::Watched => "/a",
            Self::Any(path) => path,
        }
    }
}

/// What an answer holds.
#[derive(Debug, TypeGenerator)]
enum Body {
    /// What was asked for.
    Fitting,
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

impl Body {
    /// What a request asks for.
    fn fitting(op: Option<OpCode>) -> Self {
        match op {
            Some(OpCode::GetData) => Self::Data { length: 3 },
            Some(OpCode::Create2) => Self::Created { path: "/a".into() },
            Some(OpCode::GetChildren2) => Self::Children { name: "a".into() },
            Some(OpCode::SetData | OpCode::Exists) => Self::Stat,
            Some(OpCode::Sasl) => Self::Token(Some(b"good".to_vec())),
            _ => Self::Nothing,
        }
    }
}

impl Encode for Body {
    fn encode(&self, out: &mut BytesMut) {
        let stat = Stat::default();
        match self {
            Self::Nothing | Self::Fitting => {}
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
    asked: VecDeque<(Xid, Option<OpCode>)>,
}

impl Hostile {
    /// Begins; whether the connection is of use.
    async fn open(&mut self, opening: &Opening, sasl: bool) -> bool {
        if self.peer.frame().await.is_none() {
            return false;
        }
        let mut out = BytesMut::new();
        match opening {
            Opening::Honest => greeting(6000, 0x77).encode(&mut out),
            Opening::None => return true,
            Opening::Greeting { timeout_ms, session, cut } => {
                greeting(*timeout_ms, i64::from(*session)).encode(&mut out);
                shorten(&mut out, *cut);
            }
            Opening::Session { timeout_ms, session, read_only } => {
                let honest = greeting(i32::from(*timeout_ms) * 64, i64::from(*session));
                ConnectResponse { read_only: Some(*read_only), ..honest }.encode(&mut out);
            }
        }
        let open = self.write_frame(&out).await;
        if sasl && open && matches!(opening, Opening::Honest) {
            return self.make(&Move::Answer { zxid: 0, body: Body::Fitting }).await;
        }
        open
    }

    /// Makes a move; whether the connection is still of use.
    async fn make(&mut self, step: &Move) -> bool {
        self.take_requests().await;
        let mut out = BytesMut::new();
        match step {
            Move::Answer { zxid, body } => {
                let (xid, op) = self.asked.pop_front().unwrap_or((Xid(1), None));
                ReplyHeader { xid, zxid: Zxid((*zxid).into()), error: 0 }.encode(&mut out);
                put_body(&mut out, body, op);
            }
            Move::Misanswer { xid_off, zxid, error, body, cut } => {
                let (xid, op) = self.asked.pop_front().unwrap_or((Xid(1), None));
                // Some of them only in one way.
                let off = if *xid_off < 96 { 0 } else { i32::from(*xid_off) - 100 };
                let error = if *error > 64 { 0 } else { i32::from(*error) };
                let xid = Xid(xid.0.wrapping_add(off));
                ReplyHeader { xid, zxid: Zxid(*zxid), error }.encode(&mut out);
                put_body(&mut out, body, op);
                shorten(&mut out, *cut);
            }
            Move::Event { kind, state, path, zxid } => {
                ReplyHeader { xid: Xid::EVENT, zxid: Zxid(*zxid), error: 0 }.encode(&mut out);
                // There are five kinds, and others.
                out.put_i32(i32::from(*kind % 8) - 1);
                out.put_i32((*state).into());
                out.put_ustring(path.as_str());
            }
            Move::Pong => {
                ReplyHeader { xid: Xid::PING, zxid: Zxid(1), error: 0 }.encode(&mut out);
            }
            Move::Wait { sixteenths } => {
                tokio::time::sleep(Duration::from_secs(1) / 16 * u32::from(*sixteenths)).await;
                return true;
            }
            Move::Break(Break::Frame(bytes)) => out.put_slice(bytes),
            Move::Break(Break::Length(length)) => return self.write(&length.to_be_bytes()).await,
            Move::Break(Break::Bytes(bytes)) => return self.write(bytes).await,
            Move::Break(Break::Close) => return false,
        }
        self.write_frame(&out).await
    }

    async fn write_frame(&mut self, body: &[u8]) -> bool {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        self.write(&length).await && self.write(body).await
    }

    /// A client that hangs up, or reads nothing any more, does so.
    async fn write(&mut self, bytes: &[u8]) -> bool {
        let written = timeout(FOREVER, self.peer.stream.write_all(bytes)).await;
        written.expect("the client reads, or hangs up").is_ok()
    }

    /// Takes what the client has said so far.
    async fn take_requests(&mut self) {
        while let Ok(Some(frame)) = timeout(Duration::from_millis(1), self.peer.frame()).await {
            let (xid, op) = (Xid(first_int(&frame)), OpCode::from_wire(first_int(&frame[4..])));
            if xid != Xid::PING {
                self.asked.push_back((xid, op));
            }
        }
    }
}

fn put_body(out: &mut BytesMut, body: &Body, op: Option<OpCode>) {
    match body {
        Body::Fitting => Body::fitting(op).encode(out),
        body => body.encode(out),
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

/// Makes all moves of all visits, as far as the client lets it.
async fn harass(listener: &mut Listener, visits: &[Visit], sasl: bool) {
    for Visit { opening, moves } in visits {
        let peer = listener.accept_if_any().await;
        let mut hostile = Hostile { peer, asked: VecDeque::new() };
        if !hostile.open(opening, sasl).await {
            continue;
        }
        for step in moves {
            if !hostile.make(step).await {
                break;
            }
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
    let (stream, create, set, get, children, exists, multi) = tokio::join!(
        async { client.watch("/").recursive().await },
        client.create("/a", "1"),
        client.set("/a", "2").repeatable(),
        client.get("/a").linearizable(),
        client.children("/").send(),
        client.exists("/a").watch(),
        client.multi().delete("/a", -1).check("/b", 1),
    );
    assert_alive(&stream);
    assert_alive(&create);
    assert_alive(&set);
    assert_alive(&get);
    assert_alive(&children);
    assert_alive(&exists);
    assert_alive(&multi);
    if let Ok(mut stream) = stream {
        // There may be none.
        let _ = timeout(Duration::from_secs(1), stream.next()).await;
    }
}

async fn is_harassed(visits: &[Visit], sasl: bool, auth: bool) {
    let (builder, mut listener) = builder(1 << 10);
    let patient = RetryPolicy::default().max_elapsed(FOREVER);
    let builder = builder.retry(patient).max_answer(1 << 16);
    let builder = if auth { builder.auth("digest", "u:p") } else { builder };
    let builder = if sasl { builder.sasl(Polite) } else { builder };
    let client = builder.read_only(true).connect_lazily().unwrap();
    let user = async {
        use_it(&client).await;
        use_it(&client).await;
        let after = client.exists("/b").await;
        assert_alive(&after);
    };
    let server = async {
        harass(&mut listener, visits, sasl).await;
        serve(&mut listener).await;
    };
    tokio::select! {
        done = timeout(FOREVER, user) => done.expect("each call is answered or fails"),
        () = server => unreachable!("it serves for ever"),
    }
}

#[test]
fn a_hostile_server_is_survived() {
    bolero::check!().with_type::<(Vec<Visit>, bool, bool)>().for_each(|(visits, sasl, auth)| {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(is_harassed(visits, *sasl, *auth));
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
