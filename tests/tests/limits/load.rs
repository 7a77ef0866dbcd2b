//! Bounds on requests in progress.

use quorate_protocol::{ErrorCode, OpCode};
use quorate_tests::{Connection, Op, Server, Subject, wait, wait::PATIENCE};

use super::{client, metric};

/// Sends many writes and reads at once; the answers have to come in order, and nothing may hang.
fn pipeline(clients: &mut [Connection], rounds: usize) {
    let ops: Vec<_> = (0..rounds)
        .flat_map(|_| [Op::set("/n", &[0; 8]), Op::get("/n"), Op::set("/n", &[1])])
        .collect();
    let sent: Vec<_> = clients.iter_mut().map(|client| client.send(&ops).expect("send")).collect();
    for (client, xids) in clients.iter_mut().zip(sent) {
        for xid in xids {
            let frame = client.read_frame().expect("an answer");
            assert_eq!((frame.xid, frame.error), (xid, 0));
        }
    }
}

#[test]
fn everything_is_answered_in_order_however_little_may_be_in_progress() {
    for setting in
        ["globalOutstandingLimit=1", "request_throttle_max_requests=1", "maxClientCnxns=0"]
    {
        let server = Server::start(Subject::Quorate, &[setting]);
        let mut clients = [client(&server), client(&server), client(&server)];
        assert_eq!(clients[0].call(&Op::create("/n", b"", 0)).expect("create").error, 0);
        pipeline(&mut clients, 60);
        let held_up = metric(&server, "request_throttle_wait_count");
        assert_eq!(held_up > 0, setting != "maxClientCnxns=0", "{setting}: {held_up}");
        assert_eq!(metric(&server, "outstanding_requests"), 0);
    }
}

#[test]
fn what_has_waited_too_long_is_refused_in_its_turn_and_leaves_no_trace() {
    let server = Server::start(
        Subject::Quorate,
        &["request_throttle_max_requests=1", "throttled_op_wait_time=1"],
    );
    let mut client = client(&server);
    assert_eq!(client.call(&Op::create("/n", b"", 0)).expect("create").error, 0);
    let mut ops: Vec<_> = (0..3000).map(|_| Op::set("/n", b"x")).collect();
    ops.push(Op::ping());
    let xids = client.send(&ops).expect("send");
    let mut done = 0;
    for &xid in &xids[..3000] {
        let frame = client.read_frame().expect("an answer");
        assert_eq!(frame.xid, xid);
        assert!([0, ErrorCode::ThrottledOp.wire()].contains(&frame.error), "{frame:?}");
        done += i64::from(frame.error == 0);
    }
    assert_eq!(client.read_frame().expect("the ping's answer").error, 0);
    assert!(done < 3000, "the last ones waited for 3000 syncs");
    assert_eq!(metric(&server, "throttled_ops"), 3000 - done);
    let stat = client.call(&Op::get("/n")).expect("get");
    let version = i64::from(i32::from_be_bytes(stat.body[37..41].try_into().expect("4 bytes")));
    assert_eq!(version, done, "what was refused was not executed");
}

#[test]
fn large_requests_share_a_room() {
    let server = Server::start(
        Subject::Quorate,
        &["largeRequestThreshold=1000", "largeRequestMaxBytes=5000"],
    );
    let mut client = client(&server);
    assert_eq!(client.call(&Op::create("/n", b"", 0)).expect("create").error, 0);
    for _ in 0..10 {
        assert_eq!(client.call(&Op::set("/n", &[7; 4000])).expect("set").error, 0);
    }
    // Its length is enough.
    client.send_raw(&6000_i32.to_be_bytes()).expect("send");
    assert_eq!(client.read_to_end().expect("the server closes"), []);
    assert_eq!(metric(&server, "large_requests_rejected"), 1);
}

#[test]
fn requests_of_a_client_that_went_are_not_outstanding_for_ever() {
    let server = Server::start(Subject::Quorate, &["globalOutstandingLimit=10"]);
    let mut client = client(&server);
    assert_eq!(client.call(&Op::create("/n", b"", 0)).expect("create").error, 0);
    let ops: Vec<_> = (0..100).flat_map(|_| [Op::set("/n", b"x"), Op::get("/n")]).collect();
    for _ in 0..20 {
        let mut gone = super::client(&server);
        gone.send(&ops).expect("send");
        drop(gone);
    }
    // One that cannot be decoded is not answered either.
    let mut broken = super::client(&server);
    broken.send(&[Op::Raw(OpCode::Auth.wire(), vec![0; 3])]).expect("send");
    assert_eq!(broken.read_to_end().expect("the server closes"), []);
    pipeline(std::slice::from_mut(&mut client), 50);
    wait::until("nothing to be outstanding", PATIENCE, || {
        (metric(&server, "outstanding_requests") == 0).then_some(())
    });
    wait::until("the connections to be forgotten", PATIENCE, || {
        // This client and the one that asks.
        (metric(&server, "num_alive_connections") == 2).then_some(())
    });
}
