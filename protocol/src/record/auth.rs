//! Who a connection speaks for.

use std::borrow::Cow;

use bytes::BytesMut;

use super::field::{Field, records};
use crate::codec::{Decode, DecodeError, Decoder, Encode, PutJute};

records! {
    /// `auth`: adds an identity to the connection.
    pub struct AuthRequest<'a> {
        /// Always 0.
        kind: i32,
        /// Which scheme judges `auth`.
        scheme: Option<Cow<'a, str>>,
        /// The proof, in the scheme's own form.
        auth: Option<&'a [u8]>,
    }

    /// A step of a SASL handshake.
    #[derive(Copy)]
    pub struct SaslRequest<'a> {
        /// The client's token; empty to begin with.
        token: Option<&'a [u8]>,
    }

    /// The answer to a [`SaslRequest`].
    #[derive(Copy)]
    pub struct SaslResponse<'a> {
        /// The server's token; null when it does not do SASL.
        token: Option<&'a [u8]>,
    }

    /// The answer to `whoAmI`.
    pub struct WhoAmIResponse<'a> {
        /// The connection's identities, its address (`ip`) among them.
        identities: Vec<ClientInfo<'a>>,
    }

    /// An identity as `whoAmI` tells it, without what must stay secret.
    pub struct ClientInfo<'a> {
        /// The scheme that knows the user.
        scheme: Cow<'a, str>,
        /// The user's name in it.
        user: Cow<'a, str>,
    }
}

impl<'a> Field<'a> for Vec<ClientInfo<'a>> {
    fn read(input: &mut Decoder<'a>) -> Result<Option<Self>, DecodeError> {
        let Some(count) = input.vector_len(8)? else { return Ok(None) };
        (0..count).map(|_| ClientInfo::decode(input)).collect::<Result<_, _>>().map(Some)
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_len(self.len());
        for identity in self {
            identity.encode(out);
        }
    }
}
