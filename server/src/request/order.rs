//! The order of a connection's answers: a session sees its own writes.
//!
//! A write is answered once its transaction was applied, which takes a while. What the connection
//! sends behind it (reads, and answers that are ready at once) must not overtake it, and a read
//! must not see a later write of its own session either. [`Order`] keeps such things back and lets
//! them go, in order, between the application of the write in front of them and the next one.
//!
//! It knows nothing of what it keeps. The pipeline drives it: [`Order::push_write`] when a write
//! is proposed, [`Order::push_behind`] for everything else that connection sends,
//! [`Order::applied`] right after a write was applied and answered. A `sync` takes a while as well,
//! and no write behind it is applied before it is done with: [`Order::push_sync`] and
//! [`Order::synced`]. Each is O(1), but for a `sync` behind writes, and nothing is
//! allocated once as many connections have waited at a time as ever will.

use std::{collections::VecDeque, mem};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, hash_map::Entry};

use crate::watch::ConnId;

/// A queue longer than this is not kept for the next connection.
const SPARE_CAPACITY: usize = 256;

/// What waits behind the writes of each connection.
#[derive(Debug)]
pub struct Order<T> {
    /// Connections with writes that are not applied yet. Never iterated.
    busy: HashMap<ConnId, Lane<T>, FixedState>,
    /// Empty queues of connections that were busy once.
    spare: Vec<VecDeque<Step<T>>>,
    /// What was behind the last write of the connection that ceased to be busy last.
    freed: VecDeque<Step<T>>,
}

/// Invariant: the front step is a write or a sync, and `writes` of all steps are.
#[derive(Debug)]
struct Lane<T> {
    steps: VecDeque<Step<T>>,
    writes: usize,
}

#[derive(Debug)]
enum Step<T> {
    Write,
    Sync,
    Behind(T),
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Self { busy: HashMap::default(), spare: Vec::new(), freed: VecDeque::new() }
    }
}

impl<T> Order<T> {
    /// A write of this connection was proposed.
    pub fn push_write(&mut self, conn: ConnId) {
        self.push(conn, Step::Write);
    }

    /// A `sync` of this connection is under way.
    pub fn push_sync(&mut self, conn: ConnId) {
        self.push(conn, Step::Sync);
    }

    fn push(&mut self, conn: ConnId, step: Step<T>) {
        let lane = self
            .busy
            .entry(conn)
            .or_insert_with(|| Lane { steps: self.spare.pop().unwrap_or_default(), writes: 0 });
        lane.steps.push_back(step);
        lane.writes += 1;
    }

    /// Keeps `item` behind the writes of this connection; gives it back when there are none, to
    /// be dealt with at once.
    #[must_use = "an item given back is not kept"]
    pub fn push_behind(&mut self, conn: ConnId, item: T) -> Option<T> {
        match self.busy.get_mut(&conn) {
            Some(lane) => {
                lane.steps.push_back(Step::Behind(item));
                None
            }
            None => Some(item),
        }
    }

    /// The oldest `sync` of this connection is done with. Gives `item`, its answer, back when it is
    /// the oldest of all, to be dealt with at once and followed by [`Self::applied`]; otherwise it
    /// stands behind the writes in front of it like anything else.
    #[must_use = "an item given back is not kept"]
    pub fn synced(&mut self, conn: ConnId, item: T) -> Option<T> {
        let Some(lane) = self.busy.get_mut(&conn) else { return Some(item) };
        match lane.steps.iter_mut().enumerate().find(|(_, step)| matches!(step, Step::Sync)) {
            Some((place, step)) if place > 0 => {
                *step = Step::Behind(item);
                lane.writes -= 1;
                None
            }
            _ => Some(item),
        }
    }

    /// The oldest write of this connection was applied and answered: lets go what stands between
    /// it and the next one. Nothing for a connection that was dropped meanwhile.
    pub fn applied(&mut self, conn: ConnId) -> Released<'_, T> {
        let Entry::Occupied(mut busy) = self.busy.entry(conn) else {
            return Released { steps: None };
        };
        let lane = busy.get_mut();
        let front = lane.steps.pop_front();
        debug_assert!(
            matches!(front, Some(Step::Write | Step::Sync)),
            "a lane begins with a write or a sync"
        );
        lane.writes -= 1;
        if lane.writes > 0 {
            return Released { steps: Some(&mut busy.into_mut().steps) };
        }
        let emptied = mem::replace(&mut self.freed, busy.remove().steps);
        if emptied.capacity() <= SPARE_CAPACITY {
            self.spare.push(emptied);
        }
        Released { steps: Some(&mut self.freed) }
    }

    /// Whether this connection has writes that are not applied yet.
    pub fn is_busy(&self, conn: ConnId) -> bool {
        self.busy.contains_key(&conn)
    }

    /// Forgets a connection and what it has waiting, and tells how much that was. Its writes go
    /// on; nobody waits for them.
    pub fn drop_connection(&mut self, conn: ConnId) -> usize {
        self.busy.remove(&conn).map_or(0, |lane| lane.steps.len() - lane.writes)
    }
}

