//! The election port.

use super::*;
use crate::zab::election::wire;

pub(super) fn hello(own: i64, address: SocketAddr) -> Bytes {
    wire::hello(ServerId(own), &[host_port(address)])
}

pub(super) fn frame(round: i64) -> Bytes {
    wire::encode(&notification(round))
}

/// A member of the ensemble that the test plays.
async fn played() -> (TcpListener, Server) {
    let listener = TcpListener::bind(any_port()).await.unwrap();
    let server = server(listener.local_addr().unwrap(), nobody());
    (listener, server)
}

#[tokio::test]
async fn all_connect_to_all_and_stay_connected() {
    let mut nodes = Node::ensemble(&[1, 2, 3]);
    for node in &mut nodes {
        let mut up = Vec::new();
        for _ in 0..2 {
            let event = node.event().await;
            let PeerEvent::Reachable { server, up: true } = event else { panic!("{event:?}") };
            up.push(server.0);
        }
        up.sort_unstable();
        up.dedup();
        assert_eq!(up.len(), 2);
    }
    for round in 1..20 {
        for from in 0..3 {
            for to in (0..3).filter(|&to| to != from) {
                let number = |index| i64::from(u8::try_from(index).unwrap()) + 1;
                nodes[from].peers.notify(ServerId(number(to)), &notification(round));
                nodes[to].expect_notification(number(from), round).await;
            }
        }
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_smaller_server_is_called_back() {
    let (listener, member) = played().await;
    let node = Node::alone(2, &[(1, member)]);
    drop(Stranger::accept(&listener).await);
    let mut knocking = Stranger::connect(node.election_address()).await;
    knocking.send(&hello(1, nobody())).await;
    knocking.expect_end().await;
    let mut called_back = Stranger::accept(&listener).await;
    called_back.expect(&node_hello(2, &node)).await;
}

#[tokio::test]
async fn a_larger_server_keeps_its_connection() {
    let (listener, member) = played().await;
    let mut node = Node::alone(2, &[(3, member)]);
    let mut knock = Stranger::accept(&listener).await;
    knock.expect(&node_hello(2, &node)).await;
    knock.expect_end().await;
    let mut stranger = Stranger::connect(node.election_address()).await;
    // What follows the handshake may come with it.
    stranger.send(&[hello(3, nobody()), frame(1)].concat()).await;
    node.expect_reachable(3, true).await;
    node.expect_notification(3, 1).await;
    node.peers.notify(ServerId(3), &notification(2));
    stranger.expect_here(&frame(2));
    stranger.send(&frame(3)).await;
    node.expect_notification(3, 3).await;
}

#[tokio::test]
async fn who_does_not_call_back_is_knocked_at_again() {
    let (listener, member) = played().await;
    let node = Node::alone(2, &[(3, member)]);
    for _ in 0..3 {
        let mut knock = Stranger::accept(&listener).await;
        knock.expect(&node_hello(2, &node)).await;
        knock.expect_end().await;
    }
}

#[tokio::test]
async fn a_lost_connection_is_made_again_and_the_last_notification_repeated() {
    let (listener, member) = played().await;
    let mut node = Node::alone(2, &[(1, member)]);
    node.peers.notify(ServerId(1), &notification(1));
    node.peers.notify(ServerId(1), &notification(2));
    for _ in 0..3 {
        let mut connection = Stranger::accept(&listener).await;
        connection.expect(&node_hello(2, &node)).await;
        connection.expect(&frame(2)).await;
        node.expect_reachable(1, true).await;
        drop(connection);
        node.expect_reachable(1, false).await;
    }
    node.peers.notify(ServerId(1), &notification(3));
    let mut connection = Stranger::accept(&listener).await;
    connection.expect(&node_hello(2, &node)).await;
    connection.expect(&frame(3)).await;
}

#[tokio::test]
async fn a_knock_replaces_a_connection_that_only_this_end_believes_in() {
    let (listener, member) = played().await;
    let mut node = Node::alone(2, &[(1, member)]);
    let mut old = Stranger::accept(&listener).await;
    old.expect(&node_hello(2, &node)).await;
    node.expect_reachable(1, true).await;
    let mut new = loop {
        // Those that come too early are taken for ones that crossed with the connection.
        let mut knocking = Stranger::connect(node.election_address()).await;
        knocking.send(&hello(1, nobody())).await;
        knocking.expect_end().await;
        let accepted = timeout(Duration::from_millis(10), listener.accept()).await;
        if let Ok(accepted) = accepted {
            break Stranger(accepted.unwrap().0);
        }
    };
    new.expect(&node_hello(2, &node)).await;
    node.expect_reachable(1, true).await;
    old.expect_end().await;
    node.peers.notify(ServerId(1), &notification(1));
    new.expect(&frame(1)).await;
    node.expect_nothing();
}

#[tokio::test]
async fn the_newest_connection_of_a_larger_server_wins() {
    let mut node = Node::alone(2, &[(3, server(nobody(), nobody()))]);
    node.expect_reachable(3, false).await;
    let mut old = Stranger::connect(node.election_address()).await;
    old.send(&hello(3, nobody())).await;
    node.expect_reachable(3, true).await;
    let mut new = Stranger::connect(node.election_address()).await;
    new.send(&hello(3, nobody())).await;
    node.expect_reachable(3, true).await;
    old.expect_end().await;
    new.send(&frame(1)).await;
    node.expect_notification(3, 1).await;
    drop(new);
    node.expect_reachable(3, false).await;
}

#[tokio::test]
async fn servers_that_are_no_members_are_answered() {
    let mut node = Node::alone(2, &[]);
    let mut larger = Stranger::connect(node.election_address()).await;
    larger.send(&[hello(9, nobody()), frame(1)].concat()).await;
    node.expect_notification(9, 1).await;
    node.peers.notify(ServerId(9), &notification(2));
    larger.expect(&frame(2)).await;

    let (listener, _) = played().await;
    let mut smaller = Stranger::connect(node.election_address()).await;
    smaller.send(&hello(1, listener.local_addr().unwrap())).await;
    smaller.expect_end().await;
    let mut called_back = Stranger::accept(&listener).await;
    called_back.expect(&node_hello(2, &node)).await;
    called_back.send(&frame(3)).await;
    node.expect_notification(1, 3).await;
    node.peers.notify(ServerId(1), &notification(4));
    called_back.expect(&frame(4)).await;
}

fn node_hello(own: i64, node: &Node) -> Bytes {
    hello(own, node.election_address())
}
