//! What one server does when another says what it should not, or nothing.

use super::solo::{Solo, z};
use crate::zab::{Features, Input, LinkId, Member, Message, ServerId};

#[test]
fn zookeeper_1192_a_promise_given_before_does_not_count() {
    let mut solo = Solo::new(&[z(4, 3)]);
    solo.elect(2);
    solo.joins(7, 1, Member::Participant, 4, Features::NONE);
    let none = Message::AckEpoch { current_epoch: None, last: z(4, 3) };
    assert!(solo.hears(7, none).is_empty());
    solo.joins(8, 3, Member::Participant, 4, Features::NONE);
    let some = Message::AckEpoch { current_epoch: Some(4), last: z(4, 3) };
    assert_eq!(
        solo.hears(8, some),
        ["log current 5", "7 DIFF behind 4:3 until 4:3", "8 DIFF behind 4:3 until 4:3"],
        "but its server is synchronized"
    );
}

#[test]
fn a_promise_that_was_lost_on_its_way_does_not_cost_the_whole_limit() {
    let mut solo = Solo::new(&[z(4, 3)]);
    solo.elect(2);
    solo.joins(7, 1, Member::Participant, 4, Features::ALL);
    solo.tell(Input::Closed { link: LinkId(7) });
    solo.joins(8, 1, Member::Participant, 5, Features::ALL);
    solo.hears(8, Message::AckEpoch { current_epoch: None, last: z(4, 3) });
    assert!(solo.wait(100).contains(&"close 8".to_owned()));
    assert_eq!(solo.zab.leader(), None);
}

#[test]
fn a_leader_refuses_who_has_more_than_itself() {
    for (epoch, last) in [(4, z(4, 4)), (5, z(4, 1))] {
        let mut solo = Solo::new(&[z(4, 3)]);
        solo.elect(2);
        solo.joins(7, 1, Member::Participant, 5, Features::ALL);
        let ack = Message::AckEpoch { current_epoch: Some(epoch), last };
        assert_eq!(solo.hears(7, ack), ["close 7"]);
    }
}

#[test]
fn zookeeper_3109_a_candidate_that_is_deserted_does_not_wait() {
    let mut solo = Solo::new(&[z(4, 3)]);
    solo.elect(2);
    assert_eq!(solo.zab.leader(), Some(ServerId(2)));
    solo.turn_to(3);
    solo.wait(600);
    assert_ne!(solo.zab.leader(), Some(ServerId(2)));
}

#[test]
fn zookeeper_1697_a_large_snapshot_outlives_every_limit() {
    let mut solo = Solo::new(&[z(4, 3)]);
    solo.elect(3);
    let (leader, link) = (ServerId(3), LinkId(9));
    solo.tell(Input::Connected { leader, link });
    solo.hears(9, Message::LeaderInfo { epoch: 5, features: Features::ALL });
    solo.hears(9, Message::Snap { zxid: z(4, 9) });
    for _ in 0..100 {
        assert!(solo.wait(100).is_empty());
        solo.tell(Input::Progress { link });
    }
    solo.tell(Input::SnapshotReceived { link, zxid: z(4, 9) });
    assert!(solo.wait(10_000).is_empty(), "nothing may happen while it is installed");
    assert!(solo.tell(Input::Closed { link }).is_empty(), "not even this");
    assert!(solo.tell(Input::SnapshotInstalled { zxid: z(4, 9), configuration: None }).is_empty());
    assert_eq!(solo.zab.leader(), None);
    assert_eq!(solo.zab.history().last(), z(4, 9));
}

#[test]
fn a_snapshot_of_a_leader_without_a_quorum_gives_way_to_an_older_one() {
    let mut solo = Solo::new(&[z(4, 3)]);
    for (epoch, zxid) in [(5, z(4, 9)), (6, z(4, 5))] {
        solo.elect(3);
        let (leader, link) = (ServerId(3), LinkId(epoch.into()));
        solo.tell(Input::Connected { leader, link });
        solo.hears(epoch.into(), Message::LeaderInfo { epoch, features: Features::NONE });
        solo.hears(epoch.into(), Message::Snap { zxid });
        solo.tell(Input::SnapshotReceived { link, zxid });
        solo.tell(Input::SnapshotInstalled { zxid, configuration: None });
        assert_eq!(solo.zab.history().last(), zxid);
        solo.tell(Input::Closed { link });
        assert_eq!(solo.zab.leader(), None);
    }
}

