//! Clients that do not take what they get.

use quorate_protocol::OpCode;
use quorate_tests::{Op, Server, Subject, wait, wait::PATIENCE};

use super::{client, metric};

/// A path so long that events and listings that name it fill any buffer of the system soon.
fn long_path(number: usize) -> String {
    format!("/{number}{}", "x".repeat(100_000))
}

#[test]
fn a_client_that_watches_more_than_it_reads_is_cut_off() {
    const CHANGES: usize = 2000;
    let server = Server::start(Subject::Quorate, &["quorate.slowReaderTimeout=1h"]);
    let (mut writer, mut watcher) = (client(&server), client(&server));
    let path = long_path(0);
    assert_eq!(writer.call(&Op::create(&path, b"", 0)).expect("create").error, 0);
    assert_eq!(watcher.call(&Op::AddWatch(path.clone(), 0)).expect("watch").error, 0);
    for _ in 0..CHANGES / 100 {
        let ops: Vec<_> = (0..100).map(|_| Op::set(&path, b"")).collect();
        for _ in writer.send(&ops).expect("send") {
            assert_eq!(writer.read_frame().expect("an answer").error, 0);
        }
    }
    let events = watcher.read_to_end().expect("the server closes");
    assert!(events.len() < CHANGES);
    assert!(events.iter().all(quorate_tests::Frame::is_event));
}

#[test]
fn a_listing_that_nobody_reads_does_not_hold_a_connection() {
    let server = Server::start(Subject::Quorate, &["nio.sessionlessCnxnTimeout=300"]);
    let mut watcher = client(&server);
    let watches: Vec<_> = (0..200).map(|number| Op::AddWatch(long_path(number), 0)).collect();
    for _ in watcher.send(&watches).expect("send") {
        assert_eq!(watcher.read_frame().expect("an answer").error, 0);
    }
    let mut lazy = quorate_tests::Connection::open(server.addr()).expect("connect");
    lazy.send_raw(b"wchp").expect("send");
    wait::until("the connection to be given up", PATIENCE, || {
        watcher.call(&Op::ping()).expect("a ping");
        (metric(&server, "sessionless_connections_expired") == 1
            && metric(&server, "num_alive_connections") == 2)
            .then_some(())
    });
}

#[test]
fn a_small_request_for_more_than_memory_is_refused() {
    let server = Server::start(Subject::Quorate, &[]);
    let mut client = client(&server);
    assert_eq!(client.call(&Op::create("/n", &vec![1; 1_000_000], 0)).expect("create").error, 0);
    let read = |count| Op::Multi(OpCode::MultiRead, vec![Op::get("/n"); count]);
    assert_eq!(client.call(&read(2)).expect("a multiRead").error, 0);
    assert_eq!(client.call(&read(10_000)).expect("a multiRead").error, -5);
    assert!(server.resident_bytes() < 600 << 20);
}
