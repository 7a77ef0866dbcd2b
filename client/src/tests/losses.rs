//! Every holding that stands on a session tells that it may be lost, before it can be.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{folder::Folder, peer::builder};
use crate::{
    Client, State,
    recipes::{
        Loss,
        barrier::DoubleBarrier,
        leader::LeaderLatch,
        lock::{MultiLock, Mutex, ReadWriteLock, Semaphore},
        membership::{GroupMember, PersistentNode, SetPartitioner},
        queue::LockingQueue,
    },
};

/// Longer than any session.
const LONG: Duration = Duration::from_mins(10);

/// What becomes of a holding: it is kept while the server answers; when that falls silent the loss
/// is told while the session surely lives; when its node is deleted, at once.
async fn check<H>(hold: impl AsyncFn(&Client) -> H, lost: impl AsyncFn(&H) -> Loss) {
    let (builder, listener) = builder(1 << 16);
    let folder = Folder::serve(listener);
    let client = builder.connect().await.unwrap();
    let holding = hold(&client).await;
    assert!(timeout(LONG, lost(&holding)).await.is_err(), "the server answers");

    let _silent = folder.hush().await;
    assert_eq!(timeout(LONG, lost(&holding)).await, Ok(Loss::Silence));
    let deadline = client.session_deadline();
    let early = deadline.earliest - Instant::now();
    let margin = client.session_timeout() / 10;
    // Timers are exact to a millisecond or two.
    assert!(early <= margin && margin <= early + Duration::from_millis(5), "{early:?}");
    assert_ne!(client.state(), State::Lost);

    // The session is given up later, and that is told as well.
    let mut status = client.status();
    status.wait_for(|status| status.state == State::Lost).await.unwrap();
    assert_eq!(timeout(LONG, lost(&holding)).await, Ok(Loss::Session));
}

/// The same for a holding whose recipe reads its node only to see whether it is there.
async fn check_with_deletion<H>(hold: impl AsyncFn(&Client) -> H, lost: impl AsyncFn(&H) -> Loss) {
    let (builder, listener) = builder(1 << 16);
    let folder = Folder::serve(listener);
    let client = builder.connect().await.unwrap();
    let holding = hold(&client).await;
    {
        let mut lost = std::pin::pin!(lost(&holding));
        assert!(timeout(LONG, &mut lost).await.is_err(), "the server answers");
        let deleting = tokio::spawn(folder.delete_all());
        assert_eq!(timeout(Duration::from_millis(1), lost).await, Ok(Loss::Deleted));
        deleting.abort();
    }
    drop((holding, client));
    check(hold, lost).await;
}

#[tokio::test(start_paused = true)]
async fn locks_tell_in_time_that_they_may_be_lost() {
    let mutex = async |client: &Client| Mutex::new(client, "/a").unwrap().acquire().await.unwrap();
    check_with_deletion(mutex, async |guard| guard.lost().await).await;
    let read =
        async |client: &Client| ReadWriteLock::new(client, "/a").unwrap().read().await.unwrap();
    check_with_deletion(read, async |guard| guard.lost().await).await;
    let write =
        async |client: &Client| ReadWriteLock::new(client, "/a").unwrap().write().await.unwrap();
    check_with_deletion(write, async |guard| guard.lost().await).await;
    let lease =
        async |client: &Client| Semaphore::new(client, "/a", 2).unwrap().acquire().await.unwrap();
    check_with_deletion(lease, async |guard| guard.lost().await).await;
    let several = async |client: &Client| {
        MultiLock::new(client, ["/a", "/b"]).unwrap().acquire().await.unwrap()
    };
    check_with_deletion(several, async |guard| guard.lost().await).await;
}

#[tokio::test(start_paused = true)]
async fn leaders_are_told_in_time_that_they_may_be_leaders_no_more() {
    let lead = async |client: &Client| {
        let latch = LeaderLatch::start(client, "/a", "one").unwrap();
        let leadership = latch.wait().await.unwrap();
        (latch, leadership)
    };
    check(lead, async |(_, leadership)| leadership.lost().await).await;
    // The latch itself has stepped down by then.
    let (builder, listener) = builder(1 << 16);
    let folder = Folder::serve(listener);
    let client = builder.connect().await.unwrap();
    let (latch, leadership) = lead(&client).await;
    let _silent = folder.hush().await;
    assert_eq!(leadership.lost().await, Loss::Silence);
    latch.leadership().wait_for(Option::is_none).await.unwrap();
    assert!(Instant::now() < client.session_deadline().earliest);
}

#[tokio::test(start_paused = true)]
async fn members_are_told_in_time_that_they_may_be_out() {
    let enter =
        async |client: &Client| DoubleBarrier::new(client, "/a", 1).unwrap().enter().await.unwrap();
    check_with_deletion(enter, async |entered| entered.lost().await).await;
    let join = async |client: &Client| GroupMember::join(client, "/a", "one", "").await.unwrap();
    check(join, async |member| member.lost().await).await;
    let keep =
        async |client: &Client| PersistentNode::builder(client, "/a", "1").start().await.unwrap();
    check(keep, async |node| node.lost().await).await;
    let share = async |client: &Client| {
        let settle = Duration::from_secs(1);
        let set = SetPartitioner::join(client, "/a", ["x", "y"], "one", settle).await.unwrap();
        let share = set.acquire().await.unwrap();
        (set, share)
    };
    check(share, async |(set, _)| set.lost().await).await;
    check_with_deletion(share, async |(_, share)| share.lost().await).await;
    let revoked = async |(_, share): &(SetPartitioner, _)| {
        let share: &crate::recipes::membership::Share = share;
        share.revoked().await;
        share.lost().await
    };
    check(share, revoked).await;
}

#[tokio::test(start_paused = true)]
async fn a_consumer_is_told_in_time_that_its_element_may_be_anothers() {
    let take = async |client: &Client| {
        let queue = LockingQueue::kazoo(client, "/a").unwrap();
        queue.put(b"x").await.unwrap();
        queue.take().await.unwrap()
    };
    check_with_deletion(take, async |taken| taken.lost().await).await;
}

#[cfg(feature = "discovery")]
#[tokio::test(start_paused = true)]
async fn a_service_is_told_in_time_that_it_may_not_be_found() {
    use crate::recipes::discovery::{ServiceDiscovery, ServiceInstance};

    let register = async |client: &Client| {
        let services: ServiceDiscovery = ServiceDiscovery::new(client, "/a").unwrap();
        services.register(&ServiceInstance::new("mail").id("1")).await.unwrap()
    };
    check(register, async |registration| registration.lost().await).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_outlives_sessions_is_not_lost_with_one() {
    let (builder, listener) = builder(1 << 16);
    let folder = Folder::serve(listener);
    let client = builder.connect().await.unwrap();
    let node = PersistentNode::builder(&client, "/a", "1").outlive_session().start().await.unwrap();
    let _silent = folder.hush().await;
    let lost = tokio::spawn(async move { node.lost().await });
    let mut status = client.status();
    status.wait_for(|status| status.state == State::Lost).await.unwrap();
    assert!(!lost.is_finished());
}
