//! Barriers, and sets divided among members.

use std::time::Duration;

use quorate_client::{
    Client,
    recipes::{
        barrier::{Barrier, DoubleBarrier},
        membership::{SetPartitioner, Share},
    },
};

use crate::{children, connect, eventually, expire, with_each, within};

#[test]
fn a_barrier_holds_until_it_is_removed() {
    with_each(async |server| {
        let client = connect(&server).await;
        let barrier = Barrier::new(&client, "/barriers/a").unwrap();
        within("no barrier", barrier.wait()).await.unwrap();
        barrier.set().await.unwrap();
        barrier.set().await.unwrap();
        let waiter = tokio::spawn({
            let other = Barrier::new(&connect(&server).await, "/barriers/a").unwrap();
            async move { other.wait().await }
        });
        // A change of its data does not lift it.
        client.set("/barriers/a", b"still there").await.unwrap();
        assert!(!waiter.is_finished());
        assert!(barrier.remove().await.unwrap());
        within("the waiter", waiter).await.unwrap().unwrap();
        assert!(!barrier.remove().await.unwrap());
    });
}

#[test]
fn members_of_a_double_barrier_pass_together_round_after_round() {
    with_each(async |server| {
        let mut members = Vec::new();
        let inside = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        for _ in 0..3 {
            let barrier = DoubleBarrier::new(&connect(&server).await, "/double", 3).unwrap();
            let inside = inside.clone();
            members.push(tokio::spawn(async move {
                use std::sync::atomic::Ordering::SeqCst;
                for round in 1..=5 {
                    inside.fetch_add(1, SeqCst);
                    let entered = barrier.enter().await.unwrap();
                    assert!(inside.load(SeqCst) >= 3 * round, "one passed before all had come");
                    entered.leave().await.unwrap();
                }
            }));
        }
        for member in members {
            within("a member", member).await.unwrap();
        }
        let client = connect(&server).await;
        assert!(children(&client, "/double").await.is_empty());
    });
}

#[test]
fn a_round_that_crashed_does_not_open_the_next() {
    with_each(async |server| {
        let crashed = connect(&server).await;
        let client = connect(&server).await;
        let alone = DoubleBarrier::new(&crashed, "/double", 1).unwrap();
        let entered = alone.enter().await.unwrap();
        // One that comes late passes.
        let late = DoubleBarrier::new(&client, "/double", 1).unwrap();
        drop(within("the late one", late.enter()).await.unwrap());
        expire(&server, &crashed).await;
        within("the loss", entered.lost()).await;
        assert!(entered.leave().await.is_err());
        eventually("its leavings", async || children(&client, "/double").await == ["ready"]).await;

        let pair = DoubleBarrier::new(&client, "/double", 2).unwrap();
        let first = tokio::spawn({
            let pair = pair.clone();
            async move { pair.enter().await }
        });
        eventually("the first", async || children(&client, "/double").await.len() == 2).await;
        // It has looked at `ready` when it has been answered this.
        client.sync("/").await.unwrap();
        assert!(!first.is_finished());
        let second = within("the second", pair.enter()).await.unwrap();
        let first = within("the first", first).await.unwrap().unwrap();
        let (first, second) = tokio::join!(first.leave(), second.leave());
        first.unwrap();
        second.unwrap();
        assert!(children(&client, "/double").await.is_empty());
    });
}

#[test]
fn a_barrier_is_passed_although_it_was_shut_again_at_once() {
    with_each(async |server| {
        let (client, kazoo) = (connect(&server).await, connect(&server).await);
        kazoo.create("/double/0", b"").ephemeral().with_parents().await.unwrap();
        // It waits for a third one.
        let barrier = DoubleBarrier::new(&client, "/double", 3).unwrap();
        let entering = tokio::spawn(async move { barrier.enter().await });
        eventually("both", async || children(&kazoo, "/double").await.len() == 2).await;
        // kazoo's members shut the barrier before all else when they leave.
        let shut = kazoo.multi().create("/double/ready", b"").delete("/double/ready", -1);
        shut.await.unwrap();
        let entered = within("the other one", entering).await.unwrap().unwrap();
        let left = tokio::spawn(entered.leave());
        eventually("the first is alone", async || children(&kazoo, "/double").await == ["0"]).await;
        assert!(!left.is_finished());
        kazoo.delete("/double/0").await.unwrap();
        within("the other one", left).await.unwrap().unwrap();
        assert!(children(&client, "/double").await.is_empty());
    });
}

#[test]
fn who_gives_up_waiting_is_out() {
    with_each(async |server| {
        let client = connect(&server).await;
        let barrier = DoubleBarrier::new(&client, "/double", 2).unwrap();
        let waiting = tokio::spawn(async move { barrier.enter().await.map(drop) });
        eventually("the member", async || children(&client, "/double").await.len() == 1).await;
        waiting.abort();
        eventually("nobody", async || children(&client, "/double").await.is_empty()).await;
    });
}

const ITEMS: [&str; 4] = ["a", "b", "c", "d"];
const SETTLE: Duration = Duration::from_millis(50);

async fn join(client: &Client, id: &str) -> SetPartitioner {
    SetPartitioner::join(client, "/set", ITEMS, id, SETTLE).await.expect("it joins")
}

async fn acquire(member: &SetPartitioner) -> Share {
    within("a share", member.acquire()).await.expect("the session lives")
}

#[test]
fn a_set_is_divided_anew_when_members_come_and_go() {
    with_each(async |server| {
        let client = connect(&server).await;
        let other = connect(&server).await;
        let one = join(&client, "one").await;
        let share = acquire(&one).await;
        assert_eq!(share.items(), ITEMS);

        let two = join(&other, "two").await;
        within("the revocation", share.revoked()).await;
        let (mine, theirs) = tokio::join!(
            async {
                share.release().await.unwrap();
                acquire(&one).await
            },
            acquire(&two)
        );
        assert_eq!(mine.items(), ["a", "c"]);
        assert_eq!(theirs.items(), ["b", "d"]);

        // One is lost with its session: its items go to the other.
        expire(&server, &client).await;
        within("the loss", mine.revoked()).await;
        within("the revocation", theirs.revoked()).await;
        theirs.release().await.unwrap();
        let all = acquire(&two).await;
        assert_eq!(all.items(), ITEMS);
        assert!(one.acquire().await.unwrap_err().is_session_lost());
        drop((mine, one));
        all.release().await.unwrap();
        two.leave().await.unwrap();
        assert!(children(&other, "/set/party").await.is_empty());
        for item in ITEMS {
            eventually("no lock", async || {
                children(&other, &format!("/set/locks/{item}")).await.is_empty()
            })
            .await;
        }
    });
}
