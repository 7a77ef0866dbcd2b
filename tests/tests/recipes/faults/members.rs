//! Kept nodes, groups, services and shares with a fault at each of their requests.

use std::time::Duration;

use quorate_client::{
    Client,
    recipes::{
        discovery::{ProviderStrategy, ServiceDiscovery, ServiceInstance},
        membership::{GroupMember, PersistentNode, SetPartitioner},
    },
};

use super::{Fault, KINDS, Kind, at_each_request, nothing};
use crate::{children, eventually, with_each};

#[test]
fn a_kept_node_goes_when_it_is_given_up() {
    with_each(async |server| {
        let act = async |client: &Client| {
            let node = PersistentNode::builder(client, "/kept/node", "1").start().await.unwrap();
            node.set("2");
            let data = async || client.get("/kept/node").await.map(|node| node.data);
            eventually("the data", async || data().await.is_ok_and(|data| data == "2")).await;
            client.delete("/kept/node").repeatable().await.ok();
            eventually("the node again", async || data().await.is_ok()).await;
            node.close().await.unwrap();
        };
        let check = async |client: &Client, fault: Fault, result: Option<()>| {
            if result.is_some() {
                assert!(children(client, "/kept").await.is_empty(), "{fault}");
            }
            eventually("the node to go", async || children(client, "/kept").await.is_empty()).await;
        };
        at_each_request(&server, &KINDS, &["/kept"], nothing, act, check).await;
    });
}

#[test]
fn a_share_is_given_back() {
    with_each(async |server| {
        const ITEMS: [&str; 2] = ["a", "b"];
        const SETTLE: Duration = Duration::from_millis(5);
        let act = async |client: &Client| {
            let member = SetPartitioner::join(client, "/set", ITEMS, "one", SETTLE).await.unwrap();
            let share = member.acquire().await.unwrap();
            assert_eq!(share.items(), ITEMS);
            share.release().await.unwrap();
            member.leave().await.unwrap();
        };
        let check = async |client: &Client, fault: Fault, result: Option<()>| {
            let contenders = async || {
                let mut all = children(client, "/set/party").await;
                for item in ITEMS {
                    all.extend(children(client, &format!("/set/locks/{item}")).await);
                }
                all
            };
            if result.is_some() {
                assert!(contenders().await.is_empty(), "{fault}");
            }
            eventually("nobody", async || contenders().await.is_empty()).await;
            let next = SetPartitioner::join(client, "/set", ITEMS, "two", SETTLE).await.unwrap();
            assert_eq!(next.acquire().await.unwrap().items(), ITEMS, "{fault}");
        };
        at_each_request(
            &server,
            &KINDS,
            &["/set", "/set/party", "/set/locks", "/set/locks/a", "/set/locks/b"],
            nothing,
            act,
            check,
        )
        .await;
    });
}

#[test]
fn a_node_that_outlives_sessions_is_one_at_most() {
    with_each(async |server| {
        let act = async |client: &Client| {
            let node = PersistentNode::builder(client, "/kept/node", "1").outlive_session();
            let node = node.start().await.unwrap();
            node.close().await.unwrap();
        };
        let check = async |client: &Client, fault: Fault, result: Option<()>| {
            if result.is_some() {
                assert!(children(client, "/kept").await.is_empty(), "{fault}");
            }
            if fault.kind == Kind::Cancel {
                // It belongs to no session: whoever still gives it up would take the next one for its own.
                return;
            }
            // Whoever comes next takes over what a crash has left.
            let next = PersistentNode::builder(client, "/kept/node", "2").outlive_session();
            let next = next.start().await.unwrap();
            assert_eq!(client.get("/kept/node").await.unwrap().data, "2", "{fault}");
            next.close().await.unwrap();
        };
        at_each_request(&server, &KINDS, &["/kept"], nothing, act, check).await;
    });
}

#[test]
fn a_member_is_seen_until_it_leaves() {
    with_each(async |server| {
        let act = async |client: &Client| {
            let member = GroupMember::join(client, "/group", "one", "1").await.unwrap();
            member.set_data("2");
            let data = async || client.get("/group/one").await.map(|node| node.data);
            eventually("the data", async || data().await.is_ok_and(|data| data == "2")).await;
            member.leave().await.unwrap();
        };
        let check = async |client: &Client, fault: Fault, result: Option<()>| {
            if result.is_some() {
                assert!(children(client, "/group").await.is_empty(), "{fault}");
            }
            let other = GroupMember::join(client, "/group", "two", "").await.unwrap();
            let ids = || other.members().into_keys().collect::<Vec<_>>();
            eventually("one member", async || ids() == ["two"]).await;
            // Its id is free again.
            let again = GroupMember::join(client, "/group", "one", "").await.unwrap();
            eventually("two members", async || ids() == ["one", "two"]).await;
            again.leave().await.unwrap();
        };
        at_each_request(&server, &KINDS, &["/group"], nothing, act, check).await;
    });
}

#[test]
fn a_service_is_found_until_it_is_unregistered() {
    with_each(async |server| {
        let instance = |port| ServiceInstance::new("mail").id("1").at("10.0.0.1", port);
        let act = async |client: &Client| {
            let services: ServiceDiscovery = ServiceDiscovery::new(client, "/services").unwrap();
            let registration = services.register(&instance(25)).await.unwrap();
            let provider = services.provider("mail", ProviderStrategy::RoundRobin).await.unwrap();
            let port = || provider.choose().and_then(|instance| instance.port);
            eventually("the instance", async || port() == Some(25)).await;
            registration.update(&instance(26)).unwrap();
            eventually("its change", async || port() == Some(26)).await;
            registration.unregister().await.unwrap();
            eventually("its end", async || port().is_none()).await;
        };
        let check = async |client: &Client, fault: Fault, result: Option<()>| {
            let services: ServiceDiscovery = ServiceDiscovery::new(client, "/services").unwrap();
            if result.is_some() {
                assert!(services.instances("mail").await.unwrap().is_empty(), "{fault}");
            }
            let provider = services.provider("mail", ProviderStrategy::Sticky).await.unwrap();
            eventually("nobody", async || provider.choose().is_none()).await;
            let next = services.register(&instance(27)).await.unwrap();
            // One that was given up on its way may have to go first.
            eventually("the next", async || {
                let found = services.instance("mail", "1").await.unwrap();
                found.is_some_and(|instance| instance.port == Some(27))
            })
            .await;
            next.unregister().await.unwrap();
        };
        let garbage = ["/services", "/services/mail"];
        at_each_request(&server, &KINDS, &garbage, nothing, act, check).await;
    });
}
