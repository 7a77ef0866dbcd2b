//! The answer to a write, once it was applied.
//!
//! What it says is in the transaction and in what came of applying it, so the pipeline has to
//! remember nothing of a request but who waits for it. Frames are appended whole.

use bytes::BytesMut;
use quorate_protocol::{
    Encode, ErrorCode, OpCode, Xid,
    codec::PutJute,
    record::{Create2Response, CreateResponse, MultiHeader, MultiResult},
};

use super::frame;
use crate::{
    tree::{OpOutcome, Outcome},
    txn::{CreateTtlTxn, CreateTxn, MultiTxn, Txn, TxnRecord},
};

/// Appends the frame that answers the request behind the transaction `record`. A new session is
/// answered otherwise, with a connect response.
///
/// `Compat:` a multi that failed is answered with success and a list of errors.
pub fn put(record: &TxnRecord<'_>, outcome: &Outcome, out: &mut BytesMut) {
    let (xid, zxid) = (Xid(record.header.cxid), record.header.zxid);
    if outcome.error == ErrorCode::Ok {
        frame::put_reply(out, xid, zxid, |out| {
            put_body(&record.txn, outcome, out);
            Ok(())
        });
    } else {
        frame::put_empty_reply(out, xid, zxid, outcome.error);
    }
}

fn put_body(txn: &Txn<'_>, outcome: &Outcome, out: &mut BytesMut) {
    match txn {
        Txn::Create(CreateTxn { path, .. })
        | Txn::CreateContainer(CreateTxn { path, .. })
        | Txn::CreateTtl(CreateTtlTxn { path, .. }) => out.put_ustring(path),
        Txn::Reconfig(set) => out.put_buffer(set.data),
        Txn::Multi(multi) => put_results(multi, &outcome.multi, out),
        _ => {}
    }
    if let Some(stat) = &outcome.stat {
        stat.encode(out);
    }
}

fn put_results(multi: &MultiTxn<'_>, outcomes: &[OpOutcome], out: &mut BytesMut) {
    for ((_, txn), OpOutcome { kind, error, stat }) in multi.ops().zip(outcomes) {
        let stat = stat.unwrap_or_default();
        let result = match txn {
            _ if *kind == OpCode::Error => MultiResult::Error(error.wire()),
            Txn::Create(create) if *kind == OpCode::Create => {
                MultiResult::Create(CreateResponse { path: create.path })
            }
            Txn::Create(CreateTxn { path, .. })
            | Txn::CreateContainer(CreateTxn { path, .. })
            | Txn::CreateTtl(CreateTtlTxn { path, .. }) => {
                MultiResult::Create2(Create2Response { path, stat })
            }
            Txn::SetData(_) => MultiResult::SetData(stat),
            Txn::Check { .. } => MultiResult::Check,
            _ => MultiResult::Delete,
        };
        result.encode(out);
    }
    MultiHeader::END.encode(out);
}
