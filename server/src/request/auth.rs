//! Requests that concern the connection and not the tree. They are answered where they arrive, in
//! their place among the connection's replies.

use std::sync::Arc;

use bytes::BytesMut;
use quorate_protocol::{
    Decode, DecodeError, Encode, ErrorCode, Id, Xid, Zxid,
    record::{AuthRequest, SaslRequest, SaslResponse},
};

use super::frame::{self, NO_ZXID};
use crate::auth::Schemes;

/// Answers an `auth` request of a connection with the identities `ids`. Returns those it has from
/// now on; `None` when the client was refused: the connection has to be closed behind the reply.
///
/// # Errors
/// When the request cannot be decoded. It has no reply; the connection has to be closed.
pub fn authenticate(
    schemes: &Schemes,
    ids: &Arc<[Id]>,
    xid: Xid,
    body: &[u8],
    out: &mut BytesMut,
) -> Result<Option<Arc<[Id]>>, DecodeError> {
    let request = AuthRequest::from_bytes(body)?;
    // Compat: ZooKeeper decodes a scheme that is null, and then knows no such scheme.
    let scheme = request.scheme.as_deref().unwrap_or_default();
    match schemes.authenticate(scheme, request.auth) {
        Ok(mut added) => {
            frame::put_empty_reply(out, xid, Zxid::ZERO, ErrorCode::Ok);
            added.retain(|id| !ids.contains(id));
            if added.is_empty() {
                return Ok(Some(ids.clone()));
            }
            Ok(Some(ids.iter().cloned().chain(added).collect()))
        }
        Err(code) => {
            frame::put_empty_reply(out, xid, Zxid::ZERO, code);
            Ok(None)
        }
    }
}

/// Answers a `sasl` request as a server does that has no SASL configured: a client without a need
/// for it carries on.
///
/// # Errors
/// When the request cannot be decoded. It has no reply; the connection has to be closed.
pub fn put_sasl_reply(xid: Xid, body: &[u8], out: &mut BytesMut) -> Result<(), DecodeError> {
    SaslRequest::from_bytes(body)?;
    frame::put_reply(out, xid, Zxid::ZERO, |out| {
        SaslResponse { token: None }.encode(out);
        Ok(())
    });
    Ok(())
}

/// Whether a client with these identities may ask for anything but authentication. `required` are
/// the schemes one of which it must have authenticated by (`enforce.auth.schemes`), if any.
pub fn is_admitted(required: &[String], ids: &[Id]) -> bool {
    required.is_empty() || ids.iter().any(|id| required.contains(&id.scheme))
}

/// Answers any request of a client that is not admitted. The connection has to be closed behind it.
pub fn put_unauthenticated_reply(xid: Xid, out: &mut BytesMut) {
    // Compat: AuthenticationHelper.enforceAuthentication uses this code whatever the schemes are.
    frame::put_empty_reply(out, xid, Zxid::ZERO, ErrorCode::SessionClosedRequireSaslAuth);
}

/// Answers a request of [`super::Class::Unknown`]. The connection has to be closed behind it.
pub fn put_unknown_reply(xid: Xid, out: &mut BytesMut) {
    frame::put_empty_reply(out, xid, NO_ZXID, ErrorCode::Unimplemented);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(scheme: &str, auth: Option<&[u8]>) -> BytesMut {
        AuthRequest { kind: 0, scheme: Some(scheme.into()), auth }.to_bytes()
    }

    fn reply(code: ErrorCode) -> BytesMut {
        let mut out = BytesMut::new();
        frame::put_empty_reply(&mut out, Xid::AUTH, Zxid(0), code);
        out
    }

    #[test]
    fn identities_accumulate_once_each() {
        let mut ids: Arc<[Id]> = Arc::from([Id::new("ip", "10.0.0.1")]);
        for (scheme, proof, count) in
            [("digest", "a:b", 2), ("digest", "a:b", 2), ("digest", "c:d", 3), ("ip", "none", 3)]
        {
            let mut out = BytesMut::new();
            let body = auth(scheme, Some(proof.as_bytes()));
            let now = authenticate(&Schemes::default(), &ids, Xid::AUTH, &body, &mut out);
            ids = now.unwrap().unwrap();
            assert_eq!(ids.len(), count, "{scheme} {proof}");
            assert_eq!(out, reply(ErrorCode::Ok));
        }
    }

    #[test]
    fn a_refused_client_is_told_and_a_broken_one_is_not() {
        let ids: Arc<[Id]> = Arc::from([]);
        let null = AuthRequest { kind: 0, scheme: None, auth: Some(b"a:b") }.to_bytes();
        for body in [auth("digest", None), auth("foo", Some(b"x")), null] {
            let mut out = BytesMut::new();
            let now = authenticate(&Schemes::default(), &ids, Xid::AUTH, &body, &mut out);
            assert_eq!(now, Ok(None));
            assert_eq!(out, reply(ErrorCode::AuthFailed));
        }
        let mut out = BytesMut::new();
        assert!(authenticate(&Schemes::default(), &ids, Xid::AUTH, &[0; 5], &mut out).is_err());
        assert!(put_sasl_reply(Xid(1), &[0; 3], &mut out).is_err());
        assert!(out.is_empty());
    }

    #[test]
    fn admitted_is_who_has_an_identity_of_a_required_scheme() {
        let ids = [Id::new("ip", "10.0.0.1"), Id::new("digest", "a:b")];
        let required =
            |schemes: &[&str]| schemes.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (schemes, count, admitted) in [
            (required(&[]), 0, true),
            (required(&["digest"]), 1, false),
            (required(&["digest"]), 2, true),
            (required(&["sasl", "ip"]), 1, true),
        ] {
            assert_eq!(is_admitted(&schemes, &ids[..count]), admitted, "{schemes:?} {count}");
        }
    }

    #[test]
    fn without_sasl_the_token_is_null() {
        let mut out = BytesMut::new();
        put_sasl_reply(Xid(3), &[0, 0, 0, 0], &mut out).unwrap();
        let header = [0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(out[..], [&header[..], &[255; 4]].concat());
    }

    #[test]
    fn an_unknown_request_has_a_reply_of_its_own() {
        let mut out = BytesMut::new();
        put_unknown_reply(Xid(3), &mut out);
        let mut expected = vec![0, 0, 0, 16, 0, 0, 0, 3];
        expected.extend_from_slice(&[255; 8]);
        expected.extend_from_slice(&[255, 255, 255, 250]);
        assert_eq!(out[..], expected);
    }
}
