//! Histories that are right, and the same with one thing wrong.

use quorate_protocol::{Decode, SessionId, Zxid};
use quorate_server::txn::{Txn, TxnRecord};

use super::{Delivered, Online, check};
use crate::{
    Body, Op, Reply,
    sim::{
        check::Broken,
        history::{History, Item},
        nemesis::Menace,
        perfect::Alone,
        plan::Plan,
        queue::MILLI,
        random::Random,
        world::World,
    },
};

/// What clients of a server without flaws have seen.
fn green(seed: u64) -> (History, Vec<Delivered>) {
    let mut plan = Plan::of(seed);
    (plan.participants, plan.observers) = (1, 0);
    plan.machines.truncate(1);
    plan.safety = 2000 * MILLI;
    plan.menace = Menace::none();
    (plan.local_sessions, plan.read_only) = (None, false);
    for client in &mut plan.clients {
        client.moves = 0.05;
        client.habits.watches = 4;
        client.habits.multis = 2;
    }
    let mut world = World::new(plan, Box::new(Alone), 0);
    world.endanger().unwrap();
    world.heal().unwrap();
    let delivered = world.checker.delivered().to_vec();
    assert!(check(&world.history, &delivered).is_ok());
    (world.history, delivered)
}

/// Something that can be wrong with a history. None if there is nothing to do it to.
type Edit = fn(&mut History, &mut Vec<Delivered>, &mut Random) -> Option<()>;

/// Does an edit to many histories and demands that each is found.
fn is_always_found(edit: Edit) {
    let mut tried = 0;
    for seed in 0..3 {
        let (history, delivered) = green(seed);
        let mut random = Random::new(seed);
        for _ in 0..40 {
            let (mut history, mut delivered) = (history.clone(), delivered.clone());
            if edit(&mut history, &mut delivered, &mut random).is_some() {
                tried += 1;
                assert!(check(&history, &delivered).is_err(), "seed {seed}");
            }
        }
    }
    assert!(tried >= 40, "only {tried} histories could be edited");
}

/// The place of an event that some later answer shows to be missing or late.
fn an_event(history: &History, random: &mut Random) -> Option<(usize, usize)> {
    let mut places = Vec::new();
    for (stream, found) in history.streams.iter().enumerate() {
        for (at, item) in found.items.iter().enumerate() {
            let Item::Event { zxid, .. } = item else { continue };
            let shows = |later: &Item| matches!(later, Item::Reply { zxid: of, .. } if of >= zxid);
            if found.items[at + 1..].iter().any(shows) {
                places.push((stream, at));
            }
        }
    }
    (!places.is_empty()).then(|| *random.pick(&places))
}

/// A call that was answered, of those that `wanted` picks.
fn a_call(
    history: &History,
    random: &mut Random,
    wanted: impl Fn(&Op, &Reply) -> bool,
) -> Option<usize> {
    let is_wanted = |&call: &usize| {
        let call = &history.calls[call];
        call.answer.as_ref().is_some_and(|(_, reply)| wanted(&call.op, reply))
    };
    let calls: Vec<_> = (0..history.calls.len()).filter(is_wanted).collect();
    (!calls.is_empty()).then(|| *random.pick(&calls))
}

fn reply(history: &mut History, call: usize) -> &mut Reply {
    &mut history.calls[call].answer.as_mut().expect("it was answered").1
}

fn is_write(op: &Op, reply: &Reply) -> bool {
    reply.error == 0 && matches!(op, Op::SetData(..) | Op::Create(..) | Op::Delete(..))
}

#[test]
fn a_lost_event_is_found() {
    is_always_found(|history, _, random| {
        let (stream, at) = an_event(history, random)?;
        history.streams[stream].items.remove(at);
        Some(())
    });
}

#[test]
fn an_event_that_comes_late_is_found() {
    is_always_found(|history, _, random| {
        let (stream, at) = an_event(history, random)?;
        let items = &mut history.streams[stream].items;
        let next = items[at..].iter().position(|item| matches!(item, Item::Reply { .. }))?;
        let event = items.remove(at);
        items.insert(at + next, event);
        Some(())
    });
}

