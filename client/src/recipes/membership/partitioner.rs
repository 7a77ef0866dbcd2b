//! A set of items divided among those who are there.

use std::time::Duration;

use futures_util::stream::{self, FuturesUnordered, StreamExt};
use quorate_protocol::path;
use uuid::Uuid;

use crate::{
    Client,
    create::join,
    error::{Error, ErrorKind},
    recipes::{
        Loss,
        line::{Entry, Line, Rule, Seat},
        loss::{self, while_in_session},
        own_node::OwnNode,
    },
    watch::WatchStream,
};

/// What kazoo's locks have in the names of their nodes, right before the number.
const LOCK: &str = "__lock__";

/// Divides a set of items among its members, so that each has at most one owner: kazoo's `SetPartitioner`, with the same
/// nodes: members as children of `party`, a lock for each item below `locks`.
///
/// # Delivery
/// Every item is owned by at most one member whose session lives. When members come or go, all give back their shares and
/// divide anew, so an item has no owner for a while: at least as long as the members must have been the same
/// (`settle`).
///
/// # Example
/// ```no_run
/// # use quorate_client::{Client, Error, recipes::membership::SetPartitioner};
/// # async fn example(client: &Client, work: impl AsyncFn(&str)) -> Result<(), Error> {
/// let settle = std::time::Duration::from_secs(5);
/// let items = ["queue-1", "queue-2", "queue-3"];
/// let member = SetPartitioner::join(client, "/work", items, "host-1", settle).await?;
/// loop {
///     let share = member.acquire().await?;
///     tokio::select! {
///         () = share.revoked() => {}
///         () = async { for item in share.items() { work(item).await } } => {}
///     }
///     share.release().await?;
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct SetPartitioner {
    client: Client,
    party: String,
    locks: String,
    items: Vec<String>,
    id: String,
    settle: Duration,
    member: OwnNode,
}

/// The ids of the members, from the names of their nodes.
fn members(names: &[String]) -> Vec<&str> {
    let mut members: Vec<_> =
        names.iter().filter_map(|name| name.split_once('-')).map(|(_, id)| id).collect();
    members.sort_unstable();
    members
}

/// The items of a member: every n-th of them. All members must come to the same result.
fn share(members: &[&str], id: &str, items: &[String]) -> Option<Vec<String>> {
    let place = members.iter().position(|member| *member == id)?;
    Some(items.iter().skip(place).step_by(members.len()).cloned().collect())
}

impl SetPartitioner {
    /// Joins those who divide `items`. All must name the same items, and each its own id. `settle` is how long the members
    /// must have been the same before they divide; kazoo's default is 30 s.
    ///
    /// # Errors
    /// When the path, an item or the id are no names of nodes.
    ///
    /// # Cancel safety
    /// Dropping the future leaves again.
    pub async fn join(
        client: &Client,
        path: &str,
        items: impl IntoIterator<Item = impl Into<String>>,
        id: &str,
        settle: Duration,
    ) -> Result<Self, Error> {
        path::validate(path)?;
        let (party, locks) = (join(path, "party"), join(path, "locks"));
        let mut items: Vec<String> = items.into_iter().map(Into::into).collect();
        items.sort_unstable();
        items.dedup();
        for item in &items {
            path::validate(&join(&locks, item))?;
            if item.contains('/') {
                return Err(ErrorKind::BadArgument("an item with a slash").into());
            }
        }
        let name = format!("{}-{id}", Uuid::new_v4().simple());
        let (member, _) = OwnNode::create(client, join(&party, &name), id.as_bytes()).await?;
        let (client, id) = (client.clone(), id.to_owned());
        Ok(Self { client, party, locks, items, id, settle, member })
    }

    /// Waits until the members have been the same for long enough, and acquires this member's share.
    ///
    /// # Errors
    /// [`ErrorKind::SessionLost`] when the session ends: this member is out then, and must join anew.
    ///
    /// # Cancel safety
    /// Dropping the future gives back what was acquired of the share.
    pub async fn acquire(&self) -> Result<Share, Error> {
        let mut events = self.client.watch(&self.party).children().await?;
        loop {
            let names = self.settled(&mut events).await?;
            let Some(items) = share(&members(&names), &self.id, &self.items) else {
                return Err(ErrorKind::Unexpected("absence of the member's node").into());
            };
            let unless_changed = async {
                tokio::select! {
                    acquired = self.lock_all(&items) => acquired.map(Some),
                    item = events.next() => item.map(|_| None).ok_or(ErrorKind::Closed.into()),
                }
            };
            let acquired = while_in_session(self.member.client(), unless_changed).await??;
            let Some(locks) = acquired else { continue };
            if events.try_next().is_none() {
                let session = self.member.client().clone();
                return Ok(Share { items, locks, session, events: events.into() });
            }
        }
    }

