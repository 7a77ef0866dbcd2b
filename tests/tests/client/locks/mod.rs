//! Locks and leadership, at servers of both kinds.

mod crash;
mod foreign;
mod proxy;
mod rules;

use std::time::Duration;

use quorate_client::{
    Client, Error, MultiOutcome, SessionId, Zxid,
    recipes::{
        FencingToken,
        leader::{LeaderLatch, Leadership},
        lock::{Guard, MultiGuard, MultiLock, Mutex, ReadWriteLock, Semaphore},
    },
};

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// What excludes others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recipe {
    Mutex,
    Write,
    Read,
    Semaphore,
    Multi,
    Latch,
}

impl Recipe {
    const ALL: [Self; 6] =
        [Self::Mutex, Self::Write, Self::Read, Self::Semaphore, Self::Multi, Self::Latch];

    /// The folders its nodes are in.
    fn lines(self, folder: &str) -> Vec<String> {
        match self {
            Self::Semaphore => ["locks", "leases"].map(|name| format!("{folder}/{name}")).into(),
            Self::Multi => ["a", "b"].map(|name| format!("{folder}/{name}")).into(),
            _ => vec![folder.to_owned()],
        }
    }

    /// How many nodes there are when one holds it.
    fn nodes_of_a_holder(self) -> usize {
        match self {
            Self::Multi => 2,
            _ => 1,
        }
    }

    /// How many nodes there are when one holds it and one waits.
    fn nodes_with_a_waiter(self) -> usize {
        match self {
            Self::Semaphore | Self::Multi => 3,
            _ => 2,
        }
    }

    /// How many requests one makes, at least, before it waits.
    fn requests_of_a_waiter(self) -> usize {
        match self {
            // Enter and list for the mutex beside it, then for the lease.
            Self::Semaphore => 4,
            // Enter, list, watch.
            _ => 3,
        }
    }

    /// Acquires it; a read lock excludes writers only.
    async fn hold(self, client: &Client, folder: &str) -> Result<Holding, Error> {
        let locks = || ReadWriteLock::new(client, folder);
        Ok(match self {
            Self::Mutex => Holding::One(Mutex::new(client, folder)?.acquire().await?),
            Self::Write => Holding::One(locks()?.write().await?),
            Self::Read => Holding::One(locks()?.read().await?),
            Self::Semaphore => Holding::One(Semaphore::new(client, folder, 1)?.acquire().await?),
            Self::Multi => {
                let folders = self.lines(folder);
                let lock = MultiLock::new(client, folders.iter().map(String::as_str))?;
                Holding::Many(lock.acquire().await?)
            }
            Self::Latch => {
                let latch = LeaderLatch::start(client, folder, "somebody")?;
                let leadership = latch.wait().await?;
                Holding::Leader(latch, leadership)
            }
        })
    }
}

enum Holding {
    One(Guard),
    Many(MultiGuard),
    Leader(LeaderLatch, Leadership),
}

impl Holding {
    fn token(&self) -> FencingToken {
        match self {
            Self::One(guard) => guard.token(),
            // Of the last one acquired.
            Self::Many(guard) => guard.guards().last().unwrap().token(),
            Self::Leader(_, leadership) => leadership.token(),
        }
    }

    /// Writes to a node what only the holder may write; when that was.
    async fn write(&self, path: &str) -> Result<Zxid, Error> {
        let multi = match self {
            Self::One(guard) => guard.multi(),
            Self::Many(guard) => guard.multi(),
            Self::Leader(_, leadership) => leadership.multi(),
        };
        let mut outcomes = multi.set(path, self.token().to_string(), -1).await?;
        match outcomes.pop() {
            Some(MultiOutcome::Set(stat)) => Ok(stat.mzxid),
            other => panic!("{other:?}"),
        }
    }

    async fn release(self) -> Result<(), Error> {
        match self {
            Self::One(guard) => guard.release().await,
            Self::Many(guard) => guard.release().await,
            Self::Leader(latch, _) => latch.close().await,
        }
    }
}

async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(PATIENCE, future).await else {
        panic!("waited too long for {what}");
    };
    value
}

/// Waits until there are so many nodes in these folders.
async fn wait_for_nodes(client: &Client, folders: &[String], number: usize) {
    let waiting = async {
        loop {
            let mut found = Vec::new();
            let mut watches = Vec::new();
            for folder in folders {
                match client.children(folder).watch().linearizable().await {
                    Ok((children, watch)) => {
                        found.extend(children.names);
                        watches.push(Box::pin(watch));
                    }
                    Err(error) => assert!(error.is_no_node(), "{error}"),
                }
            }
            if found.len() == number {
                return;
            }
            // A folder that is not there yet is looked for again soon; nothing tells of it.
            let pause = tokio::time::sleep(Duration::from_millis(20));
            match watches.pop() {
                Some(watch) if watches.is_empty() && folders.len() == 1 => drop(watch.await),
                _ => pause.await,
            }
        }
    };
    patiently(&format!("{number} nodes in {folders:?}"), waiting).await;
}

/// The session of whoever is first in a folder.
async fn first_session(mutex: &Mutex) -> SessionId {
    mutex.participants().await.unwrap()[0].session
}
