//! Goes through everything that was delivered, in its order.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
};

use quorate_protocol::{Decode, ErrorCode, OpCode, SessionId, Zxid};
use quorate_server::txn::{Txn, TxnRecord};

use super::{acknowledged, ephemerals, linearizability, read_only, watch_order};
use crate::{
    Op,
    sim::{
        check::Broken,
        history::History,
        model::{Changed, Context, Model},
        node::OPERATOR,
    },
};

/// A transaction that was delivered: header, record and digest.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// Its zxid.
    pub zxid: Zxid,
    /// Its bytes.
    pub txn: Vec<u8>,
}

/// What replaying finds out for the checks that come behind it.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// What each transaction changed, in order.
    pub(super) changes: Vec<(Zxid, Vec<Changed>)>,
    /// Which transaction each call has become.
    pub(super) applied: BTreeMap<usize, Zxid>,
    /// What each `setWatches` had to tell at once.
    pub(super) missed: BTreeMap<usize, Vec<(i32, String)>>,
    /// Which transaction ended each session.
    pub(super) ended: BTreeMap<SessionId, Zxid>,
    /// Sessions that were opened by a transaction.
    pub(super) opened: BTreeSet<SessionId>,
}

/// Checks a whole history against what was delivered; returns the state it ends in.
pub fn check(history: &History, delivered: &[Delivered]) -> Result<Model, Broken> {
    let mut model = Model::default();
    let mut replayed = Replayed::default();
    let mut reads = linearizability::Reads::of(history);
    reads.compare(history, &model, Zxid::ZERO, &mut replayed)?;
    for one in delivered {
        let record = TxnRecord::from_bytes(&one.txn).expect("it was applied, so it is whole");
        let changes = step(history, &mut model, &mut replayed, &record)?;
        replayed.changes.push((one.zxid, changes));
        reads.compare(history, &model, one.zxid, &mut replayed)?;
    }
    reads.none_left(history)?;
    read_only::check(history)?;
    acknowledged::check(history, &replayed)?;
    watch_order::check(history, &replayed)?;
    Ok(model)
}

fn step(
    history: &History,
    model: &mut Model,
    replayed: &mut Replayed,
    record: &TxnRecord<'_>,
) -> Result<Vec<Changed>, Broken> {
    let header = &record.header;
    let (session, zxid) = (header.client_id, header.zxid);
    let mut changes = Vec::new();
    if header.cxid == OPERATOR.0 {
        // It concerns servers, and nothing that clients of this simulation look at.
        return Ok(changes);
    }
    match &record.txn {
        Txn::CreateSession { .. } => {
            if !replayed.opened.insert(session) {
                return Err(Broken::new(
                    "SessionOnce",
                    format!("{zxid} opens session {session} once more"),
                ));
            }
            model.open_session(session);
            return Ok(changes);
        }
        Txn::CloseSession(close) => {
            let paths: Vec<_> = close.paths().map(String::from).collect();
            ephemerals::check(model, session, zxid, &paths)?;
            model.close_session(session, zxid, &paths, &mut changes);
            replayed.ended.entry(session).or_insert(zxid);
            // The server may have ended it by itself.
            let closed = history
                .call_of(session, header.cxid)
                .filter(|&call| history.calls[call].op == Op::Plain(OpCode::CloseSession));
            if let Some(call) = closed {
                replayed.applied.insert(call, zxid);
            } else if !replayed.opened.contains(&session) {
                let text = format!("{zxid} lets session {session} expire, which is local");
                return Err(Broken::new("SessionOnce", text));
            }
            return Ok(changes);
        }
        _ => {}
    }
    let call = history.call_of(session, header.cxid).ok_or_else(|| {
        Broken::new(
            "Integrity",
            format!("{zxid} is of call {} of session {session}, who made none", header.cxid),
        )
    })?;
    if let Some(before) = replayed.applied.insert(call, zxid) {
        return Err(Broken::new(
            "ExactlyOnce",
            format!("{:?} was executed as {before} and as {zxid}", history.calls[call].op),
        ));
    }
    // One that has ended at its server, which did not tell anybody, may not write either.
    let may_be_local = history.has_local_sessions && !is_expired(record);
    let context = Context { session, zxid, time_ms: header.time_ms, may_be_local };
    let outcome = if is_moved(history, call, record) {
        Err(ErrorCode::SessionMoved)
    } else {
        model.write(&history.calls[call].op, &context, &mut changes)
    };
    linearizability::compare_write(&history.calls[call], record, &outcome)?;
    Ok(changes)
}

/// Whether a write was refused because its session has ended.
fn is_expired(record: &TxnRecord<'_>) -> bool {
    let code = match &record.txn {
        Txn::Error { code } => Some(*code),
        Txn::Multi(multi) => multi.error(),
        _ => None,
    };
    code == Some(ErrorCode::SessionExpired.wire())
}

/// Whether a write was refused because the client has come to another server meanwhile, which can
/// only be true of one who left the connection that it was sent on, or came by several.
fn is_moved(history: &History, call: usize, record: &TxnRecord<'_>) -> bool {
    let call = &history.calls[call];
    let connections = history.streams.iter().filter(|stream| stream.session == call.session);
    matches!(record.txn, Txn::Error { code } if code == ErrorCode::SessionMoved.wire())
        && (call.answer.is_none() || connections.count() > 1)
}

impl Replayed {
    /// What was changed behind `after`, up to `upto`.
    pub(super) fn between(
        &self,
        after: Zxid,
        upto: Zxid,
    ) -> impl Iterator<Item = (Zxid, &Changed)> {
        let first = self.changes.partition_point(|(zxid, _)| *zxid <= after);
        let these = self.changes[first..].iter().take_while(move |(zxid, _)| *zxid <= upto);
        these.flat_map(|(zxid, changes)| iter::repeat(*zxid).zip(changes))
    }
}
