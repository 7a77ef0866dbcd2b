//! What is going to happen, in its order.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

/// Microseconds of the simulation's own time, which starts at 0.
pub type Micros = i64;

/// A millisecond.
pub const MILLI: Micros = 1000;

/// Events by time; those of one time in the order they were added.
#[derive(Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Reverse<Due<E>>>,
    added: u64,
}

#[derive(Debug)]
struct Due<E> {
    at: Micros,
    number: u64,
    event: E,
}

impl<E> Due<E> {
    fn key(&self) -> (Micros, u64) {
        (self.at, self.number)
    }
}

impl<E> PartialEq for Due<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<E> Eq for Due<E> {}

impl<E> PartialOrd for Due<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Due<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), added: 0 }
    }
}

impl<E> Queue<E> {
    /// Lets something happen then.
    pub fn add(&mut self, at: Micros, event: E) {
        self.added += 1;
        self.heap.push(Reverse(Due { at, number: self.added, event }));
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<Micros> {
        self.heap.peek().map(|Reverse(due)| due.at)
    }
}

impl<E> Iterator for Queue<E> {
    type Item = (Micros, E);

    /// The next thing to happen, and when.
    fn next(&mut self) -> Option<Self::Item> {
        let Reverse(due) = self.heap.pop()?;
        Some((due.at, due.event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_the_order_they_were_added() {
        let mut queue = Queue::default();
        for (at, event) in [(5, "c"), (1, "a"), (5, "d"), (1, "b")] {
            queue.add(at, event);
        }
        let order: Vec<_> = queue.collect();
        assert_eq!(order, [(1, "a"), (1, "b"), (5, "c"), (5, "d")]);
    }
}