/// What a write lets go, in order. Dropping it drops what was not taken.
#[derive(Debug)]
pub struct Released<'a, T> {
    steps: Option<&'a mut VecDeque<Step<T>>>,
}

impl<T> Iterator for Released<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let steps = self.steps.as_mut()?;
        if !matches!(steps.front()?, Step::Behind(_)) {
            return None;
        }
        match steps.pop_front()? {
            Step::Behind(item) => Some(item),
            Step::Write | Step::Sync => None,
        }
    }
}

impl<T> Drop for Released<'_, T> {
    fn drop(&mut self) {
        self.by_ref().for_each(drop);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: ConnId = ConnId(1);
    const B: ConnId = ConnId(2);

    #[test]
    fn a_sync_that_is_done_with_waits_for_the_writes_in_front_of_it() {
        let mut order = Order::default();
        order.push_write(A);
        order.push_sync(A);
        assert_eq!(order.push_behind(A, 2), None);
        order.push_write(A);
        assert_eq!(order.synced(A, 1), None);
        assert_eq!(order.applied(A).collect::<Vec<_>>(), [1, 2]);
        order.push_sync(A);
        assert_eq!(order.applied(A).count(), 0);
        assert_eq!(order.synced(A, 3), Some(3), "nothing is in front of it any more");
        assert_eq!(order.applied(A).count(), 0);
        assert!(!order.is_busy(A));
    }

    #[test]
    fn items_go_between_the_writes_around_them() {
        let mut order = Order::default();
        assert_eq!(order.push_behind(A, 0), Some(0));
        order.push_write(A);
        assert_eq!(order.push_behind(A, 1), None);
        assert_eq!(order.push_behind(A, 2), None);
        order.push_write(A);
        order.push_write(A);
        assert_eq!(order.push_behind(A, 3), None);
        assert_eq!(order.push_behind(B, 4), Some(4));

        assert_eq!(order.applied(A).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(order.applied(A).count(), 0);
        assert!(order.is_busy(A));
        assert_eq!(order.applied(A).collect::<Vec<_>>(), [3]);
        assert!(!order.is_busy(A));
        assert_eq!(order.push_behind(A, 5), Some(5));
    }

    #[test]
    fn what_is_not_taken_is_dropped() {
        let mut order = Order::default();
        order.push_write(A);
        assert_eq!(order.push_behind(A, 1), None);
        order.push_write(A);
        assert_eq!(order.push_behind(A, 2), None);
        drop(order.applied(A));
        assert_eq!(order.applied(A).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_dropped_connection_waits_for_nothing() {
        let mut order = Order::default();
        order.push_write(A);
        assert_eq!(order.push_behind(A, 1), None);
        assert_eq!(order.drop_connection(A), 1);
        assert_eq!(order.drop_connection(A), 0);
        assert_eq!(order.applied(A).count(), 0);
        assert_eq!(order.push_behind(A, 2), Some(2));
    }

    proptest! {
        /// Against one plain list per connection.
        #[test]
        fn every_item_comes_once_and_in_order(
            steps in prop::collection::vec((0..3u64, 0..4u8), 0..200),
        ) {
            let mut order = Order::default();
            let mut model: [Vec<Option<usize>>; 3] = Default::default();
            for (i, (conn, action)) in steps.into_iter().enumerate() {
                let lane = &mut model[usize::try_from(conn).unwrap()];
                let conn = ConnId(conn);
                match action {
                    0 => {
                        order.push_write(conn);
                        lane.push(None);
                    }
                    1 | 2 => {
                        let returned = order.push_behind(conn, i);
                        prop_assert_eq!(returned.is_some(), lane.is_empty());
                        if !lane.is_empty() {
                            lane.push(Some(i));
                        }
                    }
                    _ => {
                        let released: Vec<_> = order.applied(conn).collect();
                        let end = lane.iter().skip(1).position(Option::is_none);
                        let end = end.map_or(lane.len(), |end| end + 1);
                        let expected: Vec<_> = lane.drain(..end).flatten().collect();
                        prop_assert_eq!(released, expected);
                    }
                }
                prop_assert_eq!(order.is_busy(conn), !lane.is_empty());
            }
        }
    }
}
