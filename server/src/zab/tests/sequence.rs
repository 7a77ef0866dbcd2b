//! The order of messages when ZooKeeper's servers are at the other end, as both sides of theirs
//! expect it; and what is left out or batched between our own.

use quorate_protocol::Zxid;

use super::solo::{Solo, z};
use crate::zab::{Features, Input, LinkId, Member, Message, ServerId};

const JAVA: Features = Features::NONE;

fn proposal(zxid: Zxid) -> Message<'static> {
    Message::Proposal { zxid, txn: b"txn" }
}

/// A leader of epoch 5 whose log ends with (4,3), and to which server 1 is synchronized.
fn leader(features: Features) -> Solo {
    let mut solo = Solo::new(&[z(3, 2), z(4, 3)]);
    solo.elect(2);
    solo.joins(7, 1, Member::Participant, 4, features);
    solo.hears(7, Message::AckEpoch { current_epoch: Some(4), last: z(4, 3) });
    solo.caught_up(7, z(4, 3));
    solo.hears(7, Message::Ack { zxid: z(5, 0) });
    solo
}

/// A server whose log ends with (4,3), connected by link 9 to server 3, which leads epoch 5.
fn learner(features: Features) -> Solo {
    let mut solo = Solo::new(&[z(3, 2), z(4, 3)]);
    assert_eq!(solo.elect(3), ["connect 3"]);
    let (leader, link) = (ServerId(3), LinkId(9));
    assert_eq!(solo.tell(Input::Connected { leader, link }), ["9 FOLLOWERINFO 4"]);
    assert_eq!(
        solo.hears(9, Message::LeaderInfo { epoch: 5, features }),
        ["log accepted 5", "9 ACKEPOCH 4 4:3"]
    );
    solo
}

#[test]
fn a_leader_of_java_learners() {
    let mut solo = Solo::new(&[z(3, 2), z(4, 3)]);
    assert!(solo.elect(2).is_empty());
    assert_eq!(
        solo.joins(7, 1, Member::Participant, 4, JAVA),
        ["log accepted 5", "7 LEADERINFO 5"]
    );
    assert_eq!(
        solo.hears(7, Message::AckEpoch { current_epoch: Some(4), last: z(3, 2) }),
        ["log current 5", "7 DIFF behind 3:2 until 4:3"]
    );
    assert_eq!(solo.caught_up(7, z(4, 3)), ["7 NEWLEADER 5"]);
    assert_eq!(
        solo.hears(7, Message::Ack { zxid: z(5, 0) }),
        ["commit 4:3", "leading 5", "7 UPTODATE"]
    );
    assert!(solo.hears(7, Message::Ack { zxid: z(5, 0) }).is_empty(), "of UPTODATE");
    solo.holds = true;
    assert_eq!(solo.proposes(z(5, 2), 2), ["7 PROPOSALs"]);
    assert!(solo.hears(7, Message::Ack { zxid: z(5, 1) }).is_empty());
    assert_eq!(solo.synced(), ["7 COMMITs behind 4:3 up to 5:1", "commit 5:1"]);
    assert_eq!(
        solo.hears(7, Message::Ack { zxid: z(5, 2) }),
        ["7 COMMITs behind 5:1 up to 5:2", "commit 5:2"]
    );
    assert_eq!(solo.wait(50), ["7 PING 1"]);
    let sessions = b"sessions";
    assert_eq!(solo.hears(7, Message::Ping { round: 1, sessions }), ["7 heard"]);
}

#[test]
fn a_java_follower_joins_late_while_proposals_are_under_way() {
    let mut solo = leader(JAVA);
    solo.holds = true;
    assert_eq!(solo.proposes(z(5, 3), 3), ["7 PROPOSALs"]);
    assert_eq!(solo.joins(8, 3, Member::Participant, 2, JAVA), ["8 LEADERINFO 5"]);
    assert_eq!(
        solo.hears(8, Message::AckEpoch { current_epoch: Some(2), last: z(3, 7) }),
        ["8 TRUNC to 3:2 until 4:3"]
    );
    // Committed by servers 1 and 3 is nothing before server 3 has the epoch.
    assert!(solo.hears(7, Message::Ack { zxid: z(5, 2) }).is_empty());
    assert_eq!(
        solo.caught_up(8, z(4, 3)),
        ["8 NEWLEADER 5", "8 PROPOSALs behind 4:3 up to 5:3"],
        "ZOOKEEPER-4394: none of them is committed"
    );
    assert!(solo.hears(8, Message::Ack { zxid: z(5, 2) }).is_empty(), "ZOOKEEPER-4685");
    assert_eq!(
        solo.hears(8, Message::Ack { zxid: z(5, 0) }),
        [
            "8 UPTODATE",
            "7 COMMITs behind 4:3 up to 5:2",
            "8 COMMITs behind 4:3 up to 5:2",
            "commit 5:2"
        ]
    );
}

