//! Every operation, with its answers and its refusals.

use std::time::Duration;

use quorate_client::{
    Acl, Client, CreateMode, ErrorCode, ErrorKind, MultiOutcome, Payload, Perms, ReadOutcome,
    SessionTicket, State, protection_of,
};

use crate::{builder, connect, with_each};

#[test]
fn nodes_are_created_read_written_and_deleted() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        let created = client.create("/a", b"1").await.unwrap();
        assert_eq!(created.path, "/a");
        let node = client.get("/a").await.unwrap();
        assert_eq!((&node.data[..], node.is_null), (&b"1"[..], false));
        assert_eq!(node.stat, created.stat);

        let stat = client.set("/a", "22").version(0).await.unwrap();
        assert_eq!((stat.version, stat.data_length), (1, 2));
        let wrong = client.set("/a", b"3").version(0).await.unwrap_err();
        assert!(wrong.is_bad_version() && wrong.surely_not_done() && !wrong.is_retryable());
        assert_eq!(wrong.to_string(), "setData \"/a\": refused: BADVERSION");

        assert_eq!(client.exists("/a").await.unwrap(), Some(stat));
        assert_eq!(client.exists("/b").await.unwrap(), None);
        client.create("/a/b", Payload::NULL).await.unwrap();
        assert!(client.get("/a/b").await.unwrap().is_null);
        let children = client.children("/a").linearizable().await.unwrap();
        assert_eq!(children.names, ["b"]);
        assert_eq!(children.stat.num_children, 1);

        let refused = client.delete("/a").await.unwrap_err();
        assert_eq!(refused.code(), Some(ErrorCode::NotEmpty));
        client.delete("/a/b").version(0).await.unwrap();
        client.delete("/a").await.unwrap();
        assert!(client.get("/a").linearizable().await.unwrap_err().is_no_node());
        client.sync("/").await.unwrap();
        client.close().await.unwrap();
        assert!(matches!(client.get("/").await.unwrap_err().kind(), ErrorKind::Closed));
        assert_eq!(client.state(), State::Closed);
    });
}

#[test]
fn every_kind_of_node_can_be_created() {
    with_each(&["extendedTypesEnabled=true"], async |server| {
        let client = connect(&server).await;
        let ephemeral = client.create("/e", b"").ephemeral().await.unwrap();
        assert_eq!(ephemeral.stat.ephemeral_owner, client.session_id());
        let first = client.create("/s-", b"").sequential().await.unwrap();
        assert_eq!(first.path, "/s-0000000001");
        let second = client.create("/s-", b"").ephemeral().sequential().await.unwrap();
        assert_eq!(second.path, "/s-0000000002");
        assert!(second.stat.czxid > first.stat.czxid);
        client.create("/c", b"").container().await.unwrap();
        client.create("/t", b"").ttl(Duration::from_mins(1)).await.unwrap();
        client.create("/t-", b"").ttl(Duration::from_mins(1)).sequential().await.unwrap();
        client.create("/m", b"").mode(CreateMode::Ephemeral).await.unwrap();
        let numbered = client.create("/", b"").sequential().await.unwrap();
        assert!(numbered.path.starts_with("/00000"), "{}", numbered.path);

        let both = client.create("/x", b"").ephemeral().container().await.unwrap_err();
        assert!(matches!(both.kind(), ErrorKind::BadArgument(_)));
        let mut ephemerals = client.ephemerals("/").await.unwrap();
        ephemerals.sort();
        assert_eq!(ephemerals, ["/e", "/m", "/s-0000000002"]);
        assert!(client.count_below("/").await.unwrap() >= 8);
    });
}

#[test]
fn parents_are_created_and_protected_nodes_carry_an_id() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        let deep = client.create("/p/q/r", b"1").with_parents().await.unwrap();
        assert_eq!(deep.path, "/p/q/r");
        let again = client.create("/p/q/r", b"1").with_parents().await.unwrap_err();
        assert!(again.is_node_exists());

        let protected = client.create("/p/lock-", b"").ephemeral().sequential().protected();
        let protected = protected.await.unwrap();
        let name = protected.path.strip_prefix("/p/").unwrap();
        assert!(protection_of(name).is_some() && name.ends_with("lock-0000000001"), "{name}");
        client.create("/u/v-", b"").sequential().protected().with_parents().await.unwrap();

        client.delete_recursive("/p").await.unwrap();
        assert_eq!(client.exists("/p").await.unwrap(), None);
        client.delete_recursive("/p").await.unwrap();
    });
}

