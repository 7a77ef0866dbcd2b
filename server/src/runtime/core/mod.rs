//! What a server decides, one step at a time.
//!
//! The core owns the state that decides about writes and sessions (preparation, order, expiry) and,
//! in an ensemble, the state machines of [`zab`](crate::zab). It uses the shared tree, watches and
//! outboxes. It does no I/O but for reading its own log where it takes up what is there already;
//! the pipeline drives it under its lock, so steps never overlap, and the [`Shell`] does what takes
//! sockets or time.
//!
//! Invariant: the tree holds exactly the log's prefix up to what is both committed and durable here.
//!
//! | file | what |
//! |---|---|
//! | `clients` | what clients ask for, and sessions |
//! | `proposing` | from a request to a transaction in the batch being built |
//! | `outgoing` | batches on their way to the log |
//! | `apply` | from the log to the tree, and the answers |
//! | `ensemble` | what `zab` is told and what it wants done |
//! | `leading`, `window` | a leader's learners, their requests and proposals |
//! | `local` | sessions of this server alone |
//! | `read_only` | reads without a quorum |
//! | `leaderless` | why there is no leader, for people |
//! | `learning`, `forwarded` | a learner's leader, and what it was asked to do |

mod apply;
mod clients;
mod ensemble;
mod forwarded;
mod leaderless;
mod leading;
mod learning;
mod local;
mod outgoing;
mod proposing;
mod read_only;
mod window;

use std::{collections::VecDeque, sync::Arc};

use parking_lot::RwLockReadGuard;
use quorate_protocol::Zxid;
use tracing::warn;

pub use self::ensemble::Event;
pub(super) use self::ensemble::Membership;
use self::{
    ensemble::Ensemble, forwarded::Forwarded, leaderless::Leaderless, leading::Leading,
    learning::Learning, local::Local, outgoing::Outgoing, window::Window,
};
use super::{
    batch::LoggedBatch,
    pipeline::{Arrival, Behind, Input},
    shared::{Duty as SharedDuty, Shared},
};
use crate::{
    net::Conn,
    request::{Order, Preparer},
    session::{SessionIds, Tracker},
    tree::Tree,
    zab::Position,
};

/// Time between two warnings of exceeded soft quotas.
const QUOTA_WARNING_MS: i64 = 1000;
/// Connections whose answers the pipeline sends itself.
const SEND_MAX: usize = 2;

/// The state that decides; see the module.
pub struct Core {
    preparer: Preparer,
    order: Order<Waiting>,
    sessions: Tracker,
    local: Local,
    session_ids: SessionIds,
    pub(super) outgoing: Outgoing,
    /// Durable batches that are not applied as a whole.
    unapplied: VecDeque<LoggedBatch>,
    /// Everything up to here is committed.
    committed: Zxid,
    /// Everything up to here is durable here.
    durable: Zxid,
    /// What the tree holds.
    applied: Zxid,
    duty: Duty,
    /// Since when an election is under way; followed where there is a read-only mode.
    electing_since_ms: Option<i64>,
    /// The time without a leader, as long as it lasts.
    leaderless: Option<Leaderless>,
    ensemble: Option<Ensemble>,
    /// What clients asked for that another server has to do.
    forwarded: Forwarded,
    /// What was appended lately, for observers that learn from this server while it follows.
    recent: Option<Window>,
    /// Syncs that wait for the next leader.
    pending_syncs: Vec<ClientSync>,
    /// Syncs that a leader has answered, and up to where everything must be applied first; also
    /// while the leader changes, for what it had committed behind them may come to be applied.
    proved_syncs: VecDeque<(Zxid, ClientSync)>,
    /// Clients that came while there was no leader.
    early: Vec<Input>,
    /// Connections to be told of what is in their outboxes.
    to_wake: Vec<Arc<Conn>>,
    /// Things let go by [`Order`], on their way to being answered.
    released: Vec<Waiting>,
    /// Requests done with since the last look at the load.
    done: usize,
    /// The tree was not what a transaction announced, and has not been since.
    digest_differs: bool,
    /// Not before then is a soft quota mentioned again.
    next_quota_warning_ms: i64,
}

/// What this server does for its clients.
enum Duty {
    /// Everything: there is no other server.
    Alone,
    /// Nothing, for lack of a leader.
    Looking {
        /// A leader is about to come, and nothing of what clients asked for is lost.
        planned: bool,
    },
    /// Reads, for there has been no leader for a while.
    ReadOnly,
    /// It leads.
    Leading(Box<Leading>),
    /// It follows or observes a leader.
    Learning(Learning),
}

/// Something kept behind the writes of its connection.
struct Waiting {
    conn: Arc<Conn>,
    item: Behind,
    arrival: Arrival,
}

/// A client's `sync`. Syncs and what is in [`Forwarded`] are numbered in the order in which clients
/// asked, so that another leader is asked in the same order.
struct ClientSync {
    number: u64,
    waiting: Waiting,
}

