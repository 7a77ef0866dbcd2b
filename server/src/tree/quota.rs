//! Quotas: limits on subtrees, and the usage that counts against them.
//!
//! Both are nodes' data: `/zookeeper/quota<path>/zookeeper_limits` and `zookeeper_stats` beside it.
//! Usage is rewritten in place with every change of the subtree, without version, zxid or watch;
//! the digest leaves those nodes out. Only the deepest limit above a node counts. Which that is,
//! the nodes below `/zookeeper/quota` say, so nothing is kept besides.

use super::{QUOTA, Tree, length, packed};

const PREFIX: &str = "/zookeeper/quota/";
const LIMITS: &[u8] = b"zookeeper_limits";
const STATS: &[u8] = b"zookeeper_stats";

/// The numbers in limits and statistics; -1 means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaNumbers {
    /// Nodes, the subtree's top included.
    pub count: i64,
    /// Bytes of data.
    pub bytes: i64,
    /// Nodes that must not be exceeded; of limits only.
    pub count_hard: i64,
    /// Bytes that must not be exceeded; of limits only.
    pub bytes_hard: i64,
}

impl QuotaNumbers {
    /// Reads `count=1,bytes=2=;byteHardLimit=3;countHardLimit=4`. `Compat:` the lone `=` is what
    /// `StatsTrack` writes so that old clients can read the rest; whatever is missing or no number
    /// is -1.
    pub fn parse(text: &[u8]) -> Self {
        let mut numbers = Self { count: -1, bytes: -1, count_hard: -1, bytes_hard: -1 };
        let text = std::str::from_utf8(text).unwrap_or_default();
        for pair in text.split([',', ';']) {
            let mut parts = pair.split('=');
            let place = match parts.next() {
                Some("count") => &mut numbers.count,
                Some("bytes") => &mut numbers.bytes,
                Some("countHardLimit") => &mut numbers.count_hard,
                Some("byteHardLimit") => &mut numbers.bytes_hard,
                _ => continue,
            };
            *place = parts.next().and_then(|number| number.parse().ok()).unwrap_or(-1);
        }
        numbers
    }
}

/// The limit on a subtree and what is used of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// What is allowed.
    pub limits: QuotaNumbers,
    /// What there is.
    pub usage: QuotaNumbers,
}

impl Quota {
    /// Whether a change by so many bytes and nodes would exceed a hard limit.
    pub fn refuses(&self, bytes: i64, nodes: i64) -> bool {
        exceeds(self.limits.count_hard, self.usage.count, nodes)
            || exceeds(self.limits.bytes_hard, self.usage.bytes, bytes)
    }

    /// Whether it would exceed a soft one, which forbids nothing.
    pub fn warns(&self, bytes: i64, nodes: i64) -> bool {
        exceeds(self.limits.count, self.usage.count, nodes)
            || exceeds(self.limits.bytes, self.usage.bytes, bytes)
    }
}

/// Whether `more` would come to more than `limit`.
fn exceeds(limit: i64, used: i64, more: i64) -> bool {
    more != 0 && limit > -1 && used.saturating_add(more) > limit
}

impl Tree {
    /// The quota that counts for a node at `path`, which need not exist; none where the deepest
    /// has no statistics.
    pub fn quota(&self, path: &str) -> Option<Quota> {
        let directory = self.quota_directory(path)?;
        let numbers = |name| {
            let slot = self.child(directory, name)?;
            Some(QuotaNumbers::parse(self.store.packed(slot).data.unwrap_or_default()))
        };
        Some(Quota { limits: numbers(LIMITS)?, usage: numbers(STATS)? })
    }

    /// The node below `/zookeeper/quota` that has the deepest limit at or above `path`.
    /// `Compat:` a limit on the root is ignored (`DataTree.getMaxPrefixWithQuota`).
    fn quota_directory(&self, path: &str) -> Option<u32> {
        if self.store.own_extra(QUOTA).is_none_or(|extra| extra.child_count == 0) {
            return None;
        }
        let mut directory = QUOTA;
        let mut deepest = None;
        for name in path.as_bytes().split(|&byte| byte == b'/').skip(1) {
            let Some(next) = self.child(directory, name) else { break };
            directory = next;
            if self.child(directory, LIMITS).is_some() {
                deepest = Some(directory);
            }
        }
        deepest
    }

    /// Adds to the usage of the subtree that `path` is in.
    pub(super) fn charge_quota(&mut self, path: &str, bytes: i64, nodes: i64) {
        let Some(directory) = self.quota_directory(path) else { return };
        let Some(stats) = self.child(directory, STATS) else { return };
        let used = QuotaNumbers::parse(self.store.packed(stats).data.unwrap_or_default());
        self.set_usage(stats, used.count.wrapping_add(nodes), used.bytes.wrapping_add(bytes));
    }

    /// A node was created. If it holds statistics, they begin with what there is.
    pub(super) fn quota_node_created(&mut self, path: &str) {
        let Some((subject, name)) = path.rsplit_once('/') else { return };
        if name.as_bytes() != STATS || !path.starts_with(PREFIX) {
            return;
        }
        let stats = self.find(path).expect("created just now");
        let (mut count, mut bytes) = (0, 0);
        if let Some(top) = self.find(&subject[PREFIX.len() - 1..]) {
            for slot in self.subtree(top) {
                count += 1;
                bytes += length(self.store.packed(slot).data).cast_signed();
            }
        }
        self.set_usage(stats, count, bytes);
    }

    /// Counts the usage of every limit anew.
    pub(super) fn recount_quotas(&mut self) {
        let has_name = |&slot: &u32| packed::name(self.store.bytes(slot)) == LIMITS;
        let limits: Vec<_> = self.subtree(QUOTA).filter(has_name).collect();
        for slot in limits {
            let directory = self.store.slots.get(slot).parent;
            if let Some(stats) = self.child(directory, STATS) {
                self.quota_node_created(&self.path_of(stats));
            }
        }
    }

    fn set_usage(&mut self, stats: u32, count: i64, bytes: i64) {
        self.touch(stats);
        let text = format!("count={count},bytes={bytes}");
        let packed = self.store.packed(stats);
        let (facts, old) = (packed.facts, length(packed.data));
        self.store.rewrite(stats, &facts, Some(text.as_bytes()));
        self.data_size = self.data_size - old + length(Some(text.as_bytes()));
    }
}
