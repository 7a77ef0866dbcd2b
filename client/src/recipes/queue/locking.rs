//! Queues whose elements are locked while they are worked on.

use std::collections::HashSet;

use bytes::Bytes;
use quorate_protocol::{ErrorCode, OpCode, path};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    format::QueueFormat,
    plain::{self, Element},
};
use crate::{
    Client,
    create::join,
    error::{Error, ErrorKind},
    recipes::{FencingToken, Loss, ensure_node, own_node::OwnNode},
    watch::WatchStream,
};

/// A queue whose elements stay until their consumer is done with them: kazoo's `LockingQueue`, and Curator's
/// `DistributedQueue` and `DistributedPriorityQueue` with a lock path. An element that is worked on is locked by an
/// ephemeral node of the same name in another folder.
///
/// # Delivery
/// At least once: an element whose consumer gives it back, is gone or loses its session is taken by another. An element
/// that was declared [`done`](Taken::done) is never delivered again. Two consumers work on one element only when the
/// first goes on after [`Taken::lost`]; [`Taken::token`] tells the later one.
///
/// # Ordering
/// Elements are taken in the order of their names: by priority, smaller ones first, then in the order they were put;
/// those given back come again in their old place.
#[derive(Debug)]
pub struct LockingQueue {
    client: Client,
    entries: String,
    locks: String,
    format: QueueFormat,
    events: Mutex<Option<[WatchStream; 2]>>,
}

/// The elements that nobody works on.
fn free(elements: Vec<String>, locked: Vec<String>) -> impl Iterator<Item = String> {
    let locked: HashSet<_> = locked.into_iter().collect();
    elements.into_iter().filter(move |name| !locked.contains(name))
}

impl LockingQueue {
    /// kazoo's `LockingQueue` at a path: elements in `entries` below it, locks in `taken`.
    ///
    /// # Errors
    /// When the path is none.
    pub fn kazoo(client: &Client, path: &str) -> Result<Self, Error> {
        path::validate(path)?;
        let (entries, locks) = (join(path, "entries"), join(path, "taken"));
        Self::new(client, entries, locks, QueueFormat::Kazoo)
    }

    /// Curator's `DistributedQueue` at a path, with its lock path.
    ///
    /// # Errors
    /// When one of the paths is none.
    pub fn curator(client: &Client, path: &str, lock_path: &str) -> Result<Self, Error> {
        Self::new(client, path.to_owned(), lock_path.to_owned(), QueueFormat::Curator)
    }

    fn new(
        client: &Client,
        entries: String,
        locks: String,
        format: QueueFormat,
    ) -> Result<Self, Error> {
        path::validate(&entries)?;
        path::validate(&locks)?;
        Ok(Self { client: client.clone(), entries, locks, format, events: Mutex::new(None) })
    }

    /// Puts an item: as [`Queue::put`](super::Queue::put).
    pub async fn put(&self, item: &[u8]) -> Result<String, Error> {
        let prefix = self.format.prefix(None)?;
        plain::put(&self.client, &self.entries, &prefix, &self.format.encode(&[item])).await
    }

    /// Puts an item with a priority: as [`Queue::put_with_priority`](super::Queue::put_with_priority).
    pub async fn put_with_priority(&self, item: &[u8], priority: i32) -> Result<String, Error> {
        let prefix = self.format.prefix(Some(priority))?;
        plain::put(&self.client, &self.entries, &prefix, &self.format.encode(&[item])).await
    }

    /// Puts several items, each as an element, all or none of them: as [`Queue::put_all`](super::Queue::put_all).
    pub async fn put_all(&self, items: &[&[u8]]) -> Result<(), Error> {
        plain::put_all(&self.client, &self.entries, self.format, None, items).await
    }