/// Where a core begins: what recovery found.
pub(super) struct Beginning {
    /// Prepares what follows the last transaction.
    pub(super) preparer: Preparer,
    /// The sessions there are.
    pub(super) sessions: Tracker,
    /// Milliseconds of a tick.
    pub(super) tick_ms: i64,
    /// Names for new ones.
    pub(super) session_ids: SessionIds,
    /// What the tree holds.
    pub(super) applied: Zxid,
    /// What the log holds.
    pub(super) durable: Zxid,
}

impl Core {
    /// A core that continues there; alone, or as a member of an ensemble.
    pub(super) fn new(beginning: Beginning, membership: Option<Membership>) -> Self {
        let Beginning { preparer, sessions, tick_ms, session_ids, applied, durable } = beginning;
        let ensemble = membership.map(Ensemble::new);
        let duty = match ensemble {
            None => Duty::Alone,
            Some(_) => Duty::Looking { planned: false },
        };
        let mut core = Self {
            preparer,
            order: Order::default(),
            sessions,
            local: Local::new(tick_ms),
            session_ids,
            outgoing: Outgoing::new(durable),
            unapplied: VecDeque::new(),
            committed: applied,
            durable,
            applied,
            duty,
            electing_since_ms: None,
            leaderless: None,
            ensemble,
            forwarded: Forwarded::default(),
            recent: None,
            pending_syncs: Vec::new(),
            proved_syncs: VecDeque::new(),
            early: Vec::new(),
            to_wake: Vec::new(),
            released: Vec::new(),
            done: 0,
            digest_differs: false,
            next_quota_warning_ms: 0,
        };
        core.begin_recent();
        core
    }

    /// The sessions and when they expire; those of others than a leader are not followed.
    pub fn sessions(&self) -> &Tracker {
        &self.sessions
    }

    /// Deals with inputs in their order.
    pub fn step(&mut self, shared: &Shared, inputs: impl Iterator<Item = Input>) {
        let wall_ms = shared.clock.wall_ms();
        let mut tree: Option<RwLockReadGuard<'_, Tree>> = None;
        for input in inputs {
            match input {
                Input::Durable(batch) => {
                    drop(tree.take());
                    self.durable(shared, batch);
                }
                Input::NoRoom(batch) => {
                    drop(tree.take());
                    self.no_room(shared, batch);
                }
                Input::Ensemble(event) => {
                    drop(tree.take());
                    self.ensemble_event(shared, wall_ms, event);
                }
                input => {
                    let tree = tree.get_or_insert_with(|| shared.tree.read());
                    self.accept(shared, tree, wall_ms, input);
                }
            }
        }
        drop(tree);
        self.propose(shared);
        self.report_over_quota(shared);
        self.wake(shared);
    }

    /// Tells operators of a soft quota that a client exceeds; now and then is enough.
    fn report_over_quota(&mut self, shared: &Shared) {
        let Some(path) = self.preparer.take_over_quota() else { return };
        let now_ms = shared.clock.now_ms();
        if now_ms >= self.next_quota_warning_ms {
            self.next_quota_warning_ms = now_ms + QUOTA_WARNING_MS;
            warn!(path, "a soft quota is exceeded");
        }
    }

    /// Has everything sent that was appended to outboxes. What other servers wait for goes first.
    fn wake(&mut self, shared: &Shared) {
        if let Some(ensemble) = &mut self.ensemble {
            ensemble.wake_links();
        }
        // Before anybody is told: who is held up by the load looks at it once more then.
        shared.load.end(std::mem::take(&mut self.done));
        // A few answers are sent from here, at once; many are better sent by many.
        let send = self.to_wake.len() <= SEND_MAX;
        for conn in self.to_wake.drain(..) {
            if send {
                conn.outbox.send_or_wake();
            } else {
                conn.outbox.wake();
            }
        }
    }

    /// Where the log stands behind everything appended so far.
    fn position(&self) -> Position {
        self.outgoing.position()
    }

    /// Shows everybody what this server does now.
    fn show_duty(&self, shared: &Shared) {
        shared.set_duty(match &self.duty {
            Duty::Alone => SharedDuty::Alone,
            Duty::Looking { planned: true } => SharedDuty::Waiting,
            Duty::Looking { planned: false } => SharedDuty::Looking,
            Duty::ReadOnly => SharedDuty::ReadOnly,
            Duty::Leading(_) => SharedDuty::Leading,
            Duty::Learning(learning) => learning.shown(),
        });
    }

    /// Whether what finds no room in the log is kept until there is some.
    pub(super) fn waits_for_room(&self) -> bool {
        self.ensemble.is_some()
    }

    /// Whether a session may be used by clients of this server at all.
    fn is_serving(&self) -> bool {
        !matches!(self.duty, Duty::Looking { .. })
    }

    /// Whether what clients ask for comes to nothing.
    fn is_without_leader(&self) -> bool {
        matches!(self.duty, Duty::Looking { planned: false })
    }

    /// Forgets a request whose client is gone or goes.
    fn abandon(&mut self, shared: &Shared, requests: usize) {
        self.done += requests;
        shared.stats.abandon(requests as u64);
    }
}
