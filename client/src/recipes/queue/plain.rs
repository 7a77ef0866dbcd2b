//! Queues.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use quorate_protocol::{OpCode, Zxid, path};
use tokio::sync::Mutex;

use super::format::QueueFormat;
use crate::{
    Client,
    create::join,
    error::{Error, ErrorKind},
    recipes::ensure_node,
    watch::WatchStream,
};

/// An element of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The name of its node.
    pub name: String,
    /// The data of its node, as it is: see [`items`](Self::items).
    pub data: Bytes,
    /// The transaction that put it.
    pub czxid: Zxid,
    pub(super) format: QueueFormat,
}

impl Element {
    /// What was put: one item, but for Curator's `putMulti`, which puts any number of items as one element.
    ///
    /// # Errors
    /// When the data is not in the queue's format.
    pub fn items(&self) -> Result<Vec<Bytes>, Error> {
        let failed = |kind| Error::new(kind).of(OpCode::GetData, Some(&self.name));
        self.format.decode(&self.data).map_err(failed)
    }

    /// What was put, of an element of one item.
    ///
    /// # Errors
    /// When the data is not in the queue's format, or holds any other number of items.
    pub fn item(&self) -> Result<Bytes, Error> {
        let [item] = <[Bytes; 1]>::try_from(self.items()?).map_err(|_| {
            let kind = ErrorKind::Unexpected("number of items in an element");
            Error::new(kind).of(OpCode::GetData, Some(&self.name))
        })?;
        Ok(item)
    }
}

/// A queue: what one puts, one of many takes. Elements are persistent children of the queue's node, in one of three
/// formats: see [`QueueFormat`].
///
/// # Delivery
/// At most once: an element is removed, then handed over. It is lost when its consumer crashes on the way. When the
/// connection is lost in the middle, [`try_take`](Self::try_take) finds out whether the element was removed; if it is
/// gone, nobody can tell by whom, and the call fails with an error of which [`Error::surely_not_done`] is false.
/// [`LockingQueue`](super::LockingQueue) delivers at least once.
///
/// A put is made at most once, and fails with such an error too. Whoever puts again then, puts at least once.
///
/// # Ordering
/// Elements are taken in the order of their names: by priority, smaller ones first, then in the order they were put.
/// With many consumers, or a put during the take, that holds for those seen when the children were last read, which
/// happens at the latest when a sixteenth of them is taken.
///
/// # Size
/// All names are read at once: a queue should not grow beyond some ten thousand elements.
#[derive(Debug)]
pub struct Queue {
    client: Client,
    path: String,
    format: QueueFormat,
    waiting: Mutex<Waiting>,
    /// An element is not among those as last seen, although it may be there.
    has_missed: AtomicBool,
}

/// The elements as last seen.
#[derive(Debug, Default)]
struct Waiting {
    events: Option<WatchStream>,
    names: VecDeque<String>,
    /// How many there were.
    seen: usize,
    /// There may be others.
    is_stale: bool,
}

impl Waiting {
    /// Whether the names are to be read again.
    fn must_refresh(&self) -> bool {
        let taken = self.seen - self.names.len();
        self.is_stale && (self.names.is_empty() || taken > self.seen / 16)
    }
}

/// An attempt to remove an element. Dropped when it fails, or is given up: the element may still be there.
struct Attempt<'a> {
    has_missed: &'a AtomicBool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.has_missed.store(true, Ordering::Relaxed);
    }
}

/// The names of elements, in the order in which they are taken.
pub(super) fn in_order(mut names: Vec<String>, format: QueueFormat) -> Vec<String> {
    names.retain(|name| format.is_element(name));
    names.sort_unstable();
    names
}

