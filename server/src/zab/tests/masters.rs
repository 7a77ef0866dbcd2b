//! Observers that learn from followers.

use quorate_protocol::Zxid;

use super::{
    disk::Book,
    solo::{Solo, z},
};
use crate::zab::{Configs, Configuration, Features, Input, LinkId, Member, Message, ServerId};

/// A follower of server 3 in epoch 5, with what is committed up to (4,3), that serves observers.
fn master() -> Solo {
    serves_observers(Solo::new(&[z(4, 3)]))
}

fn serves_observers(mut solo: Solo) -> Solo {
    solo.zab.settings.observer_masters = true;
    solo.elect(3);
    solo.tell(Input::Connected { leader: ServerId(3), link: LinkId(9) });
    solo.hears(9, Message::LeaderInfo { epoch: 5, features: Features::ALL });
    solo.hears(9, Message::Diff { last: z(4, 3) });
    solo.hears(9, Message::NewLeader { epoch: 5, config: b"" });
    let said = solo.hears(9, Message::UpToDate);
    assert!(said.contains(&"following 3 in 5".to_owned()), "{said:?}");
    solo
}

/// An observer comes by a link and gets all there is.
fn observed(solo: &mut Solo, link: u64, features: Features) {
    assert_eq!(
        solo.joins(link, 77, Member::Observer, 5, features),
        [format!("{link} LEADERINFO 5")]
    );
    let ack = Message::AckEpoch { current_epoch: None, last: z(4, 1) };
    assert_eq!(solo.hears(link, ack), [format!("{link} DIFF behind 4:1 until 4:3")]);
    assert_eq!(solo.caught_up(link, z(4, 3)), [format!("{link} NEWLEADER 5")]);
    assert_eq!(solo.hears(link, Message::Ack { zxid: z(5, 0) }), [format!("{link} UPTODATE")]);
    assert!(solo.hears(link, Message::Ack { zxid: z(5, 0) }).is_empty(), "said once more");
}

#[test]
fn an_observer_gets_what_is_committed() {
    for features in [Features::NONE, Features::ALL] {
        let mut solo = master();
        observed(&mut solo, 20, features);
        let proposal = |zxid| Message::Proposal { zxid, txn: b"t" };
        assert_eq!(solo.hears(9, proposal(z(5, 1))), ["log 5:1", "9 ACK 5:1"]);
        let committed = solo.hears(9, Message::Commit { zxid: z(5, 1) });
        assert_eq!(committed, ["commit 5:1", "20 INFORMs behind 4:3 up to 5:1"]);
        // Another one is brought to the same place, and told of what comes from there on.
        solo.joins(21, 78, Member::Observer, 0, features);
        let ack = Message::AckEpoch { current_epoch: Some(0), last: z(0, 0) };
        assert_eq!(solo.hears(21, ack), ["21 DIFF behind 0:0 until 5:1"]);
        solo.hears(9, proposal(z(5, 2)));
        solo.hears(9, Message::Commit { zxid: z(5, 2) });
        let said = solo.caught_up(21, z(5, 1));
        assert_eq!(said, ["21 INFORMs behind 5:1 up to 5:2", "21 NEWLEADER 5"]);
    }
}

