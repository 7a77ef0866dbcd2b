//! A fault at every request of every recipe: the connection is lost, the session ends or the
//! future is dropped, right before the server does it and right after.
//!
//! The victim's client goes through a proxy. A rival holds the lock first and lets go when the
//! victim waits, then wants it back. Whatever happens, the rival gets it back, in the end there is no node
//! of either, while the victim's session lives on, and all writes that were done with the lock are
//! in the order of their tokens.

use std::{net::SocketAddr, sync::Mutex as StdMutex};

use quorate_client::{Client, Error, Zxid, recipes::FencingToken};

use super::{
    Recipe, patiently,
    proxy::{Fault, Proxy},
    wait_for_nodes,
};
use crate::{builder, with_each};

/// Writes done under the lock: when, and with which token.
type Writes = StdMutex<Vec<(Zxid, FencingToken)>>;

/// How many cases run at the same time.
const AT_ONCE: usize = 12;

#[test]
fn a_fault_at_any_request_does_no_harm() {
    with_each(&["maxSessionTimeout=60000"], async |server| {
        let addr = server.addr();
        let rival = builder(&server).connect().await.unwrap();
        let mut cases = Vec::new();
        for recipe in Recipe::ALL {
            let requests = case(addr, &rival, recipe, None).await;
            assert!(requests >= 5, "{recipe:?} takes {requests} requests");
            let plan = |at| Fault::ALL.map(|fault| (recipe, Some((at, fault))));
            cases.extend((0..requests).flat_map(plan));
        }
        for cases in cases.chunks(AT_ONCE) {
            let running = cases.iter().map(|&(recipe, plan)| {
                let rival = rival.clone();
                tokio::spawn(async move { case(addr, &rival, recipe, plan).await })
            });
            for (running, case) in running.collect::<Vec<_>>().into_iter().zip(cases) {
                assert!(running.await.is_ok(), "the case that failed: {case:?}");
            }
        }
    });
}

/// Plays one case; how many requests the victim made.
async fn case(
    server: SocketAddr,
    rival: &Client,
    recipe: Recipe,
    plan: Option<(usize, Fault)>,
) -> usize {
    let proxy = Proxy::start(server, plan).await;
    let victim = Client::builder(&proxy.addr().to_string())
        .session_timeout(std::time::Duration::from_secs(20))
        .connect()
        .await
        .unwrap();
    let name = plan.map_or("none".to_owned(), |(at, fault)| format!("{fault:?}-{at}"));
    let folder = format!("/{recipe:?}/{name}");
    let register = format!("/register/{recipe:?}-{name}");
    rival.create(&register, b"").with_parents().await.unwrap();
    let writes = Writes::default();
    // A reader is held up by a writer.
    let against = if recipe == Recipe::Read { Recipe::Write } else { recipe };

    let before = against.hold(rival, &folder).await.unwrap();
    let lines = recipe.lines(&folder);
    // The semaphore's mutex is left in the background.
    wait_for_nodes(rival, &lines, recipe.nodes_of_a_holder()).await;
    let mut attempt = Box::pin(attempt(&victim, recipe, &folder, &register, &writes));
    let waiting = async {
        wait_for_nodes(rival, &lines, recipe.nodes_with_a_waiter()).await;
        proxy.wait_for_requests(recipe.requests_of_a_waiter()).await;
    };
    let holds = plan.is_some_and(|(_, fault)| fault.holds());
    let mut outcome = None;
    let mut dropped = false;
    tokio::select! {
        () = waiting => {}
        done = &mut attempt => outcome = Some(done),
        () = proxy.held(), if holds => dropped = true,
    }
    if dropped {
        drop(attempt);
        before.release().await.unwrap();
    } else {
        note(&writes, &before.write(&register).await, before.token());
        before.release().await.unwrap();
        if outcome.is_none() {
            tokio::select! {
                done = patiently("the victim", &mut attempt) => outcome = Some(done),
                () = proxy.held(), if holds => dropped = true,
            }
        }
        drop(attempt);
    }
    if dropped {
        proxy.let_go();
    }

    let after = patiently("the rival", against.hold(rival, &folder)).await.unwrap();
    note(&writes, &after.write(&register).await, after.token());
    after.release().await.unwrap();
    wait_for_nodes(rival, &lines, 0).await;
    let mut writes = writes.into_inner().unwrap();
    writes.sort();
    assert!(writes.is_sorted_by_key(|(_, token)| *token), "{plan:?}: {writes:?}");
    assert!(plan.is_some() || writes.len() == 3, "{writes:?}");

    check_outcome(plan, outcome);
    // All of it in one session, unless that was the fault.
    let status = victim.wait_connected().await.unwrap();
    let expires = plan.is_some_and(|(_, fault)| fault.expires());
    assert!(expires || status.session_number == 1, "{plan:?}: {status:?}");
    let requests = proxy.requests();
    proxy.disarm();
    victim.close().await.unwrap();
    requests
}

/// Acquires, writes and releases.
async fn attempt(
    victim: &Client,
    recipe: Recipe,
    folder: &str,
    register: &str,
    writes: &Writes,
) -> Result<(), Error> {
    let holding = recipe.hold(victim, folder).await?;
    note(writes, &holding.write(register).await, holding.token());
    holding.release().await
}

fn note(writes: &Writes, write: &Result<Zxid, Error>, token: FencingToken) {
    if let Ok(zxid) = write {
        writes.lock().unwrap().push((*zxid, token));
    }
}

/// A lost connection costs nothing; with a lost session the lock may be lost.
fn check_outcome(plan: Option<(usize, Fault)>, outcome: Option<Result<(), Error>>) {
    match (plan.map(|(_, fault)| fault), outcome) {
        (_, Some(Ok(()))) => {}
        (Some(fault), None) if fault.holds() => {}
        (Some(Fault::ExpireBefore | Fault::ExpireAfter), Some(Err(error)))
            if error.is_session_lost() || error.is_no_node() => {}
        (_, outcome) => panic!("{plan:?}: {outcome:?}"),
    }
}
