//! What this server's log holds, as far as ZAB goes.

use std::collections::VecDeque;

use quorate_protocol::Zxid;

use super::{
    configs::Configs,
    configuration::Configuration,
    effect::{Effect, Record},
    types::Position,
};
use crate::storage::log::Epochs;

/// The log of this server: what was appended, how much of it a crash cannot take, and how much
/// of it is committed.
///
/// Two kinds of places, each growing: positions count records of this process; zxids name
/// transactions. A cut takes transactions away, and no position.
///
/// Invariants: `durable position <= appended position`; `durable zxid <= last`;
/// `floor <= committed <= last`; everything recovered is durable.
#[derive(Debug)]
pub struct History {
    accepted_epoch: u32,
    current_epoch: u32,
    epochs: Epochs,
    committed: Zxid,
    appended: Position,
    durable: Position,
    durable_last: Zxid,
    durable_epoch: u32,
    /// The transactions that are not durable yet, in runs.
    syncing: VecDeque<Run>,
    /// What this server had acknowledged or promised may be missing: it was lost, or a snapshot
    /// took the place of more than it holds. Until it has the initial history of an epoch.
    incomplete: bool,
    /// The current epochs that are not durable yet.
    entering: VecDeque<(Position, u32)>,
    configs: Configs,
    /// Where the log says that the last configuration seen is in force, though it is not yet.
    activating: Option<Position>,
}

/// Consecutive transactions at consecutive positions.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// Before the first of them.
    position_before: Position,
    zxid_before: Zxid,
    count: u64,
}

impl Run {
    /// The last transaction up to a position within the run.
    fn at(&self, position: Position) -> Zxid {
        let steps = (position.0 - self.position_before.0).min(self.count);
        Zxid(self.zxid_before.0 + steps.cast_signed())
    }

    fn end(&self) -> Position {
        Position(self.position_before.0 + self.count)
    }
}

impl History {
    /// What recovery found: the newest promises, the transactions, how much of them was known to be
    /// committed, and the configurations.
    pub fn new(
        accepted_epoch: u32,
        current_epoch: u32,
        epochs: Epochs,
        committed: Zxid,
        configs: Configs,
    ) -> Self {
        let last = epochs.last();
        Self {
            // A log that was imported may lack the promise that its epoch implies.
            accepted_epoch: accepted_epoch.max(current_epoch),
            current_epoch,
            committed: committed.clamp(epochs.floor(), last),
            epochs,
            appended: Position(0),
            durable: Position(0),
            durable_last: last,
            durable_epoch: current_epoch,
            syncing: VecDeque::new(),
            incomplete: false,
            entering: VecDeque::new(),
            configs,
            activating: None,
        }
    }

    /// The same, and whether the log knows that it lacks some of what there was.
    #[must_use]
    pub fn with_loss(self, incomplete: bool) -> Self {
        Self { incomplete, ..self }
    }

    /// The configurations this server goes by.
    pub fn configs(&self) -> &Configs {
        &self.configs
    }

    /// The newest epoch whose leader this server has promised to follow.
    pub fn accepted_epoch(&self) -> u32 {
        self.accepted_epoch
    }

    /// The newest epoch whose initial history is in the log.
    pub fn current_epoch(&self) -> u32 {
        self.current_epoch
    }

    /// Which transactions the log has.
    pub fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// The last transaction in the log.
    pub fn last(&self) -> Zxid {
        self.epochs.last()
    }

    /// The last transaction that a crash cannot take.
    pub fn durable_last(&self) -> Zxid {
        self.durable_last
    }

    /// The current epoch that a crash cannot take.
    pub fn durable_epoch(&self) -> u32 {
        self.durable_epoch
    }

    /// The last transaction known to be committed.
    pub fn committed(&self) -> Zxid {
        self.committed
    }

    /// The position of the last record.
    pub fn appended(&self) -> Position {
        self.appended
    }

    /// The last position that a crash cannot take.
    pub fn durable(&self) -> Position {
        self.durable
    }

    /// Whether everything appended is durable.
    pub fn is_durable(&self) -> bool {
        self.durable == self.appended
    }

    /// Whether this server cannot speak for what it may have promised and acknowledged: it is
    /// new, or has lost its disk, or was given a part of a history and not all of it yet.
    ///
    /// Transactions of epoch 0 are those of a server that was alone, and are whole.
    pub fn is_fresh(&self) -> bool {
        let has_own = self.last() > Zxid::ZERO && self.last().epoch() == 0;
        self.incomplete || (self.accepted_epoch == 0 && self.current_epoch == 0 && !has_own)
    }

    /// Whether this server is known to lack what it had acknowledged or promised. It is
    /// [fresh](Self::is_fresh) then, and not new.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// Whether `zxid` may be the next transaction.
    ///
    /// It is the next of the last one's epoch, or the first of a later one.
    pub fn is_next(&self, zxid: Zxid) -> bool {
        let last = self.last();
        last.next() == Some(zxid) || (zxid.epoch() > last.epoch() && zxid.counter() == 1)
    }

