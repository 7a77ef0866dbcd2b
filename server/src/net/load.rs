//! How much work clients have in progress, and the bounds on it.
//!
//! A request is in progress from when it is handed to the pipeline until its answer is in its
//! connection's outbox. A read that its connection's task answers at once never is. The
//! connections ask before they read from their sockets ([`Load::room`]) and before they hand over
//! ([`Load::grant`]); the pipeline says when requests are done ([`Load::end`]). All of them do so
//! once for many requests.
//!
//! `globalOutstandingLimit` bounds what connections have in progress beyond one request each, as
//! in ZooKeeper: so whoever is held up by it has an answer to come, and asks again then.
//! `request_throttle_max_requests` bounds everything: whoever is held up by it stands in line.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Semaphore;

use crate::config::Limits;

/// The work in progress of all clients.
#[derive(Debug)]
pub struct Load {
    limits: Limits,
    requests: AtomicUsize,
    large_bytes: AtomicUsize,
    /// A permit for each request that may be in progress, if there is a bound on all.
    permits: Option<Semaphore>,
}

impl Load {
    /// No work yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            permits: limits.requests_in_progress.map(|most| Semaphore::new(most as usize)),
            limits,
            requests: AtomicUsize::new(0),
            large_bytes: AtomicUsize::new(0),
        }
    }

    /// How many requests a connection that has `own` in progress might hand over now. Connections
    /// that ask at the same time may together exceed `globalOutstandingLimit` by what each is told.
    pub fn room(&self, own: usize) -> usize {
        let all = self.requests.load(Ordering::Relaxed);
        let room = self.limits.outstanding_requests.saturating_sub(all);
        if own == 0 { room.max(1) } else { room }
    }

    /// Whether everybody who wants to hand over a request has to wait for a [`Self::turn`].
    pub fn is_full(&self) -> bool {
        self.permits.as_ref().is_some_and(|permits| permits.available_permits() == 0)
    }

    /// Waits in line for a request to be granted, where there is a bound on all.
    pub async fn turn(&self) -> usize {
        let Some(permits) = &self.permits else { return std::future::pending().await };
        permits.acquire().await.expect("never closed").forget();
        1
    }

    /// Grants up to `wanted` requests; `granted` are already. What is not used is to be given to
    /// [`Self::give_back`].
    pub fn grant(&self, granted: usize, wanted: usize) -> usize {
        let Some(permits) = &self.permits else { return wanted };
        let more = wanted.saturating_sub(granted);
        granted + permits.forget_permits(more)
    }

    /// Takes back what was granted and not used.
    pub fn give_back(&self, granted: usize) {
        if let Some(permits) = self.permits.as_ref().filter(|_| granted > 0) {
            permits.add_permits(granted);
        }
    }

    /// Requests that were granted are handed to the pipeline.
    pub fn begin(&self, requests: usize) {
        self.requests.fetch_add(requests, Ordering::Relaxed);
    }

    /// Requests are answered, or nobody waits for them any more.
    pub fn end(&self, requests: usize) {
        if requests > 0 {
            self.requests.fetch_sub(requests, Ordering::Relaxed);
            self.give_back(requests);
        }
    }

    /// Makes room for a request of so many bytes, if it is a large one.
    ///
    /// # Errors
    /// When too much room is taken by other large requests.
    pub fn admit(self: &Arc<Self>, bytes: usize) -> Result<Option<Box<LargeRequest>>, TooMuch> {
        if self.limits.large_request_threshold.is_none_or(|threshold| bytes <= threshold) {
            return Ok(None);
        }
        let most = self.limits.large_requests_bytes;
        let large = Box::new(LargeRequest { load: self.clone(), bytes });
        let before = self.large_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes <= most { Ok(Some(large)) } else { Err(TooMuch { bytes, before, most }) }
    }
}

/// The room a large request takes, until it is dropped.
#[derive(Debug)]
pub struct LargeRequest {
    load: Arc<Load>,
    bytes: usize,
}

impl LargeRequest {
    /// How long the request is.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for LargeRequest {
    fn drop(&mut self) {
        self.load.large_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A large request for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no room for a request of {bytes} bytes: large ones hold {before} of {most}")]
pub struct TooMuch {
    bytes: usize,
    before: usize,
    most: usize,
}

#[cfg(test)]
mod tests {
    use std::{
        pin::{Pin, pin},
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn limits() -> Limits {
        Limits {
            request_bytes: 1 << 20,
            large_request_threshold: None,
            large_requests_bytes: 100,
            outstanding_requests: 10,
            requests_in_progress: None,
            throttled_op_wait: None,
        }
    }

    #[test]
    fn everybody_may_have_one_request_and_all_together_not_many_more() {
        let load = Load::new(limits());
        assert_eq!((load.room(0), load.room(3)), (10, 10));
        load.begin(9);
        assert_eq!((load.room(0), load.room(3)), (1, 1));
        load.begin(1);
        assert_eq!((load.room(0), load.room(3)), (1, 0));
        load.begin(1);
        assert_eq!((load.room(0), load.room(1)), (1, 0));
        load.end(2);
        assert_eq!((load.room(0), load.room(1)), (1, 1));
    }

    #[test]
    fn the_throttle_holds_for_everybody_who_then_stand_in_line() {
        let load = Load::new(Limits { requests_in_progress: Some(3), ..limits() });
        assert_eq!(load.grant(0, 2), 2);
        assert!(!load.is_full());
        assert_eq!(load.grant(0, 2), 1, "one is left");
        load.begin(3);
        let (mut first, mut second) = (pin!(load.turn()), pin!(load.turn()));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        load.end(1);
        assert!(load.is_full(), "it is the first one's");
        assert!(poll(second.as_mut()).is_pending());
        assert_eq!(poll(first.as_mut()), Poll::Ready(1));
        assert_eq!(load.grant(1, 5), 1);
        load.give_back(1);
        assert_eq!(poll(second.as_mut()), Poll::Ready(1));
        load.end(2);
        assert!(!load.is_full());
    }

    #[test]
    fn large_requests_share_a_room_and_leave_it() {
        let off = Arc::new(Load::new(limits()));
        assert!(off.admit(1 << 20).unwrap().is_none());
        let load = Limits { large_request_threshold: Some(20), ..limits() };
        let load = Arc::new(Load::new(load));
        assert!(load.admit(20).unwrap().is_none(), "not above the threshold");
        let first = load.admit(60).unwrap();
        assert_eq!(first.as_ref().map(|large| large.bytes()), Some(60));
        assert_eq!(load.admit(41).unwrap_err(), TooMuch { bytes: 41, before: 60, most: 100 });
        let second = load.admit(40).unwrap();
        drop(first);
        assert!(load.admit(60).unwrap().is_some());
        drop(second);
        assert_eq!(load.large_bytes.load(Ordering::Relaxed), 0);
    }
}
