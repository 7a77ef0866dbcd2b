//! What a contender does next: from before its node is there until the node has surely gone.
//!
//! Pure. The shell ([`super::Seat`]) does one thing at a time, the [`Effect`], and says what came
//! of it, the [`Input`]. It may give up at any moment with [`Input::Leave`]: also while an effect
//! is under way, whose outcome it then never tells.
//!
//! ```text
//!              Entered           In
//!   Entering ─────────> Listing ─────> Admitted
//!      │                 ^   │ Behind     │
//!      │     Stirred,    │   v            │
//!      │     not there   ├─ Watching      │ Leave
//!      │                 │   v            │
//!      │                 └─ Awaiting      │
//!      │ Leave, failed       │            v
//!      v                     │ Leave   Deleting ────> Gone
//!   Finding ─────────────────┴──────────> ^   │ unknown
//!      ^    there                         │   v
//!      └─────────────────────────────── Resting
//! ```
//!
//! Invariants: it is admitted only by a list that shows its own node and was answered after the
//! node was created; it is gone only when the node was seen to be gone, or never was there, or its
//! session has ended.

use super::order::{Rule, Verdict, judge};

/// What came of an effect, or is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// Of [`Effect::Enter`]: the node's name.
    Entered(String),
    /// Of [`Effect::List`]: all names in the folder.
    Listed(Vec<String>),
    /// Of [`Effect::Watch`]: whether the node is there, and its watch set.
    Watched(bool),
    /// Of [`Effect::Await`]: what was watched has changed.
    Stirred,
    /// Of [`Effect::Find`]: the name of the node with the contender's id, if there is one.
    Found(Option<String>),
    /// Of [`Effect::Delete`]: it is done.
    Deleted,
    /// Of [`Effect::Rest`].
    Rested,
    /// The effect failed.
    Failed(Failure),
    /// The contender is not wanted any more.
    Leave,
}

/// Why an effect failed, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The session has ended, and its nodes are gone or about to go.
    SessionEnded,
    /// It was surely not done, and may be tried again.
    NotDone,
    /// It may have been done.
    Unknown,
    /// The node or folder is not there. It may have been the effect itself that removed it.
    NoNode {
        /// It was not.
        before: bool,
    },
    /// The server will never do it.
    Refused,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Create the node, once.
    Enter,
    /// Read the names in the folder; and tell of the next change if `watch`.
    List {
        /// Whether to set a watch.
        watch: bool,
    },
    /// Set a watch on this node, if it is there.
    Watch(String),
    /// Wait for the watch that was set last.
    Await,
    /// It is in.
    Admit,
    /// It would have to wait, and is not to.
    TurnAway,
    /// Somebody has deleted the node, or the folder.
    Missing,
    /// Look for the node by its id, behind everything the session did before.
    Find,
    /// Delete this node.
    Delete(String),
    /// Wait a moment, and for a connection.
    Rest,
    /// There is no node, and there will be none.
    Gone(How),
}

/// How a node has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// The contender deleted it, or never had one.
    Left,
    /// Somebody else had deleted it before.
    Taken,
    /// With its session.
    Expired,
    /// It is still there and stays until the session ends: it may not be deleted.
    Stuck,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Entering,
    Listing,
    Watching,
    Awaiting,
    Admitted,
    /// Not admitted, and nothing more to be done before it leaves.
    Idle,
    Finding,
    Deleting,
    Resting,
    Gone,
}

/// A contender. Begins with [`Effect::Enter`].
#[derive(Debug, Clone)]
pub(crate) struct Contender {
    rule: Rule,
    /// Whether it stays if it has to wait.
    patient: bool,
    /// Its node, once it is known.
    name: Option<String>,
    /// The node may have been deleted by an attempt whose outcome is unknown.
    maybe_deleted: bool,
    state: State,
}