#[test]
fn a_java_observer_is_informed() {
    let mut solo = leader(Features::ALL);
    assert_eq!(solo.joins(8, 77, Member::Observer, 0, JAVA), ["8 LEADERINFO 5"]);
    let ack = Message::AckEpoch { current_epoch: Some(0), last: z(0, 0) };
    assert_eq!(solo.hears(8, ack), ["8 DIFF behind 0:0 until 4:3"]);
    solo.proposes(z(5, 1), 1);
    assert_eq!(
        solo.hears(7, Message::Ack { zxid: z(5, 1) }),
        ["7 COMMIT behind 4:3 up to 5:1", "commit 5:1"]
    );
    assert_eq!(solo.caught_up(8, z(4, 3)), ["8 INFORMs behind 4:3 up to 5:1", "8 NEWLEADER 5"]);
    assert_eq!(solo.hears(8, Message::Ack { zxid: z(5, 0) }), ["8 UPTODATE"]);
    assert_eq!(solo.proposes(z(5, 2), 1), ["7 PROPOSALs"]);
    assert_eq!(
        solo.hears(7, Message::Ack { zxid: z(5, 2) }),
        ["7 COMMIT behind 5:1 up to 5:2", "8 INFORMs behind 5:1 up to 5:2", "commit 5:2"]
    );
}

#[test]
fn a_java_learner_of_an_unknown_epoch_gets_a_snapshot() {
    let mut solo = leader(JAVA);
    solo.joins(8, 3, Member::Participant, 2, JAVA);
    let ack = Message::AckEpoch { current_epoch: Some(2), last: z(2, 7) };
    assert_eq!(solo.hears(8, ack), ["8 SNAP until 4:3"]);
    let mut solo = leader(JAVA);
    solo.joins(8, 3, Member::Participant, 2, Features::ALL);
    assert_eq!(solo.hears(8, ack), ["8 TRUNC to 0:0 until 4:3"], "it can judge that itself");
}

#[test]
fn a_learner_of_a_java_leader() {
    let mut solo = learner(JAVA);
    solo.holds = true;
    assert!(solo.hears(9, Message::Diff { last: z(4, 5) }).is_empty());
    for counter in [4, 5] {
        let zxid = z(4, counter);
        assert_eq!(solo.hears(9, proposal(zxid)), [format!("log 4:{counter}")]);
        assert!(solo.hears(9, Message::Commit { zxid }).is_empty(), "not final yet");
    }
    // Two that are under way, one of them committed before the mark.
    assert_eq!(solo.hears(9, proposal(z(5, 1))), ["log 5:1"]);
    assert_eq!(solo.hears(9, proposal(z(5, 2))), ["log 5:2"]);
    assert!(solo.hears(9, Message::Commit { zxid: z(5, 1) }).is_empty());
    let mark = Message::NewLeader { epoch: 5, config: b"" };
    assert_eq!(solo.hears(9, mark), ["log current 5"]);
    assert!(solo.hears(9, Message::Ping { round: 1, sessions: b"" }).is_empty());
    assert_eq!(solo.synced(), ["9 ACK 5:0", "9 ACK 5:2"], "in this order");
    assert_eq!(solo.hears(9, proposal(z(5, 3))), ["log 5:3"]);
    assert!(
        solo.hears(9, Message::Commit { zxid: z(5, 2) }).is_empty(),
        "ZOOKEEPER-4394: between NEWLEADER's ACK and UPTODATE"
    );
    assert_eq!(solo.synced(), ["9 ACK 5:3"]);
    assert_eq!(solo.hears(9, Message::UpToDate), ["commit 5:2", "9 ACK 5:0", "following 3 in 5"]);
    let ping = Message::Ping { round: 2, sessions: b"" };
    assert_eq!(solo.hears(9, ping), ["9 PING 2"]);
    assert_eq!(solo.hears(9, proposal(z(5, 4))), ["log 5:4"]);
    assert_eq!(solo.hears(9, proposal(z(5, 5))), ["log 5:5"]);
    assert_eq!(solo.synced(), ["9 ACK 5:4", "9 ACK 5:5"], "one for each");
    assert_eq!(solo.hears(9, Message::Commit { zxid: z(5, 3) }), ["commit 5:3"]);
    // ZooKeeper's COMMIT is of one transaction; another than the next means that one was lost.
    assert_eq!(solo.hears(9, Message::Commit { zxid: z(5, 5) }), ["close 9", "looking"]);
}

