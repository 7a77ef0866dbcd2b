//! ZAB: who leads, what everybody's history is, and what is committed.
//!
//! Pure state machines for election, discovery, synchronization and broadcast, in the roles
//! leader, follower and observer. [`Input`]s say what happened, [`Effect`]s what is to be done;
//! there is no I/O, clock, thread or randomness inside, and transactions are opaque bytes.
//! `docs/ensemble.md` has the rules; the facts of ZooKeeper's protocol that they follow are those
//! of "Zab 1.0" and of its fast leader election.

mod effect;
pub mod election;
mod input;
mod message;
mod types;

pub use effect::{Effect, Record, Role, SyncPlan, Vouch};
pub use input::Input;
pub use message::Message;
pub use types::{Features, LinkId, Member, Position, ServerId};
