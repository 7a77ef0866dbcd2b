//! What the server counts about itself, cheap enough for the path of every request.
//!
//! A connection's task counts a batch of requests in a [`Tally`], plain numbers on its own stack,
//! and the tally adds itself to the shared [`ServerStats`] and [`ConnectionStats`] when dropped:
//! a handful of relaxed atomic operations for a batch, however many requests it held. Readers
//! (four-letter words) may see one number of a batch before another; each number by itself is
//! exact. Nothing here reads a clock: latencies and times are arguments.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use quorate_protocol::{OpCode, SessionId, Xid, Zxid};

/// A number that only grows, until a reset.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// How much was counted since the last reset.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}

/// Count, sum, least and greatest of the values recorded since the last reset.
#[derive(Debug)]
pub struct Summary {
    count: AtomicU64,
    sum: AtomicU64,
    /// `u64::MAX` when nothing was recorded.
    min: AtomicU64,
    max: AtomicU64,
}

/// A [`Summary`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SummaryNumbers {
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The least, 0 when there was none.
    pub min: u64,
    /// The greatest, 0 when there was none.
    pub max: u64,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }
}

impl Summary {
    /// Records one value.
    pub fn record(&self, value: u64) {
        self.record_run(value, 1);
    }

    /// Records a duration, in microseconds; such a summary is shown in milliseconds.
    pub fn record_time(&self, time: Duration) {
        self.record(micros(time));
    }

    fn record_run(&self, value: u64, times: u64) {
        self.merge(&SummaryNumbers { count: times, sum: value * times, min: value, max: value });
    }

    /// Adds `more`, which holds at least one value.
    fn merge(&self, more: &SummaryNumbers) {
        self.count.fetch_add(more.count, Relaxed);
        self.sum.fetch_add(more.sum, Relaxed);
        // A look first: the extremes rarely move, and a look does not take the cache line away
        // from the other cores.
        if more.min < self.min.load(Relaxed) {
            self.min.fetch_min(more.min, Relaxed);
        }
        if more.max > self.max.load(Relaxed) {
            self.max.fetch_max(more.max, Relaxed);
        }
    }

    /// The numbers now.
    pub fn numbers(&self) -> SummaryNumbers {
        let count = self.count.load(Relaxed);
        SummaryNumbers {
            count,
            sum: self.sum.load(Relaxed),
            min: if count == 0 { 0 } else { self.min.load(Relaxed) },
            max: self.max.load(Relaxed),
        }
    }

    fn reset(&self) {
        self.count.store(0, Relaxed);
        self.sum.store(0, Relaxed);
        self.min.store(u64::MAX, Relaxed);
        self.max.store(0, Relaxed);
    }
}

/// A [`Summary`] of durations that knows quantiles too, each to an eighth of its value.
#[derive(Debug)]
pub struct Histogram {
    summary: Summary,
    buckets: Box<[AtomicU64]>,
}

/// Below this, a bucket for each microsecond; above, eight for each power of two.
const EXACT: u64 = 16;
/// The last bucket begins at 2^36 microseconds, some 19 hours.
const BUCKETS: usize = 16 + (36 - 4) * 8 + 1;

