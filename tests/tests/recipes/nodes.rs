//! Counters, shared values, nodes that are kept, groups, and service discovery.

use std::time::Duration;

use bytes::Bytes;
use quorate_client::{
    ErrorCode, SessionId,
    recipes::{
        discovery::{ProviderStrategy, ServiceDiscovery, ServiceInstance, ServiceType},
        membership::{GroupMember, PersistentNode, Presence},
        shared::{Counter, CounterChange, CounterFormat, SharedValue, TrySet},
    },
};

use crate::{children, connect, eventually, expire, with_each, within};

#[test]
fn counters_count_what_many_add() {
    with_each(async |server| {
        let client = connect(&server).await;
        let counter = Counter::new(&client, "/counters/a").unwrap();
        assert_eq!(counter.get().await.unwrap(), 0);
        let adders = (0..4).map(|_| {
            let counter = counter.clone();
            tokio::spawn(async move {
                for _ in 0..25 {
                    counter.add(1).await.unwrap();
                }
            })
        });
        for adder in adders.collect::<Vec<_>>() {
            adder.await.unwrap();
        }
        assert_eq!(counter.get().await.unwrap(), 100);
        let change = counter.add(-101).await.unwrap();
        assert_eq!(change, CounterChange { before: 100, after: -1 });
        let refused = counter.compare_and_set(7, 8).await.unwrap();
        assert_eq!(refused, CounterChange { before: -1, after: -1 });
        let change = counter.compare_and_set(-1, i64::MAX).await.unwrap();
        assert_eq!(change, CounterChange { before: -1, after: i64::MAX });
        let overflow = counter.add(1).await.unwrap_err();
        assert!(overflow.surely_not_done());
        assert_eq!(counter.set(3).await.unwrap().after, 3);

        let other = counter.clone().format(CounterFormat::Int);
        let wrong = other.get().await.unwrap_err();
        assert_eq!(wrong.path(), Some("/counters/a"));
    });
}

#[test]
fn a_shared_value_is_seen_and_changed_by_all() {
    with_each(async |server| {
        let (client, other) = (connect(&server).await, connect(&server).await);
        let value = SharedValue::start(&client, "/config/a", b"seed").await.unwrap();
        let same = SharedValue::start(&other, "/config/a", b"ignored").await.unwrap();
        let seed = same.read().await.unwrap();
        assert_eq!((&seed.data[..], seed.version), (&b"seed"[..], 0));
        let mut values = value.values();
        assert_eq!(values.next().await, Some(Some(seed.clone())));

        let TrySet::Set(first) = same.try_set(&seed, b"first").await.unwrap() else {
            panic!("nobody came between");
        };
        assert_eq!(values.next().await, Some(Some(first.clone())));
        assert_eq!(value.try_set(&seed, b"late").await.unwrap(), TrySet::Changed(first));
        let last =
            value.update(|value| Bytes::from([&value.data[..], b"+"].concat())).await.unwrap();
        same.wait_until(&last).await.unwrap();
        assert_eq!(same.current().unwrap().data, "first+");
        other.delete("/config/a").await.unwrap();
        eventually("the deletion to show", async || value.current().is_none()).await;
        assert!(value.read().await.unwrap_err().is_no_node());
    });
}

async fn wait_present(node: &PersistentNode) {
    let mut presence = node.presence();
    let is_present = |now: &Presence| matches!(now, Presence::Present { .. });
    within("the node", presence.wait_for(is_present)).await.expect("it is kept");
}

#[test]
fn a_kept_node_comes_back() {
    with_each(async |server| {
        let client = connect(&server).await;
        let watcher = connect(&server).await;
        let node = PersistentNode::builder(&client, "/kept/a", "1").start().await.unwrap();
        let stat = watcher.exists("/kept/a").linearizable().await.unwrap().unwrap();
        assert_eq!(stat.ephemeral_owner, client.session_id());

        // Deleted, and changed, by somebody else.
        watcher.delete("/kept/a").await.unwrap();
        let is_back = async |stat: quorate_client::Stat| {
            let found = watcher.get("/kept/a").linearizable().await;
            found.is_ok_and(|node| node.stat.czxid > stat.czxid && node.data == "1")
        };
        eventually("the deleted node", async || is_back(stat).await).await;
        watcher.set("/kept/a", b"wrong").await.unwrap();
        eventually("the data", async || is_back(stat).await).await;
        node.set("2");
        let has = async |data: &str| {
            watcher.get("/kept/a").linearizable().await.is_ok_and(|node| node.data == data)
        };
        eventually("the new data", async || has("2").await).await;

        // With the session.
        expire(&server, &client).await;
        eventually("the node of the new session", async || {
            let stat = watcher.exists("/kept/a").linearizable().await.unwrap();
            stat.is_some_and(|stat| stat.ephemeral_owner == client.session_id())
        })
        .await;
        wait_present(&node).await;
        node.close().await.unwrap();
        assert_eq!(watcher.exists("/kept/a").linearizable().await.unwrap(), None);
    });
}

