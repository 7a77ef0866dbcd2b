//! Who a connection is, and what an ACL lets it do.
//!
//! A connection carries identities ([`Id`]s): its address from the beginning, others when the
//! client authenticates. An ACL names identities and what each may do. Everything here is a pure
//! function of the settings ([`Schemes`]), the bytes of an ACL and the identities; who holds the
//! identities, and closing a connection that failed to authenticate, are the caller's business.
//!
//! The identity `super` passes every check. The super user's digest gives it, and on a server with
//! `skipACL=yes` every connection has it from the beginning. So a check needs the ACL and the
//! identities, and no settings.

mod acl;
mod digest;
mod ip;

use std::net::IpAddr;

use bytes::BytesMut;
use quorate_protocol::{ErrorCode, Id, codec::PutJute};

pub use acl::{check, put_redacted};
pub use digest::Algorithm;

/// The scheme of the identity that passes every check.
pub(crate) const SUPER: &str = "super";

/// A scheme this server knows identities of. `world` is none: nobody is authenticated by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    /// `user:base64(hash(user:password))`.
    Digest,
    /// The client's address.
    Ip,
}

/// Which schemes are switched on, and their settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schemes {
    /// The hash of the digest scheme, or `None` when the scheme is switched off.
    pub digest: Option<Algorithm>,
    /// `user:hash` of the super user (`DigestAuthenticationProvider.superDigest`).
    pub super_digest: Option<String>,
    /// No ACL is checked (`skipACL=yes`).
    pub skip_acl: bool,
}

impl Default for Schemes {
    fn default() -> Self {
        Self { digest: Some(Algorithm::default()), super_digest: None, skip_acl: false }
    }
}

impl Schemes {
    fn find(&self, scheme: &str) -> Option<Scheme> {
        match scheme {
            "digest" if self.digest.is_some() => Some(Scheme::Digest),
            "ip" => Some(Scheme::Ip),
            _ => None,
        }
    }

    /// The identities a connection has from the beginning.
    pub fn initial_ids(&self, remote: IpAddr) -> Vec<Id> {
        let mut ids = vec![Id::new("ip", ip::id_of(remote))];
        if self.skip_acl {
            ids.push(Id::new(SUPER, ""));
        }
        ids
    }

    /// The identities an `auth` request adds to a connection, besides those it has.
    ///
    /// # Errors
    /// [`ErrorCode::AuthFailed`] when the scheme is not known or does not accept `auth`; the
    /// connection has to be closed once that is sent.
    pub fn authenticate(&self, scheme: &str, auth: Option<&[u8]>) -> Result<Vec<Id>, ErrorCode> {
        match self.find(scheme).ok_or(ErrorCode::AuthFailed)? {
            // The connection has its address already.
            Scheme::Ip => Ok(Vec::new()),
            Scheme::Digest => {
                let algorithm = self.digest.ok_or(ErrorCode::AuthFailed)?;
                let digest = algorithm.identity(auth.ok_or(ErrorCode::AuthFailed)?);
                let mut ids = Vec::with_capacity(2);
                if self.super_digest.as_ref() == Some(&digest) {
                    ids.push(Id::new(SUPER, ""));
                }
                ids.push(Id::new("digest", digest));
                Ok(ids)
            }
        }
    }
}

/// Appends the answer of `whoAmI`: scheme and user of every identity, without hashes.
pub fn put_client_infos(ids: &[Id], out: &mut BytesMut) {
    out.put_len(ids.len());
    for id in ids {
        let user = if id.scheme == "digest" { digest::user(&id.id) } else { &id.id };
        out.put_ustring(&id.scheme);
        out.put_ustring(user);
    }
}

#[cfg(test)]
mod tests {
    use quorate_protocol::{Decoder, Encode};

    use super::*;

    #[test]
    fn the_super_users_digest_adds_two_identities() {
        let schemes = Schemes {
            super_digest: Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=".into()),
            ..Schemes::default()
        };
        assert_eq!(
            schemes.authenticate("digest", Some(b"super:test")),
            Ok(vec![Id::new("super", ""), Id::new("digest", "super:D/InIHSb7yEEbrWz8b9l71RjZJU=")])
        );
        assert_eq!(
            schemes.authenticate("digest", Some(b"user:password")),
            Ok(vec![Id::new("digest", "user:tpUq/4Pn5A64fVZyQ0gOJ8ZWqkY=")])
        );
    }

    #[test]
    fn what_authentication_accepts() {
        let on = Schemes::default();
        let off = Schemes { digest: None, ..Schemes::default() };
        let refused = Err(ErrorCode::AuthFailed);
        assert_eq!(on.authenticate("ip", Some(b"none")), Ok(vec![]));
        assert_eq!(on.authenticate("ip", None), Ok(vec![]));
        assert_eq!(on.authenticate("digest", None), refused);
        assert_eq!(on.authenticate("kerberos", Some(b"x")), refused);
        assert_eq!(on.authenticate("world", Some(b"anyone")), refused);
        assert_eq!(on.authenticate("super", Some(b"")), refused);
        assert_eq!(on.authenticate("", Some(b"")), refused);
        assert_eq!(off.authenticate("digest", Some(b"user:password")), refused);
    }

    #[test]
    fn a_connection_begins_with_its_address() {
        let on = Schemes::default();
        assert_eq!(on.initial_ids("127.0.0.1".parse().unwrap()), vec![Id::new("ip", "127.0.0.1")]);
        let skip = Schemes { skip_acl: true, ..Schemes::default() };
        let ids = skip.initial_ids("::1".parse().unwrap());
        assert_eq!(ids, vec![Id::new("ip", "0:0:0:0:0:0:0:1"), Id::new("super", "")]);
        let nobody = [quorate_protocol::Acl {
            perms: quorate_protocol::Perms::ALL,
            id: Id::new("digest", "a:b"),
        }]
        .to_bytes();
        assert!(check(&nobody, quorate_protocol::Perms::ADMIN, &ids));
    }

    #[test]
    fn who_am_i_hides_hashes() {
        let mut out = BytesMut::new();
        let ids =
            [Id::new("ip", "10.0.0.1"), Id::new("digest", "user:tpUq/4Pn5A64fVZyQ0gOJ8ZWqkY=")];
        put_client_infos(&ids, &mut out);
        let mut input = Decoder::new(&out);
        assert_eq!(input.int(), Ok(2));
        for text in ["ip", "10.0.0.1", "digest", "user"] {
            assert_eq!(input.ustring().unwrap().as_deref(), Some(text));
        }
        assert_eq!(input.remaining(), 0);
    }
}
