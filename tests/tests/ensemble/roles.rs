//! What a server says of itself in each role, and what it does for clients without a quorum.

use quorate_protocol::OpCode;
use quorate_tests::{
    Body, Ensemble, Op,
    wait::{self, PATIENCE},
    wire::is_closed,
};

use crate::{LONG_SESSIONS, attach_again, call, connect, done, same_tree, start_led_by_last};

/// What a server answers instead of `srvr` when it has no leader.
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

#[test]
fn words_tell_the_role() {
    let ensemble = start_led_by_last("QQQq", &[LONG_SESSIONS]);
    let _clients: Vec<_> = ensemble.ids().map(|id| connect(&ensemble, id)).collect();
    for (id, role) in [(1, "follower"), (2, "follower"), (3, "leader"), (4, "observer")] {
        let server = ensemble.server(id);
        assert_eq!(server.word("ruok"), "imok");
        assert_eq!(server.mode().as_deref(), Some(role));
        let stat = server.word("stat");
        assert!(stat.contains(&format!("Mode: {role}")) && stat.contains("/127.0.0.1:"), "{stat}");
        assert_eq!(server.metric("server_state").as_deref(), Some(role));
        let of_leader = ["learners", "synced_followers", "synced_observers"];
        let numbers = of_leader.map(|name| server.metric(name));
        let expected = if role == "leader" { ["3", "2", "1"].map(Some) } else { [None; 3] };
        assert_eq!(numbers.each_ref().map(Option::as_deref), expected, "{role}");
    }
}

#[test]
fn without_a_quorum_nobody_is_served() {
    let mut ensemble = start_led_by_last("QQQ", &[LONG_SESSIONS]);
    let leader = ensemble.wait_for_leader();
    let followers = ensemble.others(leader);
    let mut client = connect(&ensemble, leader);
    done(&mut client, &Op::create("/kept", b"", 1));
    for &id in &followers {
        ensemble.kill(id);
    }
    let ended = client.read_frame().expect_err("clients are sent away");
    assert!(is_closed(&ended), "{ended}");
    wait_until_not_serving(&ensemble, leader);
    assert_eq!(ensemble.server(leader).word("ruok"), "imok");
    ensemble.restart(&followers);
    for id in ensemble.ids() {
        client = attach_again(&ensemble, id, &client);
    }
    assert_eq!(same_tree(&ensemble).owned(), ["/kept"]);
}

fn wait_until_not_serving(ensemble: &Ensemble, id: u8) {
    wait::until("the server to say that it does not serve", PATIENCE, || {
        ensemble.server(id).word("srvr").starts_with(NOT_SERVING).then_some(())
    });
}

#[test]
fn behind_a_sync_everything_acknowledged_is_there() {
    let ensemble = start_led_by_last("QQQq", &[LONG_SESSIONS]);
    let mut clients: Vec<_> = ensemble.ids().map(|id| connect(&ensemble, id)).collect();
    done(&mut clients[0], &Op::create("/n", b"", 0));
    for i in 0..200_u32 {
        let (writer, reader) = (i as usize % 4, (i as usize / 4) % 4);
        done(&mut clients[writer], &Op::set("/n", &i.to_be_bytes()));
        let ops = [Op::Path(OpCode::Sync, "/".into()), Op::get("/n")];
        clients[reader].send(&ops).unwrap();
        clients[reader].read_frame().unwrap();
        let read = clients[reader].read_frame().unwrap().parse(&ops[1]);
        let Body::Data(data, _) = read.body else { panic!("{read:?}") };
        assert_eq!(data.as_deref(), Some(&i.to_be_bytes()[..]));
    }
    assert_eq!(call(&mut clients[3], &Op::Path(OpCode::Sync, "/none".into())).error, 0);
}
