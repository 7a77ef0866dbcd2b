//! The beginning of a client connection: a four-letter word, or a connect record and its answer.
//!
//! Until there is a session a client may make the server hold a kilobyte and no more.

use std::sync::Arc;

use bytes::{Buf, BufMut, BytesMut};
use quorate_protocol::{
    Decode, SessionId,
    four_letter::FourLetterWord,
    frame::{self, LENGTH_SIZE},
    record::ConnectRequest,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Conn, End, Ended, words};
use crate::runtime::{Input, Opening, Reopening, Shared};

/// Bytes a connection without a session may make the server hold.
pub(super) const BUDGET: usize = 1024;

/// What a connection's first bytes are.
pub enum Beginning {
    /// They are not complete.
    Incomplete,
    /// A four-letter word, still at the front.
    Word(FourLetterWord),
    /// A connect record: the pipeline was asked for a session.
    Asked,
}

/// What the pipeline says about a session.
pub enum Outcome {
    /// Nothing yet.
    Waiting,
    /// Here it is: the answer is in the outbox, in front of everything that follows.
    Session(SessionId),
    /// There is none, and this is the answer.
    Refused(BytesMut),
    /// There is none, and no answer.
    CutOff,
}

/// Looks at a connection's first bytes and takes a connect record from their front.
///
/// # Errors
/// Why the connection is to be closed without an answer.
pub fn begin(shared: &Shared, conn: &Arc<Conn>, input: &mut BytesMut) -> Result<Beginning, Ended> {
    if let Some(word) = frame::peek_word(input) {
        return Ok(Beginning::Word(word));
    }
    let Some(record) = frame::peek_frame(input, BUDGET - LENGTH_SIZE)? else {
        return Ok(Beginning::Incomplete);
    };
    let length = record.len();
    shared.stats.connection_request_count.add(1);
    shared.stats.tally(&conn.stats).received(LENGTH_SIZE + length);
    let request = ConnectRequest::from_bytes(record).map_err(|_| Ended::BadConnect)?;
    ask_for_session(shared, conn, &request)?;
    input.advance(LENGTH_SIZE + length);
    Ok(Beginning::Asked)
}

/// Looks whether the pipeline has said anything about the session that it was asked for.
pub fn outcome(conn: &Conn) -> Outcome {
    if let Some(session) = conn.session() {
        return Outcome::Session(session);
    }
    let mut refusal = BytesMut::new();
    match conn.outbox.take(&mut refusal) {
        None => Outcome::Waiting,
        Some(End::Now) => Outcome::CutOff,
        Some(End::AfterFlush) => Outcome::Refused(refusal),
    }
}

/// Reads a connection's first bytes and deals with them. Returns the session once there is one: its
/// answer is in the outbox, and `input` holds what the client sent behind its connect record.
/// `None` when everything there was to say has been said.
///
/// # Errors
/// Why the connection is to be closed without an answer.
pub(super) async fn handshake(
    shared: &Arc<Shared>,
    conn: &Arc<Conn>,
    stream: &mut TcpStream,
    input: &mut BytesMut,
) -> Result<Option<SessionId>, Ended> {
    loop {
        match begin(shared, conn, input)? {
            Beginning::Incomplete => receive(conn, stream, input).await?,
            Beginning::Word(word) => {
                let answer = words::answer(shared, conn, word, stream, input).await?;
                send_all(conn, stream, answer.as_bytes()).await?;
                return Ok(None);
            }
            Beginning::Asked => return session_outcome(conn, stream).await,
        }
    }
}

/// Reads more, within the budget.
pub(super) async fn receive(
    conn: &Conn,
    stream: &mut TcpStream,
    input: &mut BytesMut,
) -> Result<(), Ended> {
    let room = BUDGET - input.len();
    input.reserve(room);
    let mut limited = input.limit(room);
    tokio::select! {
        received = stream.read_buf(&mut limited) => match received? {
            0 => Err(Ended::ByClient),
            _ => Ok(()),
        },
        // Before there is a session, all that is ever said is that time is up.
        () = conn.outbox.woken() => Err(Ended::ByServer),
    }
}

/// Sends the last that there is to say, unless it takes the client too long to take it.
async fn send_all(conn: &Conn, stream: &mut TcpStream, bytes: &[u8]) -> Result<(), Ended> {
    tokio::select! {
        sent = stream.write_all(bytes) => Ok(sent?),
        () = conn.outbox.woken() => Err(Ended::ByServer),
    }
}

fn ask_for_session(
    shared: &Shared,
    conn: &Arc<Conn>,
    request: &ConnectRequest<'_>,
) -> Result<(), Ended> {
    let reconnect = request.session_id != SessionId::NONE;
    if let Some(throttle) = &shared.throttle
        && !throttle.lock().take(reconnect, shared.clock.now_ms())
    {
        shared.stats.connection_rejected.add(1);
        return Err(Ended::Throttled);
    }
    let timeout_ms = shared.session_timeouts().negotiate(request.timeout_ms);
    let opening = Opening {
        conn: conn.clone(),
        timeout_ms,
        read_only: request.read_only,
        last_zxid_seen: request.last_zxid_seen,
    };
    let input = if reconnect {
        let password = request.passwd.to_vec();
        Input::Reopen(Reopening { opening, session: request.session_id, password })
    } else {
        Input::Open(opening)
    };
    shared.pipeline.submit_one(shared, input);
    Ok(())
}

/// Waits for the pipeline's word. A refusal is sent here.
async fn session_outcome(
    conn: &Arc<Conn>,
    stream: &mut TcpStream,
) -> Result<Option<SessionId>, Ended> {
    loop {
        conn.outbox.woken().await;
        match outcome(conn) {
            Outcome::Waiting => {}
            Outcome::Session(session) => return Ok(Some(session)),
            Outcome::Refused(answer) => {
                send_all(conn, stream, &answer).await?;
                return Ok(None);
            }
            Outcome::CutOff => return Err(Ended::ByServer),
        }
    }
}
