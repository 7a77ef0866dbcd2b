//! What a seed stands for: everything about a run that is drawn at its beginning.

use quorate_server::config::LocalSessions;

use super::{
    client::{Habits, Manners},
    nemesis::{Fault, Menace},
    network::Path,
    queue::{MILLI, Micros},
    random::Random,
};

/// How fast a clock goes, and what it shows when the simulation begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockDrift {
    /// Its microseconds in a thousand of the simulation's.
    pub per_thousand: i64,
    /// What it shows at the beginning.
    pub shows: Micros,
}

impl ClockDrift {
    /// What the clock shows.
    pub fn local(self, now: Micros) -> Micros {
        self.shows + now * self.per_thousand / 1000
    }

    /// When the clock will show that.
    pub fn when(self, local: Micros) -> Micros {
        let shown = (local - self.shows).max(0) * 1000;
        shown / self.per_thousand + i64::from(shown % self.per_thousand != 0)
    }
}

/// A server's properties.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// Its clock.
    pub clock: ClockDrift,
    /// How long a sync takes, on average.
    pub sync: Micros,
}

/// A run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Where everything comes from.
    pub seed: u64,
    /// Servers that vote come first.
    pub participants: usize,
    /// Servers that do not vote.
    pub observers: usize,
    /// All servers.
    pub machines: Vec<Machine>,
    /// All clients.
    pub clients: Vec<Manners>,
    /// A tick, by the servers' clocks.
    pub tick_ms: i64,
    /// Ticks that a server may take to join.
    pub init_limit: u32,
    /// Ticks that a server may be silent.
    pub sync_limit: u32,
    /// The log's segments are this large.
    pub segment_bytes: u64,
    /// So many transactions, on average, are between two checkpoints.
    pub checkpoint_every: u64,
    /// What all ways of the network are like at first.
    pub path: Path,
    /// The part of arrivals that are cut into two.
    pub splitting: f64,
    /// How long faults happen.
    pub safety: Micros,
    /// Which faults happen, and how often.
    pub menace: Menace,
    /// Whether sessions are local at first, and made known to all servers where they need to be.
    pub local_sessions: Option<LocalSessions>,
    /// Whether observers learn from followers.
    pub observer_masters: bool,
    /// Whether servers without a leader serve for reading.
    pub read_only: bool,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let participants = [3, 3, 3, 3, 4, 5, 5, 7][random.below(8)];
        let observers = if participants < 7 { [0, 0, 0, 1, 2][random.below(5)] } else { 0 };
        let tick_ms = *random.pick(&[100, 150, 200]);
        let is_slow = random.chance(0.2);
        let machine = |random: &mut Random| Machine {
            clock: ClockDrift {
                per_thousand: if random.chance(0.3) { random.within(800..1200) } else { 1000 },
                shows: random.within(1..1_000_000_000),
            },
            sync: *random.pick(&[50, 200, 1000, if is_slow { 20 * MILLI } else { 3 * MILLI }]),
        };
        let machines = (0..participants + observers).map(|_| machine(&mut random)).collect();
        let clients = 2 + random.below(5);
        // One of them writes.
        let clients =
            (0..clients).map(|client| manners(&mut random, tick_ms, client > 0)).collect();
        let path = Path {
            delay: random.within(20..400),
            jitter: *random.pick(&[50, 200, 1000, 5000]),
            loss: if random.chance(0.3) { 0.05 } else { 0.0 },
            duplication: if random.chance(0.3) { 0.1 } else { 0.0 },
            per_thousand_bytes: *random.pick(&[1, 10, 500]),
            ..Path::default()
        };
        let mut plan = Self {
            seed,
            participants,
            observers,
            machines,
            clients,
            tick_ms,
            init_limit: 10,
            sync_limit: 5,
            segment_bytes: *random.pick(&[8 << 10, 16 << 10, 64 << 10]),
            checkpoint_every: *random.pick(&[20, 50, 100, 1000]),
            path,
            splitting: *random.pick(&[0.0, 0.02, 0.2]),
            safety: random.within(2_000..5_000) * MILLI,
            menace: menace(&mut random, seed),
            local_sessions: random
                .chance(0.25)
                .then(|| LocalSessions { upgrading: random.chance(0.8) }),
            // From numbers of its own, so that what else a seed stands for stays as it is.
            observer_masters: Random::new(seed ^ 0x0b5e).chance(0.4),
            read_only: random.chance(0.25),
        };
        for client in &mut plan.clients {
            client.reads_on = plan.read_only && random.chance(0.6);
        }
        plan
    }

    /// How many servers there are.
    pub fn servers(&self) -> usize {
        self.participants + self.observers
    }
}

fn manners(random: &mut Random, tick_ms: i64, may_only_look: bool) -> Manners {
    let mut weight = |usual: u32| if random.chance(0.3) { 0 } else { usual };
    let works = Habits {
        registers: weight(4) + 1,
        looks: 0,
        unique: weight(3),
        sequential: weight(2),
        ephemeral: weight(3),
        watches: weight(3),
        multis: weight(2),
    };
    let looks = Habits { looks: 1, ..Habits::default() };
    let habits = if may_only_look && random.chance(0.2) { looks } else { works };
    let timeout = i32::try_from(tick_ms * random.within(3..12)).expect("a timeout is short");
    let mut rarely = |probability| if random.chance(0.5) { probability } else { 0.0 };
    Manners {
        habits,
        timeout_ms: timeout,
        moves: rarely(0.03),
        ends: rarely(0.01),
        vanishes: rarely(0.01),
        pause: *random.pick(&[10, 30, 80]) * MILLI,
        in_flight: *random.pick(&[1, 4, 20]),
        reads_on: false,
    }
}

fn menace(random: &mut Random, seed: u64) -> Menace {
    // A few kinds of faults at a time find more than all of them together.
    let all = Fault::ALL.iter().filter(|fault| **fault != Fault::Reconfigure);
    let weights = all.map(|_| if random.chance(0.4) { random.within(1..10) } else { 0 });
    let mut weights: Vec<_> = weights.map(|w| u32::try_from(w).expect("it is small")).collect();
    let pause = random.within(100..900) * MILLI;
    let pause = if weights.iter().all(|&weight| weight == 0) { Micros::MAX } else { pause };
    // From numbers of its own, so that what else a seed stands for stays as it is.
    let mut own = Random::new(seed ^ 0xc0f1);
    weights.push(if own.chance(0.3) { 8 } else { 0 });
    let lasting = random.within(50..1500) * MILLI;
    let mut menace = Menace { weights, pause, lasting, at_leader: 0.4 };
    if menace.reconfigures() {
        menace.pause = menace.pause.min(own.within(100..900) * MILLI);
        // Fewer losses can be borne while servers come and go: most of these runs have none.
        if !Random::new(seed ^ 0x1055).chance(0.4) {
            for fault in Fault::LOSSES {
                *menace.weight(fault) = 0;
            }
        }
    }
    menace
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_plan() {
        assert_eq!(Plan::of(3), Plan::of(3));
        assert_ne!(Plan::of(3), Plan::of(4));
    }

    #[test]
    fn clocks_can_be_read_both_ways() {
        for per_thousand in [800, 1000, 1199] {
            let clock = ClockDrift { per_thousand, shows: 77 };
            for now in [0, 1, 999, 12_345_678] {
                let local = clock.local(now);
                assert!(clock.local(clock.when(local)) >= local);
                assert!((clock.when(local) - now).abs() <= 2, "{per_thousand} {now}");
            }
        }
    }
}