#[test]
fn observers_are_told_which_configuration_is_in_force() {
    const SERVERS: &str = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2";
    let (before, brings, behind) = (z(5, 1), z(5, 2), z(5, 3));
    let next = format!("{SERVERS}\nserver.4=d:1:2:observer");
    let change = changes_servers(brings, &next);
    for features in [Features::NONE, Features::ALL] {
        for activates in [true, false] {
            let servers = Configuration::parse(SERVERS).unwrap();
            let mut solo =
                serves_observers(Solo::with_configs(&[z(4, 3)], Configs::new(servers, true)));
            observed(&mut solo, 20, features);
            solo.hears(9, Message::Proposal { zxid: before, txn: b"t" });
            solo.hears(9, Message::Proposal { zxid: brings, txn: &change });
            solo.hears(9, Message::Proposal { zxid: behind, txn: b"t" });
            let mut said = Vec::new();
            if activates {
                let leader = ServerId(3);
                said.extend(solo.hears(9, Message::CommitAndActivate { zxid: brings, leader }));
            }
            // A leader of ours may have both committed at once.
            said.extend(solo.hears(9, Message::Commit { zxid: behind }));
            let told = said.iter().filter(|said| said.starts_with("20 "));
            assert!(
                told.eq([
                    "20 INFORMs behind 4:3 up to 5:1",
                    "20 INFORMANDACTIVATE 5:2 3",
                    "20 INFORMs behind 5:2 up to 5:3",
                ]
                .iter()),
                "{said:?}"
            );
        }
    }
}

#[test]
fn observers_are_not_told_of_servers_that_are_only_proposed() {
    const SERVERS: &str = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nversion=400000001";
    let change = changes_servers(z(5, 1), "server.1=a:1:2\nserver.2=b:1:2");
    let servers = Configuration::parse(SERVERS).unwrap();
    let mut solo = serves_observers(Solo::with_configs(&[z(4, 3)], Configs::new(servers, true)));
    assert_eq!(solo.hears(9, Message::Proposal { zxid: z(5, 1), txn: &change }).len(), 2);
    solo.joins(20, 77, Member::Observer, 5, Features::ALL);
    solo.hears(20, Message::AckEpoch { current_epoch: None, last: z(4, 1) });
    assert_eq!(solo.caught_up(20, z(4, 3)), ["20 NEWLEADER 5, servers of 4:1"]);
}

/// A transaction that brings these servers.
fn changes_servers(zxid: Zxid, servers: &str) -> Vec<u8> {
    let mut config = Configuration::parse(servers).unwrap();
    config.version = zxid.0;
    let mut book = Book::default();
    book.enter(1, config);
    book.bytes((zxid, 1))
}

#[test]
fn observers_are_pinged_and_tell_of_sessions() {
    let mut solo = master();
    observed(&mut solo, 20, Features::ALL);
    assert!(solo.wait(100).contains(&"20 PING 1".to_owned()));
    let echo = Message::Ping { round: 1, sessions: b"some" };
    assert_eq!(solo.hears(20, echo), ["20 heard"]);
    // The leader is heard of all the time, the observer is not.
    let mut said = Vec::new();
    for round in 0..12 {
        said.extend(solo.hears(9, Message::Ping { round, sessions: &[] }));
        said.extend(solo.wait(50));
    }
    assert!(said.contains(&"close 20".to_owned()), "{said:?}");
    assert_eq!(solo.zab.observers().count(), 0);
}

#[test]
fn observers_go_when_the_leader_does() {
    let mut solo = master();
    observed(&mut solo, 20, Features::ALL);
    let said = solo.tell(Input::Closed { link: LinkId(9) });
    assert_eq!(said[..2], ["close 20", "looking"]);
    // Without a leader nobody is served; whoever comes waits for this server to lead, in vain.
    assert!(solo.joins(21, 77, Member::Observer, 5, Features::ALL).is_empty());
    assert!(solo.wait(500).contains(&"close 21".to_owned()));
}

#[test]
fn only_observers_are_served_and_only_what_observers_say() {
    let mut solo = master();
    for (link, server, member) in [(20, 1, Member::Participant), (21, 1, Member::Observer)] {
        let said = solo.joins(link, server, member, 5, Features::ALL);
        assert!(said.is_empty(), "a voter goes to the leader: {said:?}");
    }
    let newer = solo.joins(22, 77, Member::Observer, 6, Features::ALL);
    assert_eq!(newer, ["close 22"], "it follows a later epoch");
    for wrong in [
        Message::Ack { zxid: z(5, 0) },
        Message::UpToDate,
        Message::Ping { round: 1, sessions: &[] },
    ] {
        solo.joins(23, 77, Member::Observer, 5, Features::ALL);
        assert_eq!(solo.hears(23, wrong), ["close 23"]);
    }
    observed(&mut solo, 24, Features::ALL);
    let again = solo.joins(25, 77, Member::Observer, 5, Features::ALL);
    assert_eq!(again, ["close 24", "25 LEADERINFO 5"], "an observer has one link");
}