    /// How many elements there are, those worked on included.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn count(&self) -> Result<usize, Error> {
        Ok(plain::children(&self.client, &self.entries, self.format).await?.len())
    }

    /// Takes the first element that nobody works on; `None` when there is none.
    ///
    /// # Cancel safety
    /// Dropping the future gives back what it was about to take.
    pub async fn try_take(&self) -> Result<Option<Taken>, Error> {
        let elements = self.client.children(&self.entries).send();
        let locked = self.client.children(&self.locks).send();
        let mut lists = [Vec::new(), Vec::new()];
        for (list, answer) in lists.iter_mut().zip([elements, locked]) {
            match answer.await {
                Err(error) if error.is_no_node() => {}
                children => *list = children?.names,
            }
        }
        let [elements, locked] = lists;
        for name in free(plain::in_order(elements, self.format), locked) {
            if let Some(taken) = self.lock(name).await? {
                return Ok(Some(taken));
            }
        }
        Ok(None)
    }

    /// Takes the first element that nobody works on, and waits for one if there is none.
    ///
    /// # Cancel safety
    /// Dropping the future gives back what it was about to take.
    pub async fn take(&self) -> Result<Taken, Error> {
        let mut events = self.events.lock().await;
        let [entries, locks] = match &mut *events {
            Some(streams) => streams,
            none => {
                let entries = self.client.watch(&self.entries).children().await?;
                let locks = self.client.watch(&self.locks).children().await?;
                none.insert([entries, locks])
            }
        };
        loop {
            while entries.try_next().is_some() || locks.try_next().is_some() {}
            if let Some(taken) = self.try_take().await? {
                return Ok(taken);
            }
            let item = tokio::select! {
                item = entries.next() => item,
                item = locks.next() => item,
            };
            item.ok_or(ErrorKind::Closed)?;
        }
    }

    /// Locks and reads an element; `None` when somebody else has locked or removed it.
    async fn lock(&self, name: String) -> Result<Option<Taken>, Error> {
        let lock_path = join(&self.locks, &name);
        // Unlike the name, this tells whose lock it is.
        let id = Uuid::new_v4().simple().to_string();
        let (own, stat) = match OwnNode::create(&self.client, lock_path, id.as_bytes()).await {
            Err(error) if error.is_node_exists() => return Ok(None),
            created => created?,
        };
        let path = join(&self.entries, &name);
        let node = match own.client().get(&path).await {
            // Somebody was done with it since the list was read. Dropping the lock deletes it.
            Err(error) if error.is_no_node() => return Ok(None),
            node => node?,
        };
        let data = Bytes::copy_from_slice(&node.data);
        let element = Element { name, data, czxid: node.stat.czxid, format: self.format };
        Ok(Some(Taken {
            element,
            path,
            own,
            token: stat.czxid.into(),
            entries: self.entries.clone(),
        }))
    }

    /// Creates the folders, which otherwise come with the first element and the first lock.
    ///
    /// # Cancel safety
    /// Dropping the future leaves unknown how far it came; calling it again does no harm.
    pub async fn create(&self) -> Result<(), Error> {
        ensure_node(&self.client, &self.entries).await?;
        ensure_node(&self.client, &self.locks).await
    }
}

/// An element of a [`LockingQueue`] that is worked on here. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping it gives it back"]
pub struct Taken {
    element: Element,
    path: String,
    own: OwnNode,
    token: FencingToken,
    entries: String,
}

impl Taken {
    /// The element.
    pub fn element(&self) -> &Element {
        &self.element
    }

    /// The fencing token: larger than that of all consumers of the element before.
    pub fn token(&self) -> FencingToken {
        self.token
    }

    /// Waits until another consumer may take the element, and tells why, before the session can have expired: see [`Loss`].
    ///
    /// # Cancel safety
    /// It may be called again and again, and several times at once.
    pub async fn lost(&self) -> Loss {
        self.own.lost().await
    }

    /// Removes the element, and its lock, at once: it is not delivered again.
    ///
    /// # Errors
    /// [`ErrorKind::SessionLost`] when the session ended: another consumer has it, or will; if
    /// [`Error::surely_not_done`] is false it may be removed as well.
    ///
    /// # Cancel safety
    /// Dropping the future leaves unknown whether it was removed or given back.
    pub async fn done(mut self) -> Result<(), Error> {
        let multi = self.own.client().multi().delete(&self.path, -1);
        let result = multi.delete(self.own.path(), -1).repeatable().await;
        self.removed(result.map(drop))
    }

    /// Puts the element at the end of those of its priority, and removes it from its place, at once. For an element that
    /// cannot be worked on now and shall not hold up the others.
    ///
    /// # Errors
    /// As [`done`](Self::done).
    ///
    /// # Cancel safety
    /// As [`done`](Self::done).
    pub async fn put_back_last(mut self) -> Result<(), Error> {
        let client = self.own.client();
        let prefix = join(&self.entries, QueueFormat::prefix_of(&self.element.name));
        let again = client.create(&prefix, &self.element.data).sequential();
        let multi = client.multi().delete(&self.path, -1).delete(self.own.path(), -1).add(again);
        let result = multi.repeatable().await;
        self.removed(result.map(drop))
    }

    /// Gives the element back, in its old place, and waits until others can take it. Dropping it does so too, without
    /// waiting.
    ///
    /// # Errors
    /// When there is no connection for long.
    ///
    /// # Cancel safety
    /// Dropping the future gives it back in the background.
    pub async fn give_back(mut self) -> Result<(), Error> {
        match self.own.delete().await {
            Err(error) if error.is_session_lost() => Ok(()),
            done => done,
        }
    }

    fn removed(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        let Err(error) = result else {
            self.own.set_gone();
            return Ok(());
        };
        match error.kind() {
            // Nobody but the holder of the lock removes an element: it was an attempt whose answer was lost.
            ErrorKind::MultiFailed { index: 0, code: ErrorCode::NoNode }
                if !error.surely_not_done() =>
            {
                self.own.set_gone();
                Ok(())
            }
            // The lock is gone: an operator deleted it.
            ErrorKind::MultiFailed { index: 1, code: ErrorCode::NoNode } => {
                self.own.set_gone();
                Err(error.of(OpCode::Multi, Some(&self.path)))
            }
            _ => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locked_elements_are_left_out() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let free: Vec<_> = free(names(&["a", "b", "c"]), names(&["b", "x"])).collect();
        assert_eq!(free, ["a", "c"]);
    }
}