#[test]
fn a_large_subtree_is_deleted_in_batches() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        client.create("/big", b"").await.unwrap();
        let mut answers = Vec::new();
        for number in 0..2500 {
            client.ready().await;
            answers.push(client.create(&format!("/big/{number}"), b"").send());
            answers.push(client.create(&format!("/big/{number}/x"), b"").send());
        }
        for answer in answers {
            answer.await.unwrap();
        }
        client.delete_recursive("/big").await.unwrap();
        assert_eq!(client.exists("/big").await.unwrap(), None);
    });
}

#[test]
fn a_multi_is_done_or_says_what_failed() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        client.create("/a", b"").await.unwrap();
        let outcomes = client
            .multi()
            .check("/a", 0)
            .create("/a/b", b"1")
            .add(client.create("/a/s-", b"").sequential())
            .set("/a", b"2", 0)
            .add(client.set("/a", b"3").version(1))
            .delete("/a/b", -1)
            .await
            .unwrap();
        assert_eq!(outcomes.len(), 6);
        assert_eq!(outcomes[0], MultiOutcome::Checked);
        let sequential = outcomes[2].clone().created().unwrap();
        assert_eq!(sequential.path, "/a/s-0000000001");
        assert_eq!(outcomes[4].clone().set().unwrap().version, 2);
        assert_eq!(outcomes[5], MultiOutcome::Deleted);

        let failed = client.multi().create("/c", b"").check("/a", 7).await.unwrap_err();
        let expected = matches!(
            failed.kind(),
            ErrorKind::MultiFailed { index: 1, code: ErrorCode::BadVersion }
        );
        assert!(expected && failed.surely_not_done(), "{failed:?}");
        assert_eq!(client.exists("/c").await.unwrap(), None);
        assert_eq!(client.multi().await.unwrap(), []);

        let reads = client.multi_read().get("/a").get("/none").children("/a").await.unwrap();
        let [ReadOutcome::Node(node), refused, ReadOutcome::Children(children)] = &reads[..] else {
            panic!("{reads:?}");
        };
        assert_eq!(node.data, "3");
        assert_eq!(*refused, ReadOutcome::Refused(ErrorCode::NoNode));
        assert_eq!(*children, ["s-0000000001"]);
    });
}

#[test]
fn acls_and_identities_decide() {
    with_each(&[], async |server| {
        let owner = connect(&server).await;
        owner.add_auth("digest", "user:password").await.unwrap();
        let ids = owner.whoami().await.unwrap();
        assert!(ids.iter().any(|id| id.scheme == "digest" && id.id == "user"), "{ids:?}");
        let mine = [Acl { perms: Perms::ALL, id: quorate_client::Id::new("auth", "") }];
        owner.create("/mine", b"1").acl(&mine).await.unwrap();
        let acl = owner.acl("/mine").await.unwrap();
        assert_eq!(acl.acl[0].id.id, "user:tpUq/4Pn5A64fVZyQ0gOJ8ZWqkY=");

        let stranger = connect(&server).await;
        let refused = stranger.get("/mine").await.unwrap_err();
        assert_eq!(refused.code(), Some(ErrorCode::NoAuth));
        let friend = builder(&server).auth("digest", "user:password").connect().await.unwrap();
        assert_eq!(friend.get("/mine").await.unwrap().data, "1");
        let open = [Acl::world(Perms::ALL)];
        let stat = friend.set_acl("/mine", &open).version(0).await.unwrap();
        assert_eq!(stat.aversion, 1);
        stranger.get("/mine").await.unwrap();
        let private = builder(&server)
            .auth("digest", "user:password")
            .default_acl(mine)
            .connect()
            .await
            .unwrap();
        private.create("/private", b"").await.unwrap();
        let refused = stranger.get("/private").await.unwrap_err();
        assert_eq!(refused.code(), Some(ErrorCode::NoAuth));
    });
}