impl Default for Histogram {
    fn default() -> Self {
        Self {
            summary: Summary::default(),
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Histogram {
    /// Records one duration.
    pub fn record_time(&self, time: Duration) {
        self.record_run(micros(time), 1);
    }

    fn record_run(&self, value: u64, times: u64) {
        self.summary.record_run(value, times);
        self.buckets[bucket_of(value)].fetch_add(times, Relaxed);
    }

    /// Count, sum and extremes, in microseconds.
    pub fn numbers(&self) -> SummaryNumbers {
        self.summary.numbers()
    }

    /// The durations, in microseconds, that these parts of all recorded ones did not exceed;
    /// `parts` ascend from 0 to 1.
    pub fn quantiles<const N: usize>(&self, parts: [f64; N]) -> [u64; N] {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let SummaryNumbers { min, max, .. } = self.numbers();
        let mut found = [0; N];
        let (mut seen, mut bucket) = (0, 0);
        for (part, value) in parts.into_iter().zip(&mut found) {
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rank among counted requests; an eighth is the precision anyway"
            )]
            let rank = ((total as f64 * part).ceil() as u64).max(1);
            while bucket < BUCKETS && seen + counts[bucket] < rank {
                seen += counts[bucket];
                bucket += 1;
            }
            if total > 0 {
                *value = upper_end(bucket).clamp(min, max);
            }
        }
        found
    }

    fn reset(&self) {
        self.summary.reset();
        for bucket in &self.buckets {
            bucket.store(0, Relaxed);
        }
    }
}

fn bucket_of(value: u64) -> usize {
    if value < EXACT {
        return usize::try_from(value).expect("below 16");
    }
    let power = value.ilog2();
    let eighth = (value >> (power - 3)) & 7;
    let index = u64::from(16 + (power - 4) * 8) + eighth;
    usize::try_from(index).expect("at most 16 + 60 * 8").min(BUCKETS - 1)
}

/// The greatest value in a bucket.
fn upper_end(bucket: usize) -> u64 {
    let index = u64::try_from(bucket).expect("a bucket's index");
    if index < EXACT {
        return index;
    }
    let (power, eighth) = (4 + (index - 16) / 8, (index - 16) % 8);
    (1 << power) + ((eighth + 1) << (power - 3)) - 1
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

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
            response_size: ResponseSize,
            /// What `stmk` last set.
            trace_mask: TraceMask,
        }

        impl ServerStats {
            /// All counters with their metric's name.
            pub(crate) fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($counter), self.$counter.get()),)*].into_iter()
            }

            /// All summaries with their metric's name and unit.
            pub(crate) fn summaries(
                &self,
            ) -> impl Iterator<Item = (&'static str, Unit, SummaryNumbers)> {
                [$((stringify!($summary), Unit::$unit, self.$summary.numbers()),)*].into_iter()
            }

            /// All summaries with quantiles, with their metric's name.
            pub(crate) fn histograms(&self) -> impl Iterator<Item = (&'static str, &Histogram)> {
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
                for operation in &self.operations {
                    operation.reset();
                }
            }
        }
    };
}

/// How a summary's values are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Recorded in microseconds, shown in milliseconds.
    Time,
    /// Shown as recorded.
    Number,
}

server_stats! {
    counters {
        /// Connect requests.
        connection_request_count,
        /// Connections refused by a limit or by the throttle of new connections.
        connection_rejected,
        /// Connections that were closed by the server.
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
        /// Replies dropped because their connection was gone.
        stale_replies,
        /// Requests answered "throttled" because they had waited too long.
        throttled_ops,
        /// Times a client was not read from because too many requests were outstanding.
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
        /// How long a batch of requests took to prepare.
        prep_process_time as Time,
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
    }
    histograms {
        /// From a read's arrival to its answer.
        readlatency,
        /// From a write's arrival to its answer.
        updatelatency,
        /// From a write's preparation until it was applied.
        propagation_latency,
        /// From a write's preparation until it was durable.
        sync_processor_queue_and_flush_time_ms,
        /// How long durable transactions took to be applied and answered.
        write_final_proc_time_ms,
    }
}

