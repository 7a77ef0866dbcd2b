//! The `digest` scheme: a user's name and the hash of name and password.

use std::{fmt::Write, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// The hash of a server's digest scheme (`DigestAuthenticationProvider.digestAlg`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// What every ZooKeeper uses unless told otherwise.
    #[default]
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// A name that is no algorithm's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown digest algorithm {0:?}")]
pub struct UnknownAlgorithm(pub String);

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// Names as Java's `MessageDigest` knows them, in any case.
    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        match name.to_ascii_uppercase().as_str() {
            "SHA" | "SHA1" | "SHA-1" => Ok(Self::Sha1),
            "SHA-224" => Ok(Self::Sha224),
            "SHA-256" => Ok(Self::Sha256),
            "SHA-384" => Ok(Self::Sha384),
            "SHA-512" => Ok(Self::Sha512),
            _ => Err(UnknownAlgorithm(name.to_owned())),
        }
    }
}

impl Algorithm {
    fn base64(self, text: &[u8]) -> String {
        match self {
            Self::Sha1 => STANDARD.encode(Sha1::digest(text)),
            Self::Sha224 => STANDARD.encode(Sha224::digest(text)),
            Self::Sha256 => STANDARD.encode(Sha256::digest(text)),
            Self::Sha384 => STANDARD.encode(Sha384::digest(text)),
            Self::Sha512 => STANDARD.encode(Sha512::digest(text)),
        }
    }

    /// The identity that `user:password` proves.
    ///
    /// Compat: text without a colon is a user without a password and not refused, and malformed
    /// UTF-8 is hashed as Java would decode it (`DigestAuthenticationProvider.generateDigest`).
    pub(super) fn identity(self, auth: &[u8]) -> String {
        let text = String::from_utf8_lossy(auth);
        let mut identity = user(&text).to_owned();
        write!(identity, ":{}", self.base64(text.as_bytes())).expect("a String takes all");
        identity
    }
}

/// The user of `user:hash` or `user:password`.
pub(super) fn user(text: &str) -> &str {
    text.split_once(':').map_or(text, |(user, _)| user)
}

/// Whether an ACL may name this id.
///
/// Compat: two parts by Java's `String.split`, which drops empty parts at the end: `a:b:` passes
/// and `a:` does not.
pub(super) fn is_valid(id: &str) -> bool {
    id.trim_end_matches(':').matches(':').count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_those_of_zookeeper() {
        for (auth, identity) in [
            ("super:test", "super:D/InIHSb7yEEbrWz8b9l71RjZJU="),
            ("user:password", "user:tpUq/4Pn5A64fVZyQ0gOJ8ZWqkY="),
            ("blah", "blah:W/H9kn37hnlJai5s8Ay+UMHIcUU="),
            ("", ":2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
        ] {
            assert_eq!(Algorithm::Sha1.identity(auth.as_bytes()), identity);
        }
        assert_eq!(
            Algorithm::Sha256.identity(b"user:password"),
            "user:yRsdas04PETE7CDJcj51jDEYKh9PAjHWPZElmi6hS50="
        );
    }

    #[test]
    fn an_id_has_two_parts() {
        for (id, valid) in [
            ("user:hash", true),
            (":hash", true),
            ("a:b:", true),
            ("a:b::", true),
            ("a:", false),
            ("a", false),
            ("", false),
            (":", false),
            ("a:b:c", false),
            ("a::c", false),
        ] {
            assert_eq!(is_valid(id), valid, "{id}");
        }
    }

    #[test]
    fn algorithms_have_javas_names() {
        assert_eq!("sha-256".parse(), Ok(Algorithm::Sha256));
        assert_eq!("SHA1".parse(), Ok(Algorithm::Sha1));
        assert_eq!("MD4".parse::<Algorithm>(), Err(UnknownAlgorithm("MD4".into())));
    }
}