impl Queue {
    /// A queue at a path. The node is created when it is needed.
    ///
    /// # Errors
    /// When the path is none.
    pub fn new(client: &Client, path: &str, format: QueueFormat) -> Result<Self, Error> {
        path::validate(path)?;
        let waiting = Mutex::new(Waiting { is_stale: true, ..Waiting::default() });
        let has_missed = AtomicBool::new(false);
        Ok(Self { client: client.clone(), path: path.to_owned(), format, waiting, has_missed })
    }

    /// Puts an item, and answers the name of its element. Of kazoo's priorities it gets 100, of Curator's none.
    ///
    /// # Cancel safety
    /// Dropping the future leaves unknown whether it was put.
    pub async fn put(&self, item: &[u8]) -> Result<String, Error> {
        self.create(&self.format.prefix(None)?, &self.format.encode(&[item])).await
    }

    /// Puts an item with a priority: of smaller ones first. kazoo's go from 0 to 999. Curator's `DistributedPriorityQueue`
    /// has all; elements with and without one should not be mixed.
    ///
    /// # Errors
    /// When the format has no such priority.
    ///
    /// # Cancel safety
    /// Dropping the future leaves unknown whether it was put.
    pub async fn put_with_priority(&self, item: &[u8], priority: i32) -> Result<String, Error> {
        self.create(&self.format.prefix(Some(priority))?, &self.format.encode(&[item])).await
    }

    /// Puts several items as one element: all go to one consumer.
    ///
    /// # Errors
    /// When the format has no such elements: only [`QueueFormat::Curator`] has.
    ///
    /// # Cancel safety
    /// Dropping the future leaves unknown whether it was put.
    pub async fn put_together(&self, items: &[&[u8]]) -> Result<String, Error> {
        if self.format != QueueFormat::Curator {
            return Err(
                ErrorKind::BadArgument("elements of several items are Curator's only").into()
            );
        }
        self.create(&self.format.prefix(None)?, &self.format.encode(items)).await
    }

    /// Puts several items, each as an element, all or none of them.
    ///
    /// # Cancel safety
    /// Dropping the future leaves unknown whether they were put.
    pub async fn put_all(&self, items: &[&[u8]]) -> Result<(), Error> {
        put_all(&self.client, &self.path, self.format, None, items).await
    }

    async fn create(&self, prefix: &str, data: &[u8]) -> Result<String, Error> {
        put(&self.client, &self.path, prefix, data).await
    }

    /// Takes the first element; `None` when there is none.
    ///
    /// # Cancel safety
    /// Dropping the future may lose an element. Wait with [`ready`](Self::ready), and see this through.
    pub async fn try_take(&self) -> Result<Option<Element>, Error> {
        while let Some(name) = self.next_name(false).await? {
            let attempt = Attempt { has_missed: &self.has_missed };
            let removed = self.remove(&name).await?;
            std::mem::forget(attempt);
            if removed.is_some() {
                return Ok(removed);
            }
        }
        Ok(None)
    }

    /// Takes the first element, and waits for one if there is none.
    ///
    /// # Cancel safety
    /// As with [`try_take`](Self::try_take).
    pub async fn take(&self) -> Result<Element, Error> {
        loop {
            self.ready().await?;
            if let Some(element) = self.try_take().await? {
                return Ok(element);
            }
        }
    }

