//! Operations as the protocol's records, and replies as outcomes.

use anyhow::{Context, ensure};
use bytes::BytesMut;
use quorate_protocol::{
    AclList, Decode, Decoder, Encode, ErrorCode, OpCode, Xid,
    record::{
        Children2Response, Create2Response, CreateMode, CreateRequest, GetDataResponse,
        PathWatchRequest, ReplyHeader, RequestHeader, SetDataRequest, SyncRequest,
    },
};

use crate::history::{Mode, Op, Outcome, Reply, SessionId, Stat, Zxid};

/// Appends a request.
pub(super) fn put_request(out: &mut BytesMut, xid: i32, op: &Op) {
    let code = match op {
        Op::Open | Op::Attach => unreachable!("a session begins with the connection"),
        Op::Close => OpCode::CloseSession,
        Op::Ping => OpCode::Ping,
        Op::Create { .. } => OpCode::Create2,
        Op::Set { .. } => OpCode::SetData,
        Op::Get { .. } => OpCode::GetData,
        Op::Exists { .. } => OpCode::Exists,
        Op::Children { .. } => OpCode::GetChildren2,
        Op::Sync => OpCode::Sync,
    };
    let xid = if code == OpCode::Ping { Xid::PING } else { Xid(xid) };
    RequestHeader { xid, op: code.wire() }.encode(out);
    match op {
        Op::Open | Op::Attach | Op::Close | Op::Ping => {}
        Op::Create { path, value, mode } => {
            let flags = match mode {
                Mode::Persistent => CreateMode::Persistent,
                Mode::Sequential => CreateMode::PersistentSequential,
                Mode::Ephemeral => CreateMode::Ephemeral,
            };
            let data = Some(value.as_bytes());
            let acl = AclList::open();
            CreateRequest { path: path.into(), data, acl, flags: flags.wire() }.encode(out);
        }
        Op::Set { path, value, expected } => {
            let data = Some(value.as_bytes());
            let version = expected.unwrap_or(-1);
            SetDataRequest { path: path.into(), data, version }.encode(out);
        }
        Op::Get { path } | Op::Exists { path } | Op::Children { path } => {
            PathWatchRequest { path: path.into(), watch: false }.encode(out);
        }
        Op::Sync => SyncRequest { path: Some("/".into()) }.encode(out),
    }
}

/// What the reply to `op`, the request `xid`, says.
///
/// # Errors
/// When it is not a reply to that.
pub(super) fn outcome(frame: &[u8], xid: i32, op: &Op) -> anyhow::Result<Outcome> {
    let mut input = Decoder::new(frame);
    let header = ReplyHeader::decode(&mut input).context("reply header")?;
    let due = if *op == Op::Ping { Xid::PING } else { Xid(xid) };
    ensure!(header.xid == due, "reply to {} while {due} is due", header.xid);
    let zxid = (header.zxid.0 > 0).then_some(Zxid(header.zxid.0));
    if header.error != 0 {
        return Ok(refusal(op, zxid, header.error));
    }
    let reply = match op {
        Op::Open | Op::Attach | Op::Close | Op::Ping | Op::Sync => Reply::Done,
        Op::Create { .. } => {
            let created = Create2Response::decode(&mut input)?;
            Reply::Created { path: created.path.into_owned(), stat: stat(&created.stat) }
        }
        Op::Set { .. } | Op::Exists { .. } => {
            Reply::Stat(stat(&quorate_protocol::Stat::decode(&mut input)?))
        }
        Op::Get { .. } => {
            let node = GetDataResponse::decode(&mut input)?;
            let value = String::from_utf8_lossy(node.data.unwrap_or_default()).into_owned();
            Reply::Data { value, stat: stat(&node.stat) }
        }
        Op::Children { .. } => {
            let list = Children2Response::decode(&mut input)?;
            let names = list.children.into_iter().map(std::borrow::Cow::into_owned).collect();
            Reply::Names { names, stat: stat(&list.stat) }
        }
    };
    Ok(Outcome::Ok { zxid, reply })
}

fn refusal(op: &Op, zxid: Option<Zxid>, error: i32) -> Outcome {
    match ErrorCode::from_wire(error) {
        Some(ErrorCode::NoNode) if op.is_read() => Outcome::Ok { zxid, reply: Reply::Missing },
        // These say that something went wrong on the way, not what became of the request.
        Some(
            ErrorCode::SystemError
            | ErrorCode::ConnectionLoss
            | ErrorCode::OperationTimeout
            | ErrorCode::RequestTimeout,
        )
        | None => Outcome::Unknown,
        Some(_) => Outcome::Fail { zxid, error },
    }
}

fn stat(stat: &quorate_protocol::Stat) -> Stat {
    Stat {
        czxid: Zxid(stat.czxid.0),
        mzxid: Zxid(stat.mzxid.0),
        pzxid: Zxid(stat.pzxid.0),
        version: stat.version,
        cversion: stat.cversion,
        owner: SessionId(stat.ephemeral_owner.0),
        length: stat.data_length,
        children: stat.num_children,
    }
}
