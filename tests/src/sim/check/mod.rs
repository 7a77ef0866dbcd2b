//! What must always hold, and what clients may rely on.

pub mod clients;
pub mod invariants;
mod ledger;

use std::fmt::{Display, Formatter};

use quorate_protocol::{Decode, SessionId, Zxid};
use quorate_server::{
    tree::Tree,
    txn::{Txn, TxnRecord},
    zab::{Configuration, ServerId},
};

pub use clients::Delivered;
pub use ledger::{Entry, Established, Ledger, Replica, Role, Seen, Server, is_majority};

use self::invariants::Invariant;
use super::{history::History, model::Model};

/// A rule was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its name.
    pub rule: &'static str,
    /// By what.
    pub text: String,
}

impl Broken {
    /// A breach of a rule.
    pub fn new(rule: &'static str, text: String) -> Self {
        Self { rule, text }
    }
}

impl Display for Broken {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is broken: {}", self.rule, self.text)
    }
}

/// Watches the servers of a run.
#[derive(Debug)]
pub struct Checker {
    ledger: Ledger,
    invariants: Vec<Box<dyn Invariant>>,
    /// Everything that was delivered, by whom ever first.
    delivered: Vec<Delivered>,
    /// A tree that is given each transaction once, as soon as anybody delivers it.
    reference: Tree,
    /// Its digest after each of them, and before the first.
    digests: Vec<u64>,
}

impl Checker {
    /// Of so many servers, of which the first ones vote.
    pub fn new(servers: usize, participants: usize) -> Self {
        let reference = Tree::new(0);
        Self {
            ledger: Ledger::new(servers, participants),
            invariants: invariants::all(),
            delivered: Vec::new(),
            digests: vec![reference.digest()],
            reference,
        }
    }

    /// What is known of the servers.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Everything that was delivered.
    pub fn delivered(&self) -> &[Delivered] {
        &self.delivered
    }

    /// The sessions there are, as far as anybody has delivered.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.reference.sessions().keys().copied()
    }

    /// Looks at an event.
    pub fn see(&mut self, seen: &Seen) -> Result<(), Broken> {
        for invariant in &mut self.invariants {
            invariant
                .check(&self.ledger, seen)
                .map_err(|text| Broken::new(invariant.name(), text))?;
        }
        self.ledger.note(seen);
        match seen {
            Seen::State { server, applied, digest } => self.compare(*server, *applied, *digest),
            _ => Ok(()),
        }
    }

    /// A transaction is in a log that may bring a configuration.
    pub fn note_configuration(&mut self, zxid: Zxid, txn: &[u8]) {
        let Ok(record) = TxnRecord::from_bytes(txn) else { return };
        if let Txn::Reconfig(set) = record.txn
            && let Some(text) = set.data.and_then(|data| std::str::from_utf8(data).ok())
            && let Ok(configuration) = Configuration::parse(text)
        {
            let index =
                |voter: ServerId| usize::try_from(voter.0 - 1).expect("a server of the plan");
            let voters = configuration.voters().map(index).collect();
            self.ledger.configurations.insert(zxid, voters);
        }
    }

    /// Looks at a delivery, with the transaction itself.
    pub fn see_delivered(&mut self, server: Server, zxid: Zxid, txn: &[u8]) -> Result<(), Broken> {
        let before = self.ledger.delivered.len();
        self.see(&Seen::Delivered { server, entry: Entry::of(zxid, txn) })?;
        if self.ledger.delivered.len() == before {
            return Ok(());
        }
        let record = TxnRecord::from_bytes(txn)
            .map_err(|error| Broken::new("Integrity", format!("{zxid} is unreadable: {error}")))?;
        let outcome = self.reference.apply(&record, &mut |_| {});
        self.digests.push(self.reference.digest());
        self.delivered.push(Delivered { zxid, txn: txn.to_vec() });
        match outcome.digest_mismatch {
            None => Ok(()),
            Some(mismatch) => {
                Err(Broken::new("Digest", format!("{server} delivers {zxid}: {mismatch:?}")))
            }
        }
    }

    fn compare(&self, server: Server, applied: Zxid, digest: u64) -> Result<(), Broken> {
        let expected = self.digests[self.ledger.delivered_upto(applied)];
        if digest == expected {
            return Ok(());
        }
        Err(Broken::new(
            "StateConsistency",
            format!(
                "the tree of {server} at {applied} has the digest {digest:x}, not {expected:x}"
            ),
        ))
    }

    /// Looks at everything that clients did and saw.
    pub fn finish(&self, history: &History) -> Result<(), Broken> {
        let model = clients::check(history, &self.delivered)?;
        self.compare_with(&model)
    }

    /// The model and the tree hold the same.
    fn compare_with(&self, model: &Model) -> Result<(), Broken> {
        let of_system = |path: &&str| path.starts_with("/zookeeper");
        let expected: Vec<_> = model.paths().filter(|path| !of_system(path)).collect();
        let nodes = self.reference.nodes().map(|node| node.path());
        let mut found: Vec<_> = nodes.filter(|path| !of_system(&&**path)).collect();
        found.sort();
        if found != expected {
            return Err(Broken::new("Model", format!("{found:?} are there, not {expected:?}")));
        }
        for path in expected {
            let node = self.reference.get(path).map(|node| (node.data(), node.stat()));
            if node != model.get(path) {
                let expected = model.get(path);
                return Err(Broken::new("Model", format!("{path} is {node:?}, not {expected:?}")));
            }
        }
        Ok(())
    }
}
