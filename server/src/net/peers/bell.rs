//! A wake-up that stays until it is heard or stilled.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Rung by anybody, heard by one task.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: AtomicBool,
    heard: Notify,
}

impl Bell {
    pub(super) fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        self.heard.notify_one();
    }

    /// Forgets that it was rung.
    pub(super) fn still(&self) {
        self.rung.store(false, Ordering::Release);
    }

    /// Waits until it is rung, or was since it was last heard or stilled. Cancel safe.
    pub(super) async fn rung(&self) {
        while !self.rung.swap(false, Ordering::AcqRel) {
            self.heard.notified().await;
        }
    }
}