#[test]
fn an_identity_that_is_refused_ends_the_client() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        let refused = client.add_auth("no such scheme", "x").await.unwrap_err();
        assert_eq!(refused.code(), Some(ErrorCode::AuthFailed));
        let mut status = client.status();
        status.wait_for(|status| status.state == State::Closed).await.unwrap();
        let after = client.get("/").await.unwrap_err();
        assert!(matches!(after.kind(), ErrorKind::AuthFailed));
        let refused = builder(&server).auth("no such scheme", "x").connect().await;
        // The server may open the session before it refuses.
        if let Ok(client) = refused {
            let after = client.get("/").await.unwrap_err();
            assert!(matches!(after.kind(), ErrorKind::AuthFailed), "{after:?}");
        }
    });
}

#[test]
fn a_chroot_maps_paths_both_ways() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        client.create("/app/x", b"").with_parents().await.unwrap();
        let below = Client::builder(&format!("{}/app", server.addr())).connect().await.unwrap();
        assert_eq!(below.children("/").await.unwrap().names, ["x"]);
        assert_eq!(below.create("/y", b"").ephemeral().await.unwrap().path, "/y");
        assert_eq!(below.ephemerals("").await.unwrap(), ["/y"]);
        assert_eq!(below.create("/", b"").sequential().await.unwrap().path, "/0000000002");
        let missing = below.get("/none").await.unwrap_err();
        assert_eq!(missing.path(), Some("/none"));

        let x = client.chroot("/app").unwrap().chroot("/x").unwrap();
        assert_eq!(x.chroot_path(), "/app/x");
        let done = x.multi().create("/z", b"").set("/", b"1", -1).await.unwrap();
        assert_eq!(done[0].clone().created().unwrap().path, "/z");
        assert_eq!(client.get("/app/x").await.unwrap().data, "1");
        assert!(x.chroot("no path").is_err());
    });
}

#[test]
fn the_configuration_can_be_read() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        client.chroot("/any").unwrap().config().await.unwrap();
        let refused = client.reconfig().leaving("3").await.unwrap_err();
        assert_eq!(refused.code(), Some(ErrorCode::ReconfigDisabled));
    });
}

#[test]
fn calls_keep_their_order_and_answers_outlive_the_handle() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        client.create("/n", b"").await.unwrap();
        let mut sets = Vec::new();
        for version in 0..1000 {
            sets.push(client.set("/n", version.to_string()).version(version).send());
        }
        let last = client.get("/n").send();
        drop(client);
        for (set, version) in sets.into_iter().zip(1..) {
            assert_eq!(set.await.unwrap().version, version);
        }
        let (node, zxid) = last.with_zxid().await.unwrap();
        assert_eq!(node.data, "999");
        assert!(zxid >= node.stat.mzxid);
    });
}

#[test]
fn a_session_can_be_left_and_taken_up() {
    with_each(&[], async |server| {
        let client = connect(&server).await;
        client.create("/e", b"").ephemeral().await.unwrap();
        let SessionTicket { id, password, timeout } = client.session().unwrap();
        assert_eq!((id, timeout), (client.session_id(), client.session_timeout()));
        assert_eq!(client.leave().map(|left| (left.id, left.password)), Some((id, password)));
        let next = builder(&server).session(id, password).connect().await.unwrap();
        assert_eq!(next.session_id(), id);
        let stat = next.exists("/e").await.unwrap().unwrap();
        assert_eq!(stat.ephemeral_owner, id);
        next.close().await.unwrap();
        let other = connect(&server).await;
        assert_eq!(other.exists("/e").await.unwrap(), None);
        // A session that is gone is lost, and followed by another.
        let late = builder(&server).session(id, password).connect().await.unwrap();
        assert_ne!(late.session_id(), id);
        assert_eq!(late.status().borrow().session_number, 2);
        let only = builder(&server).session(id, password).new_sessions(false).connect().await;
        assert!(only.unwrap_err().is_session_lost());
    });
}
