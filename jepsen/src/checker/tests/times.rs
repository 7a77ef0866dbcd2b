//! When sessions may end: small histories, told in milliseconds.

use super::*;
use crate::{
    clock::Nanos,
    history::{Fault, Mode, Op, Operation, Outcome, Phase, Reply, SessionId, Settings, Stat, Zxid},
};

const OWNER: SessionId = SessionId(1);
const OTHER: SessionId = SessionId(2);
const MS: Nanos = 1_000_000;
const NODE: &str = "/ephemeral-0/c0-1";

struct Tale {
    operations: Vec<Operation>,
    zxid: i64,
}

impl Tale {
    /// A session with a timeout of four seconds that opens at 0, has an ephemeral node, and
    /// writes each 100 ms until `last`.
    fn of_a_session(last: Nanos) -> Self {
        let mut tale = Self { operations: Vec::new(), zxid: 0x1_0000_0000 };
        let granted = Outcome::Ok { zxid: None, reply: Reply::Session { timeout_ms: 4000 } };
        tale.tell(0, OWNER, Op::Open, |_| granted);
        let op = |n| {
            let value = format!("c0-{n}");
            Op::Create { path: format!("/ephemeral-0/{value}"), value, mode: Mode::Ephemeral }
        };
        for (n, at) in (1..).zip((100..=last).step_by(100)) {
            tale.zxid += 1;
            let path = format!("/ephemeral-0/c0-{n}");
            let length = i32::try_from(path.len() - "/ephemeral-0/".len()).unwrap();
            tale.tell(at, OWNER, op(n), |zxid| {
                let stat = Stat {
                    czxid: zxid,
                    mzxid: zxid,
                    pzxid: zxid,
                    version: 0,
                    cversion: 0,
                    owner: OWNER,
                    length,
                    children: 0,
                };
                Outcome::Ok { zxid: Some(zxid), reply: Reply::Created { path, stat } }
            });
        }
        tale
    }

    fn tell(
        &mut self,
        at_ms: Nanos,
        session: SessionId,
        op: Op,
        outcome: impl FnOnce(Zxid) -> Outcome,
    ) -> &mut Operation {
        self.operations.push(Operation {
            id: self.operations.len() as u64,
            client: 0,
            session,
            connection: session.0.cast_unsigned(),
            server: 0,
            phase: Phase::Run,
            call: at_ms * MS,
            returned: Some((at_ms + 1) * MS),
            op,
            outcome: outcome(Zxid(self.zxid)),
        });
        self.operations.last_mut().unwrap()
    }

    /// Another session finds the first node gone.
    fn gone(&mut self, at_ms: Nanos) {
        self.zxid += 1;
        let op = Op::Exists { path: NODE.to_owned() };
        let missing = |zxid| Outcome::Ok { zxid: Some(zxid), reply: Reply::Missing };
        self.tell(at_ms, OTHER, op, missing);
    }

    fn refused(&mut self, at_ms: Nanos) {
        let refused = |_| Outcome::Fail { zxid: None, error: -112 };
        self.tell(at_ms, OWNER, Op::Attach, refused);
    }

    fn violations(self, check: Check) -> usize {
        let settings = Settings {
            target: Kind::Quorate,
            servers: 1,
            workload: Workload::Ephemeral,
            nemesis: "none".to_owned(),
            seed: 0,
            tick_ms: 200,
            sync_limit: 5,
        };
        let healed = Fault { at: 5000 * MS, what: "healed".to_owned(), begins: false };
        let operations = self.operations;
        let history = History { settings, operations, faults: vec![healed] };
        super::check(&history).get(check).map_or(0, |finding| finding.violations)
    }
}

#[test]
fn a_session_that_is_heard_does_not_end_before_its_timeout() {
    for (at, wrong) in [(3000, 1), (4000, 1), (5100, 0), (6000, 0)] {
        let mut tale = Tale::of_a_session(2000);
        tale.gone(at);
        assert_eq!(tale.violations(Check::EarlyEnd), wrong, "at {at}");
    }
}

#[test]
fn what_was_not_passed_on_to_the_leader_does_not_count() {
    let mut tale = Tale::of_a_session(100);
    // A server that is cut off answers pings for a while.
    for at in [1000, 2000] {
        tale.tell(at, OWNER, Op::Ping, |zxid| Outcome::Ok { zxid: Some(zxid), reply: Reply::Done });
    }
    tale.gone(4000);
    assert_eq!(tale.violations(Check::EarlyEnd), 0);
}

#[test]
fn who_closes_a_session_is_not_surprised_by_its_end() {
    let mut tale = Tale::of_a_session(2000);
    tale.tell(2100, OWNER, Op::Close, |_| Outcome::Unknown).returned = None;
    tale.gone(2200);
    assert_eq!(tale.violations(Check::EarlyEnd), 0);
}

#[test]
fn a_session_is_not_refused_before_its_timeout() {
    for (at, wrong) in [(2500, 1), (5100, 0)] {
        let mut tale = Tale::of_a_session(2000);
        tale.refused(at);
        assert_eq!(tale.violations(Check::EarlyRefusal), wrong, "at {at}");
    }
}

#[test]
fn no_node_is_there_long_after_its_session() {
    // All was healed at 5 s; a new leader may have given the session another four.
    for (at, wrong) in [(11_500, 0), (12_500, 1)] {
        let mut tale = Tale::of_a_session(100);
        let op = Op::Children { path: "/ephemeral-0".to_owned() };
        let list = tale.tell(at, OTHER, op, |zxid| {
            let stat = Stat {
                czxid: zxid,
                mzxid: zxid,
                pzxid: zxid,
                version: 0,
                cversion: 1,
                owner: SessionId(0),
                length: 0,
                children: 1,
            };
            let names = vec!["c0-1".to_owned()];
            Outcome::Ok { zxid: Some(zxid), reply: Reply::Names { names, stat } }
        });
        list.phase = Phase::Final;
        assert_eq!(tale.violations(Check::Ghost), wrong, "at {at}");
    }
}