    /// Appends a promise to follow only `epoch` or later ones.
    pub(super) fn accept_epoch(&mut self, epoch: u32, effects: &mut Vec<Effect<'_>>) {
        debug_assert!(epoch > self.accepted_epoch, "epoch {epoch}");
        self.accepted_epoch = epoch;
        self.append(Record::AcceptedEpoch(epoch), effects);
    }

    /// Appends that the initial history of `epoch` is here, if that is news.
    pub(super) fn enter_epoch(&mut self, epoch: u32, effects: &mut Vec<Effect<'_>>) {
        let was_incomplete = std::mem::take(&mut self.incomplete);
        if epoch <= self.current_epoch && !was_incomplete {
            return;
        }
        self.current_epoch = self.current_epoch.max(epoch);
        self.accepted_epoch = self.accepted_epoch.max(epoch);
        self.append(Record::CurrentEpoch(self.current_epoch), effects);
        self.entering.push_back((self.appended, self.current_epoch));
    }

    /// Appends a transaction, which [`History::is_next`], and the configuration it brings, if it does.
    pub(super) fn log<'a>(
        &mut self,
        zxid: Zxid,
        txn: &'a [u8],
        reconfig: Option<Configuration>,
        effects: &mut Vec<Effect<'a>>,
    ) {
        self.appended_run(zxid, 1);
        self.log_configuration(reconfig);
        effects.push(Effect::Append {
            position: self.appended,
            record: Record::Transaction { zxid, txn },
        });
    }

    /// Notes `count` transactions that the leader's server has appended by itself.
    pub(super) fn proposed(&mut self, last: Zxid, count: u64, reconfig: Option<Configuration>) {
        self.appended_run(last, count);
        self.log_configuration(reconfig);
    }

    fn log_configuration(&mut self, reconfig: Option<Configuration>) {
        if let Some(config) = reconfig {
            self.configs.logged(config);
            self.activating = None;
        }
    }

    /// A leader says that this configuration is the last one seen. If that is news, it is appended.
    pub(super) fn told(&mut self, config: &Configuration, effects: &mut Vec<Effect<'_>>) {
        if self.configs.told(config) {
            self.activating = None;
            self.append_configuration(false, effects);
        }
    }

    /// This configuration is in force. If that is news, it is appended.
    pub(super) fn adopt(&mut self, config: &Configuration, effects: &mut Vec<Effect<'_>>) -> bool {
        let is_news = self.configs.adopt(config);
        if is_news {
            self.activating = None;
            self.append_configuration(false, effects);
        }
        is_news
    }

    /// Whether the log says durably that the last configuration seen is in force (B12). It is
    /// committed; that it is in force is appended the first time.
    pub(super) fn may_activate(&mut self, effects: &mut Vec<Effect<'_>>) -> bool {
        if self.configs.last_seen().is_none() {
            return true;
        }
        if let Some(position) = self.activating {
            return position <= self.durable;
        }
        self.append_configuration(true, effects);
        self.activating = Some(self.appended);
        false
    }

    /// A server that led no longer goes by what its log says durably: that the last configuration seen,
    /// which is committed, is in force. Whether that is news.
    pub(super) fn activate_logged(&mut self) -> bool {
        let durable = self.durable;
        self.activating.take_if(|position| *position <= durable).is_some()
            && self.configs.activate()
    }

    /// The last configuration seen is committed and in force.
    pub(super) fn activate(&mut self, effects: &mut Vec<Effect<'_>>) {
        if self.configs.last_seen().is_some() && self.activating.take().is_none() {
            self.append_configuration(true, effects);
        }
        self.configs.activate();
    }

    /// A leader that is established goes by this configuration, and by nothing later that is in no
    /// transaction.
    pub(super) fn established(&mut self, config: &Configuration, effects: &mut Vec<Effect<'_>>) {
        if self.configs.adopt(config) | self.configs.forget_told() {
            self.activating = None;
            self.append_configuration(false, effects);
        }
    }

    fn append_configuration(&mut self, activated: bool, effects: &mut Vec<Effect<'_>>) {
        self.append(Record::Configuration(self.configs.to_bytes(activated)), effects);
    }

    fn append<'a>(&mut self, record: Record<'a>, effects: &mut Vec<Effect<'a>>) {
        self.appended.0 += 1;
        effects.push(Effect::Append { position: self.appended, record });
    }

    fn appended_run(&mut self, last: Zxid, count: u64) {
        if count == 0 {
            return;
        }
        let zxid_before = Zxid(last.0 - count.cast_signed());
        debug_assert!(self.is_next(Zxid(zxid_before.0 + 1)), "{count} up to {last}");
        self.epochs.extend(last);
        match self.syncing.back_mut() {
            Some(run) if run.end() == self.appended && run.at(run.end()) == zxid_before => {
                run.count += count;
            }
            _ => self.syncing.push_back(Run { position_before: self.appended, zxid_before, count }),
        }
        self.appended.0 += count;
    }

    /// The log is durable up to there.
    pub(super) fn synced(&mut self, position: Position) {
        debug_assert!(position <= self.appended, "durable before it was appended");
        self.durable = self.durable.max(position);
        while let Some((at, epoch)) = self.entering.front().copied() {
            if at > self.durable {
                break;
            }
            self.durable_epoch = epoch;
            self.entering.pop_front();
        }
        while let Some(run) = self.syncing.front() {
            if run.position_before >= self.durable {
                break;
            }
            self.durable_last = self.durable_last.max(run.at(self.durable));
            if run.end() > self.durable {
                break;
            }
            self.syncing.pop_front();
        }
    }

    /// Takes away what is above `to`, which is in the log and not below what is committed.
    ///
    /// Everything has to be durable, so that no report about what is cut is under way.
    pub(super) fn truncate(&mut self, to: Zxid, effects: &mut Vec<Effect<'_>>) {
        debug_assert!(to >= self.committed && self.is_durable(), "{to}");
        if to == self.last() {
            return;
        }
        self.epochs.truncate(to);
        self.durable_last = to;
        self.configs.truncate(to);
        self.activating = None;
        effects.push(Effect::Truncate { to });
    }

    /// Log and tree begin anew behind `zxid`, where this configuration was in force.
    pub(super) fn begin_anew(
        &mut self,
        zxid: Zxid,
        configuration: Option<&Configuration>,
        effects: &mut Vec<Effect<'_>>,
    ) {
        self.incomplete |= zxid < self.last();
        self.epochs = Epochs::new(zxid);
        self.committed = zxid;
        self.durable_last = zxid;
        self.syncing.clear();
        self.activating = None;
        let had_pending = self.configs.pending().is_some();
        self.configs.begin_anew(zxid);
        let is_news = configuration.is_some_and(|config| self.configs.adopt(config));
        if is_news || had_pending {
            self.append_configuration(false, effects);
        }
    }

    /// Everything up to `upto`, which is in the log, is committed.
    pub(super) fn commit(&mut self, upto: Zxid, effects: &mut Vec<Effect<'_>>) {
        debug_assert!(upto <= self.last(), "{upto} is not in the log");
        if upto > self.committed {
            self.committed = upto;
            effects.push(Effect::Commit { upto });
            if self.configs.pending().is_some_and(|pending| pending <= upto) {
                self.activate(effects);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn z(epoch: u32, counter: u32) -> Zxid {
        Zxid::new(epoch, counter)
    }

    fn history(epoch: u32) -> History {
        let configs = Configs::new(Configuration::parse("server.1=h:1:2").unwrap(), true);
        History::new(epoch, epoch, Epochs::default(), Zxid::ZERO, configs)
    }

    #[test]
    fn durability_follows_positions_across_promises() {
        let mut history = history(1);
        let mut effects = Vec::new();
        history.log(z(1, 1), b"a", None, &mut effects);
        history.log(z(1, 2), b"b", None, &mut effects);
        history.accept_epoch(2, &mut effects);
        history.enter_epoch(2, &mut effects);
        history.proposed(z(2, 3), 3, None);
        assert_eq!(history.appended(), Position(7));
        for (position, last) in
            [(1, z(1, 1)), (2, z(1, 2)), (4, z(1, 2)), (5, z(2, 1)), (6, z(2, 2)), (7, z(2, 3))]
        {
            history.synced(Position(position));
            assert_eq!(history.durable_last(), last, "at {position}");
        }
        assert!(history.is_durable());
    }

    #[test]
    fn a_late_report_does_not_take_durability_back() {
        let mut history = history(1);
        history.proposed(z(1, 4), 4, None);
        history.synced(Position(3));
        history.synced(Position(1));
        assert_eq!((history.durable(), history.durable_last()), (Position(3), z(1, 3)));
    }

    #[test]
    fn a_loss_ends_with_an_epoch_even_if_it_was_entered_before() {
        let mut history = history(2).with_loss(true);
        assert!(history.is_fresh() && history.is_incomplete());
        let mut effects = Vec::new();
        history.enter_epoch(2, &mut effects);
        history.enter_epoch(2, &mut effects);
        let record = Record::CurrentEpoch(2);
        assert_eq!(effects, [Effect::Append { position: Position(1), record }], "said once");
        assert!(!history.is_fresh() && !history.is_incomplete());
    }

    #[test]
    fn a_cut_takes_transactions_and_no_position() {
        let mut history = history(1);
        let mut effects = Vec::new();
        history.proposed(z(1, 4), 4, None);
        history.synced(Position(4));
        history.truncate(z(1, 2), &mut effects);
        assert_eq!(effects, [Effect::Truncate { to: z(1, 2) }]);
        assert_eq!((history.last(), history.durable_last()), (z(1, 2), z(1, 2)));
        history.proposed(z(1, 3), 1, None);
        assert_eq!((history.appended(), history.durable_last()), (Position(5), z(1, 2)));
        history.synced(Position(5));
        assert_eq!(history.durable_last(), z(1, 3));
    }
}
