//! A bound on connections that have not shown yet who they are.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// The newcomers of one port. When there are too many, the oldest has to go: an honest one says
/// who it is at once, so only who floods the port faster than that can keep it out.
#[derive(Debug)]
pub(super) struct Newcomers {
    most: usize,
    present: Mutex<Present>,
}

#[derive(Debug, Default)]
struct Present {
    newest: u64,
    by_age: BTreeMap<u64, CancellationToken>,
}

/// One of them. It stops being one when this is dropped.
#[derive(Debug)]
pub(super) struct Newcomer {
    among: Arc<Newcomers>,
    number: u64,
    turned_out: CancellationToken,
}

impl Newcomers {
    /// Up to so many at a time.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, present: Mutex::default() })
    }

    /// Lets one in.
    pub(super) fn admit(self: &Arc<Self>) -> Newcomer {
        let turned_out = CancellationToken::new();
        let mut present = self.present.lock();
        present.newest += 1;
        let number = present.newest;
        present.by_age.insert(number, turned_out.clone());
        if present.by_age.len() > self.most
            && let Some((_, oldest)) = present.by_age.pop_first()
        {
            oldest.cancel();
        }
        Newcomer { among: self.clone(), number, turned_out }
    }
}

impl Newcomer {
    /// Waits until it has to go.
    pub(super) async fn turned_out(&self) {
        self.turned_out.cancelled().await;
    }

    /// Whether it has to go.
    pub(super) fn is_turned_out(&self) -> bool {
        self.turned_out.is_cancelled()
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.among.present.lock().by_age.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let newcomers = Newcomers::new(2);
        let (a, b) = (newcomers.admit(), newcomers.admit());
        let c = newcomers.admit();
        assert!(a.is_turned_out());
        assert!(!b.is_turned_out() && !c.is_turned_out());
        drop(c);
        let _d = newcomers.admit();
        assert!(!b.is_turned_out(), "there was room again");
    }
}
