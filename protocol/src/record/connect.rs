//! The first frame on a connection, either way. It has no header.

use bytes::BytesMut;

use crate::{
    codec::{Decode, DecodeError, Decoder, Encode, PutJute},
    id::{SessionId, Zxid},
};

/// What a client opens a connection with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectRequest<'a> {
    /// Always 0; servers ignore it.
    pub protocol_version: i32,
    /// The highest zxid the client has seen: it must not see an older state again.
    pub last_zxid_seen: Zxid,
    /// The session timeout wanted, in milliseconds.
    pub timeout_ms: i32,
    /// The session to carry on with, or none for a new one.
    pub session_id: SessionId,
    /// The password of that session; null reads as empty, since neither opens a session.
    pub passwd: &'a [u8],
    /// Whether a server that can only read is welcome; old clients do not send this field.
    pub read_only: Option<bool>,
}

impl<'a> Decode<'a> for ConnectRequest<'a> {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            protocol_version: input.int()?,
            last_zxid_seen: Zxid(input.long()?),
            timeout_ms: input.int()?,
            session_id: SessionId(input.long()?),
            passwd: input.buffer()?.unwrap_or_default(),
            read_only: trailing_flag(input)?,
        })
    }
}

impl Encode for ConnectRequest<'_> {
    fn encode(&self, out: &mut BytesMut) {
        out.put_int(self.protocol_version);
        out.put_long(self.last_zxid_seen.0);
        out.put_int(self.timeout_ms);
        out.put_long(self.session_id.0);
        out.put_buffer(Some(self.passwd));
        self.read_only.into_iter().for_each(|flag| out.put_boolean(flag));
    }
}

/// The server's answer to a [`ConnectRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectResponse {
    /// Always 0.
    pub protocol_version: i32,
    /// The session timeout agreed on, in milliseconds; 0 when the session is refused.
    pub timeout_ms: i32,
    /// The session; none when it is refused.
    pub session_id: SessionId,
    /// What proves the session is the client's. `Compat:` always 16 bytes, since the C client
    /// reads this record into a buffer of fixed size.
    pub passwd: [u8; 16],
    /// Whether this server can only read; sent only to clients that sent their own flag.
    pub read_only: Option<bool>,
}

impl ConnectResponse {
    /// The answer to a session that has ended, never was, or has another password. `Compat:` Java
    /// and kazoo look at the timeout, go-zookeeper at the id, so both are 0.
    pub const fn refusal(read_only: Option<bool>) -> Self {
        Self {
            protocol_version: 0,
            timeout_ms: 0,
            session_id: SessionId::NONE,
            passwd: [0; 16],
            read_only,
        }
    }
}

impl Decode<'_> for ConnectResponse {
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            protocol_version: input.int()?,
            timeout_ms: input.int()?,
            session_id: SessionId(input.long()?),
            passwd: {
                let passwd = input.buffer()?.ok_or(DecodeError::Null { field: "passwd" })?;
                passwd.try_into().map_err(|_| DecodeError::BadValue {
                    field: "length of passwd",
                    value: i64::try_from(passwd.len()).unwrap_or(i64::MAX),
                })?
            },
            read_only: trailing_flag(input)?,
        })
    }
}

impl Encode for ConnectResponse {
    fn encode(&self, out: &mut BytesMut) {
        out.put_int(self.protocol_version);
        out.put_int(self.timeout_ms);
        out.put_long(self.session_id.0);
        out.put_buffer(Some(&self.passwd));
        self.read_only.into_iter().for_each(|flag| out.put_boolean(flag));
    }
}

/// `Compat:` the flag came with ZooKeeper 3.4; it is there if any byte is left.
fn trailing_flag(input: &mut Decoder<'_>) -> Result<Option<bool>, DecodeError> {
    if input.remaining() == 0 { Ok(None) } else { input.boolean().map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_c_client() {
        let mut request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(5),
            timeout_ms: 10_000,
            session_id: SessionId(7),
            passwd: &[3; 16],
            read_only: Some(true),
        };
        assert_eq!(request.to_bytes().len(), 45);
        request.read_only = None;
        assert_eq!(request.to_bytes().len(), 44);
        assert_eq!(ConnectResponse::refusal(Some(false)).to_bytes().len(), 37);
        assert_eq!(ConnectResponse::refusal(None).to_bytes().len(), 36);
    }

    #[test]
    fn a_password_of_a_response_has_16_bytes() {
        let mut bytes = ConnectResponse::refusal(None).to_bytes();
        bytes[19] = 15;
        assert_eq!(
            ConnectResponse::from_bytes(&bytes),
            Err(DecodeError::BadValue { field: "length of passwd", value: 15 })
        );
    }
}
