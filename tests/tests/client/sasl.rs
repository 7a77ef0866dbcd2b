//! Identities proved by SASL to real servers.

use std::time::Duration;

use quorate_client::{
    Acl, Disconnect, ErrorCode, ErrorKind, Id, Perms,
    sasl::{DigestMd5, SaslError},
};
use quorate_tests::{Server, Subject};

use super::{builder, connect, runtime, secure::zookeeper_with_bob};

#[test]
fn zookeeper_accepts_the_right_password_only() {
    let Some((server, _folder)) = zookeeper_with_bob() else { return };
    runtime().block_on(async {
        let right = DigestMd5::new("bob", "bob's secret");
        let bob = builder(&server).sasl(right).connect().await.unwrap();
        assert!(bob.whoami().await.unwrap().contains(&Id::new("sasl", "bob")));
        let acl = [Acl { perms: Perms::ALL, id: Id::new("sasl", "bob") }];
        bob.create("/bobs", "1").acl(&acl).await.unwrap();
        assert_eq!(bob.get("/bobs").await.unwrap().data, "1");
        let anybody = connect(&server).await;
        let refused = anybody.get("/bobs").await.unwrap_err();
        assert_eq!(refused.code(), Some(ErrorCode::NoAuth));

        for wrong in [DigestMd5::new("bob", "guess"), DigestMd5::new("eve", "bob's secret")] {
            let error = builder(&server).sasl(wrong).connect().await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::AuthFailed), "{error:?}");
        }
    });
}

#[test]
fn the_identity_is_proved_again_after_a_reconnect() {
    let Some((mut server, _folder)) = zookeeper_with_bob() else { return };
    let runtime = runtime();
    let right = DigestMd5::new("bob", "bob's secret");
    let bob = builder(&server).sasl(right);
    let bob = runtime.block_on(bob.connect()).unwrap();
    server.kill();
    server.restart();
    let identities = runtime.block_on(async { bob.whoami().await }).unwrap();
    assert!(identities.contains(&Id::new("sasl", "bob")), "{identities:?}");
}

#[test]
fn a_server_without_sasl_is_not_used() {
    let server = Server::start(Subject::tested(), &[]);
    runtime().block_on(async {
        let bob = builder(&server).sasl(DigestMd5::new("bob", "b"));
        let connect = bob.connect_timeout(Duration::from_secs(1)).connect();
        let error = connect.await.unwrap_err();
        let ErrorKind::NotConnected(Some(cause)) = error.kind() else { panic!("{error:?}") };
        assert!(matches!(**cause, Disconnect::Sasl(SaslError::NotOffered)), "{cause:?}");
    });
}