#[test]
fn a_learner_of_our_own_takes_commits_together() {
    let mut solo = learner(Features::ALL);
    solo.hears(9, Message::Diff { last: z(4, 3) });
    solo.hears(9, Message::NewLeader { epoch: 5, config: b"" });
    assert_eq!(solo.hears(9, Message::UpToDate), ["commit 4:3", "9 ACK 5:0", "following 3 in 5"]);
    for counter in 1..=3 {
        solo.hears(9, proposal(z(5, counter)));
    }
    assert_eq!(solo.hears(9, Message::Commit { zxid: z(5, 3) }), ["commit 5:3"]);
    assert_eq!(solo.hears(9, Message::Commit { zxid: z(5, 4) }), ["close 9", "looking"]);
}

#[test]
fn a_cut_and_a_snapshot_from_a_java_leader() {
    let mut solo = learner(JAVA);
    assert_eq!(solo.hears(9, Message::Trunc { to: z(4, 1) }), ["cut 4:1"]);
    assert_eq!(solo.hears(9, proposal(z(5, 1))), ["log 5:1"]);
    let mut solo = learner(JAVA);
    assert!(solo.hears(9, Message::Snap { zxid: z(4, 9) }).is_empty());
    let received = Input::SnapshotReceived { link: LinkId(9), zxid: z(4, 9) };
    assert_eq!(solo.tell(received), ["install 9"]);
    assert!(solo.tell(Input::SnapshotInstalled { zxid: z(4, 9), configuration: None }).is_empty());
    // What the leader proposed while it wrote the snapshot comes again.
    assert!(solo.hears(9, Message::Commit { zxid: z(4, 9) }).is_empty());
    assert_eq!(solo.hears(9, proposal(z(5, 1))), ["log 5:1"]);
    let mark = Message::NewLeader { epoch: 5, config: b"" };
    assert_eq!(solo.hears(9, mark), ["log current 5", "9 ACK 5:0", "9 ACK 5:1"]);
    assert_eq!(
        solo.hears(9, Message::UpToDate),
        ["9 ACK 5:0", "following 3 in 5"],
        "the snapshot was committed already"
    );
}

#[test]
fn a_java_observer_of_us_and_we_of_java() {
    let servers = "server.1=a:1:2\nserver.2=b:1:2:observer\nserver.3=c:1:2";
    let mut solo = Solo::with_servers(&[z(4, 3)], servers);
    solo.elect(3);
    let (leader, link) = (ServerId(3), LinkId(9));
    assert_eq!(solo.tell(Input::Connected { leader, link }), ["9 OBSERVERINFO 4"]);
    solo.hears(9, Message::LeaderInfo { epoch: 5, features: JAVA });
    solo.hears(9, Message::Diff { last: z(4, 3) });
    let mark = Message::NewLeader { epoch: 5, config: b"" };
    assert_eq!(solo.hears(9, mark), ["log current 5", "9 ACK 5:0"]);
    let inform = |zxid| Message::Inform { zxid, txn: b"txn" };
    assert_eq!(solo.hears(9, inform(z(5, 1))), ["log 5:1"], "ZOOKEEPER-1551");
    assert_eq!(solo.hears(9, Message::UpToDate), ["commit 5:1", "9 ACK 5:0", "observing 3 in 5"]);
    assert_eq!(solo.hears(9, inform(z(5, 2))), ["log 5:2", "commit 5:2"]);
    assert!(solo.hears(9, inform(z(5, 2))).is_empty(), "again");
    assert!(solo.hears(9, proposal(z(5, 3))).is_empty(), "of no use to an observer");
}