impl Contender {
    pub(crate) fn new(rule: Rule, patient: bool) -> Self {
        Self { rule, patient, name: None, maybe_deleted: false, state: State::Entering }
    }

    /// What follows from an input.
    ///
    /// # Panics
    /// When the input answers another effect than the last.
    pub(crate) fn step(&mut self, input: Input) -> Effect {
        match (&self.state, input) {
            (State::Entering, Input::Entered(name)) => {
                self.name = Some(name);
                self.list()
            }
            (State::Listing, Input::Listed(names)) => self.listed(&names),
            (State::Watching, Input::Watched(true)) => self.to(State::Awaiting, Effect::Await),
            (State::Watching, Input::Watched(false)) | (State::Awaiting, Input::Stirred) => {
                self.list()
            }
            (State::Finding, Input::Found(found)) => {
                self.name = found;
                match &self.name {
                    Some(_) => self.delete(),
                    None => self.gone(How::Left),
                }
            }
            (State::Deleting, Input::Deleted) | (State::Gone, Input::Leave) => self.gone(How::Left),
            (State::Finding | State::Deleting, Input::Failed(failure)) => self.again(failure),
            (_, Input::Failed(Failure::SessionEnded)) => self.gone(How::Expired),
            // Its node was never there, or was seen to be gone.
            (State::Entering, Input::Failed(Failure::NotDone | Failure::Refused)) => {
                self.gone(How::Left)
            }
            (State::Entering, Input::Failed(_)) => self.to(State::Finding, Effect::Find),
            (State::Listing, Input::Failed(Failure::NoNode { .. })) => {
                self.to(State::Idle, Effect::Missing)
            }
            (State::Listing | State::Watching | State::Awaiting, Input::Failed(_))
            | (State::Resting, Input::Rested)
            | (_, Input::Leave) => self.remove(),
            (state, input) => panic!("{input:?} is no answer in {state:?}"),
        }
    }

    fn to(&mut self, state: State, effect: Effect) -> Effect {
        self.state = state;
        effect
    }

    fn list(&mut self) -> Effect {
        let watch = self.patient && matches!(self.rule, Rule::Places(_));
        self.to(State::Listing, Effect::List { watch })
    }

    fn listed(&mut self, names: &[String]) -> Effect {
        let mine = self.name.as_deref().expect("it has entered");
        match judge(self.rule, names, mine) {
            Verdict::In => self.to(State::Admitted, Effect::Admit),
            Verdict::Missing => self.to(State::Idle, Effect::Missing),
            Verdict::Behind(_) | Verdict::Full if !self.patient => {
                self.to(State::Idle, Effect::TurnAway)
            }
            Verdict::Behind(ahead) => self.to(State::Watching, Effect::Watch(ahead)),
            Verdict::Full => self.to(State::Awaiting, Effect::Await),
        }
    }

    /// On the way out: removes the node, whose name may not be known.
    fn remove(&mut self) -> Effect {
        if self.name.is_some() { self.delete() } else { self.to(State::Finding, Effect::Find) }
    }

    fn delete(&mut self) -> Effect {
        let name = self.name.clone().expect("it is known");
        self.to(State::Deleting, Effect::Delete(name))
    }

    /// After a failure on the way out.
    fn again(&mut self, failure: Failure) -> Effect {
        match failure {
            Failure::SessionEnded => self.gone(How::Expired),
            Failure::Refused => self.gone(How::Stuck),
            // To a search this is the folder.
            Failure::NoNode { before } => {
                let taken = before && !self.maybe_deleted && self.state == State::Deleting;
                self.gone(if taken { How::Taken } else { How::Left })
            }
            Failure::NotDone => self.to(State::Resting, Effect::Rest),
            Failure::Unknown => {
                self.maybe_deleted |= self.state == State::Deleting;
                self.to(State::Resting, Effect::Rest)
            }
        }
    }

    fn gone(&mut self, how: How) -> Effect {
        self.to(State::Gone, Effect::Gone(how))
    }
}
