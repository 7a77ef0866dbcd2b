//! One server, which is told what others say.

use super::super::{FINALIZE_MS, RESEND_MS};
use proptest::prelude::*;

use super::*;
use PeerState::{Following, Leading, Looking, Observing};

/// A server of an ensemble, at the beginning of its first round.
struct Lone {
    election: Election,
    now_ms: i64,
    decision: Option<Decision>,
    said: Vec<(ServerId, Notification)>,
    wake_at_ms: Option<i64>,
}

fn vote(leader: i64, epoch: u32, counter: u32) -> Vote {
    Vote { leader: ServerId(leader), zxid: Zxid::new(epoch, counter), epoch }
}

impl Lone {
    fn new(id: i64, own: Own, voters: i64, more: &str) -> Self {
        let servers: Vec<String> = (1..=voters).map(|id| format!("server.{id}=h:1:2")).collect();
        let text = format!("{}\n{more}", servers.join("\n"));
        let configs = Configs::new(Configuration::parse(&text).unwrap(), false);
        Self::with_configs(id, own, configs)
    }

    fn with_configs(id: i64, own: Own, configs: Configs) -> Self {
        let mut lone = Self {
            election: Election::new(ServerId(id), configs),
            now_ms: 0,
            decision: None,
            said: Vec::new(),
            wake_at_ms: None,
        };
        lone.step(|election, now_ms, out| election.start(now_ms, own, out));
        lone
    }

