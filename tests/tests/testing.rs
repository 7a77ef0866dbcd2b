//! The servers that the client crate offers for tests.

use std::thread;

use quorate_client::{
    Client,
    testing::{TestEnsemble, TestServer, TestingError},
};
use quorate_protocol::SessionId;
use quorate_tests::{Connection, Op};

const EPHEMERAL: i32 = 1;
const NO_NODE: i32 = -101;

fn done(client: &mut Connection, op: &Op) {
    assert_eq!(client.call(op).expect("an answer").error, 0, "{op:?}");
}

#[tokio::test]
async fn a_server_is_killed_and_comes_back_with_its_data() {
    let mut server = TestServer::start().await.unwrap();
    assert_eq!(server.mode().as_deref(), Some("standalone"));
    let mut client = Connection::with_new_session(server.address(), 10_000).unwrap();
    done(&mut client, &Op::create("/kept", b"", 0));
    assert!(matches!(server.restart().await, Err(TestingError::WrongState(_))));
    server.kill().unwrap();
    assert!(matches!(server.kill(), Err(TestingError::WrongState(_))));
    assert_eq!(server.mode(), None);
    server.restart().await.unwrap();
    let mut client = Connection::with_new_session(server.address(), 10_000).unwrap();
    done(&mut client, &Op::exists("/kept"));
    let folder = server.folder().to_owned();
    drop(server);
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_session_expires_when_a_test_wants_it() {
    let server = TestServer::start().await.unwrap();
    let mut client = Connection::with_new_session(server.address(), 10_000).unwrap();
    done(&mut client, &Op::create("/mine", b"", EPHEMERAL));
    let session = &client.session;
    let unknown = server.expire_session(session.id, b"another password");
    assert!(matches!(unknown, Err(TestingError::NoSession(id)) if id == session.id));
    server.expire_session(session.id, &session.passwd).unwrap();
    let mut other = Connection::with_new_session(server.address(), 10_000).unwrap();
    assert_eq!(other.call(&Op::exists("/mine")).unwrap().error, NO_NODE);
    let gone = server.expire_session(SessionId(7), [0; 16]);
    assert!(matches!(gone, Err(TestingError::NoSession(_))));
}

#[tokio::test]
async fn a_session_expires_although_its_client_takes_it_back() {
    let server = TestServer::start().await.unwrap();
    for _ in 0..50 {
        let mut client = Connection::with_new_session(server.address(), 10_000).unwrap();
        let session = client.session.clone();
        let (address, wanted) = (server.address(), session.clone());
        let taking_back = thread::spawn(move || {
            // As a client does whose connection was closed.
            while client.read_to_end().is_ok() {
                client = Connection::open(address).unwrap();
                if client.attach(&wanted, 0).is_ok_and(|got| !got.is_accepted()) {
                    break;
                }
            }
        });
        server.expire_session(session.id, &session.passwd).unwrap();
        taking_back.join().unwrap();
    }
}

#[tokio::test]
async fn a_client_tells_what_it_takes_to_have_its_session_expire() {
    let server = TestServer::start().await.unwrap();
    let hosts = format!("{}/app", server.hosts());
    let client = Client::builder(&hosts).connect_lazily().unwrap();
    assert_eq!((client.hosts().to_string(), client.hosts().chroot()), (hosts, "/app"));
    client.wait_connected().await.unwrap();
    let ticket = client.session().unwrap();
    assert_eq!(ticket.timeout, client.session_timeout());
    server.expire_session(ticket.id, ticket.password).unwrap();
    let mut status = client.status();
    let next = status.wait_for(|now| now.session_number == 2 && now.state.is_connected());
    let next = next.await.unwrap().session;
    assert_ne!(next, ticket.id);
    assert_eq!(client.session().unwrap().id, next);
}

#[tokio::test]
async fn an_ensemble_goes_on_without_its_leader() {
    let mut ensemble = TestEnsemble::start(3).await.unwrap();
    let leader = ensemble.wait_for_leader().await.unwrap();
    ensemble.kill(leader).unwrap();
    let next = ensemble.wait_for_leader().await.unwrap();
    assert_ne!(next, leader);
    let address = ensemble.server(next).address();
    let mut client = Connection::with_new_session(address, 10_000).unwrap();
    done(&mut client, &Op::create("/later", b"", 0));
    ensemble.restart(leader).await.unwrap();
    assert_eq!(ensemble.server(leader).mode().as_deref(), Some("follower"));
    assert_eq!(ensemble.hosts().split(',').count(), ensemble.indexes().len());
}

#[tokio::test]
async fn a_setting_the_server_refuses_is_told() {
    let refused = TestServer::start_with(&["tickTime=never"]).await;
    let Err(TestingError::Ended { said, .. }) = refused else { panic!("{refused:?}") };
    assert!(said.contains("tickTime"), "{said}");
}
