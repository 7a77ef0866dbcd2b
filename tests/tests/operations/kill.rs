//! Ends of the process, asked for and not, at moments that matter: while it starts, while it
//! writes a checkpoint.

use std::{fs, time::Duration};

use fastrand::Rng;
use quorate_tests::{
    Connection, Op, Server, Subject,
    wait::{self, PATIENCE, Stopwatch},
};

use crate::{LONG_SESSIONS, Promised, attach_again, connect, done, exists, said};

#[test]
fn a_polite_end_is_prompt_and_keeps_sessions() {
    let mut server = Server::start(Subject::Quorate, &[LONG_SESSIONS]);
    let mut clients: Vec<_> = (0..50).map(|_| connect(&server)).collect();
    // Some have said nothing yet, some wait for nothing, some have requests under way.
    let _silent: Vec<_> = (0..10).map(|_| Connection::open(server.addr()).unwrap()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        done(client, &Op::create(&format!("/e{i}"), b"", 1));
    }
    for client in clients.iter_mut().step_by(2) {
        client.send(&vec![Op::set("/e0", b"x"); 100]).unwrap();
    }
    let watch = Stopwatch::start();
    assert!(server.terminate().success());
    let took = watch.elapsed();
    assert!(took < Duration::from_secs(1), "it took {took:?} to end");
    assert_eq!(said(&server, "WARN") + said(&server, "ERROR"), 0, "{}", server.said());
    for client in &mut clients {
        let _ = client.read_to_end();
    }
    server.restart();
    for (i, client) in clients.iter_mut().enumerate() {
        *client = attach_again(&server, client);
        assert!(exists(client, &format!("/e{i}")));
    }
}

#[test]
fn a_kill_while_starting_loses_nothing() {
    let mut rng = Rng::with_seed(1);
    let mut server = Server::prepare(Subject::Quorate, &[LONG_SESSIONS, "snapCount=100"]);
    // The very first start, several times over: files appear one after the other.
    for round in 0..15 {
        server.spawn();
        wait::pause(Duration::from_micros(rng.u64(0..20_000)));
        server.kill();
        if round % 5 == 4 {
            // What a killed start has left is a whole, too.
            server.restart();
            server.kill();
            fs::remove_dir_all(server.dir().join("data")).unwrap();
        }
    }
    let watch = Stopwatch::start();
    server.restart();
    let start = watch.elapsed();
    let mut client = connect(&server);
    let mut promised = Promised::default();
    // Later starts: there is a log to replay, and a torn end to trim.
    for round in 0..15 {
        for i in 0..30 {
            assert_eq!(promised.put(&mut client, &format!("/n{i}"), 1000), 0);
        }
        let _ = client.send(&vec![Op::set("/n0", &vec![round; 5000]); 20]);
        server.kill();
        // Of the last requests any number may have happened.
        promised.nodes.remove("/n0");
        for _ in 0..2 {
            server.spawn();
            let moment = rng.u64(0..u64::try_from(start.as_micros()).unwrap());
            wait::pause(Duration::from_micros(moment));
            server.kill();
        }
        server.restart();
        client = attach_again(&server, &client);
        promised.check(&mut client);
        promised.take_over(&mut client, "/n0");
    }
}

#[test]
fn a_kill_while_a_checkpoint_is_written_loses_nothing() {
    let mut rng = Rng::with_seed(2);
    let mut server = Server::start(Subject::Quorate, &[LONG_SESSIONS, "snapCount=100"]);
    let checkpoint = server.dir().join("data/quorate/checkpoint-1.redb");
    let modified = || fs::metadata(&checkpoint).and_then(|file| file.modified()).unwrap();
    let mut client = connect(&server);
    let mut promised = Promised::default();
    let mut interrupted = 0;
    for _ in 0..12 {
        let (before, written) = (modified(), said(&server, "checkpoint written"));
        for i in 0..400 {
            assert_eq!(promised.put(&mut client, &format!("/n{i}"), 2000), 0);
        }
        wait::until("a checkpoint to be begun", PATIENCE, || (modified() != before).then_some(()));
        wait::pause(Duration::from_micros(rng.u64(0..10_000)));
        server.kill();
        interrupted += usize::from(said(&server, "checkpoint written") == written);
        server.restart();
        client = attach_again(&server, &client);
        promised.check_exactly(&mut client);
    }
    println!("{interrupted} of 12 checkpoints were interrupted");
}
