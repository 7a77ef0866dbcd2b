//! What happens by time: sessions expire, silent and stuck connections are cut off, outdated nodes
//! are removed. One task looks at everything each half tick; nothing has a timer of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{core::Event, pipeline::Input, shared::Shared};
use crate::{
    config::ContainerSettings,
    net::{Conn, End},
};

/// How often the ticker looks, at least and at most.
const PERIOD: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// When the core wants to be stepped next.
#[derive(Debug, Clone, Default)]
pub(super) struct Wake(Arc<Alarm>);

#[derive(Debug)]
struct Alarm {
    /// In milliseconds of the server's clock.
    at_ms: AtomicI64,
    changed: Notify,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { at_ms: AtomicI64::new(i64::MAX), changed: Notify::new() }
    }
}

impl Wake {
    /// Has the core stepped at this time at the latest.
    pub(super) fn at(&self, at_ms: i64) {
        if at_ms < self.0.at_ms.fetch_min(at_ms, Relaxed) {
            self.0.changed.notify_one();
        }
    }

    /// Waits for the time. Cancel safe.
    async fn reached(&self, shared: &Shared) {
        loop {
            let at_ms = self.0.at_ms.load(Relaxed);
            let left = u64::try_from(at_ms - shared.clock.now_ms()).unwrap_or(0);
            tokio::select! {
                () = sleep(Duration::from_millis(left)), if at_ms < i64::MAX => {
                    self.0.at_ms.store(i64::MAX, Relaxed);
                    return;
                }
                () = self.0.changed.notified() => {}
            }
        }
    }
}

impl Shared {
    /// The time that the core wanted to be stepped at has come.
    pub fn wake(&self) {
        self.submit(tick(self));
    }

    /// Half a tick has passed; `also` goes to the core with that.
    pub fn half_tick(&self, also: Option<Input>) {
        let now_ms = self.clock.now_ms();
        let conns = self.conns.all();
        // Reported before anything expires: who was heard of since the last tick is alive.
        let touched: Vec<_> = conns.iter().filter_map(|conn| conn.touched()).collect();
        let mut inputs = vec![Input::Touched(touched), Input::Expire { now_ms }];
        if self.settings.ensemble.is_some() {
            inputs.push(tick(self));
        }
        inputs.extend(also);
        self.pipeline.submit(self, &mut inputs);
        for conn in conns {
            if let Some(reason) = overdue(self, &conn, now_ms)
                && conn.outbox.end(End::Now)
            {
                debug!(conn = conn.id.0, remote = %conn.stats.remote, reason, "cut off");
                let without_session = u64::from(conn.session().is_none());
                self.stats.sessionless_connections_expired.add(without_session);
            }
        }
    }
}

/// Tells the ensemble's state machines what time it is.
fn tick(shared: &Shared) -> Input {
    let log_waits_ms = shared.backlog.log_waits_ms(shared.clock.now_ms());
    Input::Ensemble(Event::Tick { log_waits_ms })
}

/// Runs until `stop`.
pub(super) async fn run(shared: Arc<Shared>, wake: Wake, stop: CancellationToken) {
    let period = (shared.settings.sessions.tick / 2).clamp(PERIOD.0, PERIOD.1);
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reaper = shared.settings.containers.as_ref().map(Reaper::new);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {
                shared.half_tick(reaper.as_mut().and_then(|reaper| reaper.tick(Instant::now())));
            }
            () = wake.reached(&shared) => shared.wake(),
        }
    }
}

/// Why a connection is to be cut off, if it is.
fn overdue(shared: &Shared, conn: &Conn, now_ms: i64) -> Option<&'static str> {
    let settings = &shared.settings.clients;
    let silent_ms = now_ms - conn.last_heard_ms();
    let millis = |limit: Duration| i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
    let stuck = |since: i64| now_ms - since > millis(settings.slow_reader_timeout);
    if conn.session().is_none() {
        (silent_ms > millis(settings.sessionless_timeout)).then_some("no session in time")
    } else if silent_ms > i64::from(conn.stats.timeout_ms()) {
        Some("silent for its session's timeout")
    } else {
        conn.blocked_since_ms().is_some_and(stuck).then_some("does not take what waits for it")
    }
}

/// When to look for outdated nodes, and how many may be removed.
struct Reaper {
    check_interval: Duration,
    /// How many may be removed in one look, so that a minute's looks keep to the limit.
    most: usize,
    next: Instant,
}

impl Reaper {
    fn new(settings: &ContainerSettings) -> Self {
        let looks_per_minute = 60.0 / settings.check_interval.as_secs_f64().clamp(0.001, 60.0);
        let most = (f64::from(settings.max_per_minute) / looks_per_minute).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let most = most as usize;
        Self {
            check_interval: settings.check_interval,
            most,
            next: Instant::now() + settings.check_interval,
        }
    }

    fn tick(&mut self, now: Instant) -> Option<Input> {
        if now < self.next {
            return None;
        }
        self.next = now + self.check_interval;
        Some(Input::Reap { most: self.most })
    }
}
