//! Servers found by SRV records, asked of a DNS server that the test plays.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_resolver::proto::{
    op::{Message, OpCode, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, SRV},
    },
};
use parking_lot::Mutex;
use quorate_protocol::SessionId;
use tokio::net::UdpSocket;

use super::peer::{Listener, Memory};
use crate::{Client, Disconnect, ErrorKind};

type Zone = BTreeMap<(String, RecordType), Vec<RData>>;

/// A DNS server on a free port of the loopback address, and the records it answers with.
async fn dns() -> (SocketAddr, Arc<Mutex<Zone>>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = socket.local_addr().unwrap();
    let zone = Arc::new(Mutex::new(Zone::new()));
    let records = Arc::clone(&zone);
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let answer = answer(&records.lock(), &buffer[..length]);
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    (addr, zone)
}

fn answer(zone: &Zone, query: &[u8]) -> Vec<u8> {
    let query = Message::from_vec(query).unwrap();
    let mut answer = Message::response(query.metadata.id, OpCode::Query);
    let question = query.queries[0].clone();
    let name = question.name().to_lowercase().to_utf8();
    match zone.get(&(name, question.query_type())) {
        // They are not to be kept, so that each round asks again.
        Some(found) => found.iter().for_each(|data| {
            answer.add_answer(Record::from_rdata(question.name().clone(), 0, data.clone()));
        }),
        None => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer.add_query(question);
    answer.to_vec().unwrap()
}

fn srv(priority: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, 0, port, Name::from_ascii(target).unwrap()))
}

fn set_service(zone: &Mutex<Zone>, records: Vec<RData>) {
    zone.lock().insert(("_zookeeper._tcp.zk.example.org.".into(), RecordType::SRV), records);
}

fn set_address(zone: &Mutex<Zone>, host: &str, last: u8) {
    let address = RData::A(A(Ipv4Addr::new(127, 0, 0, last)));
    zone.lock().insert((host.into(), RecordType::A), vec![address]);
}

#[tokio::test]
async fn servers_are_looked_up_before_each_round_and_tried_by_priority() {
    let (addr, zone) = dns().await;
    set_service(&zone, vec![srv(10, 7, "b.example.org."), srv(0, 5, "a.example.org.")]);
    set_address(&zone, "a.example.org.", 5);
    set_address(&zone, "b.example.org.", 7);
    let (memory, mut listener) = Memory::new(1 << 16);
    let builder = Client::builder("zk+srv://zk.example.org/app").connector(memory);
    let client = builder.dns_servers([addr]).connect_lazily().unwrap();
    let server = |client: &Client| client.status().borrow().server.unwrap();
    let peer = open(&mut listener, &client).await;
    assert_eq!(server(&client), "127.0.0.5:5".parse().unwrap());

    // The server has moved, and another has no address.
    set_service(&zone, vec![srv(9, 9, "c.example.org."), srv(3, 3, "lost.example.org.")]);
    set_address(&zone, "c.example.org.", 9);
    drop(peer);
    let _peer = open(&mut listener, &client).await;
    assert_eq!(server(&client), "127.0.0.9:9".parse().unwrap());
}

/// Accepts a connection, and waits until the client uses it.
async fn open(listener: &mut Listener, client: &Client) -> super::peer::Peer {
    let mut peer = listener.accept().await;
    peer.greet(SessionId(7), 6000).await;
    let mut statuses = client.status();
    statuses.wait_for(|status| status.server.is_some()).await.unwrap();
    peer
}

#[tokio::test]
async fn a_service_without_servers_is_no_place_to_connect_to() {
    let (addr, zone) = dns().await;
    for records in [None, Some(vec![srv(0, 0, ".")])] {
        if let Some(records) = records {
            set_service(&zone, records);
        }
        let builder = Client::builder("zk+srv://zk.example.org").dns_servers([addr]);
        let connect = builder.connect_timeout(Duration::from_millis(500)).connect();
        let error = connect.await.unwrap_err();
        let ErrorKind::NotConnected(Some(cause)) = error.kind() else { panic!("{error:?}") };
        assert!(matches!(&**cause, Disconnect::Unresolved(_)), "{cause:?}");
    }
}
