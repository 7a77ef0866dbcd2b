//! One instance of many.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{ServiceCache, ServiceInstance};

/// How a [`ServiceProvider`] chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ProviderStrategy {
    /// One after the other, in the order of their ids.
    #[default]
    RoundRobin,
    /// Any.
    Random,
    /// Any, then the same as long as it is there.
    Sticky,
}

/// When an instance is taken for down, after its users have complained about it
/// ([`ServiceProvider::note_error`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownInstances {
    /// After so many complaints. 2 by default.
    pub threshold: u32,
    /// For so long from the first complaint on. 30 s by default.
    pub period: Duration,
}

impl Default for DownInstances {
    fn default() -> Self {
        Self { threshold: 2, period: Duration::from_secs(30) }
    }
}

/// Chooses instances of a service: of those that are there, enabled, and not taken for down.
#[derive(Debug)]
pub struct ServiceProvider<P> {
    cache: ServiceCache<P>,
    chooser: Mutex<Chooser>,
    random: Mutex<fastrand::Rng>,
}

/// What there is to choose by.
#[derive(Debug)]
struct Chooser {
    strategy: ProviderStrategy,
    down: DownInstances,
    next: usize,
    sticky: Option<String>,
    /// By id: complaints, and when the first came.
    complaints: HashMap<String, (u32, Instant)>,
}

impl Chooser {
    /// Which of these ids, which are ordered.
    fn choose(&mut self, ids: &[&str], now: Instant, random: u64) -> Option<usize> {
        let period = self.down.period;
        self.complaints.retain(|_, (_, since)| now.duration_since(*since) < period);
        let is_up = |id: &str| {
            self.complaints.get(id).is_none_or(|(count, _)| *count < self.down.threshold)
        };
        let up: Vec<_> = (0..ids.len()).filter(|index| is_up(ids[*index])).collect();
        let count = u64::try_from(up.len()).ok().filter(|count| *count > 0)?;
        let any = usize::try_from(random % count).unwrap_or(0);
        Some(match self.strategy {
            ProviderStrategy::RoundRobin => {
                let index = self.next % up.len();
                self.next = index + 1;
                up[index]
            }
            ProviderStrategy::Random => up[any],
            ProviderStrategy::Sticky => {
                let same = |index: &&usize| self.sticky.as_deref() == Some(ids[**index]);
                let index = up.iter().find(same).copied().unwrap_or(up[any]);
                self.sticky = Some(ids[index].to_owned());
                index
            }
        })
    }

    fn complain(&mut self, id: &str, now: Instant) {
        self.complaints.entry(id.to_owned()).or_insert((0, now)).0 += 1;
    }
}

impl<P: DeserializeOwned> ServiceProvider<P> {
    pub(super) fn new(cache: ServiceCache<P>, strategy: ProviderStrategy) -> Self {
        let chooser = Chooser {
            strategy,
            down: DownInstances::default(),
            next: 0,
            sticky: None,
            complaints: HashMap::new(),
        };
        let random = Mutex::new(fastrand::Rng::new());
        Self { cache, chooser: Mutex::new(chooser), random }
    }

    /// The same with another rule for instances that are down.
    #[must_use]
    pub fn down_instances(mut self, down: DownInstances) -> Self {
        self.chooser.get_mut().down = down;
        self
    }

    /// An instance; `None` when there is none, or all are taken for down.
    pub fn choose(&self) -> Option<Arc<ServiceInstance<P>>> {
        let instances = self.cache.instances();
        let enabled: Vec<_> = instances.iter().filter(|instance| instance.enabled).collect();
        let ids: Vec<_> = enabled.iter().map(|instance| &*instance.id).collect();
        let random = self.random.lock().u64(..);
        let index = self.chooser.lock().choose(&ids, Instant::now(), random)?;
        Some(Arc::clone(enabled[index]))
    }

    /// All instances, whether enabled and up or not.
    pub fn cache(&self) -> &ServiceCache<P> {
        &self.cache
    }

    /// Complains about an instance that could not be used: see [`DownInstances`].
    pub fn note_error(&self, instance: &ServiceInstance<P>) {
        self.chooser.lock().complain(&instance.id, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chooser(strategy: ProviderStrategy) -> Chooser {
        let down = DownInstances::default();
        Chooser { strategy, down, next: 0, sticky: None, complaints: HashMap::new() }
    }

    const IDS: [&str; 3] = ["a", "b", "c"];

    #[tokio::test(start_paused = true)]
    async fn round_robin_takes_turns() {
        let mut chooser = chooser(ProviderStrategy::RoundRobin);
        let now = Instant::now();
        let chosen: Vec<_> = (0..5).filter_map(|_| chooser.choose(&IDS, now, 9)).collect();
        assert_eq!(chosen, [0, 1, 2, 0, 1]);
        assert_eq!(chooser.choose(&IDS[..1], now, 9), Some(0));
        assert_eq!(chooser.choose(&[], now, 9), None);
    }

    #[tokio::test(start_paused = true)]
    async fn sticky_stays_while_it_is_there() {
        let mut chooser = chooser(ProviderStrategy::Sticky);
        let now = Instant::now();
        assert_eq!(chooser.choose(&IDS, now, 4), Some(1));
        assert_eq!(chooser.choose(&IDS, now, 5), Some(1));
        assert_eq!(chooser.choose(&["a", "c"], now, 5), Some(1));
        assert_eq!(chooser.choose(&IDS, now, 0), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_down_is_left_out_for_a_while() {
        let mut chooser = chooser(ProviderStrategy::Random);
        let now = Instant::now();
        chooser.complain("a", now);
        assert_eq!(chooser.choose(&IDS, now, 0), Some(0));
        chooser.complain("a", now);
        assert_eq!(chooser.choose(&IDS, now, 0), Some(1));
        assert_eq!(chooser.choose(&["a"], now, 0), None);
        let later = now + Duration::from_secs(30);
        assert_eq!(chooser.choose(&IDS, later, 0), Some(0));
    }
}