    fn step(
        &mut self,
        event: impl FnOnce(&mut Election, i64, &mut Vec<Effect<'_>>) -> Option<Decision>,
    ) {
        let mut effects = Vec::new();
        if let Some(decision) = event(&mut self.election, self.now_ms, &mut effects) {
            assert_eq!(self.decision.replace(decision), None);
        }
        for effect in effects {
            match effect {
                Effect::Notify { to, notification } => self.said.push((to, notification)),
                Effect::Wake { at_ms } => self.wake_at_ms = Some(at_ms),
                other => panic!("{other:?}"),
            }
        }
    }

    fn start(&mut self, own: Own) {
        self.decision = None;
        self.step(|election, now_ms, out| election.start(now_ms, own, out));
    }

    fn hear(&mut self, from: i64, state: PeerState, vote: Vote, round: i64) {
        let notification = Notification { state, vote, round, config: Vec::new() };
        self.step(|election, now_ms, out| {
            election.notification(now_ms, ServerId(from), &notification, out)
        });
    }

    fn reachable(&mut self, server: i64, up: bool) {
        self.step(|election, now_ms, out| election.reachable(now_ms, ServerId(server), up, out));
    }

    fn tick(&mut self, log_is_stuck: bool) {
        self.step(|election, now_ms, out| election.tick(now_ms, log_is_stuck, out));
    }

    /// Lets time pass; each wake comes.
    fn pass(&mut self, for_ms: i64) {
        let end_ms = self.now_ms + for_ms;
        while let Some(at_ms) =
            self.wake_at_ms.filter(|&at| at <= end_ms && self.decision.is_none())
        {
            assert!(at_ms >= self.now_ms);
            (self.now_ms, self.wake_at_ms) = (at_ms, None);
            self.tick(false);
        }
        self.now_ms = end_ms;
    }

    /// What it has said since, as `to state leader@round`.
    fn said(&mut self) -> Vec<String> {
        let said = self.said.drain(..);
        said.map(|(to, Notification { state, vote, round, .. })| {
            format!("{to} {state:?} {}@{round}", vote.leader)
        })
        .collect()
    }

    fn leader(&self) -> Option<i64> {
        self.decision.map(|decision| decision.leader.0)
    }
}

#[test]
fn epoch_before_zxid_before_number() {
    let mut lone = Lone::new(2, own(3, 5), 5, "");
    assert_eq!(lone.said().len(), 4);
    for (from, better) in [
        (1, vote(1, 3, 5)),
        (3, vote(3, 3, 5)),
        (4, vote(1, 3, 6)),
        (5, vote(3, 3, 6)),
        (5, Vote { epoch: 4, ..vote(1, 0, 1) }),
    ] {
        let is_better = from != 1;
        lone.hear(from, Looking, better, 1);
        let expected = if is_better { 4 } else { 1 };
        assert_eq!(lone.said().len(), expected, "{better:?}");
        assert_eq!(lone.election.vote() == Some(better), is_better);
    }
}

#[test]
fn a_later_round_begins_with_the_own_vote_again() {
    let mut lone = Lone::new(2, own(1, 5), 3, "");
    lone.hear(3, Looking, vote(3, 1, 9), 1);
    assert_eq!(lone.election.vote(), Some(vote(3, 1, 9)));
    lone.said();
    lone.hear(1, Looking, vote(1, 1, 4), 7);
    assert_eq!(lone.said(), ["1 Looking 2@7", "3 Looking 2@7"]);
    assert_eq!((lone.leader(), lone.election.round()), (None, 7), "votes of old rounds are void");
}

/// A server's log was cut since others voted for it, and their round's number is in use again.
#[test]
fn nobody_claims_more_of_a_server_than_it_has() {
    let mut lone = Lone::new(2, own(8, 13), 3, "");
    lone.said();
    lone.hear(1, Looking, vote(2, 8, 14), 1);
    assert_eq!(lone.said(), ["1 Looking 2@2", "3 Looking 2@2"]);
    assert_eq!(lone.election.vote(), Some(vote(2, 8, 13)));
    lone.hear(1, Looking, vote(2, 8, 14), 7);
    assert_eq!(lone.election.vote(), Some(vote(2, 8, 13)));
    lone.hear(1, Looking, vote(2, 8, 13), lone.election.round());
    lone.hear(3, Looking, vote(2, 8, 13), lone.election.round());
    assert_eq!((lone.leader(), lone.election.round()), (Some(2), 8));
}

#[test]
fn who_is_in_an_earlier_round_is_told() {
    let mut lone = Lone::new(2, own(1, 5), 3, "");
    lone.start(own(1, 5));
    lone.said();
    lone.hear(1, Looking, vote(2, 1, 5), 1);
    assert_eq!((lone.leader(), lone.said()), (None, vec!["1 Looking 2@2".to_owned()]));
}

#[test]
fn who_has_missed_a_better_vote_is_told_once() {
    let mut lone = Lone::new(2, own(1, 5), 3, "");
    lone.said();
    lone.hear(1, Looking, vote(1, 1, 5), 1);
    assert_eq!(lone.said(), ["1 Looking 2@1"]);
    lone.hear(1, Looking, vote(1, 1, 5), 1);
    assert_eq!(lone.said(), [""; 0]);
}

#[test]
fn the_time_for_votes_that_may_come() {
    let agree = |lone: &mut Lone| lone.hear(2, Looking, vote(3, 1, 1), 1);
    // Nothing is known of the first server.
    let mut lone = Lone::new(3, own(1, 1), 3, "");
    lone.now_ms = 50;
    agree(&mut lone);
    lone.pass(FINALIZE_MS - 1);
    assert_eq!(lone.leader(), None);
    lone.pass(1);
    assert_eq!(lone.leader(), Some(3));
    // It can be reached; then not.
    let mut lone = Lone::new(3, own(1, 1), 3, "");
    lone.reachable(1, true);
    agree(&mut lone);
    assert_eq!(lone.leader(), None);
    lone.reachable(1, false);
    assert_eq!(lone.leader(), Some(3));
    // It does not vote, or observes.
    for (state, void) in [(Looking, Vote::void(ServerId(1))), (Observing, vote(3, 1, 1))] {
        let mut lone = Lone::new(3, own(1, 1), 3, "");
        lone.reachable(1, true);
        lone.hear(1, state, void, 9);
        assert_eq!(lone.leader(), None);
        agree(&mut lone);
        assert_eq!((lone.leader(), lone.election.round()), (Some(3), 1));
    }
    // A better vote comes.
    let mut lone = Lone::new(3, own(1, 1), 3, "");
    agree(&mut lone);
    lone.pass(FINALIZE_MS - 1);
    lone.hear(1, Looking, vote(1, 1, 2), 1);
    lone.pass(10);
    assert_eq!(lone.leader(), None);
    lone.hear(2, Looking, vote(1, 1, 2), 1);
    assert_eq!(lone.leader(), Some(1));
}

#[test]
fn a_quorum_that_dissolves_is_none() {
    let mut lone = Lone::new(3, own(1, 1), 3, "");
    lone.hear(2, Looking, vote(3, 1, 1), 1);
    lone.pass(100);
    lone.reachable(2, false);
    lone.pass(10_000);
    assert_eq!(lone.leader(), None);
}

#[test]
fn says_it_again_ever_more_slowly_until_there_is_news() {
    let mut lone = Lone::new(1, own(1, 1), 5, "");
    let times = |lone: &mut Lone, for_ms: i64| {
        let end_ms = lone.now_ms + for_ms;
        let mut times = Vec::new();
        lone.said();
        while lone.now_ms < end_ms {
            lone.pass(100);
            if !lone.said().is_empty() {
                times.push(lone.now_ms);
            }
        }
        times
    };
    assert_eq!(times(&mut lone, 10_000), [200, 600, 1400, 3000, 6200, 9400]);
    lone.hear(2, Looking, vote(2, 1, 1), 1);
    assert_eq!(times(&mut lone, 2_000), [10_200, 10_600, 11_400]);
    lone.hear(2, Looking, vote(2, 1, 1), 1);
    assert_eq!(times(&mut lone, 4_000), [13_000], "the same again is no news");
    lone.reachable(3, true);
    assert_eq!(times(&mut lone, 1_000), [16_200, 16_600]);
    assert_eq!(RESEND_MS, (200, 3200));
}

#[test]
fn a_connection_brings_the_vote() {
    let mut lone = Lone::new(1, own(1, 1), 3, "server.9=h:1:2:observer");
    lone.said();
    for _ in 0..2 {
        lone.reachable(2, true);
        assert_eq!(lone.said(), ["2 Looking 1@1"], "what was sent by the one before may be lost");
    }
    lone.reachable(9, true);
    lone.reachable(7, true);
    assert_eq!(lone.said(), [""; 0]);
}

#[test]
fn joins_whom_a_quorum_follows_and_who_leads() {
    let mut lone = Lone::new(1, own(9, 9), 5, "");
    lone.hear(2, Following, vote(4, 2, 7), 30);
    lone.hear(3, Following, vote(4, 2, 1), 6);
    lone.hear(5, Following, vote(4, 2, 2), 6);
    assert_eq!(lone.leader(), None, "the leader itself says nothing");
    lone.hear(4, Following, vote(4, 2, 2), 6);
    assert_eq!(lone.leader(), None, "it does not say that it leads");
    lone.hear(4, Leading, vote(4, 2, 2), 6);
    let decision = Decision { leader: ServerId(4), join_as: Member::Participant };
    assert_eq!(lone.decision, Some(decision));
    lone.said();
    lone.hear(5, Looking, vote(5, 1, 1), 1);
    assert_eq!(lone.said(), ["5 Following 4@30"], "in the round of those it has joined");
}

#[test]
fn members_must_agree_on_leader_and_epoch() {
    let mut lone = Lone::new(1, own(1, 1), 5, "");
    lone.hear(4, Leading, vote(4, 3, 2), 6);
    lone.hear(2, Following, vote(4, 2, 7), 6);
    lone.hear(3, Following, vote(5, 3, 2), 6);
    assert_eq!(lone.leader(), None);
    lone.hear(3, Following, vote(4, 3, 9), 2);
    assert_eq!(lone.leader(), None);
    lone.hear(5, Following, vote(4, 3, 0), 99);
    assert_eq!(lone.leader(), Some(4));
}

#[test]
fn those_who_have_decided_count_with_those_who_look() {
    // In the same round, they must have decided for exactly what is voted for.
    let mut lone = Lone::new(1, own(1, 1), 3, "");
    lone.hear(2, Leading, vote(2, 1, 1), 2);
    assert_eq!(lone.leader(), None);
    let mut lone = Lone::new(1, own(1, 1), 3, "");
    lone.hear(2, Looking, vote(2, 1, 1), 1);
    assert_eq!(lone.leader(), None, "another vote may come");
    lone.hear(2, Leading, vote(2, 1, 1), 1);
    assert_eq!(lone.leader(), Some(2), "the others have decided");
}

#[test]
fn rounds_of_those_who_look_must_agree() {
    let mut lone = Lone::new(5, own(1, 1), 5, "");
    lone.hear(1, Looking, vote(4, 2, 1), 1);
    lone.hear(2, Looking, vote(4, 2, 1), 2);
    lone.hear(3, Looking, vote(4, 2, 1), 3);
    lone.hear(4, Leading, vote(4, 2, 1), 3);
    assert_eq!(lone.leader(), Some(4));
    let mut lone = Lone::new(5, own(1, 1), 5, "");
    lone.hear(3, Looking, vote(4, 2, 1), 3);
    lone.hear(1, Looking, vote(4, 2, 1), 1);
    lone.hear(2, Looking, vote(4, 2, 1), 2);
    lone.hear(4, Leading, vote(4, 2, 1), 4);
    lone.pass(1000);
    assert_eq!(lone.leader(), None);
}

/// ZOOKEEPER-1514.
#[test]
fn leads_whom_others_elected_in_this_round_only() {
    let mut lone = Lone::new(1, own(1, 1), 3, "");
    lone.hear(2, Following, vote(1, 1, 1), 1);
    assert_eq!(lone.leader(), Some(1));
    lone.start(own(1, 1));
    lone.hear(2, Following, vote(1, 1, 1), 1);
    lone.hear(3, Following, vote(1, 1, 1), 1);
    lone.pass(10_000);
    assert_eq!(lone.leader(), None);
}

#[test]
fn what_a_server_said_before_does_not_count() {
    for round in [1, 2] {
        let mut lone = Lone::new(1, own(9, 9), 3, "");
        lone.start(own(9, 9));
        lone.hear(2, Following, vote(3, 2, 1), 5);
        lone.hear(2, Looking, vote(2, 2, 1), round);
        lone.hear(3, Leading, vote(3, 2, 1), 5);
        assert_eq!(lone.leader(), None, "the second has left the third");
        lone.hear(2, Following, vote(3, 2, 1), 5);
        assert_eq!(lone.leader(), Some(3));
    }
}

#[test]
fn who_does_not_vote_is_answered_and_not_counted() {
    let mut lone = Lone::new(3, own(1, 1), 3, "server.9=h:1:2:observer");
    lone.said();
    for stranger in [9, 77, -1, i64::MAX, i64::MIN] {
        lone.hear(stranger, Looking, vote(3, 1, 1), 1);
        lone.hear(stranger, Looking, vote(1, 9, 9), 99);
        lone.hear(stranger, Leading, vote(stranger, 9, 9), 99);
        lone.hear(stranger, Looking, Vote::OBSERVER, 1);
    }
    lone.hear(2, Following, vote(77, 9, 9), 1);
    lone.hear(2, Looking, vote(77, 9, 9), 1);
    assert_eq!((lone.leader(), lone.said(), lone.election.round()), (None, vec![], 1));
    lone.hear(2, Looking, vote(3, 1, 1), 1);
    lone.hear(1, Looking, vote(3, 1, 1), 1);
    assert_eq!(lone.leader(), Some(3));
    lone.said();
    for stranger in [9, 77] {
        lone.hear(stranger, Looking, Vote::OBSERVER, 1);
        assert_eq!(lone.said(), [format!("{stranger} Leading 3@1")]);
        lone.hear(stranger, Observing, vote(3, 1, 1), 1);
        lone.hear(stranger, Following, vote(3, 1, 1), 1);
        assert_eq!(lone.said(), [""; 0]);
    }
}

/// These voters are in force, and those are in the log.
fn changing(in_force: [i64; 3], logged: [i64; 3]) -> Configs {
    let configuration = |voters: [i64; 3]| {
        let lines = voters.map(|id| format!("server.{id}=h:1:2"));
        Configuration::parse(&lines.join("\n")).unwrap()
    };
    let mut configs = Configs::new(configuration(in_force), true);
    configs.logged(Configuration { version: Zxid::new(1, 8).0, ..configuration(logged) });
    configs
}

#[test]
fn a_voter_that_does_not_know_that_it_is_follows_whoever_leads() {
    let configs = changing([1, 2, 3], [3, 4, 5]);
    let mut lone = Lone::with_configs(3, own(1, 9), configs);
    lone.hear(1, Looking, vote(3, 1, 9), 1);
    lone.pass(2 * FINALIZE_MS);
    assert_eq!(lone.leader(), None, "no quorum of the configuration that is to come");
    lone.hear(4, Looking, Vote::OBSERVER, 7);
    assert_eq!((lone.leader(), lone.election.round()), (None, 1), "it may have heard of it by now");
    lone.said();
    lone.hear(5, Looking, Vote::OBSERVER, 0);
    lone.hear(5, Looking, Vote::OBSERVER, 0);
    assert_eq!(lone.said(), ["5 Looking 3@1"], "whoever answers all votes is answered once");
    lone.pass(FINALIZE_MS);
    assert_eq!(lone.leader(), Some(3));
    lone.hear(4, Looking, Vote::OBSERVER, 7);
    assert!(!lone.election.is_deserted(), "it has turned to nobody else");
}

#[test]
fn of_the_same_history_who_votes_already_is_preferred() {
    let configs = changing([1, 2, 3], [1, 4, 5]);
    assert!(vote(1, 1, 9).beats(&vote(5, 1, 9), &configs));
    assert!(vote(5, 1, 10).beats(&vote(1, 1, 9), &configs));
    assert!(vote(3, 1, 9).beats(&vote(1, 1, 9), &configs));
    assert!(vote(5, 1, 9).beats(&vote(4, 1, 9), &configs));
}

#[test]
fn a_server_that_is_no_member_follows_without_a_vote() {
    let mut lone = Lone::new(7, own(9, 9), 3, "");
    assert_eq!(lone.said(), ["1", "2", "3"].map(|to| format!("{to} Looking {}@1", i64::MIN)));
    lone.hear(3, Leading, vote(3, 2, 1), 5);
    assert_eq!(lone.leader(), None);
    lone.hear(1, Following, vote(3, 2, 1), 5);
    let decision = Decision { leader: ServerId(3), join_as: Member::Participant };
    assert_eq!(lone.decision, Some(decision));

    let mut lone = Lone::new(7, FRESH, 3, "");
    lone.hear(3, Leading, vote(3, 2, 1), 5);
    lone.hear(1, Following, vote(3, 2, 1), 5);
    let decision = Decision { leader: ServerId(3), join_as: Member::Observer };
    assert_eq!(lone.decision, Some(decision), "it may have lost something");
}

#[test]
fn who_has_a_leader_says_so_to_those_who_look_only() {
    let mut lone = Lone::new(1, own(1, 1), 3, "");
    lone.hear(2, Leading, vote(3, 1, 1), 1);
    lone.hear(3, Leading, vote(3, 1, 1), 1);
    assert_eq!(lone.leader(), Some(3));
    assert_eq!(lone.said().split_off(2), ["2 Following 3@1", "3 Following 3@1"]);
    lone.hear(2, Looking, vote(2, 9, 9), 99);
    assert_eq!(lone.said(), ["2 Following 3@1"], "whatever it has");
    lone.hear(3, Following, vote(2, 9, 9), 99);
    assert_eq!((lone.said(), lone.election.round()), (vec![], 1));
    lone.step(|election, _, out| {
        election.settle(Following, vote(3, 2, 0), out);
        None
    });
    assert_eq!(lone.said(), ["2 Following 3@1"], "it has asked before");
    assert_eq!(lone.election.vote(), Some(vote(3, 2, 0)));
}

#[test]
fn a_stuck_log_is_silent() {
    let mut lone = Lone::new(3, own(1, 1), 3, "");
    lone.tick(true);
    lone.said();
    lone.hear(2, Looking, vote(2, 1, 1), 1);
    lone.hear(1, Looking, vote(3, 1, 1), 1);
    lone.hear(2, Looking, vote(3, 1, 1), 1);
    lone.reachable(2, true);
    lone.now_ms = 1000;
    lone.tick(true);
    assert_eq!((lone.leader(), lone.said()), (None, vec![]));
    lone.tick(false);
    assert_eq!(lone.leader(), Some(3));
    assert_eq!(lone.said()[..2], ["1 Looking 3@1", "2 Looking 3@1"]);
}

#[test]
fn what_became_durable_since_counts() {
    let mut lone = Lone::new(1, own(1, 1), 3, "");
    lone.hear(2, Looking, vote(2, 1, 2), 1);
    lone.said();
    let durable = |lone: &mut Lone, zxid| {
        lone.step(|election, now_ms, out| election.durable(now_ms, zxid, out));
    };
    durable(&mut lone, Zxid::new(1, 2));
    assert_eq!((lone.said(), lone.election.vote()), (vec![], Some(vote(2, 1, 2))));
    durable(&mut lone, Zxid::new(1, 3));
    assert_eq!(lone.said().len(), 2);
    let expected = Vote { epoch: 1, ..vote(1, 1, 3) };
    assert_eq!(lone.election.vote(), Some(expected));
}

#[test]
fn a_fresh_server_that_meets_data_abstains() {
    let evidence: [(PeerState, Vote, i64); 5] = [
        (Looking, vote(2, 0, 1), 1),
        (Looking, Vote::void(ServerId(2)), 1),
        (Looking, vote(2, 1, 0), 1),
        (Following, vote(3, 1, 0), 9),
        (Looking, vote(2, 1, 1), 9),
    ];
    for (state, seen, round) in evidence {
        let mut lone = Lone::new(1, FRESH, 3, "");
        lone.said();
        lone.hear(2, state, seen, round);
        let withdrawal = (ServerId(3), Vote::void(ServerId(1)));
        let said: Vec<_> = lone.said.iter().map(|(to, said)| (*to, said.vote)).collect();
        assert!(said.contains(&withdrawal), "{seen:?}: {said:?}");
        assert_eq!(lone.election.round(), 1);
        lone.hear(2, Looking, vote(3, 0, 0), 1);
        lone.hear(3, Looking, vote(3, 0, 0), 1);
        lone.pass(10_000);
        assert_eq!(lone.leader(), None);
        lone.start(FRESH);
        assert_eq!(lone.election.vote(), Some(Vote::void(ServerId(1))), "it does not forget");
        lone.start(own(1, 0));
        assert_eq!(lone.election.vote(), Some(vote(1, 1, 0)));
    }
    let mut lone = Lone::new(1, FRESH, 3, "");
    lone.hear(2, Looking, vote(2, 0, 0), 1);
    lone.hear(3, Looking, vote(2, 0, 0), 1);
    assert_eq!(lone.leader(), Some(2), "nobody has anything");
}

#[test]
fn a_fresh_server_with_a_part_of_a_history_has_met_data() {
    let lone = Lone::new(1, Own { zxid: Zxid::new(1, 4), ..FRESH }, 3, "");
    assert_eq!(lone.election.vote(), Some(Vote::void(ServerId(1))));
}

#[test]
fn a_server_that_knows_of_its_loss_abstains_where_everybody_looks_new() {
    let mut lone = Lone::new(1, Own { lost: true, ..FRESH }, 3, "");
    assert_eq!(lone.election.vote(), Some(Vote::void(ServerId(1))));
    lone.hear(2, Looking, vote(3, 0, 0), 1);
    lone.hear(3, Looking, vote(3, 0, 0), 1);
    lone.pass(10_000);
    assert_eq!(lone.leader(), None);
}

#[test]
fn votes_of_servers_that_abstain_are_left_out() {
    let mut lone = Lone::new(3, own(1, 1), 3, "");
    lone.hear(2, Looking, vote(3, 1, 1), 1);
    lone.hear(2, Looking, Vote::void(ServerId(2)), 1);
    lone.pass(10_000);
    assert_eq!(lone.leader(), None, "it has taken its vote back");
    assert_eq!(lone.election.vote(), Some(vote(3, 1, 1)));
}

#[test]
fn an_election_says_what_it_waits_for() {
    let says = |lone: &Lone| lone.election.standing().map(|standing| standing.to_string());
    let mut lone = Lone::new(1, own(1, 1), 5, "");
    lone.hear(2, Looking, vote(2, 1, 1), 1);
    lone.hear(3, Following, vote(5, 1, 1), 7);
    lone.hear(4, Looking, Vote::void(ServerId(4)), 1);
    lone.reachable(5, false);
    let expected = "this server votes for server 2; voting for it: 1, 2; not agreeing: 3; \
                    not voting, as data may be lost: 4; not reached at the election port: 5";
    assert_eq!(says(&lone).as_deref(), Some(expected));
    lone.step(|election, now_ms, out| election.tick(now_ms, true, out));
    assert!(says(&lone).unwrap().contains("server 2; its log cannot be written; voting"));

    let mut fresh = Lone::new(1, FRESH, 3, "");
    fresh.hear(2, Looking, vote(2, 1, 1), 1);
    let expected = "this server does not vote, since its folder was empty or damaged while others \
                    have data";
    assert_eq!(says(&fresh).as_deref(), Some(expected));

    let mut observer = Lone::new(9, own(1, 1), 3, "server.9=h:1:2:observer");
    assert!(says(&observer).unwrap().starts_with("this server has no vote; not heard: 1, 2, 3"));
    observer.hear(1, Leading, vote(1, 1, 1), 1);
    observer.hear(2, Following, vote(1, 1, 1), 1);
    assert_eq!((observer.leader(), says(&observer)), (Some(1), None));
}

/// ZOOKEEPER-3109: voters change their minds after their candidate has counted their votes.
#[test]
fn a_leader_whose_voters_have_left_it_notices() {
    let mut lone = Lone::new(2, own(1, 1), 3, "");
    lone.reachable(3, false);
    assert!(!lone.election.is_deserted());
    lone.hear(1, Looking, vote(2, 1, 1), 1);
    assert_eq!((lone.leader(), lone.election.is_deserted()), (Some(2), false));
    lone.hear(3, Looking, vote(3, 1, 1), 1);
    lone.hear(1, Looking, vote(1, 1, 1), 0);
    assert!(!lone.election.is_deserted(), "the first one still has to hear of its leader");
    lone.hear(1, Looking, vote(3, 1, 1), 1);
    assert!(lone.election.is_deserted());
    lone.hear(1, Following, vote(2, 1, 1), 1);
    assert!(!lone.election.is_deserted());
    lone.hear(1, Following, vote(3, 1, 1), 0);
    assert!(lone.election.is_deserted());
}

#[test]
fn absurd_rounds_do_no_harm() {
    let mut lone = Lone::new(3, own(1, 1), 3, "");
    lone.hear(2, Looking, vote(2, 1, 1), i64::MAX);
    lone.start(own(1, 1));
    lone.hear(2, Looking, vote(3, 1, 1), i64::MAX);
    lone.hear(1, Looking, vote(3, 1, 1), i64::MIN);
    lone.pass(1000);
    assert_eq!(lone.leader(), Some(3));
}

#[test]
fn the_own_voice_from_elsewhere_is_not_heard() {
    let mut lone = Lone::new(3, own(1, 1), 3, "");
    lone.said();
    lone.hear(3, Looking, vote(1, 9, 9), 7);
    assert_eq!((lone.election.vote(), lone.said()), (Some(vote(3, 1, 1)), vec![]));
}

fn any_vote() -> impl Strategy<Value = Vote> {
    let small = (-1..5i64, -1..3i64, 0..3u32);
    prop_oneof![4 => small, 1 => any::<(i64, i64, u32)>()].prop_map(|(leader, zxid, epoch)| Vote {
        leader: ServerId(leader),
        zxid: Zxid(zxid),
        epoch,
    })
}

proptest! {
    /// Whatever others say, a server says no more than a few words to it, and elects a member.
    #[test]
    fn hears_anything(
        heard in prop::collection::vec(
            (
                prop_oneof![8 => 0..6i64, 1 => any::<i64>()],
                prop::sample::select(vec![Looking, Following, Leading, Observing]),
                any_vote(),
                prop_oneof![4 => 0..4i64, 1 => any::<i64>()],
            ),
            0..60,
        ),
        fresh: bool,
    ) {
        let own = if fresh { FRESH } else { own(1, 1) };
        let mut lone = Lone::new(2, own, 3, "server.4=h:1:2:observer");
        lone.said();
        for (from, state, vote, round) in heard {
            lone.hear(from, state, vote, round);
            prop_assert!(lone.said().len() <= 6);
            if let Some(leader) = lone.leader() {
                prop_assert!((1..=3).contains(&leader));
                lone.start(own);
                lone.said();
            }
        }
    }
}
