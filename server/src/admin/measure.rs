//! Numbers that many threads count and nobody waits for: relaxed atomics.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How a summary's values are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Recorded in microseconds, shown in milliseconds.
    Time,
    /// Shown as recorded.
    Number,
}

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

    pub(super) fn reset(&self) {
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

    pub(super) fn record_run(&self, value: u64, times: u64) {
        self.merge(&SummaryNumbers { count: times, sum: value * times, min: value, max: value });
    }

    /// Adds `more`, which holds at least one value.
    pub(super) fn merge(&self, more: &SummaryNumbers) {
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

    pub(super) fn reset(&self) {
        self.count.store(0, Relaxed);
        self.sum.store(0, Relaxed);
        self.min.store(u64::MAX, Relaxed);
        self.max.store(0, Relaxed);
    }
}

/// Last, least and greatest of the sizes recorded since the last reset.
#[derive(Debug)]
pub struct Sizes {
    last: AtomicI64,
    min: AtomicI64,
    max: AtomicI64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { last: (-1).into(), min: i64::MAX.into(), max: (-1).into() }
    }
}

impl Sizes {
    /// Records several sizes: the last, the least and the greatest of them, in bytes.
    pub fn merge(&self, sizes: [i64; 3]) {
        let [last, min, max] = sizes;
        self.min.fetch_min(min, Relaxed);
        self.max.fetch_max(max, Relaxed);
        self.last.store(last, Relaxed);
    }

    /// Last, least and greatest; -1 when there was none.
    pub(super) fn numbers(&self) -> [i64; 3] {
        let last = self.last.load(Relaxed);
        if last < 0 { [-1; 3] } else { [last, self.min.load(Relaxed), self.max.load(Relaxed)] }
    }

    pub(super) fn reset(&self) {
        self.last.store(-1, Relaxed);
        self.min.store(i64::MAX, Relaxed);
        self.max.store(-1, Relaxed);
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

    pub(super) fn record_run(&self, value: u64, times: u64) {
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

    pub(super) fn reset(&self) {
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

/// Whole microseconds, as all durations are recorded.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

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
