//! What the server counts about itself, cheap enough to do so for every request.
//!
//! A connection's task counts a batch of requests in a [`Tally`], plain numbers on its own stack,
//! and the tally adds itself to the shared [`ServerStats`] and [`ConnectionStats`] when dropped:
//! a handful of relaxed atomic operations for a batch, however many requests it held. Readers
//! (four-letter words) may see one number of a batch before another; each number by itself is
//! exact. Nothing here reads a clock: latencies and times are arguments.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use quorate_protocol::OpCode;
use quorate_protocol::record::EventType;

use super::connection::ConnectionStats;
use super::measure::{Counter, Histogram, Sizes, Summary, SummaryNumbers, Unit};
use super::tally::{Batch, Tally};

macro_rules! server_stats {
    (
        counters { $($(#[$counter_doc:meta])* $counter:ident,)* }
        summaries { $($(#[$summary_doc:meta])* $summary:ident as $unit:ident,)* }
        histograms { $($(#[$histogram_doc:meta])* $histogram:ident,)* }
    ) => {
        /// The server's own numbers. The public fields are counted by whoever knows; their names
        /// are those of ZooKeeper's metrics. The private ones are counted through a [`Tally`].
        #[derive(Debug, Default)]
        pub struct ServerStats {
            $($(#[$counter_doc])* pub $counter: Counter,)*
            $($(#[$summary_doc])* pub $summary: Summary,)*
            $($(#[$histogram_doc])* pub $histogram: Histogram,)*
            packets_received: Counter,
            packets_sent: Counter,
            /// Requests read and requests answered, ever: what lies between is outstanding.
            requests_read: AtomicU64,
            requests_answered: AtomicU64,
            latency: Summary,
            operations: [Counter; Operation::COUNT],
            /// Refused `auth` requests; not reset.
            pub auth_failed_count: Counter,
            response_size: Sizes,
            /// Sizes of the leader's proposals: header, record and digest.
            pub proposal_sizes: Sizes,
            /// What `stmk` last set.
            trace_mask: TraceMask,
        }

        impl ServerStats {
            /// All counters with their metric's name.
            pub(super) fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($counter), self.$counter.get()),)*].into_iter()
            }

            /// All summaries with their metric's name and unit.
            pub(super) fn summaries(
                &self,
            ) -> impl Iterator<Item = (&'static str, Unit, SummaryNumbers)> {
                [$((stringify!($summary), Unit::$unit, self.$summary.numbers()),)*].into_iter()
            }

            /// All summaries with quantiles, with their metric's name.
            pub(super) fn histograms(&self) -> impl Iterator<Item = (&'static str, &Histogram)> {
                [$((stringify!($histogram), &self.$histogram),)*].into_iter()
            }

            /// Sets everything that `srst` resets to zero.
            pub fn reset(&self) {
                $(self.$counter.reset();)*
                $(self.$summary.reset();)*
                $(self.$histogram.reset();)*
                self.packets_received.reset();
                self.packets_sent.reset();
                self.latency.reset();
                self.response_size.reset();
                self.proposal_sizes.reset();
                for operation in &self.operations {
                    operation.reset();
                }
            }
        }
    };
}

server_stats! {
    counters {
        /// Connect requests.
        connection_request_count,
        /// Connections refused by a limit on their number or by the throttle of new ones.
        connection_rejected,
        /// Connections that ended because the client was gone.
        connection_drop_count,
        /// Connect requests for a session that existed.
        connection_revalidate_count,
        /// Connections closed because no session was established in time.
        sessionless_connections_expired,
        /// Sessions that expired.
        stale_sessions_expired,
        /// Bytes of all frames received.
        bytes_received_count,
        /// Bytes of all replies.
        response_bytes,
        /// Bytes of all watch events.
        watch_bytes,
        /// Requests dropped because their connection was gone.
        stale_requests_dropped,
        /// Replies to requests that were executed although their connection was gone.
        stale_replies,
        /// Requests answered "throttled" because they had waited too long.
        throttled_ops,
        /// Times a client was not read from because too many requests were in progress.
        request_throttle_wait_count,
        /// Connections closed because large requests took too much memory.
        large_requests_rejected,
        /// Transactions after which the tree's digest was not the announced one.
        digest_mismatches_count,
        /// TTL nodes created.
        ttl_node_created_count,
        /// TTL nodes the server deleted.
        ttl_node_deleted_count,
        /// Checkpoints that could not be written.
        snapshot_error_count,
        /// Times the server began to look for a leader.
        looking_count,
        /// Leader: transactions proposed.
        proposal_count,
        /// Leader: transactions committed.
        commit_count,
        /// Leader: learners brought up to date by the transactions they missed.
        diff_count,
        /// Leader: learners that had to cut their logs first; not among ZooKeeper's.
        trunc_count,
        /// Leader: learners that were sent a snapshot.
        snap_count,
        /// Learner: proposals received from the leader.
        learner_proposal_received_count,
        /// Learner: commits received from the leader.
        learner_commit_received_count,
        /// Leader: sessions that a learner asked about because a client brought them along.
        revalidate_count,
    }
    summaries {
        /// How long a sync of the log took.
        fsynctime as Time,
        /// How long a checkpoint took.
        snapshottime as Time,
        /// How long it took to load the state at start-up.
        dbinittime as Time,
        /// Of that, the checkpoint.
        startup_snap_load_time as Time,
        /// Of that, the log behind it.
        startup_txns_load_time as Time,
        /// Transactions read from the log at start-up.
        startup_txns_loaded as Number,
        /// Transactions in one write of the log.
        sync_processor_batch_size as Number,
        /// Watches fired by one creation.
        node_created_watch_count as Number,
        /// Watches fired by one deletion.
        node_deleted_watch_count as Number,
        /// Watches fired by one change of data.
        node_changed_watch_count as Number,
        /// Watches fired by one change of a list of children.
        node_children_watch_count as Number,
        /// From the beginning of an election until this server had decided whom to follow.
        election_time as Time,
        /// From the loss of a leader, or the start, until the server served again.
        unavailable_time as Time,
        /// The same, of those times at which this server led then.
        leader_unavailable_time as Time,
        /// How long it took to be synchronized by a leader, as a follower.
        follower_sync_time as Time,
        /// How long it took to be synchronized by a leader, as an observer.
        observer_sync_time as Time,
    }
    histograms {
        /// From a read's arrival to its answer.
        readlatency,
        /// From a write's arrival to its answer.
        updatelatency,
        /// From the preparation of a batch's first write until all of the batch was applied.
        propagation_latency,
        /// From the preparation of a batch's first write until the batch was durable.
        sync_processor_queue_and_flush_time_ms,
        /// How long a durable batch took to be applied and answered.
        write_final_proc_time_ms,
        /// Leader: from a batch's proposal until a quorum had acknowledged it.
        quorum_ack_latency,
    }
}

impl ServerStats {
    /// Begins to count a batch of one connection's requests.
    pub fn tally<'a>(&'a self, connection: &'a ConnectionStats) -> Tally<'a> {
        Tally::new(self, connection)
    }

    pub(super) fn add(&self, batch: &Batch) {
        let add = |counter: &Counter, n: u64| {
            if n > 0 {
                counter.add(n);
            }
        };
        add(&self.packets_received, batch.received);
        add(&self.bytes_received_count, batch.bytes_received);
        add(&self.packets_sent, batch.sent);
        add(&self.response_bytes, batch.response_bytes);
        add(&self.watch_bytes, batch.event_bytes);
        if batch.requests > 0 {
            self.requests_read.fetch_add(batch.requests, Relaxed);
            for (counter, &n) in self.operations.iter().zip(&batch.operations) {
                add(counter, n.into());
            }
        }
        if batch.answers > 0 {
            self.requests_answered.fetch_add(batch.answers, Relaxed);
        }
        if let Some(sizes) = batch.sizes {
            self.latency.merge(&batch.latency);
            self.response_size.merge(sizes);
        }
    }

    /// Frames received, four-letter words included.
    pub fn packets_received(&self) -> u64 {
        self.packets_received.get()
    }

    /// Frames sent.
    pub fn packets_sent(&self) -> u64 {
        self.packets_sent.get()
    }

    /// Requests read and not yet answered.
    pub fn outstanding(&self) -> u64 {
        // Answered first: in the other order, a request read and answered in between would count
        // as answered only.
        let answered = self.requests_answered.load(Relaxed);
        self.requests_read.load(Relaxed).saturating_sub(answered)
    }

    /// Gives up on requests that nobody waits for any more.
    pub fn abandon(&self, requests: u64) {
        self.requests_answered.fetch_add(requests, Relaxed);
    }

    /// A change fired so many watches at one path.
    pub fn watches_fired(&self, kind: EventType, watches: usize) {
        let summary = match kind {
            EventType::NodeCreated => &self.node_created_watch_count,
            EventType::NodeDeleted => &self.node_deleted_watch_count,
            EventType::NodeDataChanged => &self.node_changed_watch_count,
            EventType::NodeChildrenChanged => &self.node_children_watch_count,
        };
        summary.record(watches as u64);
    }

    /// Latencies of all requests, in microseconds.
    pub fn latency(&self) -> SummaryNumbers {
        self.latency.numbers()
    }

    /// The trace mask, which `gtmk` shows.
    ///
    /// Compat: it can be set and asked for as in ZooKeeper, and selects nothing: what is logged
    /// is said by `quorate.log.level`.
    pub fn trace_mask(&self) -> i64 {
        self.trace_mask.0.load(Relaxed)
    }

    pub(super) fn set_trace_mask(&self, mask: i64) {
        self.trace_mask.0.store(mask, Relaxed);
    }

    pub(super) fn operations(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Operation::NAMES.iter().copied().zip(self.operations.iter().map(Counter::get))
    }

    /// Sizes of replies without their length: last, least, greatest; -1 when there was none.
    pub(super) fn response_sizes(&self) -> [i64; 3] {
        self.response_size.numbers()
    }
}

#[derive(Debug)]
struct TraceMask(AtomicI64);

impl Default for TraceMask {
    fn default() -> Self {
        // Compat: ZooKeeper's, client requests | server packets | sessions | warnings.
        Self(AtomicI64::new(306))
    }
}

macro_rules! operations {
    ($($operation:ident = $name:literal: $($op:ident)|+;)*) => {
        /// What requests are counted as: ZooKeeper's `op_count_*` metrics.
        #[derive(Debug, Clone, Copy)]
        pub(super) enum Operation {
            $($operation,)*
        }

        impl Operation {
            const NAMES: &[&str] = &[$($name,)*];
            pub(super) const COUNT: usize = Self::NAMES.len();

            pub(super) fn of(op: OpCode) -> Option<Self> {
                match op {
                    $($(OpCode::$op)|+ => Some(Self::$operation),)*
                    OpCode::Error | OpCode::Auth | OpCode::Sasl => None,
                }
            }
        }
    };
}

operations! {
    AddWatch = "add_watch": AddWatch;
    Check = "check": Check;
    CheckWatches = "check_watches": CheckWatches;
    CloseSession = "close_session": CloseSession;
    Create = "create": Create | Create2 | CreateContainer | CreateTtl;
    CreateSession = "create_session": CreateSession;
    Delete = "delete": Delete | DeleteContainer;
    Exists = "exists": Exists;
    GetAcl = "get_acl": GetAcl;
    GetAllChildrenNumber = "get_all_children_number": GetAllChildrenNumber;
    GetChildren = "get_children": GetChildren | GetChildren2;
    GetData = "get_data": GetData;
    GetEphemerals = "get_ephemerals": GetEphemerals;
    Multi = "multi": Multi;
    MultiRead = "multi_read": MultiRead;
    Ping = "ping": Ping;
    Reconfig = "reconfig": Reconfig;
    RemoveWatches = "remove_watches": RemoveWatches;
    SetAcl = "set_acl": SetAcl;
    SetData = "set_data": SetData;
    SetWatches = "set_watches": SetWatches | SetWatches2;
    Sync = "sync": Sync;
    WhoAmI = "who_am_i": WhoAmI;
}