#[test]
fn an_event_that_comes_twice_is_found() {
    is_always_found(|history, _, random| {
        let (stream, at) = an_event(history, random)?;
        let again = history.streams[stream].items[at].clone();
        history.streams[stream].items.insert(at, again);
        Some(())
    });
}

#[test]
fn an_event_of_something_else_is_found() {
    is_always_found(|history, _, random| {
        let (stream, at) = an_event(history, random)?;
        let Item::Event { kind, .. } = &mut history.streams[stream].items[at] else { return None };
        *kind = *kind % 4 + 1;
        Some(())
    });
}

#[test]
fn a_stale_value_is_found() {
    is_always_found(|history, _, random| {
        let call =
            a_call(history, random, |_, reply| matches!(reply.body, Body::Data(Some(_), _)))?;
        let Body::Data(Some(data), _) = &mut reply(history, call).body else { return None };
        data.push(b'!');
        Some(())
    });
}

#[test]
fn a_wrong_stat_is_found() {
    is_always_found(|history, _, random| {
        let call = a_call(history, random, |_, reply| !reply.clone().stats_mut().is_empty())?;
        let mut stats = reply(history, call).stats_mut();
        let stat = stats.first_mut()?;
        match random.below(4) {
            0 => stat.version += 1,
            1 => stat.mzxid.0 -= 1,
            2 => stat.num_children += 1,
            _ => stat.cversion += 1,
        }
        Some(())
    });
}

#[test]
fn a_missing_child_is_found() {
    is_always_found(|history, _, random| {
        let wanted = |_: &Op, reply: &Reply| matches!(&reply.body, Body::Names(names, _) if !names.is_empty());
        let call = a_call(history, random, wanted)?;
        let Body::Names(names, _) = &mut reply(history, call).body else { return None };
        let at = random.below(names.len());
        names.remove(at);
        Some(())
    });
}

#[test]
fn a_wrong_error_is_found() {
    is_always_found(|history, _, random| {
        let call = a_call(history, random, |op, reply| reply.error != 0 || is_write(op, reply))?;
        let reply = reply(history, call);
        reply.error = if reply.error == 0 { -101 } else { -102 };
        Some(())
    });
}

#[test]
fn two_answers_changed_round_are_found() {
    is_always_found(|history, _, random| {
        let one = a_call(history, random, is_write)?;
        let other = a_call(history, random, is_write)?;
        let (a, b) = (reply(history, one).zxid, reply(history, other).zxid);
        reply(history, one).zxid = b;
        reply(history, other).zxid = a;
        (one != other).then_some(())
    });
}

#[test]
fn a_lost_write_is_found() {
    is_always_found(|history, delivered, random| {
        let call = a_call(history, random, is_write)?;
        let zxid = Zxid(reply(history, call).zxid);
        delivered.retain(|one| one.zxid != zxid);
        Some(())
    });
}

#[test]
fn a_write_executed_twice_is_found() {
    is_always_found(|_, delivered, random| {
        let at = random.below(delivered.len());
        let record = &delivered[at].txn;
        // The kind: sessions may end more than once.
        let kind = i32::from_be_bytes(record[28..32].try_into().ok()?);
        delivered.insert(at + 1, delivered[at].clone());
        (kind > 0).then_some(())
    });
}

#[test]
fn the_result_of_a_multi_is_compared() {
    is_always_found(|history, _, random| {
        let call = a_call(history, random, |_, reply| matches!(reply.body, Body::Results(_)))?;
        let Body::Results(results) = &mut reply(history, call).body else { return None };
        let (kind, _, body) = random_of(results, random);
        if *kind == -1 {
            *body = Body::Int(-4);
        } else {
            *kind = -1;
        }
        Some(())
    });
}

fn random_of<'t, T>(things: &'t mut [T], random: &mut Random) -> &'t mut T {
    let at = random.below(things.len());
    &mut things[at]
}

#[test]
fn a_session_refused_without_an_end_is_found() {
    is_always_found(|history, _, random| {
        let at = random.below(history.streams.len());
        let session = SessionId(history.streams[at].session.0 + 1_000_000);
        history.refused(session, 0);
        Some(())
    });
}

