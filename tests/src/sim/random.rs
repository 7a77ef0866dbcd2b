//! Chance, from a seed.

use std::ops::Range;

/// A stream of random numbers that its seed decides. Parts of the simulation have a stream each,
/// so that one of them can draw more without changing the others.
#[derive(Debug, Clone)]
pub struct Random(fastrand::Rng);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// A stream of its own, for another part.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.0.fork())
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        self.0.usize(..n)
    }

    /// A number from a range that is not empty.
    pub fn within(&mut self, range: Range<i64>) -> i64 {
        self.0.i64(range)
    }

    /// True so often as `probability` says.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.0.f64() < probability
    }

    /// One of several things.
    pub fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }

    /// The index of one of several things that are more or less likely. Not all weights are 0.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u32 = weights.iter().sum();
        let mut left = self.0.u32(..total);
        for (index, &weight) in weights.iter().enumerate() {
            if left < weight {
                return index;
            }
            left -= weight;
        }
        unreachable!("the number drawn is below the sum of the weights")
    }

    /// Puts things into any order.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        self.0.shuffle(things);
    }

    /// A duration with this mean: most are shorter, a few much longer, none more than ten times.
    pub fn duration(&mut self, mean: i64) -> i64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "durations of simulations are far below 2^52 microseconds"
        )]
        let drawn = (-(1.0 - self.0.f64()).ln() * mean as f64) as i64;
        drawn.clamp(0, 10 * mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_everything() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            let mut fork = random.fork();
            (random.number(), fork.number(), random.duration(1000), random.weighted(&[1, 2, 3]))
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn durations_have_their_mean() {
        let mut random = Random::new(1);
        let drawn: Vec<_> = (0..10_000).map(|_| random.duration(1000)).collect();
        let mean = drawn.iter().sum::<i64>() / 10_000;
        assert!((900..1100).contains(&mean), "{mean}");
        assert!(drawn.iter().all(|&drawn| (0..=10_000).contains(&drawn)));
    }

    #[test]
    fn what_has_no_weight_is_never_drawn() {
        let mut random = Random::new(1);
        let mut counts = [0; 3];
        (0..1000).for_each(|_| counts[random.weighted(&[1, 0, 3])] += 1);
        assert_eq!(counts[1], 0);
        assert!(counts[2] > counts[0] && counts[0] > 0, "{counts:?}");
    }
}
