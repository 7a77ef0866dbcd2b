//! Counts traffic without sharing anything, a batch at a time.

use std::time::Duration;

use quorate_protocol::{OpCode, Xid, Zxid};

use super::connection::ConnectionStats;
use super::measure::{Histogram, SummaryNumbers, micros};
use super::stats::{Operation, ServerStats};

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
    reads: Run,
    updates: Run,
    batch: Batch,
}

/// What a tally counted.
#[derive(Debug)]
pub(super) struct Batch {
    /// Frames received, requests included.
    pub(super) received: u64,
    pub(super) bytes_received: u64,
    /// Frames sent: answers, events and connect responses.
    pub(super) sent: u64,
    pub(super) response_bytes: u64,
    pub(super) event_bytes: u64,
    /// Requests among the frames received, and how many of each kind.
    pub(super) requests: u64,
    pub(super) operations: [u32; Operation::COUNT],
    pub(super) answers: u64,
    /// Latencies of those answers that are measured.
    pub(super) latency: SummaryNumbers,
    /// The last answer that is measured, with the last xid that is the client's own count.
    pub(super) last: Option<Answer>,
    /// Sizes of the measured answers without their length: last, least, greatest.
    pub(super) sizes: Option<[i64; 3]>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(server: &'a ServerStats, connection: &'a ConnectionStats) -> Self {
        let batch = Batch {
            received: 0,
            bytes_received: 0,
            sent: 0,
            response_bytes: 0,
            event_bytes: 0,
            requests: 0,
            operations: [0; Operation::COUNT],
            answers: 0,
            latency: SummaryNumbers { count: 0, sum: 0, min: u64::MAX, max: 0 },
            last: None,
            sizes: None,
        };
        Self { server, connection, reads: Run::default(), updates: Run::default(), batch }
    }

    /// A frame that is no request arrived: a connect record or a four-letter word.
    pub fn received(&mut self, bytes: usize) {
        self.batch.received += 1;
        self.batch.bytes_received += bytes as u64;
    }

    /// A request arrived in a frame of so many bytes, its length field included. It is
    /// outstanding until its [`answer`](Self::answer).
    pub fn request(&mut self, op: OpCode, bytes: usize) {
        self.received(bytes);
        self.batch.requests += 1;
        if let Some(operation) = Operation::of(op) {
            self.batch.operations[operation as usize] += 1;
        }
    }

    /// A frame that answers no request was sent: a connect response.
    pub fn sent(&mut self, bytes: usize) {
        self.batch.sent += 1;
        self.batch.response_bytes += bytes as u64;
    }

    /// A watch event was sent.
    pub fn event(&mut self, bytes: usize) {
        self.batch.sent += 1;
        self.batch.event_bytes += bytes as u64;
    }

    /// A request was answered.
    pub fn answer(&mut self, answer: &Answer) {
        self.sent(answer.bytes);
        self.batch.answers += 1;
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
        let batch = &mut self.batch;
        batch.latency.count += 1;
        batch.latency.sum += latency;
        batch.latency.min = batch.latency.min.min(latency);
        batch.latency.max = batch.latency.max.max(latency);
        let size = i64::try_from(answer.bytes.saturating_sub(4)).unwrap_or(i64::MAX);
        let [_, min, max] = batch.sizes.unwrap_or([size; 3]);
        batch.sizes = Some([size, min.min(size), max.max(size)]);
        batch.last = Some(Answer {
            // Compat: an xid below 0 is not the client's own count; ZooKeeper keeps the one before.
            xid: match batch.last {
                Some(before) if answer.xid.0 < 0 => before.xid,
                _ => answer.xid,
            },
            ..*answer
        });
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.reads.flush(&self.server.readlatency);
        self.updates.flush(&self.server.updatelatency);
        self.connection.add(&self.batch);
        self.server.add(&self.batch);
    }
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

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
}