/// An observer that learns from follower 1 of leader 3 in epoch 5, and has what is committed up to
/// (4,3).
fn observer() -> Solo {
    let servers = "server.1=a:1:2\nserver.3=c:1:2\nserver.2=b:1:2:observer";
    let configs = Configs::new(Configuration::parse(servers).unwrap(), true);
    let mut solo = Solo::with_configs(&[z(4, 3)], configs);
    solo.zab.settings.observer_masters = true;
    let said = solo.elect(3);
    assert!(said.contains(&"connect 1".to_owned()), "{said:?}");
    solo.tell(Input::Connected { leader: ServerId(1), link: LinkId(9) });
    solo.hears(9, Message::LeaderInfo { epoch: 5, features: Features::ALL });
    solo.hears(9, Message::Diff { last: z(4, 3) });
    solo.hears(9, Message::NewLeader { epoch: 5, config: b"" });
    solo.hears(9, Message::UpToDate);
    solo
}

/// The follower tells the observer of a configuration with these servers; what it says to that.
fn hears_of(solo: &mut Solo, servers: &str) -> Vec<String> {
    let zxid = z(5, 1);
    let txn = changes_servers(zxid, servers);
    let leader = ServerId(3);
    let message = Message::InformAndActivate { zxid, leader, txn: &txn };
    solo.tell(Input::Message { link: LinkId(9), message })
}

#[test]
fn an_observer_stays_with_its_follower_when_others_come() {
    let mut solo = observer();
    let more = "server.1=a:1:2\nserver.3=c:1:2\nserver.4=d:1:2\nserver.2=b:1:2:observer";
    let said = hears_of(&mut solo, more);
    // Were it to turn to the leader that is named, it would not know what has become of the requests
    // that have gone by the follower.
    assert!(!said.iter().any(|said| said.starts_with("looking")), "{said:?}");
    assert!(said.contains(&"commit 5:1".to_owned()), "{said:?}");
}

#[test]
fn an_observer_that_is_to_vote_goes_to_the_leader() {
    let mut solo = observer();
    let said = hears_of(&mut solo, "server.1=a:1:2\nserver.3=c:1:2\nserver.2=b:1:2");
    assert!(said.contains(&"looking".to_owned()), "{said:?}");
    assert!(said.contains(&"connect 3".to_owned()), "{said:?}");
}

#[test]
fn an_observer_that_no_follower_serves_goes_to_the_leader() {
    let servers = "server.1=a:1:2\nserver.3=c:1:2\nserver.4=d:1:2\nserver.2=b:1:2:observer";
    let configs = Configs::new(Configuration::parse(servers).unwrap(), true);
    let mut solo = Solo::with_configs(&[z(4, 3)], configs);
    solo.zab.settings.observer_masters = true;
    let mut tried = Vec::new();
    for _ in 0..4 {
        let mut said = solo.elect(3);
        said.extend(solo.wait(250));
        tried.extend(said.into_iter().filter(|said| said.starts_with("connect")));
        let teacher = solo.zab.leader().unwrap();
        solo.tell(Input::Connected { leader: teacher, link: LinkId(9) });
        solo.tell(Input::Closed { link: LinkId(9) });
    }
    assert_eq!(tried, ["connect 1", "connect 4", "connect 3", "connect 1"]);
}

#[test]
fn an_observer_that_has_more_is_not_taken_back() {
    let mut solo = master();
    solo.joins(20, 77, Member::Observer, 5, Features::ALL);
    let ack = Message::AckEpoch { current_epoch: Some(5), last: z(5, 1) };
    assert_eq!(solo.hears(20, ack), ["close 20"]);
}