#[test]
fn a_write_that_a_read_only_server_took_is_found() {
    is_always_found(|history, _, random| {
        let call = a_call(history, random, is_write)?;
        let stream = history.calls[call].stream;
        history.only_reads(stream);
        Some(())
    });
}

#[test]
fn a_session_that_begins_twice_is_found() {
    is_always_found(|_, delivered, random| {
        let at = begin_of_a_session(delivered, random, |_| true)?;
        delivered.insert(at + 1, delivered[at].clone());
        Some(())
    });
}

#[test]
fn an_ephemeral_node_of_a_local_session_is_found() {
    is_always_found(|history, delivered, random| {
        history.has_local_sessions = true;
        let owners: Vec<_> = history
            .calls
            .iter()
            .filter(|call| {
                let is_ephemeral = matches!(&call.op, Op::Create(_, node) if node.flags & 1 != 0);
                is_ephemeral && call.answer.as_ref().is_some_and(|(_, reply)| reply.error == 0)
            })
            .map(|call| call.session)
            .collect();
        let at = begin_of_a_session(delivered, random, |session| owners.contains(&session))?;
        delivered.remove(at);
        Some(())
    });
}

/// The place of a transaction that opens a session.
fn begin_of_a_session(
    delivered: &[Delivered],
    random: &mut Random,
    wanted: impl Fn(SessionId) -> bool,
) -> Option<usize> {
    let begins = |&at: &usize| {
        let record = TxnRecord::from_bytes(&delivered[at].txn).unwrap();
        matches!(record.txn, Txn::CreateSession { .. }) && wanted(record.header.client_id)
    };
    let places: Vec<_> = (0..delivered.len()).filter(begins).collect();
    (!places.is_empty()).then(|| *random.pick(&places))
}

fn online(history: &History, online: &mut Online, call: usize, zxid: i64) -> Result<(), Broken> {
    let session = history.calls[call].session;
    online.answered(history, session, Some(call), Zxid(zxid), 0)
}

#[test]
fn a_session_never_goes_back() {
    let mut history = History::default();
    let stream = history.attached(0, SessionId(7), 0);
    let calls = [1, 2].map(|xid| history.called(stream, xid, Op::get("/a"), 0));
    let mut checks = Online::default();
    online(&history, &mut checks, calls[0], 5).unwrap();
    let broken = online(&history, &mut checks, calls[1], 4).unwrap_err();
    assert_eq!(broken.rule, "MonotonicRead");
}

#[test]
fn a_write_comes_behind_what_was_answered_before_it() {
    let mut history = History::default();
    let streams = [7, 8].map(|session| history.attached(0, SessionId(session), 0));
    let first = history.called(streams[0], 1, Op::set("/a", b""), 0);
    history.answered(first, answer(5), 1);
    let second = history.called(streams[1], 1, Op::set("/a", b""), 2);
    let mut checks = Online::default();
    assert_eq!(online(&history, &mut checks, second, 5).unwrap_err().rule, "RealTime");
    let mut checks = Online::default();
    online(&history, &mut checks, second, 6).unwrap();
}

#[test]
fn what_is_read_behind_a_sync_is_not_older_than_it() {
    use quorate_protocol::OpCode;
    let mut history = History::default();
    let streams = [7, 8].map(|session| history.attached(0, SessionId(session), 0));
    let before = history.called(streams[1], 1, Op::get("/a"), 0);
    let write = history.called(streams[0], 1, Op::set("/a", b""), 0);
    history.answered(write, answer(5), 1);
    let sync = history.called(streams[1], 2, Op::Path(OpCode::Sync, "/a".to_owned()), 2);
    let read = history.called(streams[1], 3, Op::get("/a"), 2);
    let mut checks = Online::default();
    online(&history, &mut checks, before, 3).unwrap();
    assert_eq!(online(&history, &mut checks, sync, 4).unwrap_err().rule, "SyncedRead");
    let mut checks = Online::default();
    online(&history, &mut checks, before, 3).unwrap();
    online(&history, &mut checks, sync, 5).unwrap();
    online(&history, &mut checks, read, 6).unwrap();
}

fn answer(zxid: i64) -> Reply {
    Reply { xid: 1, zxid, error: 0, body: Body::Empty }
}
