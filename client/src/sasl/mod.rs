//! SASL: an identity is proved on each connection before anything else is sent on it.
//!
//! `DigestMd5` (feature `sasl`) is the mechanism that servers have for users and passwords.
//! [`Mechanism`] is for those who bring another one, such as Kerberos.
//!
//! A server that refuses the identity ends the client: [`ErrorKind::AuthFailed`]. One that does
//! not do SASL, or cannot prove that it knows the password, is not used; others are tried.
//!
//! [`ErrorKind::AuthFailed`]: crate::ErrorKind::AuthFailed

#[cfg(feature = "sasl")]
mod digest_md5;

use std::fmt;

#[cfg(feature = "sasl")]
pub use digest_md5::DigestMd5;

/// A way to prove an identity.
pub trait Mechanism: Send + Sync + 'static {
    /// Begins an exchange of tokens with a server: one for each connection.
    fn begin(&self) -> Box<dyn Exchange>;
}

/// An exchange of tokens with a server. It runs on the task of the connection and must not block.
pub trait Exchange: Send {
    /// The first token; empty if the server is to begin.
    ///
    /// # Errors
    /// When there is none.
    fn first(&mut self) -> Result<Vec<u8>, SaslError>;

    /// What to say to a token of the server; nothing when the exchange is complete.
    ///
    /// # Errors
    /// When the server did not say what the mechanism has it say. The connection is given up.
    fn answer(&mut self, token: &[u8]) -> Result<Option<Vec<u8>>, SaslError>;
}

impl fmt::Debug for dyn Exchange {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange")
    }
}

/// Why an identity could not be proved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SaslError {
    /// The server does not do SASL.
    #[error("the server does not do SASL")]
    NotOffered,
    /// The server answered with this code, which says nothing of the identity.
    #[error("the server refused the exchange with code {0}")]
    Refused(i32),
    /// The server's token is not what the mechanism has it say.
    #[error("bad token of the server: {0}")]
    BadToken(&'static str),
    /// The server could not prove that it knows the password.
    #[error("the server does not know the password itself")]
    ServerUnproven,
    /// The mechanism has nothing to say.
    #[error("{0}")]
    Mechanism(String),
}
