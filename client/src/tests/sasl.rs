//! Identities proved by SASL, with a mechanism the test makes up.

use std::{sync::Arc, time::Duration};

use quorate_protocol::{
    Decode, Encode, ErrorCode, OpCode, SessionId,
    record::{AuthRequest, SaslRequest, SaslResponse},
};

use super::peer::{Nothing, Peer, builder};
use crate::{
    Disconnect, ErrorKind, State,
    sasl::{Exchange, Mechanism, SaslError},
};

/// Says `hello`, answers `who?` with `me`, and is content with `good`.
pub(super) struct Polite;

impl Mechanism for Polite {
    fn begin(&self) -> Box<dyn Exchange> {
        Box::new(Self)
    }
}

impl Exchange for Polite {
    fn first(&mut self) -> Result<Vec<u8>, SaslError> {
        Ok(b"hello".to_vec())
    }

    fn answer(&mut self, token: &[u8]) -> Result<Option<Vec<u8>>, SaslError> {
        match token {
            b"who?" => Ok(Some(b"me".to_vec())),
            b"good" => Ok(None),
            _ => Err(SaslError::BadToken("impolite")),
        }
    }
}

/// The server's part: takes a token and answers it.
async fn token(peer: &mut Peer, expected: &str, answer: Option<&[u8]>) {
    let (xid, body) = peer.expect(OpCode::Sasl).await;
    assert_eq!(SaslRequest::from_bytes(&body).unwrap().token, Some(expected.as_bytes()));
    peer.answer_at(xid, 0, 0, &SaslResponse { token: answer }).await;
}

async fn prove(peer: &mut Peer) {
    token(peer, "hello", Some(b"who?")).await;
    token(peer, "me", Some(b"good")).await;
}

#[tokio::test(start_paused = true)]
async fn the_identity_is_proved_first_on_each_connection() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.sasl(Polite).auth("digest", "u:p").connect_lazily().unwrap();
    let exists = client.exists("/a").send();
    for last in [false, true] {
        let mut peer = listener.accept().await;
        peer.greet(SessionId(7), 6000).await;
        token(&mut peer, "hello", Some(b"who?")).await;
        let status = *client.status().borrow();
        assert!(!status.state.is_connected() && status.server.is_none(), "{status:?}");
        token(&mut peer, "me", Some(b"good")).await;
        let (xid, body) = peer.expect(OpCode::Auth).await;
        assert_eq!(AuthRequest::from_bytes(&body).unwrap().scheme.unwrap(), "digest");
        peer.answer(xid, 0, &Nothing).await;
        let (xid, _) = peer.expect(OpCode::Exists).await;
        assert_eq!(client.status().borrow().server, Some(([127, 0, 0, 1], 1).into()));
        if last {
            peer.answer(xid, ErrorCode::NoNode.wire(), &Nothing).await;
            assert_eq!(exists.await.unwrap(), None);
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_identity_ends_the_client() {
    for code in [ErrorCode::AuthFailed, ErrorCode::SessionClosedRequireSaslAuth] {
        let (builder, mut listener) = builder(1 << 16);
        let client = builder.sasl(Polite).connect_lazily().unwrap();
        let call = client.exists("/a").send();
        let mut peer = listener.open().await;
        token(&mut peer, "hello", Some(b"who?")).await;
        let (xid, _) = peer.expect(OpCode::Sasl).await;
        peer.answer_at(xid, 0, code.wire(), &SaslResponse { token: None }).await;
        let error = call.await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::AuthFailed), "{error:?}");
        assert_eq!(client.status().borrow().state, State::Closed);
    }
}

/// Why a client does not use a server that answers its first token with this.
async fn cause(answer: impl Encode, error: i32) -> Arc<Disconnect> {
    let (builder, mut listener) = builder(1 << 16);
    let serve = async {
        loop {
            let mut peer = listener.open().await;
            let (xid, _) = peer.expect(OpCode::Sasl).await;
            peer.answer_at(xid, 0, error, &answer).await;
        }
    };
    let connect = builder.sasl(Polite).connect_timeout(Duration::from_secs(2)).connect();
    let error = tokio::select! {
        refused = connect => refused.unwrap_err(),
        () = serve => unreachable!("it serves for ever"),
    };
    let ErrorKind::NotConnected(Some(cause)) = error.kind() else { panic!("{error:?}") };
    Arc::clone(cause)
}

#[tokio::test(start_paused = true)]
async fn servers_that_cannot_do_their_part_are_not_used() {
    for (token, error, expected) in [
        (None, 0, SaslError::NotOffered),
        (Some(&b"go away"[..]), 0, SaslError::BadToken("impolite")),
        (None, -6, SaslError::Refused(-6)),
    ] {
        let cause = cause(SaslResponse { token }, error).await;
        assert!(matches!(&*cause, Disconnect::Sasl(error) if *error == expected), "{cause:?}");
    }
    let cause = cause(Nothing, 0).await;
    assert!(matches!(&*cause, Disconnect::BadRecord(_)), "{cause:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_in_the_middle_is_given_up() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.sasl(Polite).connect_lazily().unwrap();
    let mut silent = listener.open().await;
    token(&mut silent, "hello", Some(b"who?")).await;
    let mut peer = listener.open().await;
    prove(&mut peer).await;
    client.wait_connected().await.unwrap();
}
