//! Whole frames for a client: replies and events.

use std::borrow::Cow;

use bytes::BytesMut;
use quorate_protocol::{
    Encode, ErrorCode, Xid, Zxid, frame,
    record::{EventType, ReplyHeader, WatcherEvent},
};

/// Appends the reply to the request `xid`, whose body is what `body` appends. When `body` refuses,
/// what it had appended is taken back and the reply says why.
pub fn put_reply(
    out: &mut BytesMut,
    xid: Xid,
    zxid: Zxid,
    body: impl FnOnce(&mut BytesMut) -> Result<(), ErrorCode>,
) {
    frame::put_frame(out, |out| {
        let header = out.len();
        out.reserve(ReplyHeader::SIZE);
        ReplyHeader { xid, zxid, error: ErrorCode::Ok.wire() }.encode(out);
        let end = out.len();
        let put = body(out);
        // A length is an int: what is longer cannot be told.
        let fits = i32::try_from(out.len() - header).is_ok();
        if let Err(code) = put.and(fits.then_some(()).ok_or(ErrorCode::MarshallingError)) {
            out.truncate(header);
            ReplyHeader { xid, zxid, error: code.wire() }.encode(out);
            debug_assert_eq!(out.len(), end);
        }
    });
}

/// Appends a reply without a body: a refusal, or the answer to a request that asks for no more
/// than to be done.
pub fn put_empty_reply(out: &mut BytesMut, xid: Xid, zxid: Zxid, code: ErrorCode) {
    frame::put_frame(out, |out| ReplyHeader { xid, zxid, error: code.wire() }.encode(out));
}

/// Appends what a watch tells. `zxid` is that of the transaction, or [`NO_ZXID`].
pub fn put_event(out: &mut BytesMut, zxid: Zxid, kind: EventType, path: &str) {
    frame::put_frame(out, |out| {
        ReplyHeader { xid: Xid::EVENT, zxid, error: ErrorCode::Ok.wire() }.encode(out);
        WatcherEvent { kind, state: WatcherEvent::SYNC_CONNECTED, path: Cow::Borrowed(path) }
            .encode(out);
    });
}

/// The zxid of events that come of no transaction, and of the answer to a request this server does
/// not know.
pub const NO_ZXID: Zxid = Zxid(-1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_takes_the_body_back() {
        let mut out = BytesMut::from(&b"before"[..]);
        put_reply(&mut out, Xid(5), Zxid(9), |out| {
            out.extend_from_slice(b"part of a body");
            Err(ErrorCode::NoNode)
        });
        let mut expected = BytesMut::from(&b"before"[..]);
        put_empty_reply(&mut expected, Xid(5), Zxid(9), ErrorCode::NoNode);
        assert_eq!(out, expected);
        assert_eq!(out.len(), b"before".len() + 4 + ReplyHeader::SIZE);
    }

    #[test]
    fn a_reply_and_an_event_as_bytes() {
        let mut out = BytesMut::new();
        put_reply(&mut out, Xid(1), Zxid(2), |out| {
            out.extend_from_slice(b"ab");
            Ok(())
        });
        put_event(&mut out, Zxid(3), EventType::NodeDeleted, "/a");
        assert_eq!(
            out[..],
            [
                &[0, 0, 0, 18, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, b'a', b'b'][..],
                &[0, 0, 0, 30, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0],
                &[0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 2, b'/', b'a'],
            ]
            .concat()
        );
    }
}
