use super::*;
use crate::sim::{
    queue::{MILLI, Micros, Queue},
    random::Random,
};

const A: Host = Host(0);
const B: Host = Host(1);

/// Two hosts and what happens between them.
struct Pair {
    now: Micros,
    paths: Paths,
    streams: Streams,
    queue: Queue<StreamEvent>,
}

impl Pair {
    fn new(seed: u64, splitting: f64) -> Self {
        let path = Path { jitter: 3000, loss: 0.1, ..Path::default() };
        let paths = Paths::new(2, &path, Random::new(seed));
        Self { now: 0, paths, streams: Streams::new(splitting), queue: Queue::default() }
    }

    /// With a connection that both know of.
    fn connected(seed: u64, splitting: f64) -> (Self, StreamId) {
        let mut pair = Self::new(seed, splitting);
        let id = pair.streams.connect(&mut pair.paths, 0, A, B, Port::Client);
        let arrivals = pair.run();
        let offered = Arrival::Offered { host: B, stream: id, port: Port::Client };
        assert_eq!(arrivals, [offered, Arrival::Connected { host: A, stream: id }]);
        (pair, id)
    }

    /// Everything that arrives until nothing is left to happen.
    fn run(&mut self) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        loop {
            self.queue_due();
            let Some((at, event)) = self.queue.next() else { return arrivals };
            self.now = self.now.max(at);
            arrivals.extend(self.streams.arrive(&mut self.paths, self.now, event));
        }
    }

    fn queue_due(&mut self) {
        for (at, event) in self.streams.due() {
            self.queue.add(at, event);
        }
    }

    fn send(&mut self, from: Host, id: StreamId, bytes: &[u8]) {
        self.streams.send(&mut self.paths, self.now, from, id, bytes.to_vec());
    }
}

fn bytes_of(arrivals: &[Arrival]) -> Vec<u8> {
    let bytes = |arrival: &Arrival| match arrival {
        Arrival::Data { bytes, .. } => bytes.clone(),
        _ => Vec::new(),
    };
    arrivals.iter().flat_map(bytes).collect()
}

fn is_closed(arrivals: &[Arrival], at: Host) -> bool {
    arrivals.iter().any(|arrival| matches!(arrival, Arrival::Closed { host, .. } if *host == at))
}

#[test]
fn bytes_arrive_in_order_and_without_gaps() {
    for seed in 0..20 {
        let (mut pair, id) = Pair::connected(seed, 0.5);
        let sent: Vec<u8> = (0..=255).collect();
        sent.chunks(7).for_each(|piece| pair.send(A, id, piece));
        let arrivals = pair.run();
        assert_eq!(bytes_of(&arrivals), sent);
        assert!(arrivals.len() > 37, "nothing was cut into two");
    }
}

#[test]
fn what_is_held_up_comes_when_the_way_is_free() {
    let (mut pair, id) = Pair::connected(1, 0.1);
    pair.paths.path_mut(A, B).is_blocked = true;
    pair.send(A, id, b"there");
    pair.send(B, id, b"back");
    assert_eq!(bytes_of(&pair.run()), b"back");
    pair.paths.path_mut(A, B).is_blocked = false;
    pair.streams.unblock(&mut pair.paths, pair.now);
    assert_eq!(bytes_of(&pair.run()), b"there");
}

#[test]
fn a_clogged_way_is_slow() {
    let (mut pair, id) = Pair::connected(1, 0.0);
    pair.paths.path_mut(A, B).clogged_until = pair.now + 5000 * MILLI;
    let began = pair.now;
    pair.send(A, id, b"there");
    assert_eq!(bytes_of(&pair.run()), b"there");
    assert!(pair.now >= began + 5000 * MILLI);
}

#[test]
fn the_end_comes_behind_what_was_sent() {
    let (mut pair, id) = Pair::connected(1, 0.3);
    pair.send(A, id, b"last words");
    pair.streams.close(&mut pair.paths, pair.now, A, id);
    pair.send(A, id, b"nobody hears this");
    pair.send(B, id, b"nor this");
    let arrivals = pair.run();
    assert_eq!(bytes_of(&arrivals), b"last words");
    assert!(is_closed(&arrivals, B) && !is_closed(&arrivals, A));
}

