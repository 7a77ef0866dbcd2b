//! What can be seen of a server: its log, its tree and what it is, told as they change.

use std::collections::BTreeMap;

use quorate_protocol::Zxid;
use quorate_server::{
    runtime::{Core, Duty, Input, LogChange, LoggedBatch, Shared},
    storage::log::Promises,
    zab::{self, Configs},
};

use super::index;
use crate::sim::{
    check::Role,
    server::{Found, Report},
};

/// Tells what has changed since it looked last.
pub(super) struct Observer {
    pub(super) reports: Vec<Report>,
    /// What the log has and the tree has not.
    ahead: BTreeMap<Zxid, Vec<u8>>,
    promises: Promises,
    role: Role,
    applied: Zxid,
}

/// What a batch will have done to the log.
pub(super) struct Foreseen {
    change: Option<Report>,
    transactions: Vec<(Zxid, Vec<u8>)>,
}

impl Observer {
    /// Looks at a server that has just started.
    pub(super) fn new(shared: &Shared) -> Result<(Self, Found), String> {
        let (floor, last, promises) = shared
            .pipeline
            .with_log(|log| (log.floor(), log.durable_zxid(), log.promises().clone()));
        let mut log = Vec::new();
        let failed = |error| format!("the log cannot be read: {error}");
        let mut reader = shared.log_source.open(floor).map_err(failed)?;
        while let Some((zxid, txn)) = reader.next(last).map_err(failed)? {
            log.push((zxid, txn.to_vec()));
        }
        let (applied, digest) = tree(shared);
        let ahead = log.iter().filter(|(zxid, _)| *zxid > applied).cloned().collect();
        let found = Found {
            log,
            floor,
            applied,
            digest,
            accepted_epoch: accepted(&promises),
            current_epoch: promises.current_epoch,
            in_force: in_force(shared, &promises),
            is_incomplete: promises.incomplete,
        };
        let (reports, role) = (Vec::new(), Role::Looking);
        Ok((Self { reports, ahead, promises, role, applied }, found))
    }

    /// Notes what a batch is going to do to the log.
    pub(super) fn foresee(&mut self, batch: &LoggedBatch) -> Foreseen {
        let change = batch.before.as_ref().map(|change| match change {
            LogChange::Truncate(to) => Report::Truncated { to: *to },
            LogChange::BeginAnew { tree, .. } => Report::Installed { zxid: tree.last_zxid() },
        });
        if let Some(Report::Truncated { to: zxid } | Report::Installed { zxid }) = change {
            self.reports.push(Report::Cutting { to: zxid });
        }
        let transactions = batch.log.transactions().map(|(zxid, txn)| (zxid, txn.to_vec()));
        Foreseen { change, transactions: transactions.collect() }
    }

    /// A batch was written, or was not.
    pub(super) fn written(&mut self, shared: &Shared, foreseen: Foreseen, written: &Input) {
        if !matches!(written, Input::Durable(_)) {
            return;
        }
        match &foreseen.change {
            Some(Report::Truncated { to }) => {
                self.ahead.split_off(&Zxid(to.0 + 1));
            }
            Some(Report::Installed { zxid }) => {
                self.ahead.clear();
                self.applied = *zxid;
            }
            _ => {}
        }
        self.reports.extend(foreseen.change);
        for (zxid, txn) in foreseen.transactions {
            self.reports.push(Report::Logged { zxid, txn: txn.clone() });
            self.ahead.insert(zxid, txn);
        }
        let promises = shared.pipeline.with_log(|log| log.promises().clone());
        if promises != self.promises {
            let (accepted_epoch, current_epoch) = (accepted(&promises), promises.current_epoch);
            self.reports.push(Report::Promised { accepted_epoch, current_epoch });
            self.reports.push(Report::InForce { version: in_force(shared, &promises) });
            self.promises = promises;
        }
    }

    /// Tells what the server is, if that is news, and what has reached its tree.
    pub(super) fn look(&mut self, shared: &Shared) {
        let role = shared.pipeline.with_core(shared, Core::role);
        let role = match role {
            Some(zab::Role::Leading { epoch }) => Role::Leading { epoch },
            Some(zab::Role::Following { leader, epoch, .. }) => {
                Role::Following { leader: index(leader), epoch }
            }
            // It leads until it does not.
            Some(zab::Role::Draining) => self.role,
            Some(zab::Role::Looking { .. }) | None => Role::Looking,
        };
        if role != self.role {
            self.role = role;
            self.reports.push(Report::Became(role));
        }
        let (applied, digest) = tree(shared);
        if applied == self.applied && !self.has_installed() {
            return;
        }
        let ahead = self.ahead.split_off(&Zxid(applied.0 + 1));
        for (zxid, txn) in std::mem::replace(&mut self.ahead, ahead) {
            self.reports.push(Report::Delivered { zxid, txn });
        }
        self.applied = applied;
        self.reports.push(Report::State { applied, digest });
    }

    fn has_installed(&self) -> bool {
        self.reports.iter().any(|report| matches!(report, Report::Installed { .. }))
    }
}

/// Who has joined an epoch has promised to follow it, though there may be no record of that: a
/// server without a vote that counts promises nothing else. So it is read at the next start, too.
fn accepted(promises: &Promises) -> u32 {
    promises.accepted_epoch.max(promises.current_epoch)
}

/// The version of the configuration in force; zero if that is the one of the files.
fn in_force(shared: &Shared, promises: &Promises) -> Zxid {
    let files = &shared.settings.ensemble.as_ref().expect("a member of an ensemble").configuration;
    let mut configs = Configs::new(files.clone(), true);
    if !promises.configuration.is_empty() {
        assert!(configs.recover(&promises.configuration), "the server has written it");
    }
    Zxid(configs.in_force().version)
}

/// Whether the server leads.
pub(super) fn leads(shared: &Shared) -> bool {
    shared.duty() == Duty::Leading
}

fn tree(shared: &Shared) -> (Zxid, u64) {
    let tree = shared.tree.read();
    (tree.last_zxid(), tree.digest())
}
