//! Barriers with a fault at each of their requests.

use std::cell::RefCell;

use quorate_client::{
    Client,
    recipes::barrier::{Barrier, DoubleBarrier},
};

use super::{Fault, KINDS, at_each_request, nothing};
use crate::{children, eventually, with_each};

#[test]
fn a_barrier_is_lifted_for_those_who_wait() {
    with_each(async |server| {
        let act = async |client: &Client| {
            let barrier = Barrier::new(client, "/barrier").unwrap();
            barrier.set().await.unwrap();
            assert!(barrier.remove().await.unwrap());
            barrier.wait().await.unwrap();
        };
        let check = async |client: &Client, fault: Fault, result: Option<()>| {
            if result.is_some() {
                assert!(children(client, "/").await.is_empty(), "{fault}");
            }
            let barrier = Barrier::new(client, "/barrier").unwrap();
            barrier.remove().await.unwrap();
            barrier.wait().await.unwrap();
        };
        at_each_request(&server, &KINDS, &[], nothing, act, check).await;
    });
}

#[test]
fn a_double_barrier_lets_the_others_go_on() {
    with_each(async |server| {
        let mate = crate::connect(&server).await;
        let act = async |client: &Client| {
            let barrier = DoubleBarrier::new(client, "/barrier", 2).unwrap();
            let entered = barrier.enter().await.unwrap();
            entered.leave().await.unwrap();
        };
        // The other one enters and leaves by itself.
        let other = RefCell::new(None);
        let prepare = async |client: &Client| {
            let barrier = mate.chroot(client.chroot_path()).unwrap();
            let barrier = DoubleBarrier::new(&barrier, "/barrier", 2).unwrap();
            *other.borrow_mut() = Some(tokio::spawn(async move {
                let entered = barrier.enter().await.unwrap();
                entered.leave().await.unwrap();
            }));
        };
        let check = async |client: &Client, fault: Fault, result: Option<()>| {
            let mut other = other.borrow_mut().take().expect("it was started");
            if result.is_some() {
                other.await.unwrap();
                assert!(children(client, "/barrier").await.is_empty(), "{fault}");
                return;
            }
            // The other one may be waiting for a mate, or have gone.
            eventually("one or none", async || {
                children(client, "/barrier").await.iter().filter(|name| *name != "ready").count()
                    <= 1
            })
            .await;
            let barrier = DoubleBarrier::new(client, "/barrier", 2).unwrap();
            let replacement = async { barrier.enter().await.unwrap().leave().await.unwrap() };
            let is_alone = tokio::select! {
                () = replacement => true,
                ended = &mut other => {
                    ended.unwrap();
                    false
                }
            };
            if is_alone {
                other.await.unwrap();
            }
            eventually("nobody", async || {
                children(client, "/barrier").await.iter().all(|name| name == "ready")
            })
            .await;
        };
        at_each_request(&server, &KINDS, &["/barrier", "/barrier/ready"], prepare, act, check)
            .await;
    });
}
