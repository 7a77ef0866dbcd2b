//! What the core has done by others, and what the server has of its process: orders that the
//! simulation carries out when the server has come to rest.

use std::{
    any::Any,
    error::Error,
    panic::resume_unwind,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quorate_server::{
    runtime::{Process, Shell, Stream},
    tree::Tree,
    zab::{Configs, LinkId, ServerId, election::Notification},
};

/// Something that is to be done.
pub(super) enum Order {
    Notify { to: ServerId, notification: Notification },
    Configure,
    Connect { leader: ServerId },
    Close { link: LinkId },
    Synchronize(Box<Stream>),
    WakeAt { at_ms: i64 },
    Install(Box<Tree>),
    Installed,
    Spawn(Box<dyn FnOnce() + Send>),
}

/// The orders that were not carried out yet.
#[derive(Clone, Default)]
pub(super) struct Hands(Arc<Mutex<Vec<Order>>>);

impl Hands {
    /// Takes all orders, in their order.
    pub(super) fn take(&self) -> Vec<Order> {
        std::mem::take(&mut *self.lock())
    }

    fn add(&self, order: Order) {
        self.lock().push(order);
    }

    /// Nobody can have panicked with it: nothing is done under the lock.
    fn lock(&self) -> MutexGuard<'_, Vec<Order>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shell for Hands {
    fn notify(&self, to: ServerId, notification: &Notification) {
        self.add(Order::Notify { to, notification: notification.clone() });
    }

    fn configure(&self, _: &Configs) {
        self.add(Order::Configure);
    }

    fn connect(&self, leader: ServerId) {
        self.add(Order::Connect { leader });
    }

    fn close(&self, link: LinkId) {
        self.add(Order::Close { link });
    }

    fn synchronize(&self, stream: Stream) {
        self.add(Order::Synchronize(Box::new(stream)));
    }

    fn wake_at(&self, at_ms: i64) {
        self.add(Order::WakeAt { at_ms });
    }

    fn install(&self, tree: Box<Tree>) {
        self.add(Order::Install(tree));
    }

    fn installed(&self) {
        self.add(Order::Installed);
    }
}

/// The process, as its server sees it.
pub(super) struct Walls(pub(super) Hands);

impl Process for Walls {
    fn spawn(&self, _: &'static str, work: Box<dyn FnOnce() + Send>) {
        self.0.add(Order::Spawn(work));
    }

    fn halt(&self, why: &str, error: Option<&dyn Error>) -> ! {
        let why = error.map_or_else(|| why.to_owned(), |error| format!("{why}: {error}"));
        // Unlike a panic it says nothing: it is no mistake.
        resume_unwind(Box::new(Halted(why)))
    }
}

/// Why a server has ended itself.
pub(super) struct Halted(pub(super) String);

impl Halted {
    /// What a server has ended with; goes on with what is a panic.
    pub(super) fn of(panic: Box<dyn Any + Send>) -> Self {
        match panic.downcast() {
            Ok(halted) => *halted,
            Err(panic) => resume_unwind(panic),
        }
    }
}
