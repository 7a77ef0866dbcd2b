//! Locks and leadership with a fault at each of their requests, while a rival wants them too.
//!
//! Each holder writes its token to a register twice. If two held the lock at once their writes would be mixed, or in
//! another order than their tokens.

use std::cell::RefCell;

use quorate_client::{
    Call, Client, Error, MultiOutcome, Zxid,
    recipes::{
        FencingToken,
        leader::{LeaderElection, LeaderLatch, Term},
        lock::{Guard, MultiLock, Mutex, ReadWriteLock, Semaphore},
    },
    request::Multi,
};
use quorate_tests::Server;

use super::{CRASHES, Fault, Garbage, KINDS, Kind, at_each_request};
use crate::{with_each, within};

/// How often the rival holds the lock during the actions.
const ROUNDS: usize = 2;

/// Writes of holders: when, and with which token.
type Writes = Vec<(Zxid, FencingToken)>;

/// Writes twice what only the holder may write.
async fn write_twice<'a>(
    token: FencingToken,
    multi: impl Fn() -> Call<'a, Multi>,
) -> Result<Writes, Error> {
    let mut writes = Vec::new();
    for _ in 0..2 {
        let mut outcomes = multi().set("/register", token.to_string(), -1).await?;
        match outcomes.pop() {
            Some(MultiOutcome::Set(stat)) => writes.push((stat.mzxid, token)),
            other => panic!("{other:?}"),
        }
    }
    Ok(writes)
}

async fn use_guard(guard: Guard) -> Result<Writes, Error> {
    let written = write_twice(guard.token(), || guard.multi()).await;
    guard.release().await?;
    written
}

async fn mutex(client: Client) -> Result<Writes, Error> {
    use_guard(Mutex::new(&client, "/lock")?.acquire().await?).await
}

async fn write_lock(client: Client) -> Result<Writes, Error> {
    use_guard(ReadWriteLock::new(&client, "/lock")?.write().await?).await
}

async fn read_lock(client: Client) -> Result<Writes, Error> {
    use_guard(ReadWriteLock::new(&client, "/lock")?.read().await?).await
}

async fn semaphore(client: Client) -> Result<Writes, Error> {
    use_guard(Semaphore::new(&client, "/lock", 1)?.acquire().await?).await
}

async fn several(client: Client) -> Result<Writes, Error> {
    let guard = MultiLock::new(&client, ["/lock/a", "/lock/b"])?.acquire().await?;
    let token = guard.guards().last().expect("there are two").token();
    let written = write_twice(token, || guard.multi()).await;
    guard.release().await?;
    written
}

async fn election(client: Client) -> Result<Writes, Error> {
    let election = LeaderElection::new(&client, "/lock")?.id("one");
    let work = election
        .lead(async |leadership| write_twice(leadership.token(), || leadership.multi()).await);
    match work.await? {
        Term::Finished(written) => written,
        Term::Lost(loss) => panic!("nobody takes it from a leader: {loss:?}"),
    }
}

async fn latch(client: Client) -> Result<Writes, Error> {
    let latch = LeaderLatch::start(&client, "/lock", "one")?;
    let leadership = latch.wait().await?;
    let written = write_twice(leadership.token(), || leadership.multi()).await;
    latch.close().await?;
    written
}

/// Uses a lock with faults of these kinds, while the rival uses it as well.
async fn with_faults<V, R>(
    server: &Server,
    kinds: &[Kind],
    garbage: Garbage<'_>,
    victim: impl Fn(Client) -> V,
    rival: impl Fn(Client) -> R + Copy + Send + 'static,
) where
    V: Future<Output = Result<Writes, Error>>,
    R: Future<Output = Result<Writes, Error>> + Send,
{
    let competing = RefCell::new(None);
    let prepare = async |client: &Client| {
        client.create("/register", b"").await.expect("it is new");
        let client = client.clone();
        let rounds = async move {
            let mut writes = Vec::new();
            for _ in 0..ROUNDS {
                writes.extend(rival(client.clone()).await.expect("the rival meets no fault"));
            }
            writes
        };
        *competing.borrow_mut() = Some(tokio::spawn(rounds));
    };
    let act = async |client: &Client| victim(client.clone()).await;
    let check = async |client: &Client, fault: Fault, result: Option<Result<Writes, Error>>| {
        let competing = competing.borrow_mut().take().expect("it was started");
        let mut writes = within("the rival", competing).await.expect("it goes on");
        match result {
            Some(Ok(of_victim)) => writes.extend(of_victim),
            // A write whose answer was lost; it gave the lock back all the same.
            Some(Err(error)) => assert!(!error.surely_not_done(), "{fault}: {error}"),
            None => {}
        }
        let last = within("the lock", rival(client.clone())).await.expect("it is free");
        let greatest = last[0].1;
        assert!(writes.iter().all(|(_, token)| *token < greatest), "{fault}: {writes:?} {last:?}");
        writes.sort_unstable();
        assert!(writes.is_sorted_by_key(|(_, token)| *token), "{fault}: {writes:?}");
    };
    at_each_request(server, kinds, garbage, prepare, act, check).await;
}

const LINE: Garbage<'_> = &["/register", "/lock"];

#[test]
fn a_mutex_is_free_after_a_crash() {
    with_each(async |server| with_faults(&server, &CRASHES, LINE, mutex, mutex).await);
}

#[test]
fn a_read_write_lock_is_free_after_a_crash() {
    with_each(async |server| {
        with_faults(&server, &CRASHES, LINE, write_lock, write_lock).await;
        with_faults(&server, &CRASHES, LINE, read_lock, write_lock).await;
        with_faults(&server, &CRASHES, LINE, write_lock, read_lock).await;
    });
}

#[test]
fn a_lease_is_free_after_a_crash() {
    let garbage = &["/register", "/lock", "/lock/locks", "/lock/leases"];
    with_each(async |server| {
        with_faults(&server, &CRASHES, garbage, semaphore, semaphore).await;
    });
}

#[test]
fn several_locks_are_free_after_a_crash() {
    let garbage = &["/register", "/lock", "/lock/a", "/lock/b"];
    with_each(async |server| with_faults(&server, &CRASHES, garbage, several, several).await);
}

#[test]
fn an_election_goes_on_whatever_its_leader_meets() {
    with_each(async |server| with_faults(&server, &KINDS, LINE, election, election).await);
}

#[test]
fn a_latch_hands_on_whatever_its_leader_meets() {
    with_each(async |server| with_faults(&server, &KINDS, LINE, latch, latch).await);
}
