use quorate_protocol::{ErrorCode, OpCode, Zxid};
use quorate_server::txn::{MultiTxn, Txn, TxnRecord};

use super::replay::Replayed;
use crate::{
    Body, Op, Reply,
    sim::{
        check::Broken,
        history::{Call, History},
        model::{Model, Outcome},
    },
};

/// A write's transaction and its answer are what the model makes of the request, at its place
/// among all.
pub(super) fn compare_write(
    call: &Call,
    record: &TxnRecord<'_>,
    outcome: &Outcome,
) -> Result<(), Broken> {
    let zxid = record.header.zxid;
    let broken = |text: String| Err(Broken::new("LinearizableWrites", text));
    let expected = outcome.as_ref().err().copied();
    let logged = match &record.txn {
        Txn::Error { code } => Some(*code),
        _ => None,
    };
    if normal(expected.map_or(0, ErrorCode::wire)) != normal(logged.unwrap_or(0)) {
        return broken(format!("{:?} at {zxid} is {logged:?}, not {expected:?}", call.op));
    }
    if let (Txn::Multi(multi), Ok(Body::Results(results))) = (&record.txn, outcome) {
        compare_multi(call, zxid, multi, results)?;
    }
    match &call.answer {
        Some((_, reply)) => compare(call, reply, outcome, "LinearizableWrites"),
        None => Ok(()),
    }
}

fn compare_multi(
    call: &Call,
    zxid: Zxid,
    multi: &MultiTxn<'_>,
    results: &[(i32, i32, Body)],
) -> Result<(), Broken> {
    let failed = results.iter().any(|(kind, ..)| *kind == -1);
    if multi.error().is_some() != failed {
        return Err(Broken::new(
            "LinearizableWrites",
            format!("{:?} at {zxid} is {multi:?}, not {results:?}", call.op),
        ));
    }
    Ok(())
}

/// Compares an answer with the model's.
fn compare(
    call: &Call,
    reply: &Reply,
    outcome: &Outcome,
    rule: &'static str,
) -> Result<(), Broken> {
    let is_right = match outcome {
        Ok(body) => reply.error == 0 && sorted(reply.body.clone()) == sorted(body.clone()),
        Err(code) => normal(reply.error) == normal(code.wire()),
    };
    if is_right {
        return Ok(());
    }
    Err(Broken::new(
        rule,
        format!("{:?} of session {} got {reply:?}, not {outcome:?}", call.op, call.session),
    ))
}

/// Children come in any order.
fn sorted(mut body: Body) -> Body {
    if let Body::Names(names, _) = &mut body {
        names.sort();
    }
    body
}

/// An unknown session is one that has ended, and the leader says so of local ones of others.
fn normal(error: i32) -> i32 {
    let codes = [ErrorCode::UnknownSession, ErrorCode::EphemeralOnLocalSession];
    if codes.iter().any(|code| code.wire() == error) {
        ErrorCode::SessionExpired.wire()
    } else {
        error
    }
}

/// The answered reads by the state they are of.
pub(super) struct Reads {
    by_zxid: Vec<(Zxid, usize)>,
    next: usize,
}

impl Reads {
    pub(super) fn of(history: &History) -> Self {
        let read = |(index, call): (usize, &Call)| {
            let (_, reply) = call.answer.as_ref().filter(|_| !call.is_write())?;
            if reply.error == ErrorCode::NotReadOnly.wire() {
                return None;
            }
            Some((Zxid(reply.zxid), index))
        };
        let mut by_zxid: Vec<_> = history.calls.iter().enumerate().filter_map(read).collect();
        by_zxid.sort_unstable();
        Self { by_zxid, next: 0 }
    }

    /// Compares the reads of this state with the model's.
    pub(super) fn compare(
        &mut self,
        history: &History,
        model: &Model,
        zxid: Zxid,
        replayed: &mut Replayed,
    ) -> Result<(), Broken> {
        while let Some(&(_, index)) =
            self.by_zxid.get(self.next).filter(|(state, _)| *state == zxid)
        {
            self.next += 1;
            let call = &history.calls[index];
            if let Op::SetWatches(..) = call.op {
                replayed.missed.insert(index, missed(&call.op, model));
            }
            let (_, reply) = call.answer.as_ref().expect("only answered reads are here");
            compare(call, reply, &model.read(&call.op), "LinearizableReads")?;
        }
        self.none_below(history, zxid)
    }

    fn none_below(&self, history: &History, zxid: Zxid) -> Result<(), Broken> {
        match self.by_zxid.get(self.next) {
            Some(&(state, index)) if state <= zxid => Err(Broken::new(
                "LinearizableReads",
                format!(
                    "{:?} is of the state {state}, which there never was",
                    history.calls[index]
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Every read is of some state that there was.
    pub(super) fn none_left(&self, history: &History) -> Result<(), Broken> {
        self.none_below(history, Zxid(i64::MAX))
    }
}

/// What a client that sets its watches again is told at once.
fn missed(op: &Op, model: &Model) -> Vec<(i32, String)> {
    let Op::SetWatches(OpCode::SetWatches | OpCode::SetWatches2, lists) = op else {
        return Vec::new();
    };
    let since = Zxid(lists.relative_zxid);
    let data = lists.data.iter().filter_map(|path| match model.get(path) {
        None => Some((2, path.clone())),
        Some((_, stat)) => (stat.mzxid > since).then(|| (3, path.clone())),
    });
    let exist = lists.exist.iter().filter(|path| model.has(path)).map(|path| (1, path.clone()));
    let child = lists.child.iter().filter_map(|path| match model.get(path) {
        None => Some((2, path.clone())),
        Some((_, stat)) => (stat.pzxid > since).then(|| (4, path.clone())),
    });
    data.chain(exist).chain(child).collect()
}