#[test]
fn a_kept_node_yields_to_others_and_outlives_its_session_if_told() {
    with_each(async |server| {
        let (client, other) = (connect(&server).await, connect(&server).await);
        let first = PersistentNode::builder(&other, "/a", "other").start().await.unwrap();
        let node = PersistentNode::builder(&client, "/a", "mine").start().await.unwrap();
        let presence = node.presence().borrow().clone();
        let Presence::Occupied { owner } = presence else { panic!("{presence:?}") };
        assert_eq!(owner, other.session_id());
        drop(first);
        wait_present(&node).await;
        assert_eq!(client.get("/a").await.unwrap().data, "mine");
        drop(node);
        eventually("the end", async || client.exists("/a").await.unwrap().is_none()).await;

        let lasting = PersistentNode::builder(&client, "/b", "x").outlive_session();
        let lasting = lasting.start().await.unwrap();
        let stat = client.exists("/b").await.unwrap().unwrap();
        assert_eq!(stat.ephemeral_owner, SessionId::NONE);
        lasting.leave_there();
        client.close().await.unwrap();
        assert!(other.exists("/b").linearizable().await.unwrap().is_some());

        // One that cannot be created says why.
        let refused = PersistentNode::builder(&other, "/zookeeper/a/b", "x").start().await;
        if let Err(error) = refused {
            assert_ne!(error.code(), Some(ErrorCode::NodeExists));
        }
    });
}

#[test]
fn members_of_a_group_see_each_other() {
    with_each(async |server| {
        let client = connect(&server).await;
        let other = connect(&server).await;
        let a = GroupMember::join(&client, "/group", "a", "1").await.unwrap();
        let b = GroupMember::join(&other, "/group", "b", "2").await.unwrap();
        let ids = |member: &GroupMember| {
            let members = member.members().into_iter();
            members.map(|(id, data)| format!("{id}={}", data.escape_ascii())).collect::<Vec<_>>()
        };
        eventually("both", async || ids(&a) == ["a=1", "b=2"] && ids(&b) == ["a=1", "b=2"]).await;
        b.set_data("3");
        eventually("new data", async || ids(&a) == ["a=1", "b=3"]).await;
        expire(&server, &client).await;
        wait_present(a.node()).await;
        eventually("both again", async || ids(&b) == ["a=1", "b=3"]).await;
        a.leave().await.unwrap();
        eventually("one", async || ids(&b) == ["b=3"]).await;
    });
}

#[test]
fn services_are_found_as_long_as_they_are_there() {
    with_each(async |server| {
        let (client, user) = (connect(&server).await, connect(&server).await);
        let services: ServiceDiscovery<String> =
            ServiceDiscovery::new(&client, "/services").unwrap();
        let seen: ServiceDiscovery<String> = ServiceDiscovery::new(&user, "/services").unwrap();
        assert!(seen.names().await.unwrap().is_empty());
        let instance = |id: &str, port| {
            ServiceInstance::new("mail").id(id).at("10.0.0.1", port).payload("x".to_owned())
        };
        let one = services.register(&instance("1", 25)).await.unwrap();
        let two = services.register(&instance("2", 26)).await.unwrap();
        assert_eq!(seen.names().await.unwrap(), ["mail"]);
        let found = seen.instances("mail").await.unwrap();
        assert_eq!(found.iter().map(|i| i.port).collect::<Vec<_>>(), [Some(25), Some(26)]);
        let found = seen.instance("mail", "2").await.unwrap().unwrap();
        assert_eq!((found.port, found.payload.as_deref()), (Some(26), Some("x")));
        assert_eq!(seen.instance("mail", "3").await.unwrap(), None);

        let provider = seen.provider("mail", ProviderStrategy::RoundRobin).await.unwrap();
        let ports = |count| {
            (0..count)
                .map(|_| provider.choose().and_then(|i| i.port).unwrap_or(0))
                .collect::<Vec<_>>()
        };
        assert_eq!(ports(3), [25, 26, 25]);
        // One that is not to be used, one that is down, one that is gone, and what is no instance.
        let mut off = instance("2", 26);
        off.enabled = false;
        two.update(&off).unwrap();
        eventually("one left", async || ports(2) == [25, 25]).await;
        let first = provider.choose().unwrap();
        provider.note_error(&first);
        provider.note_error(&first);
        assert_eq!(provider.choose(), None);
        client.create("/services/mail/garbage", b"{").await.unwrap();
        one.unregister().await.unwrap();
        let cache = provider.cache();
        eventually("one instance", async || cache.instances().len() == 1).await;
        assert!(seen.instance("mail", "garbage").await.is_err());

        let mut lasting = instance("3", 27);
        lasting.service_type = ServiceType::Static;
        services.register(&lasting).await.unwrap().leave_registered();
        drop(two);
        tokio::time::timeout(Duration::from_secs(10), client.close()).await.unwrap().unwrap();
        eventually("the dynamic one to go", async || {
            children(&user, "/services/mail").await == ["3", "garbage"]
        })
        .await;
    });
}