#[test]
fn a_cut_connection_delivers_a_beginning_of_what_was_sent() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let (mut pair, id) = Pair::connected(seed, 0.2);
        (0..4).for_each(|_| pair.send(A, id, b"abcdefgh"));
        pair.streams.cut(&mut pair.paths, pair.now, id, [seed % 2 == 0, true]);
        let arrivals = pair.run();
        let bytes = bytes_of(&arrivals);
        assert!(b"abcdefgh".repeat(4).starts_with(&bytes));
        lengths.insert(bytes.len());
        assert!(is_closed(&arrivals, B));
        assert_eq!(is_closed(&arrivals, A), seed % 2 == 0);
        // Who was not told learns of it from the answer to what it sends.
        pair.send(A, id, b"more");
        assert_eq!(is_closed(&pair.run(), A), seed % 2 == 1);
    }
    assert!(lengths.len() > 10, "{lengths:?}");
}

#[test]
fn a_process_takes_its_connections_along() {
    let (mut pair, id) = Pair::connected(1, 0.0);
    pair.send(A, id, b"on its way");
    pair.streams.end_all(&mut pair.paths, pair.now, B, true);
    pair.paths.end(B, true);
    assert_eq!(pair.run(), [Arrival::Closed { host: A, stream: id }]);
    let refused = pair.streams.connect(&mut pair.paths, pair.now, A, B, Port::Quorum);
    assert_eq!(pair.run(), [Arrival::Closed { host: A, stream: refused }]);
}

#[test]
fn a_machine_without_power_says_nothing() {
    let (mut pair, id) = Pair::connected(1, 0.0);
    pair.streams.end_all(&mut pair.paths, pair.now, B, false);
    pair.paths.end(B, false);
    pair.send(A, id, b"anybody there?");
    pair.streams.connect(&mut pair.paths, pair.now, A, B, Port::Quorum);
    assert_eq!(pair.run(), []);
    pair.paths.start(B);
    pair.send(A, id, b"and now?");
    assert_eq!(pair.run(), [Arrival::Closed { host: A, stream: id }]);
}

/// Runs the election port of three hosts until nothing is left to happen.
fn settle(
    notices: &mut Notices<&'static str>,
    paths: &mut Paths,
) -> Vec<NoticeArrival<&'static str>> {
    let (mut queue, mut arrivals) = (Queue::default(), Vec::new());
    loop {
        for (at, event) in notices.due() {
            queue.add(at, event);
        }
        let Some((at, event)) = queue.next() else { return arrivals };
        notices.happen(paths, at, event, &mut arrivals);
    }
}

fn election(path: &Path) -> (Notices<&'static str>, Paths) {
    let mut paths = Paths::new(3, path, Random::new(5));
    let mut notices = Notices::new(3);
    notices.look(&mut paths, 0, MILLI, |_| true);
    let arrivals = settle(&mut notices, &mut paths);
    assert_eq!(arrivals.len(), 6, "each end of three connections: {arrivals:?}");
    (notices, paths)
}

#[test]
fn one_notification_waits_for_a_connection() {
    let (mut notices, mut paths) = election(&Path::default());
    paths.path_mut(A, B).is_blocked = true;
    notices.look(&mut paths, 0, MILLI, |_| true);
    let gone = settle(&mut notices, &mut paths);
    assert_eq!(gone.len(), 2);
    notices.send(&mut paths, 0, B, A, "first");
    notices.send(&mut paths, 0, B, A, "second");
    assert_eq!(settle(&mut notices, &mut paths), []);
    paths.path_mut(A, B).is_blocked = false;
    notices.look(&mut paths, 0, MILLI, |_| true);
    let arrivals = settle(&mut notices, &mut paths);
    assert_eq!(arrivals.last(), Some(&NoticeArrival::Notice { from: B, to: A, notice: "second" }));
    assert_eq!(arrivals.len(), 3);
}

#[test]
fn another_process_is_another_connection() {
    let (mut notices, mut paths) = election(&Path::default());
    notices.send(&mut paths, 0, A, B, "lost with it");
    paths.end(B, true);
    notices.end_all(&mut paths, 0, B, true);
    paths.start(B);
    let arrivals = settle(&mut notices, &mut paths);
    let up = |host, peer, up| NoticeArrival::Reachable { host, peer, up };
    assert!(!arrivals.iter().any(|arrival| matches!(arrival, NoticeArrival::Notice { .. })));
    for expected in [up(A, B, false), up(A, B, true), up(B, A, true)] {
        assert!(arrivals.contains(&expected), "{arrivals:?}");
    }
}

#[test]
fn notifications_are_lost_and_doubled() {
    let path = Path { loss: 0.2, duplication: 0.2, ..Path::default() };
    let (mut notices, mut paths) = election(&path);
    (0..1000).for_each(|_| notices.send(&mut paths, 0, A, B, "vote"));
    let arrived = settle(&mut notices, &mut paths).len();
    assert!((600..950).contains(&arrived), "{arrived}");
}