impl ServerStats {
    /// Begins to count a batch of one connection's requests.
    pub fn tally<'a>(&'a self, connection: &'a ConnectionStats) -> Tally<'a> {
        Tally {
            server: self,
            connection,
            received: 0,
            bytes_received: 0,
            sent: 0,
            response_bytes: 0,
            event_bytes: 0,
            read: 0,
            answered: 0,
            operations: [0; Operation::COUNT],
            reads: Run::default(),
            updates: Run::default(),
            latency: SummaryNumbers { min: u64::MAX, ..SummaryNumbers::default() },
            last: None,
            sizes: None,
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

    /// Gives up on requests whose connection went before they were answered.
    pub fn abandon(&self, requests: u64) {
        self.requests_answered.fetch_add(requests, Relaxed);
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

    pub(crate) fn set_trace_mask(&self, mask: i64) {
        self.trace_mask.0.store(mask, Relaxed);
    }

    pub(crate) fn operations(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Operation::NAMES.iter().copied().zip(self.operations.iter().map(Counter::get))
    }

    /// Sizes of replies without their length: last, least, greatest; -1 when there was none.
    pub(crate) fn response_sizes(&self) -> [i64; 3] {
        let ResponseSize { last, min, max } = &self.response_size;
        let last = last.load(Relaxed);
        if last < 0 { [-1; 3] } else { [last, min.load(Relaxed), max.load(Relaxed)] }
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

#[derive(Debug)]
struct ResponseSize {
    last: AtomicI64,
    min: AtomicI64,
    max: AtomicI64,
}

impl Default for ResponseSize {
    fn default() -> Self {
        Self { last: (-1).into(), min: i64::MAX.into(), max: (-1).into() }
    }
}

impl ResponseSize {
    fn reset(&self) {
        self.last.store(-1, Relaxed);
        self.min.store(i64::MAX, Relaxed);
        self.max.store(-1, Relaxed);
    }

    fn merge(&self, sizes: [i64; 3]) {
        let [last, min, max] = sizes;
        self.min.fetch_min(min, Relaxed);
        self.max.fetch_max(max, Relaxed);
        self.last.store(last, Relaxed);
    }
}

/// What is known of one client connection.
#[derive(Debug)]
pub struct ConnectionStats {
    /// The client's address.
    pub remote: SocketAddr,
    /// When it connected, in milliseconds since 1970.
    pub established_ms: i64,
    /// The session attached to it; none before the connect request was answered.
    session: AtomicI64,
    timeout_ms: AtomicI32,
    received: AtomicU64,
    sent: AtomicU64,
    requests_read: AtomicU64,
    requests_answered: AtomicU64,
    latency: Summary,
    last_latency_ms: AtomicU64,
    /// The wire number of the last answered operation, 0 when there was none.
    last_op: AtomicI32,
    /// -1 when there was none.
    last_xid: AtomicI64,
    /// -1 when there was none.
    last_zxid: AtomicI64,
    last_response_ms: AtomicI64,
}

impl ConnectionStats {
    /// A connection that has not said anything yet. An IPv4 client of a socket for both kinds is
    /// shown by its IPv4 address.
    pub fn new(remote: SocketAddr, established_ms: i64) -> Self {
        Self {
            remote: SocketAddr::new(remote.ip().to_canonical(), remote.port()),
            established_ms,
            session: AtomicI64::new(SessionId::NONE.0),
            timeout_ms: AtomicI32::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            requests_read: AtomicU64::new(0),
            requests_answered: AtomicU64::new(0),
            latency: Summary::default(),
            last_latency_ms: AtomicU64::new(0),
            last_op: AtomicI32::new(0),
            last_xid: AtomicI64::new(-1),
            last_zxid: AtomicI64::new(-1),
            last_response_ms: AtomicI64::new(0),
        }
    }

    /// The connection now serves this session.
    pub fn attach(&self, session: SessionId, timeout_ms: i32) {
        self.timeout_ms.store(timeout_ms, Relaxed);
        self.session.store(session.0, Relaxed);
    }

    /// The session it serves, or none.
    pub fn session(&self) -> SessionId {
        SessionId(self.session.load(Relaxed))
    }

    /// Requests read from it and not yet answered.
    pub fn outstanding(&self) -> u64 {
        let answered = self.requests_answered.load(Relaxed);
        self.requests_read.load(Relaxed).saturating_sub(answered)
    }

    /// Sets to zero what `crst` resets.
    pub fn reset(&self) {
        self.received.store(0, Relaxed);
        self.sent.store(0, Relaxed);
        self.latency.reset();
        self.last_latency_ms.store(0, Relaxed);
        self.last_op.store(0, Relaxed);
        self.last_xid.store(-1, Relaxed);
        self.last_zxid.store(-1, Relaxed);
        self.last_response_ms.store(0, Relaxed);
    }

    /// All of it, for a listing.
    pub fn numbers(&self) -> ConnectionNumbers {
        ConnectionNumbers {
            remote: self.remote,
            established_ms: self.established_ms,
            session: self.session(),
            timeout_ms: self.timeout_ms.load(Relaxed),
            outstanding: self.outstanding(),
            received: self.received.load(Relaxed),
            sent: self.sent.load(Relaxed),
            last_op: OpCode::from_wire(self.last_op.load(Relaxed)),
            last_xid: self.last_xid.load(Relaxed),
            last_zxid: Zxid(self.last_zxid.load(Relaxed)),
            last_response_ms: self.last_response_ms.load(Relaxed),
            last_latency_ms: self.last_latency_ms.load(Relaxed),
            latency: self.latency.numbers(),
        }
    }
}

/// A [`ConnectionStats`] at one moment.
#[derive(Debug, Clone)]
pub struct ConnectionNumbers {
    /// The client's address.
    pub remote: SocketAddr,
    /// When it connected, in milliseconds since 1970.
    pub established_ms: i64,
    /// The session attached to it, or none.
    pub session: SessionId,
    /// That session's timeout.
    pub timeout_ms: i32,
    /// Requests read and not yet answered.
    pub outstanding: u64,
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// What was last answered.
    pub last_op: Option<OpCode>,
    /// The last answered request's xid, -1 when there was none.
    pub last_xid: i64,
    /// The zxid last sent, -1 when there was none.
    pub last_zxid: Zxid,
    /// When the last answer was given, on the server's monotonic clock.
    pub last_response_ms: i64,
    /// How long that answer took.
    pub last_latency_ms: u64,
    /// Latencies of all answers, in microseconds.
    pub latency: SummaryNumbers,
}

/// One answered request.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// What was asked.
    pub op: OpCode,
    /// The request's xid.
    pub xid: Xid,
    /// The zxid in the reply's header.
    pub zxid: Zxid,
    /// Length of the reply, the frame's length field included.
    pub bytes: usize,
    /// From the request's arrival to its answer.
    pub latency: Duration,
    /// The server's monotonic clock at the answer.
    pub at_ms: i64,
}

/// Counts a batch of one connection's traffic and tells [`ServerStats`] and [`ConnectionStats`]
/// when dropped. Any thread may hold one, several at a time for a connection too.
#[derive(Debug)]
#[must_use = "it counts what it is told between here and its drop"]
pub struct Tally<'a> {
    server: &'a ServerStats,
    connection: &'a ConnectionStats,
    received: u64,
    bytes_received: u64,
    sent: u64,
    response_bytes: u64,
    event_bytes: u64,
    read: u64,
    answered: u64,
    operations: [u32; Operation::COUNT],
    reads: Run,
    updates: Run,
    latency: SummaryNumbers,
    last: Option<Answer>,
    sizes: Option<[i64; 3]>,
}

/// Equal latencies in a row: the requests of a batch arrive together and are answered together.
#[derive(Debug, Default)]
struct Run {
    value: u64,
    times: u64,
}

impl Run {
    fn record(&mut self, value: u64, into: &Histogram) {
        if value != self.value {
            self.flush(into);
            self.value = value;
        }
        self.times += 1;
    }

    fn flush(&mut self, into: &Histogram) {
        if self.times > 0 {
            into.record_run(self.value, self.times);
            self.times = 0;
        }
    }
}

impl Tally<'_> {
    /// A frame that is no request arrived: a connect record or a four-letter word.
    pub fn received(&mut self, bytes: usize) {
        self.received += 1;
        self.bytes_received += bytes as u64;
    }

    /// A request arrived in a frame of so many bytes, its length field included. It is
    /// outstanding until its [`answer`](Self::answer).
    pub fn request(&mut self, op: OpCode, bytes: usize) {
        self.received(bytes);
        self.read += 1;
        if let Some(operation) = Operation::of(op) {
            self.operations[operation as usize] += 1;
        }
    }

    /// A frame that answers no request was sent: a connect response.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += 1;
        self.response_bytes += bytes as u64;
    }

    /// A watch event was sent.
    pub fn event(&mut self, bytes: usize) {
        self.sent += 1;
        self.event_bytes += bytes as u64;
    }

    /// A request was answered.
    pub fn answer(&mut self, answer: &Answer) {
        self.sent(answer.bytes);
        self.answered += 1;
        if Operation::of(answer.op).is_none() {
            // Compat: ZooKeeper answers auth and sasl before it measures anything.
            return;
        }
        let latency = micros(answer.latency);
        if answer.op.is_write() {
            self.updates.record(latency, &self.server.updatelatency);
        } else {
            self.reads.record(latency, &self.server.readlatency);
        }
        self.latency.count += 1;
        self.latency.sum += latency;
        self.latency.min = self.latency.min.min(latency);
        self.latency.max = self.latency.max.max(latency);
        let size = i64::try_from(answer.bytes.saturating_sub(4)).unwrap_or(i64::MAX);
        let [_, min, max] = self.sizes.unwrap_or([size; 3]);
        self.sizes = Some([size, min.min(size), max.max(size)]);
        self.last = Some(Answer {
            // Compat: an xid below 0 is not the client's own count; ZooKeeper keeps the one before.
            xid: match self.last {
                Some(before) if answer.xid.0 < 0 => before.xid,
                _ => answer.xid,
            },
            ..*answer
        });
    }

    fn add_to_connection(&self) {
        let connection = self.connection;
        connection.received.fetch_add(self.received, Relaxed);
        connection.sent.fetch_add(self.sent, Relaxed);
        connection.requests_read.fetch_add(self.read, Relaxed);
        connection.requests_answered.fetch_add(self.answered, Relaxed);
        let Some(last) = self.last else { return };
        connection.latency.merge(&self.latency);
        connection.last_op.store(last.op.wire(), Relaxed);
        if last.xid.0 >= 0 {
            connection.last_xid.store(i64::from(last.xid.0), Relaxed);
        }
        connection.last_zxid.store(last.zxid.0, Relaxed);
        connection.last_response_ms.store(last.at_ms, Relaxed);
        connection.last_latency_ms.store(micros(last.latency) / 1000, Relaxed);
    }

    fn add_to_server(&mut self) {
        let server = self.server;
        let add = |counter: &Counter, n: u64| {
            if n > 0 {
                counter.add(n);
            }
        };
        add(&server.packets_received, self.received);
        add(&server.bytes_received_count, self.bytes_received);
        add(&server.packets_sent, self.sent);
        add(&server.response_bytes, self.response_bytes);
        add(&server.watch_bytes, self.event_bytes);
        if self.read > 0 {
            server.requests_read.fetch_add(self.read, Relaxed);
            for (counter, &n) in server.operations.iter().zip(&self.operations) {
                add(counter, n.into());
            }
        }
        self.reads.flush(&server.readlatency);
        self.updates.flush(&server.updatelatency);
        if self.answered > 0 {
            server.requests_answered.fetch_add(self.answered, Relaxed);
        }
        if self.latency.count > 0 {
            server.latency.merge(&self.latency);
        }
        if let Some(sizes) = self.sizes {
            server.response_size.merge(sizes);
        }
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.add_to_connection();
        self.add_to_server();
    }
}

macro_rules! operations {
    ($($operation:ident = $name:literal: $($op:ident)|+;)*) => {
        /// What requests are counted as, in the names of ZooKeeper's `op_count_*` metrics.
        #[derive(Debug, Clone, Copy)]
        enum Operation {
            $($operation,)*
        }

        impl Operation {
            const NAMES: &[&str] = &[$($name,)*];
            const COUNT: usize = Self::NAMES.len();

            fn of(op: OpCode) -> Option<Self> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> ConnectionStats {
        ConnectionStats::new(SocketAddr::from(([127, 0, 0, 1], 4000)), 1000)
    }

    fn answer(op: OpCode, xid: i32, latency_us: u64) -> Answer {
        Answer {
            op,
            xid: Xid(xid),
            zxid: Zxid(7),
            bytes: 20,
            latency: Duration::from_micros(latency_us),
            at_ms: 50,
        }
    }

    #[test]
    fn a_tally_tells_when_dropped() {
        let (server, connection) = (ServerStats::default(), connection());
        let mut tally = server.tally(&connection);
        tally.received(49);
        tally.sent(41);
        tally.request(OpCode::GetData, 30);
        tally.request(OpCode::SetData, 40);
        tally.request(OpCode::Ping, 12);
        tally.answer(&answer(OpCode::GetData, 1, 1000));
        tally.answer(&answer(OpCode::Ping, -2, 3000));
        tally.event(60);
        assert_eq!(server.packets_received(), 0, "nothing is shared before the drop");
        drop(tally);

        assert_eq!((server.packets_received(), server.packets_sent()), (4, 4));
        assert_eq!((server.outstanding(), connection.outstanding()), (1, 1));
        assert_eq!(server.bytes_received_count.get(), 131);
        assert_eq!((server.response_bytes.get(), server.watch_bytes.get()), (81, 60));
        assert_eq!(server.response_sizes(), [16, 16, 16]);
        let latency = SummaryNumbers { count: 2, sum: 4000, min: 1000, max: 3000 };
        assert_eq!(server.latency(), latency);
        assert_eq!(server.readlatency.numbers(), latency);
        assert_eq!(server.updatelatency.numbers().count, 0);
        let numbers = connection.numbers();
        assert_eq!(numbers.last_op, Some(OpCode::Ping));
        assert_eq!(numbers.last_xid, 1, "a ping's xid is not the client's count");
        assert_eq!((numbers.last_zxid, numbers.last_latency_ms), (Zxid(7), 3));

        server.tally(&connection).answer(&answer(OpCode::SetData, 2, 10));
        assert_eq!((server.outstanding(), connection.outstanding()), (0, 0));
        assert_eq!(server.updatelatency.numbers().count, 1);
        let counted: Vec<_> = server.operations().filter(|&(_, n)| n > 0).collect();
        assert_eq!(counted, [("get_data", 1), ("ping", 1), ("set_data", 1)]);
    }

    #[test]
    fn authentication_is_answered_and_not_measured() {
        let (server, connection) = (ServerStats::default(), connection());
        let mut tally = server.tally(&connection);
        tally.request(OpCode::Auth, 30);
        tally.answer(&answer(OpCode::Auth, -4, 10));
        drop(tally);
        assert_eq!((server.outstanding(), server.latency().count), (0, 0));
        assert_eq!(connection.numbers().last_op, None);
    }

    #[test]
    fn a_reset_keeps_what_is_outstanding() {
        let (server, connection) = (ServerStats::default(), connection());
        let mut tally = server.tally(&connection);
        tally.request(OpCode::SetData, 30);
        tally.request(OpCode::GetData, 30);
        tally.answer(&answer(OpCode::GetData, 1, 10));
        drop(tally);
        server.reset();
        connection.reset();
        assert_eq!((server.outstanding(), connection.outstanding()), (1, 1));
        assert_eq!((server.packets_received(), server.packets_sent()), (0, 0));
        assert_eq!(server.latency(), SummaryNumbers::default());
        assert_eq!(server.readlatency.quantiles([0.5, 0.999]), [0, 0]);
        assert_eq!(server.response_sizes(), [-1; 3]);
        assert_eq!(connection.numbers().last_zxid, Zxid(-1));
        server.abandon(1);
        assert_eq!(server.outstanding(), 0);
    }

    #[test]
    fn buckets_cover_all_values_in_order() {
        for value in (0..5000).chain([1 << 20, (1 << 36) - 1]) {
            let bucket = bucket_of(value);
            assert!(value <= upper_end(bucket), "{value}");
            assert!(bucket == 0 || value > upper_end(bucket - 1), "{value}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_close() {
        let histogram = Histogram::default();
        for value in 1..=10_000 {
            histogram.record_time(Duration::from_micros(value));
        }
        for (part, found) in
            [5000, 9500, 9900, 9990].into_iter().zip(histogram.quantiles([0.5, 0.95, 0.99, 0.999]))
        {
            assert!(found >= part && found <= part + part / 8 + 1, "{part}: {found}");
        }
    }
}
