//! Four-letter words: a connection that is one question and its answer.

use bytes::{Buf, BytesMut};
use quorate_protocol::four_letter::FourLetterWord;
use tokio::net::TcpStream;

use super::{Conn, Ended, handshake::receive};
use crate::{admin, runtime::Shared};

/// Reads what belongs to the word at the front of `input` and answers it.
///
/// # Errors
/// When the connection ends before the word is complete.
pub(super) async fn answer(
    shared: &Shared,
    conn: &Conn,
    word: FourLetterWord,
    stream: &mut TcpStream,
    input: &mut BytesMut,
) -> Result<String, Ended> {
    input.advance(word.bytes().len());
    let wanted = admin::argument_bytes(word, shared);
    while input.len() < wanted {
        receive(conn, stream, input).await?;
    }
    shared.stats.tally(&conn.stats).received(word.bytes().len() + wanted);
    let argument = (wanted > 0).then(|| input.first_chunk().copied()).flatten();
    Ok(admin::respond(word, argument, shared))
}