    /// Waits until there seems to be an element. Another consumer may take it first.
    ///
    /// # Errors
    /// When the children cannot be read, or the client is closed.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn ready(&self) -> Result<(), Error> {
        let Some(name) = self.next_name(true).await? else { return Err(ErrorKind::Closed.into()) };
        self.waiting.lock().await.names.push_front(name);
        Ok(())
    }

    /// How many elements there are.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn count(&self) -> Result<usize, Error> {
        Ok(children(&self.client, &self.path, self.format).await?.len())
    }

    /// The name of the first element that nobody else of this value works on.
    async fn next_name(&self, wait: bool) -> Result<Option<String>, Error> {
        let mut waiting = self.waiting.lock().await;
        let waiting = &mut *waiting;
        loop {
            let events = match &mut waiting.events {
                Some(events) => events,
                none => none.insert(self.client.watch(&self.path).children().await?),
            };
            while events.try_next().is_some() {
                waiting.is_stale = true;
            }
            if self.has_missed.swap(false, Ordering::Relaxed) {
                waiting.is_stale = true;
                waiting.names.clear();
            }
            if waiting.must_refresh() {
                waiting.names = children(&self.client, &self.path, self.format).await?.into();
                waiting.seen = waiting.names.len();
                waiting.is_stale = false;
            }
            if let Some(name) = waiting.names.pop_front() {
                return Ok(Some(name));
            }
            if !wait {
                return Ok(None);
            }
            let events = waiting.events.as_mut().expect("started above");
            events.next().await.ok_or(ErrorKind::Closed)?;
            waiting.is_stale = true;
        }
    }

    /// Reads and removes an element; `None` when somebody else removed it.
    async fn remove(&self, name: &str) -> Result<Option<Element>, Error> {
        let path = join(&self.path, name);
        // A request of another session could still be under way: what is seen in it does not count here.
        let client = self.client.in_this_session();
        loop {
            let node = match client.get(&path).await {
                Err(error) if error.is_no_node() => return Ok(None),
                node => node?,
            };
            let unknown = match client.delete(&path).version(node.stat.version).await {
                Ok(()) => {
                    let (name, format) = (name.to_owned(), self.format);
                    let data = Bytes::copy_from_slice(&node.data);
                    return Ok(Some(Element { name, data, czxid: node.stat.czxid, format }));
                }
                Err(error) if error.is_no_node() => return Ok(None),
                Err(error) if error.is_bad_version() => continue,
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionLost(_)) => error,
                Err(error) => return Err(error),
            };
            match client.exists(&path).linearizable().await {
                // It was not removed.
                Ok(Some(_)) => {}
                _ => return Err(unknown),
            }
        }
    }
}

/// Creates an element, and the queue's node if it is missing.
pub(super) async fn put(
    client: &Client,
    parent: &str,
    prefix: &str,
    data: &[u8],
) -> Result<String, Error> {
    let path = join(parent, prefix);
    let created = match client.create(&path, data).sequential().await {
        Err(error) if error.is_no_node() => {
            ensure_node(client, parent).await?;
            client.create(&path, data).sequential().await?
        }
        created => created?,
    };
    Ok(path::split(&created.path).map_or("", |(_, name)| name).to_owned())
}

/// Creates several elements at once.
pub(super) async fn put_all(
    client: &Client,
    parent: &str,
    format: QueueFormat,
    priority: Option<i32>,
    items: &[&[u8]],
) -> Result<(), Error> {
    let path = join(parent, &format.prefix(priority)?);
    let multi = || {
        items.iter().fold(client.multi(), |multi, item| {
            multi.add(client.create(&path, format.encode(&[item])).sequential())
        })
    };
    match multi().await {
        Err(error) if error.is_no_node() => {
            ensure_node(client, parent).await?;
            multi().await?;
        }
        done => drop(done?),
    }
    Ok(())
}

/// The names of a queue's elements, in order.
pub(super) async fn children(
    client: &Client,
    path: &str,
    format: QueueFormat,
) -> Result<Vec<String>, Error> {
    match client.children(path).await {
        Err(error) if error.is_no_node() => Ok(Vec::new()),
        children => Ok(in_order(children?.names, format)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_again_after_a_sixteenth_of_them() {
        let names = |count| (0..count).map(|n| n.to_string()).collect();
        let mut waiting = Waiting { names: names(32), seen: 32, is_stale: true, events: None };
        assert!(!waiting.must_refresh());
        waiting.names = names(29);
        assert!(waiting.must_refresh());
        waiting.is_stale = false;
        waiting.names.clear();
        assert!(!waiting.must_refresh());
        waiting.is_stale = true;
        assert!(waiting.must_refresh());
    }
}
