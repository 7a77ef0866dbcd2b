use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use super::*;

/// A network of two servers, and a listener in the place of the second one's quorum port.
async fn network() -> (Network, TcpListener) {
    let (listener, addr) = listen().await.unwrap();
    let nowhere = Ports { client: 1, quorum: 1, election: 1 };
    let ports = [nowhere, Ports { quorum: addr.port(), ..nowhere }];
    (Network::open(&ports).await.unwrap(), listener)
}

async fn connected(network: &Network, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let near = TcpStream::connect(network.peer(0, 1).quorum).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    (near, far)
}

async fn arrives(from: &mut TcpStream, to: &mut TcpStream) -> bool {
    from.write_all(b"x").await.unwrap();
    timeout(Duration::from_millis(100), to.read_u8()).await.is_ok_and(|read| read.is_ok())
}

const ONE: Node = Node::Server(0);
const TWO: Node = Node::Server(1);

#[tokio::test]
async fn bytes_pass_both_ways_and_so_does_the_end() {
    let (network, listener) = network().await;
    let (mut near, mut far) = connected(&network, &listener).await;
    assert!(arrives(&mut near, &mut far).await);
    assert!(arrives(&mut far, &mut near).await);
    near.shutdown().await.unwrap();
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    assert!(arrives(&mut far, &mut near).await, "the other direction stays open");
}

#[tokio::test]
async fn a_silent_link_holds_one_direction_until_it_is_healed() {
    let (network, listener) = network().await;
    let (mut near, mut far) = connected(&network, &listener).await;
    network.set(ONE, TWO, Link::SILENT);
    assert!(!arrives(&mut near, &mut far).await);
    assert!(arrives(&mut far, &mut near).await, "the other direction passes");
    network.heal();
    assert_eq!(far.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn the_direction_counts_and_not_who_has_connected() {
    let (network, listener) = network().await;
    let (mut near, mut far) = connected(&network, &listener).await;
    network.set(TWO, ONE, Link::SILENT);
    assert!(arrives(&mut near, &mut far).await);
    assert!(!arrives(&mut far, &mut near).await);
}

#[tokio::test]
async fn over_a_silent_link_nobody_connects() {
    let (network, listener) = network().await;
    network.set(TWO, ONE, Link::SILENT);
    let _near = TcpStream::connect(network.peer(0, 1).quorum).await.unwrap();
    assert!(timeout(Duration::from_millis(100), listener.accept()).await.is_err());
    network.heal();
    listener.accept().await.unwrap();
}

#[tokio::test]
async fn a_closed_link_ends_connections_and_takes_no_new_ones() {
    let (network, listener) = network().await;
    let (mut near, mut far) = connected(&network, &listener).await;
    network.set(ONE, TWO, Link::CLOSED);
    for stream in [&mut near, &mut far] {
        assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
    }
    let mut refused = TcpStream::connect(network.peer(0, 1).quorum).await.unwrap();
    assert!(matches!(refused.read(&mut [0]).await, Ok(0) | Err(_)));
    network.heal();
    connected(&network, &listener).await;
}

#[tokio::test]
async fn a_delay_is_latency_and_does_not_add_up() {
    let (network, listener) = network().await;
    let (mut near, mut far) = connected(&network, &listener).await;
    network.set(ONE, TWO, Link::delayed(Duration::from_millis(80)));
    // The pump learns of the change before it reads.
    assert!(arrives(&mut far, &mut near).await);
    let began = Instant::now();
    for _ in 0..5 {
        near.write_all(b"x").await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    far.read_exact(&mut [0; 5]).await.unwrap();
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(80), "{took:?}");
    assert!(took < Duration::from_millis(400), "{took:?}");
}
