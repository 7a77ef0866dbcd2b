//! Preparing, applying and answering together.

mod edges;
mod lag;
mod reconfig;
mod recorded;
mod refusals;

use std::{collections::VecDeque, sync::Arc};

use bytes::{Bytes, BytesMut};
use quorate_protocol::{Decode, Encode, ErrorCode, Id, OpCode, SessionId, Xid};

use super::{Prepared, Preparer, Request, Settings, reply};
use crate::{
    tree::Tree,
    txn::{Txn, TxnRecord},
    watch::ConnId,
};

const NOW_MS: i64 = 1_795_250_568_721;

/// A server that applies what it has prepared when it is told to.
struct Server {
    tree: Tree,
    preparer: Preparer,
    /// Prepared and not applied: what was asked for, and the transaction.
    waiting: VecDeque<(OpCode, Bytes)>,
    /// Whether the preparer is not told what was applied before [`Self::report`].
    reports_late: bool,
}

impl Server {
    fn new(settings: Settings) -> Self {
        let tree = Tree::new(0);
        let preparer = Preparer::new(settings, &tree, 0);
        Self { tree, preparer, waiting: VecDeque::new(), reports_late: false }
    }

    /// With everything switched on, and these sessions.
    fn with_sessions<const N: usize>() -> (Self, [SessionId; N]) {
        let mut server = Self::new(all_on());
        let ids = std::array::from_fn(|n| SessionId(0x1000 + i64::try_from(n).unwrap()));
        for id in ids {
            server.now(&Request::create_session(id, ConnId(1), 10_000)).unwrap();
        }
        (server, ids)
    }

    /// Prepares a request; answers its transaction's bytes.
    fn prepare(&mut self, request: &Request, now_ms: i64) -> Result<Bytes, ErrorCode> {
        let mut out = BytesMut::from(&b"before"[..]);
        match self.preparer.prepare(&self.tree, now_ms, request, &mut out) {
            Prepared::Logged(zxid) => {
                let bytes = out.split_off(6).freeze();
                assert_eq!(&out[..], b"before");
                assert_eq!(TxnRecord::from_bytes(&bytes).unwrap().header.zxid, zxid);
                self.waiting.push_back((request.op, bytes.clone()));
                Ok(bytes)
            }
            Prepared::Refused(code) => {
                assert_eq!(&out[..], b"before");
                Err(code)
            }
        }
    }

    /// Applies the oldest transaction that waits; answers the reply's frame.
    fn apply(&mut self) -> BytesMut {
        let (op, bytes) = self.waiting.pop_front().unwrap();
        let record = TxnRecord::from_bytes(&bytes).unwrap();
        let outcome = self.tree.apply(&record, &mut |_| {});
        assert_eq!(outcome.digest_mismatch, None, "after {record:?}");
        if !self.reports_late {
            self.report();
        }
        let mut frame = BytesMut::new();
        if op != OpCode::CreateSession {
            reply::put(&record, &outcome, &mut frame);
        }
        frame
    }

    /// Tells the preparer what was applied.
    fn report(&mut self) {
        self.preparer.applied(self.tree.last_zxid());
    }

    fn apply_all(&mut self) {
        while !self.waiting.is_empty() {
            self.apply();
        }
    }

    /// As [`Self::apply`]; answers the error in the reply.
    fn apply_for_error(&mut self) -> ErrorCode {
        match self.apply().get(16..20) {
            Some(error) => {
                ErrorCode::from_wire(i32::from_be_bytes(error.try_into().unwrap())).unwrap()
            }
            None => ErrorCode::Ok,
        }
    }

    /// Prepares and applies a request; answers the error in the reply.
    fn now(&mut self, request: &Request) -> Result<(), ErrorCode> {
        self.prepare(request, NOW_MS)?;
        assert_eq!(self.waiting.len(), 1, "nothing else may be outstanding");
        match self.apply_for_error() {
            ErrorCode::Ok => Ok(()),
            code => Err(code),
        }
    }
}

fn all_on() -> Settings {
    Settings { extended_types: true, enforce_quota: true, reconfig: true, ..Settings::default() }
}

fn request(session: SessionId, op: OpCode, body: &impl Encode) -> Request {
    let auth = Arc::from([Id::new("ip", "127.0.0.1")]);
    Request {
        session,
        conn: ConnId(1),
        xid: Xid(1),
        op,
        body: body.to_bytes().freeze(),
        auth,
        is_local: false,
    }
}