#[test]
fn what_a_zookeeper_leaders_snapshot_holds_comes_live_as_well() {
    let mut solo = Solo::new(&[z(4, 3)]);
    solo.elect(3);
    let (leader, link) = (ServerId(3), LinkId(9));
    solo.tell(Input::Connected { leader, link });
    solo.hears(9, Message::LeaderInfo { epoch: 5, features: Features::NONE });
    solo.hears(9, Message::Snap { zxid: z(5, 9) });
    solo.tell(Input::SnapshotReceived { link, zxid: z(5, 9) });
    solo.tell(Input::SnapshotInstalled { zxid: z(5, 9), configuration: None });
    for counter in 7..=9 {
        let zxid = z(5, counter);
        assert!(solo.hears(9, Message::Proposal { zxid, txn: b"old" }).is_empty());
        assert!(solo.hears(9, Message::Commit { zxid }).is_empty());
    }
    solo.hears(9, Message::Proposal { zxid: z(5, 10), txn: b"new" });
    assert_eq!(solo.zab.history().last(), z(5, 10));
    assert_eq!(solo.zab.leader(), Some(leader));
}

#[test]
fn a_silent_leader_is_left() {
    let mut solo = Solo::new(&[z(4, 3)]);
    solo.elect(3);
    let (leader, link) = (ServerId(3), LinkId(9));
    solo.tell(Input::Connected { leader, link });
    assert!(solo.wait(1000).is_empty());
    assert_eq!(solo.wait(100), ["close 9"], "initLimit");
    let mut solo = Solo::new(&[z(4, 3)]);
    solo.elect(3);
    assert_eq!(solo.tell(Input::ConnectFailed { leader }), [""; 0]);
    assert_eq!(solo.wait(100), ["connect 3"], "again");
    assert!(solo.wait(950).contains(&"connect 3".to_owned()) || solo.zab.leader().is_none());
}

#[test]
fn who_breaks_the_protocol_is_alone_in_losing_its_link() {
    let ack = |zxid| Message::Ack { zxid };
    let ping = Message::Ping { round: 99, sessions: b"" };
    for wrong in [ping, ack(z(5, 1)), Message::UpToDate, Message::Commit { zxid: z(4, 1) }] {
        let mut solo = Solo::new(&[z(4, 3)]);
        solo.elect(2);
        solo.joins(7, 1, Member::Participant, 4, Features::ALL);
        solo.hears(7, Message::AckEpoch { current_epoch: Some(4), last: z(4, 3) });
        solo.caught_up(7, z(4, 3));
        solo.hears(7, ack(z(5, 0)));
        solo.joins(8, 3, Member::Participant, 4, Features::ALL);
        solo.hears(8, Message::AckEpoch { current_epoch: Some(4), last: z(4, 3) });
        solo.caught_up(8, z(4, 3));
        solo.hears(8, ack(z(5, 0)));
        assert_eq!(solo.hears(8, wrong), ["close 8"], "{wrong:?}");
        assert!(solo.hears(8, ack(z(5, 1))).is_empty(), "too late");
        solo.proposes(z(5, 1), 1);
        assert!(!solo.hears(7, ack(z(5, 1))).is_empty());
        assert_eq!(solo.zab.history().committed(), z(5, 1));
    }
}

