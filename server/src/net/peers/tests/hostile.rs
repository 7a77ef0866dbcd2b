//! Whoever connects without being a server: his connection ends, and nothing else does.

use super::{election::hello, *};

/// First bytes that are neither a server's nor a learner's.
const GARBAGE: [&[u8]; 4] = [
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xfe\0\0and what else there is to say",
    // An address of two gigabytes.
    b"\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\x09\x7f\xff\xff\xff",
    // Servers without a number, as they were once.
    b"\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\x28",
];

/// What may come behind a handshake instead of a notification.
const NO_FRAMES: [&[u8]; 4] =
    [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\x08\0\x01", b"GET / HTTP/1.1\r\n\r\n"];

/// What may come at the quorum port instead of a learner's first packet.
const NO_LEARNERS: [&[u8]; 6] = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"ruok",
    // The second byte of a greeting by TLS.
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    // A proposal.
    b"\0\0\0\x02\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
    // A follower who has much to say of himself,
    b"\0\0\0\x0b\0\0\0\0\0\0\0\0\x7f\xff\xff\xff",
    // or of others.
    b"\0\0\0\x0b\0\0\0\0\0\0\0\0\xff\xff\xff\xff\x7f\xff\xff\xff",
];

/// Two servers that are connected, and stay so.
struct Pair {
    node: Node,
    other: Node,
    round: i64,
}

impl Pair {
    async fn new() -> Self {
        let mut nodes = Node::ensemble(&[1, 2]);
        let (mut other, mut node) = (nodes.pop().unwrap(), nodes.pop().unwrap());
        node.expect_reachable(2, true).await;
        other.expect_reachable(1, true).await;
        Self { node, other, round: 0 }
    }

    /// Nothing has happened to the connection.
    async fn check(&mut self) {
        self.round += 1;
        self.node.peers.notify(ServerId(2), &notification(self.round));
        self.other.expect_notification(1, self.round).await;
        self.other.peers.notify(ServerId(1), &notification(self.round));
        self.node.expect_notification(2, self.round).await;
    }
}

#[tokio::test]
async fn garbage_at_the_election_port() {
    let mut pair = Pair::new().await;
    for garbage in GARBAGE {
        let mut stranger = Stranger::connect(pair.node.election_address()).await;
        stranger.send(garbage).await;
        stranger.expect_end().await;
        pair.check().await;
    }
    for garbage in NO_FRAMES {
        let mut stranger = Stranger::connect(pair.node.election_address()).await;
        stranger.send(&[&hello(9, nobody())[..], garbage].concat()).await;
        stranger.expect_end().await;
        pair.check().await;
    }
}

#[tokio::test]
async fn garbage_at_the_quorum_port() {
    let mut leader = Node::alone(1, &[]);
    let mut learner = Stranger::connect(leader.quorum_address()).await;
    learner.send(&learner_info()).await;
    let link = leader.expect_accepted().await;
    leader.expect_packets(&link, &learner_info()).await;
    let check = async |leader: &mut Node, learner: &mut Stranger| {
        learner.send(&packet(5, 1, &[])).await;
        leader.expect_packets(&link, &packet(5, 1, &[])).await;
    };
    for garbage in NO_LEARNERS {
        let mut stranger = Stranger::connect(leader.quorum_address()).await;
        stranger.send(garbage).await;
        stranger.expect_end().await;
        check(&mut leader, &mut learner).await;
    }
    let mut stranger = Stranger::connect(leader.quorum_address()).await;
    stranger.send(&learner_info()).await;
    let strange = leader.expect_accepted().await;
    leader.expect_packets(&strange, &learner_info()).await;
    stranger.send(b"\0\0\0\x01\0\0\0\0\0\0\0\0\x7f\xff\xff\xff").await;
    stranger.expect_end().await;
    leader.expect_closed(&strange).await;
    check(&mut leader, &mut learner).await;
}

#[tokio::test]
async fn somebody_with_this_servers_own_number() {
    let mut pair = Pair::new().await;
    let mut stranger = Stranger::connect(pair.node.election_address()).await;
    stranger.send(&hello(1, nobody())).await;
    stranger.expect_end().await;
    pair.check().await;
}

#[tokio::test]
async fn somebody_with_the_number_of_a_smaller_member() {
    let mut pair = Pair::new().await;
    for _ in 0..3 {
        let mut stranger = Stranger::connect(pair.other.election_address()).await;
        stranger.send(&hello(1, nobody())).await;
        stranger.expect_end().await;
    }
    pair.check().await;
}

#[tokio::test]
async fn somebody_with_the_number_of_a_larger_member() {
    let Pair { mut node, mut other, .. } = Pair::new().await;
    let mut stranger = Stranger::connect(node.election_address()).await;
    stranger.send(&hello(2, nobody())).await;
    // The member has lost its connection, but not for long.
    other.expect_reachable(1, false).await;
    other.expect_reachable(1, true).await;
    stranger.expect_end().await;
    for _ in 0..2 {
        node.expect_reachable(2, true).await;
    }
    other.peers.notify(ServerId(1), &notification(1));
    node.expect_notification(2, 1).await;
    node.peers.notify(ServerId(2), &notification(2));
    other.expect_notification(1, 2).await;
}

#[tokio::test]
async fn a_crowd_of_strangers_does_not_keep_others_out() {
    let mut node = Node::alone(2, &[]);
    let mut strangers = Vec::new();
    for number in 100..165 {
        let mut stranger = Stranger::connect(node.election_address()).await;
        stranger.send(&hello(number, nobody())).await;
        strangers.push(stranger);
    }
    strangers.remove(0).expect_end().await;
    for (stranger, number) in strangers.iter_mut().zip(101..) {
        stranger.send(&election::frame(number)).await;
        node.expect_notification(number, number).await;
    }

    for address in [node.election_address(), node.quorum_address()] {
        let mut silent = Vec::new();
        for _ in 0..65 {
            silent.push(Stranger::connect(address).await);
        }
        silent.remove(0).expect_end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_too_slow_to_say_who_he_is() {
    let mut node = Node::alone(2, &[]);
    for part in [&b""[..], &hello(3, nobody())[..10]] {
        let mut slow = Stranger::connect(node.election_address()).await;
        slow.send(part).await;
        slow.expect_end().await;
    }
    for part in [&b""[..], &learner_info()[..10]] {
        let mut slow = Stranger::connect(node.quorum_address()).await;
        slow.send(part).await;
        slow.expect_end().await;
    }
    node.expect_nothing();
}
