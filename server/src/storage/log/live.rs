//! The segments that count, as the log's writer and those who read beside it see them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use quorate_protocol::Zxid;

use super::cursor::Place;
use super::segment::Base;

/// How far apart at least the places are that a segment remembers for those who begin to read
/// within it.
const WAY: u64 = 1 << 20;

/// The segments of a log whose records count. The writer changes them, readers look.
#[derive(Debug)]
pub(super) struct Live {
    /// How often transactions were taken back: what a reader has seen before may be void.
    cuts: AtomicU64,
    /// Oldest first; never empty.
    segments: Mutex<Vec<Arc<Segment>>>,
}

/// A segment of the log.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// What it continues.
    pub(super) base: Option<Base>,
    /// The place before its first record.
    pub(super) start: Place,
    /// Where what is written ends, as far as it counts.
    end: AtomicU64,
    waypoints: Mutex<Waypoints>,
}

/// Some places in a segment, ascending.
#[derive(Debug, Clone, Default)]
pub(super) struct Waypoints(Vec<Place>);

impl Waypoints {
    /// Remembers a place, if it is far enough from the one before.
    pub(super) fn pass(&mut self, place: Place) {
        if place.offset >= self.0.last().map_or(0, |before| before.offset) + WAY {
            self.0.push(place);
        }
    }
}

impl Live {
    /// The segments of a log, oldest first.
    pub(super) fn new(segments: Vec<Arc<Segment>>) -> Self {
        Self { cuts: AtomicU64::new(0), segments: Mutex::new(segments) }
    }

    /// How often transactions were taken back.
    pub(super) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Acquire)
    }

    /// The one that is written to.
    pub(super) fn newest(&self) -> Arc<Segment> {
        self.segments.lock().last().expect("there is a segment").clone()
    }

    /// Their numbers, ascending.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.segments.lock().iter().map(|segment| segment.number).collect()
    }

    /// How many they are.
    pub(super) fn count(&self) -> usize {
        self.segments.lock().len()
    }

    /// The segment to read what follows `after` from; `None` when it is not there any more.
    pub(super) fn holding(&self, after: Zxid) -> Option<Arc<Segment>> {
        let segments = self.segments.lock();
        let ahead = segments.partition_point(|segment| segment.start.last <= after);
        Some(segments[ahead.checked_sub(1)?].clone())
    }

    /// The segment that follows another one.
    pub(super) fn behind(&self, number: u64) -> Option<Arc<Segment>> {
        let segments = self.segments.lock();
        let index = segments.partition_point(|segment| segment.number <= number);
        segments.get(index).cloned()
    }

    /// Adds the segment that continues the last one.
    pub(super) fn push(&self, segment: Arc<Segment>) {
        self.segments.lock().push(segment);
    }

    /// Adds the segment that continues an earlier place, or none: what was behind that is void.
    pub(super) fn cut(&self, segment: Arc<Segment>) {
        let mut segments = self.segments.lock();
        self.cuts.fetch_add(1, Ordering::Release);
        segments.retain(|before| segment.base.is_some_and(|base| before.number <= base.segment));
        if let (Some(base), Some(last)) = (segment.base, segments.last_mut()) {
            *last = Arc::new(last.up_to(base.offset));
        }
        segments.push(segment);
    }

    /// Lets go of the oldest segments that hold nothing behind `zxid`, but for the newest `keep` of
    /// them. Gives their number, and the last transaction before those that stay.
    pub(super) fn retire(&self, zxid: Zxid, keep: usize) -> (usize, Zxid) {
        let mut segments = self.segments.lock();
        let passed = segments.iter().skip(1).take_while(|next| next.start.last <= zxid).count();
        let count = passed.saturating_sub(keep);
        segments.drain(..count);
        (count, segments[0].start.last)
    }
}

impl Segment {
    /// A segment with records between `start` and `end`.
    pub(super) fn new(
        number: u64,
        base: Option<Base>,
        start: Place,
        end: u64,
        waypoints: Waypoints,
    ) -> Self {
        Self { number, base, start, end: end.into(), waypoints: waypoints.into() }
    }

    /// Where what is written ends.
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Lets readers see what was written before `place`.
    pub(super) fn publish(&self, place: Place) {
        self.waypoints.lock().pass(place);
        self.end.store(place.offset, Ordering::Release);
    }

    /// The last place known behind which the transaction after `after` stands.
    pub(super) fn nearest(&self, after: Zxid) -> Place {
        let waypoints = self.waypoints.lock();
        let ahead = waypoints.0.partition_point(|place| place.last <= after);
        ahead.checked_sub(1).map_or(self.start, |index| waypoints.0[index])
    }

    /// The same segment, cut off at `end`.
    fn up_to(&self, end: u64) -> Self {
        let mut waypoints = self.waypoints.lock().clone();
        waypoints.0.retain(|place| place.offset <= end);
        Self::new(self.number, self.base, self.start, end, waypoints)
    }
}