#[test]
fn strangers_are_kept_out() {
    let mut solo = Solo::new(&[z(4, 3)]);
    solo.elect(2);
    let own = solo.joins(7, 2, Member::Participant, 4, Features::ALL);
    assert_eq!(own, ["close 7"], "this server's own number");
    let absurd = solo.joins(8, 1, Member::Participant, u32::MAX, Features::ALL);
    assert_eq!(absurd, ["close 8"], "an epoch behind which there is none");
    solo.tell(Input::Accepted { link: LinkId(9) });
    assert_eq!(solo.hears(9, Message::UpToDate), ["close 9"]);
    solo.tell(Input::Accepted { link: LinkId(10) });
    assert!(solo.wait(950).is_empty());
}

#[test]
fn an_acknowledgement_of_who_does_not_vote_commits_nothing() {
    let mut solo = Solo::new(&[z(4, 3)]);
    solo.elect(2);
    for (link, server) in [(7, 1), (8, 44)] {
        solo.joins(link, server, Member::Participant, 4, Features::ALL);
        solo.hears(link, Message::AckEpoch { current_epoch: Some(4), last: z(4, 3) });
    }
    for link in [7, 8] {
        solo.caught_up(link, z(4, 3));
        solo.hears(link, Message::Ack { zxid: z(5, 0) });
    }
    solo.proposes(z(5, 1), 1);
    assert!(solo.hears(8, Message::Ack { zxid: z(5, 1) }).is_empty(), "a stranger's");
    assert_eq!(solo.zab.history().committed(), z(4, 3));
    assert!(!solo.hears(7, Message::Ack { zxid: z(5, 1) }).is_empty());
}

#[test]
fn with_java_followers_a_used_up_epoch_ends_in_an_election() {
    let mut solo = Solo::new(&[z(4, 3)]);
    solo.elect(2);
    solo.joins(7, 1, Member::Participant, 4, Features::NONE);
    solo.hears(7, Message::AckEpoch { current_epoch: Some(4), last: z(4, 3) });
    solo.caught_up(7, z(4, 3));
    solo.hears(7, Message::Ack { zxid: z(5, 0) });
    assert_eq!(solo.proposes(z(5, 1000), 1000), ["7 PROPOSALs", "draining"]);
    let said = solo.hears(7, Message::Ack { zxid: z(5, 1000) });
    assert_eq!(said[2..], ["close 7", "looking"]);
}

#[test]
fn a_proposal_that_is_not_acknowledged_costs_the_link() {
    let mut solo = Solo::new(&[z(4, 3)]);
    solo.elect(2);
    for (link, server) in [(7, 1), (8, 3)] {
        solo.joins(link, server, Member::Participant, 4, Features::ALL);
        solo.hears(link, Message::AckEpoch { current_epoch: Some(4), last: z(4, 3) });
        solo.caught_up(link, z(4, 3));
        solo.hears(link, Message::Ack { zxid: z(5, 0) });
    }
    solo.proposes(z(5, 1), 1);
    let mut closed = Vec::new();
    for round in 1..20 {
        closed.extend(solo.wait(50).into_iter().filter(|said| said.starts_with("close")));
        for link in [7, 8] {
            solo.hears(link, Message::Ping { round, sessions: b"" });
        }
        solo.hears(7, Message::Ack { zxid: z(5, 1) });
    }
    assert_eq!(closed, ["close 8"]);
}

#[test]
fn a_cut_of_what_is_committed_ends_the_process() {
    let mut solo = Solo::new(&[z(4, 3)]);
    solo.elect(3);
    let (leader, link) = (ServerId(3), LinkId(9));
    solo.tell(Input::Connected { leader, link });
    solo.hears(9, Message::LeaderInfo { epoch: 5, features: Features::ALL });
    solo.hears(9, Message::Diff { last: z(4, 3) });
    solo.hears(9, Message::NewLeader { epoch: 5, config: b"" });
    solo.hears(9, Message::UpToDate);
    solo.tell(Input::Closed { link });
    solo.elect(3);
    let link = LinkId(11);
    solo.tell(Input::Connected { leader, link });
    solo.hears(11, Message::LeaderInfo { epoch: 6, features: Features::ALL });
    let said = solo.hears(11, Message::Trunc { to: z(4, 2) });
    assert!(said[0].starts_with("halt"), "{said:?}");
    assert!(solo.wait(1000).is_empty());
}