    /// The names of the members' nodes, when they have been the same for long enough.
    async fn settled(&self, events: &mut WatchStream) -> Result<Vec<String>, Error> {
        loop {
            while events.try_next().is_some() {}
            let names = self.member.client().children(&self.party).await?.names;
            let change = while_in_session(self.member.client(), events.next());
            match tokio::time::timeout(self.settle, change).await {
                Err(_) => return Ok(names),
                Ok(item) => drop(item?.ok_or(ErrorKind::Closed)?),
            }
        }
    }

    /// Waits until this member may be out, and its share another's, and tells why, before its session can have expired:
    /// see [`Loss`].
    ///
    /// # Cancel safety
    /// It may be called again and again, and several times at once.
    pub async fn lost(&self) -> Loss {
        self.member.lost().await
    }

    /// Acquires the locks of all items.
    async fn lock_all(&self, items: &[String]) -> Result<Vec<Seat>, Error> {
        let mut locks = Vec::with_capacity(items.len());
        for item in items {
            let line = Line::new(self.member.client(), &join(&self.locks, item), LOCK)?;
            let line = line.with_data(self.id.clone().into());
            match line.enter(Rule::Alone, true).await? {
                Entry::In(seat) => locks.push(seat),
                Entry::Busy => unreachable!("it is patient"),
            }
        }
        Ok(locks)
    }

    /// Leaves, and waits until this member's node is gone. Shares must be released before. Dropping the value leaves too,
    /// without waiting.
    ///
    /// # Errors
    /// When there is no connection for long.
    ///
    /// # Cancel safety
    /// Dropping the future leaves in the background.
    pub async fn leave(mut self) -> Result<(), Error> {
        match self.member.delete().await {
            Err(error) if error.is_session_lost() => Ok(()),
            done => done,
        }
    }
}

/// The items of a member of a [`SetPartitioner`]. Dropping it gives them back.
#[derive(Debug)]
#[must_use = "dropping it gives the items back"]
pub struct Share {
    items: Vec<String>,
    locks: Vec<Seat>,
    session: Client,
    events: tokio::sync::Mutex<WatchStream>,
}

impl Share {
    /// The items; perhaps none, when there are more members than items.
    pub fn items(&self) -> &[String] {
        &self.items
    }

    /// Until the share must be given back: members came or went, or it may be [`lost`](Self::lost).
    ///
    /// # Cancel safety
    /// Dropping the future has no effect, if no other is pending.
    pub async fn revoked(&self) {
        let mut events = self.events.lock().await;
        tokio::select! {
            _ = events.next() => {}
            _ = self.lost() => {}
        }
    }

    /// Waits until one of the items may be another's, and tells why, before the session can have expired: see [`Loss`].
    ///
    /// # Cancel safety
    /// It may be called again and again, and several times at once.
    pub async fn lost(&self) -> Loss {
        let of_items: FuturesUnordered<_> = self.locks.iter().map(Seat::lost).collect();
        let mut of_items = of_items.chain(stream::pending());
        tokio::select! {
            loss = loss::of_session(&self.session) => loss,
            Some(loss) = of_items.next() => loss,
        }
    }

    /// Gives the items back, and waits until others can have them.
    ///
    /// # Errors
    /// When the nodes may not be deleted.
    ///
    /// # Cancel safety
    /// Dropping the future gives them back in the background.
    pub async fn release(self) -> Result<(), Error> {
        for lock in self.locks {
            match lock.leave().await {
                // It had gone before.
                Err(error) if error.is_session_lost() || error.is_no_node() => {}
                left => left?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_item_has_one_owner() {
        let items = names(&["a", "b", "c", "d", "e"]);
        let party = names(&["22-y", "11-z-1", "33-x"]);
        let members = members(&party);
        assert_eq!(members, ["x", "y", "z-1"]);
        let shares: Vec<_> =
            members.iter().map(|id| share(&members, id, &items).unwrap()).collect();
        assert_eq!(shares, [names(&["a", "d"]), names(&["b", "e"]), names(&["c"])]);
        assert_eq!(share(&members, "w", &items), None);
    }
}
