//! The configurations a server goes by: the one in force, and one that may come.

use std::collections::BTreeSet;

use quorate_protocol::{Decode, Decoder, OpCode, Zxid};

use super::{
    configuration::{Configuration, Server},
    types::{Member, ServerId},
};
use crate::txn::{Txn, TxnHeader};

/// Between the two texts of [`Configs::to_bytes`]; in no text.
const SEPARATOR: u8 = 0;

/// The configuration in force, and the last one seen if that is a later one.
///
/// What is decided while there are two takes a quorum of both. One comes into force when it is
/// known to be committed; then the one before counts for nothing any more.
///
/// Invariant: the last one seen has a higher version than the one in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configs {
    /// Whether configurations can change at all (`reconfigEnabled`). If not, the one in force is
    /// that of the files, whatever others say.
    can_change: bool,
    in_force: Configuration,
    last_seen: Option<Configuration>,
    /// The last one seen is a transaction of the log, and goes when that is cut off.
    is_logged: bool,
}

impl Configs {
    /// The configuration of the files.
    pub fn new(in_force: Configuration, can_change: bool) -> Self {
        Self { can_change, in_force, last_seen: None, is_logged: false }
    }

    /// Whether configurations can change at all.
    pub fn can_change(&self) -> bool {
        self.can_change
    }

    /// The one in force.
    pub fn in_force(&self) -> &Configuration {
        &self.in_force
    }

    /// A later one that is not known to be committed.
    pub fn last_seen(&self) -> Option<&Configuration> {
        self.last_seen.as_ref()
    }

    /// The last one seen, or the one in force.
    pub fn newest(&self) -> &Configuration {
        self.last_seen.as_ref().unwrap_or(&self.in_force)
    }

    /// What a learner is told with `NEWLEADER`, as [`Effect::SendNewLeader`](super::Effect::SendNewLeader)
    /// says: the last one seen, or the one in force.
    pub fn of_new_leader(&self, newest: bool) -> &Configuration {
        if newest { self.newest() } else { self.in_force() }
    }

    /// The transaction that the last one seen is waiting for.
    pub(super) fn pending(&self) -> Option<Zxid> {
        self.last_seen.as_ref().filter(|_| self.is_logged).map(|config| Zxid(config.version))
    }

    /// Both, the newer one first.
    fn both(&self) -> impl Iterator<Item = &Configuration> {
        self.last_seen.iter().chain([&self.in_force])
    }

    /// Whether these servers may decide: under each configuration.
    pub fn is_quorum(&self, servers: &BTreeSet<ServerId>) -> bool {
        self.both().all(|config| config.is_quorum(servers))
    }

    /// Whether these servers are a quorum of either configuration. What they agree on need not be
    /// right.
    pub fn is_perhaps_quorum(&self, servers: &BTreeSet<ServerId>) -> bool {
        self.both().any(|config| config.is_quorum(servers))
    }

    /// Whether a server is in either of them.
    pub fn contains(&self, server: ServerId) -> bool {
        self.both().any(|config| config.servers.contains_key(&server))
    }

    /// Whether a server takes part in quorums of either.
    pub fn is_voter(&self, server: ServerId) -> bool {
        self.both().any(|config| config.is_voter(server))
    }

    /// Everybody who takes part in quorums of either, in the order of their numbers.
    pub fn voters(&self) -> impl Iterator<Item = ServerId> {
        self.both().flat_map(Configuration::voters).collect::<BTreeSet<_>>().into_iter()
    }

    /// Everybody in either of them, in the order of their numbers.
    pub fn servers(&self) -> impl Iterator<Item = ServerId> {
        self.both()
            .flat_map(|config| config.servers.keys().copied())
            .collect::<BTreeSet<_>>()
            .into_iter()
    }

    /// Where a server is reached, and what it is: as the newest configuration says that has it.
    pub fn server(&self, server: ServerId) -> Option<&Server> {
        self.both().find_map(|config| config.servers.get(&server))
    }

    /// Whether a server can be elected.
    pub fn is_eligible(&self, server: ServerId) -> bool {
        self.both().any(|config| config.weight(server) > 0)
    }

    /// As what a server takes part: an observer is one that does not vote by any configuration.
    ///
    /// Compat: one that is in none of them follows as a participant does, and its votes do not count.
    /// So a server that is about to join is up to date when it is made a voter.
    pub fn member(&self, server: ServerId) -> Member {
        let is_listed = self.in_force.servers.contains_key(&server);
        if is_listed && !self.is_voter(server) { Member::Observer } else { Member::Participant }
    }

    /// Whether a server that leads may go on leading once `next` is in force: it votes in it, and
    /// is reached where it was.
    pub fn may_lead_on(&self, server: ServerId, next: &Configuration) -> bool {
        let addresses = |config: &Configuration| {
            config.servers.get(&server).map(|server| server.quorum.clone())
        };
        next.weight(server) > 0 && addresses(next) == addresses(&self.in_force)
    }

