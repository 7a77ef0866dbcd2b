//! The quorum port.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A leader that takes learners, and a server that knows it as number 1.
async fn leader_and_learner() -> (Node, Node) {
    let leader = Node::alone(1, &[]);
    let mut address = leader.server.clone();
    // They need not meet at the election port.
    address.election = vec![host_port(nobody())];
    let mut learner = Node::alone(0, &[(1, address)]);
    learner.expect_reachable(1, false).await;
    (leader, learner)
}

fn say(link: &Link, bytes: &[u8]) {
    if link.outbox.append(|out| out.extend_from_slice(bytes)) {
        link.outbox.send_or_wake();
    }
}

#[tokio::test]
async fn packets_go_both_ways_until_one_end_closes() {
    let (mut leader, mut learner) = leader_and_learner().await;
    learner.peers.connect(ServerId(1));
    let up = learner.expect_connected(1).await;
    say(&up, &learner_info());
    let down = leader.expect_accepted().await;
    leader.expect_packets(&down, &learner_info()).await;
    for number in 0..100 {
        let ping = packet(5, number, &[]);
        say(&down, &ping);
        learner.expect_packets(&up, &ping).await;
        say(&up, &[&ping[..], &ping[..]].concat());
        leader.expect_packets(&down, &[&ping[..], &ping[..]].concat()).await;
    }
    let long = packet(2, 1, &vec![7; PACKET_MAX]);
    say(&down, &long);
    leader.peers.close(down.id);
    learner.expect_packets(&up, &long).await;
    learner.expect_closed(&up).await;
    leader.stop().await;
    learner.stop().await;
}

#[tokio::test]
async fn a_lone_packet_is_sent_by_who_makes_it() {
    let mut leader = Node::alone(1, &[]);
    let mut learner = Stranger::connect(leader.quorum_address()).await;
    learner.send(&learner_info()).await;
    let link = leader.expect_accepted().await;
    leader.expect_packets(&link, &learner_info()).await;
    let ping = packet(5, 0, &[]);
    for _ in 0..3 {
        say(&link, &ping);
        // The task of the link has not run since: it shares this thread.
        learner.expect_here(&ping);
    }
}

#[tokio::test]
async fn who_closes_hears_no_more() {
    let mut leader = Node::alone(1, &[]);
    let mut learner = Stranger::connect(leader.quorum_address()).await;
    learner.send(&learner_info()).await;
    let link = leader.expect_accepted().await;
    leader.expect_packets(&link, &learner_info()).await;
    leader.peers.close(link.id);
    learner.expect_end().await;
    let mut other = Stranger::connect(leader.quorum_address()).await;
    other.send(&learner_info()).await;
    let next = leader.expect_accepted().await;
    assert!(next.id > link.id);
}

#[tokio::test]
async fn the_last_words_are_sent_when_the_server_ends() {
    let (mut leader, mut learner) = leader_and_learner().await;
    learner.peers.connect(ServerId(1));
    let up = learner.expect_connected(1).await;
    say(&up, &learner_info());
    let down = leader.expect_accepted().await;
    let last = packet(64, -1, &[0; 8]);
    let _ = down.outbox.append(|out| out.extend_from_slice(&last));
    leader.stop().await;
    learner.expect_packets(&up, &last).await;
    learner.expect_closed(&up).await;
}

#[tokio::test]
async fn the_leader_is_tried_until_it_listens() {
    let place = Place::new();
    let address = place.server.clone();
    drop(place);
    let mut learner = Node::alone(0, &[(1, address.clone())]);
    learner.expect_reachable(1, false).await;
    learner.peers.connect(ServerId(1));
    timeout(Duration::from_millis(50), learner.events.recv()).await.unwrap_err();
    let ports = Ports::bind(&address, false).unwrap();
    let servers = BTreeMap::from([(ServerId(1), address.clone())]);
    let leader = Place { ports, server: address }.start(settings(1, servers));
    let link = loop {
        match learner.event().await {
            PeerEvent::Connected { leader: ServerId(1), link } => break link,
            PeerEvent::Reachable { .. } => {}
            event => panic!("{event:?}"),
        }
    };
    assert_eq!(link.remote, leader.quorum_address());
}

