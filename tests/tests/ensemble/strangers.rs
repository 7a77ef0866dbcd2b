//! Whoever connects to the quorum and election ports without being a server: his connection ends,
//! and the ensemble goes on.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use quorate_tests::{wait::PATIENCE, wire::is_closed};

use crate::{LONG_SESSIONS, load::Load, same_tree, start_led_by_last};

/// What a stranger says: nothing that a server or a learner begins with, at either port.
const GARBAGE: [&[u8]; 5] = [
    b"GET / HTTP/1.1\r\n\r\n",
    &[0xff; 64],
    // A version of the handshake that is yet to come.
    b"\xff\xff\xff\xff\xff\xff\0\x07\0\0\0\0\0\0\0\x01\0\0\0\x01a",
    // An address, or a packet, of two gigabytes.
    b"\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\x09\x7f\xff\xff\xff",
    b"\0\0\0\x0b\0\0\0\0\0\0\0\0\x7f\xff\xff\xff",
];

#[test]
fn strangers_at_the_ports_of_servers_harm_nobody() {
    let ensemble = start_led_by_last("QQQ", &[LONG_SESSIONS]);
    let leader = ensemble.wait_for_leader();
    let load = Load::start(&ensemble);
    // They say a part of something, and no more.
    let mut slow = Vec::new();
    for id in ensemble.ids() {
        for port in [ensemble.quorum_addr(id), ensemble.election_addr(id)] {
            slow.push(say(port, &[0xff; 3]));
            for garbage in GARBAGE {
                expect_end(say(port, garbage));
            }
        }
        for pretended in ensemble.ids() {
            expect_end(say(ensemble.election_addr(id), &handshake(pretended)));
        }
        load.wait_for(20);
    }
    let promised = load.stop();
    assert_eq!(promised.broken, 0, "no client has noticed");
    assert_eq!(ensemble.leader(), Some(leader));
    promised.check(&same_tree(&ensemble));
}

/// What a server says first at another one's election port.
fn handshake(id: u8) -> Vec<u8> {
    let address = b"127.0.0.1:1";
    let mut bytes = (-65536_i64).to_be_bytes().to_vec();
    bytes.extend(i64::from(id).to_be_bytes());
    bytes.extend([0, 0, 0, 11]);
    bytes.extend(address);
    bytes
}

fn say(port: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(port).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

/// The other end closes the connection, whatever it says before.
fn expect_end(mut stream: TcpStream) {
    if let Err(error) = stream.read_to_end(&mut Vec::new()) {
        assert!(is_closed(&error), "{error}");
    }
}