    /// A transaction of the log has this configuration.
    ///
    /// A leader proposes the next one only when the one before is committed.
    pub(super) fn logged(&mut self, config: Configuration) {
        if !self.can_change || config.version <= self.in_force.version {
            return;
        }
        if self.is_logged
            && let Some(before) = self.last_seen.take_if(|before| before.version < config.version)
        {
            self.in_force = before;
        }
        self.last_seen = Some(config);
        self.is_logged = true;
    }

    /// A leader says that this is the last one seen, of which this server's log need not know.
    /// Whether that is news.
    pub(crate) fn told(&mut self, config: &Configuration) -> bool {
        let is_news = self.can_change
            && config.version != self.newest().version
            && config.version > self.in_force.version
            && self.pending().is_none_or(|pending| pending.0 < config.version);
        if is_news {
            self.last_seen = Some(config.clone());
            self.is_logged = false;
        }
        is_news
    }

    /// This one is in force, as others know. Whether that is news.
    pub(super) fn adopt(&mut self, config: &Configuration) -> bool {
        let is_news = self.can_change && config.version > self.in_force.version;
        if is_news {
            self.in_force = config.clone();
            let version = config.version;
            self.last_seen.take_if(|last_seen| last_seen.version <= version);
            self.is_logged &= self.last_seen.is_some();
        }
        is_news
    }

    /// Forgets the last one seen if it is in no transaction. Whether there was one.
    pub(super) fn forget_told(&mut self) -> bool {
        self.last_seen.take_if(|_| !self.is_logged).is_some()
    }

    /// The last one seen is committed.
    pub(crate) fn activate(&mut self) -> bool {
        self.is_logged = false;
        self.last_seen.take().map(|config| self.in_force = config).is_some()
    }

    /// The log is cut behind `to`.
    pub(super) fn truncate(&mut self, to: Zxid) {
        if self.pending().is_some_and(|pending| pending > to) {
            self.last_seen = None;
            self.is_logged = false;
        }
    }

    /// The log begins anew behind `after`. That a transaction is in it is not known any more.
    pub(super) fn begin_anew(&mut self, after: Zxid) {
        self.truncate(after);
        self.is_logged = false;
    }

    /// As kept in the log: the text of the one in force, and that of the last one seen behind a zero
    /// byte if no transaction has it.
    pub(super) fn to_bytes(&self, activated: bool) -> Vec<u8> {
        if activated {
            return self.newest().to_string().into_bytes();
        }
        let mut bytes = self.in_force.to_string().into_bytes();
        if let Some(last_seen) = self.last_seen.as_ref().filter(|_| !self.is_logged) {
            bytes.push(SEPARATOR);
            bytes.extend_from_slice(last_seen.to_string().as_bytes());
        }
        bytes
    }

    /// Takes in what the log keeps; false if it cannot be read.
    pub fn recover(&mut self, bytes: &[u8]) -> bool {
        let mut texts = bytes.split(|byte| *byte == SEPARATOR).map(read);
        let (in_force, last_seen) = (texts.next().flatten(), texts.next());
        let is_whole = in_force.is_some() && last_seen.as_ref().is_none_or(Option::is_some);
        if let Some(config) = &in_force {
            self.adopt(config);
        }
        if let Some(config) = last_seen.flatten() {
            self.told(&config);
        }
        is_whole
    }

    /// Takes in the content of `/zookeeper/config`, which is committed.
    pub fn recover_applied(&mut self, text: &[u8]) {
        if let Some(config) = read(text) {
            self.adopt(&config);
        }
    }

    /// Takes in a transaction of the log that is not known to be committed.
    pub fn recover_logged(&mut self, txn: &[u8]) {
        if let Some(Ok(config)) = in_transaction(txn) {
            self.logged(config);
        }
    }
}

/// A configuration as others send it.
pub(super) fn read(text: &[u8]) -> Option<Configuration> {
    Configuration::parse(std::str::from_utf8(text).ok()?).ok()
}

/// The version at the end of a configuration's text, without reading the rest.
pub(super) fn version_of(text: &[u8]) -> Option<i64> {
    let last = text.rsplit(|byte| *byte == b'\n').next()?;
    let version = std::str::from_utf8(last).ok()?.strip_prefix("version=")?;
    i64::from_str_radix(version, 16).ok()
}

/// The configuration that a transaction brings, if it is one that does; or that it cannot be read.
pub(super) fn in_transaction(txn: &[u8]) -> Option<Result<Configuration, Unreadable>> {
    let mut input = Decoder::new(txn);
    let header = TxnHeader::decode(&mut input).ok()?;
    if header.kind != OpCode::Reconfig {
        return None;
    }
    let config = match Txn::decode(header.kind, &mut input) {
        Ok(Txn::Reconfig(set)) => set.data.and_then(read),
        _ => None,
    };
    Some(config.filter(|config| config.version == header.zxid.0).ok_or(Unreadable))
}

/// A transaction brings a configuration that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;