#[tokio::test]
async fn a_leader_that_does_not_listen_is_given_up() {
    let place = Place::new();
    let servers =
        [(ServerId(0), place.server.clone()), (ServerId(1), server(nobody(), nobody()))].into();
    let settings = Settings { leader_timeout: Duration::from_millis(100), ..settings(0, servers) };
    let mut learner = place.start(settings);
    learner.expect_reachable(1, false).await;
    // The second one is not in the configuration.
    for leader in [ServerId(1), ServerId(5)] {
        learner.peers.connect(leader);
        let event = learner.event().await;
        let PeerEvent::ConnectFailed { leader: found } = event else { panic!("{event:?}") };
        assert_eq!(found, leader);
    }
}

#[tokio::test]
async fn a_new_attempt_takes_the_place_of_the_former() {
    let (_leader, mut learner) = leader_and_learner().await;
    learner.peers.connect(ServerId(5));
    learner.peers.connect(ServerId(1));
    learner.peers.abandon();
    learner.peers.connect(ServerId(1));
    learner.expect_connected(1).await;
    learner.expect_nothing();
}

#[tokio::test]
async fn what_the_core_has_not_dealt_with_is_bounded() {
    const TOTAL: usize = 64 << 20;
    let place = Place::new();
    let servers = BTreeMap::from([(ServerId(1), place.server.clone())]);
    let mut leader = place.start(settings(1, servers));
    let mut learner = Stranger::connect(leader.quorum_address()).await;
    learner.send(&learner_info()).await;
    let sent = Arc::<AtomicUsize>::default();
    tokio::spawn({
        let sent = sent.clone();
        async move {
            let packet = packet(1, 0, &vec![1; 100_000]);
            while sent.fetch_add(packet.len(), Ordering::Relaxed) < TOTAL {
                if learner.0.write_all(&packet).await.is_err() {
                    return;
                }
            }
        }
    });
    leader.expect_accepted().await;
    let (mut held, mut bytes_held, mut received) = (Vec::new(), 0, 0);
    while received < TOTAL {
        let event = leader.event().await;
        let PeerEvent::Packets { bytes, held: guard, .. } = event else { panic!("{event:?}") };
        received += bytes.len();
        bytes_held += bytes.len();
        held.push(guard);
        assert!(bytes_held < 5 << 20, "{bytes_held}");
        if bytes_held >= 4 << 20 {
            leader.expect_nothing();
            held.clear();
            bytes_held = 0;
        }
    }
}

#[tokio::test]
async fn a_stream_is_held_up_by_its_reader_and_complete() {
    const PARTS: usize = 512;
    let (mut leader, mut learner) = leader_and_learner().await;
    learner.peers.connect(ServerId(1));
    let up = learner.expect_connected(1).await;
    say(&up, &learner_info());
    let down = leader.expect_accepted().await;
    let part = packet(2, 1, &vec![9; 100_000]);
    let stream = tokio::task::spawn_blocking({
        let part = part.clone();
        move || (0..PARTS).all(|_| down.outbox.push(&part))
    });
    learner.expect_packets(&up, &part.repeat(PARTS)).await;
    assert!(stream.await.unwrap());
}

#[tokio::test]
async fn a_learner_that_takes_nothing_is_cut_off() {
    let mut leader = Node::alone(1, &[]);
    let mut learner = Stranger::connect(leader.quorum_address()).await;
    learner.send(&learner_info()).await;
    let link = leader.expect_accepted().await;
    leader.expect_packets(&link, &learner_info()).await;
    let proposal = packet(2, 1, &vec![1; PACKET_MAX]);
    for _ in 0..80 {
        say(&link, &proposal);
        tokio::task::yield_now().await;
    }
    leader.expect_closed(&link).await;
}
