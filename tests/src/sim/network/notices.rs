//! Notifications of the election port: each pair of servers has a connection that keeps at most
//! one of them waiting, and loses, doubles or overtakes those on their way.

use std::collections::BTreeMap;

use super::paths::{Host, Paths};
use crate::sim::queue::{MILLI, Micros};

/// To be given to [`Notices::happen`] at its time.
#[derive(Debug)]
pub enum NoticeEvent<M> {
    /// A notification arrives.
    Arrive { from: Host, to: Host, boots: (u32, u32), notice: M },
    /// Whether the connection of a pair is there may have changed.
    Look { pair: (Host, Host) },
}

/// What a host learns.
#[derive(Debug, PartialEq, Eq)]
pub enum NoticeArrival<M> {
    /// A notification.
    Notice { from: Host, to: Host, notice: M },
    /// The connection to `peer` is there, or is not any more.
    Reachable { host: Host, peer: Host, up: bool },
}

/// What is known of a connection.
#[derive(Debug, Default, Clone, Copy)]
struct Connection {
    /// The processes it connects, as long as it does.
    boots: Option<(u32, u32)>,
}

/// The election port's connections between the first so many hosts.
#[derive(Debug)]
pub struct Notices<M> {
    connections: BTreeMap<(Host, Host), Connection>,
    /// What waits for a connection.
    waiting: BTreeMap<(Host, Host), M>,
    due: Vec<(Micros, NoticeEvent<M>)>,
}

impl<M: Clone> Notices<M> {
    /// Between the first so many hosts; none of them is connected yet.
    pub fn new(hosts: usize) -> Self {
        let pairs = (0..hosts).flat_map(|a| (a + 1..hosts).map(move |b| (Host(a), Host(b))));
        let connections = pairs.map(|pair| (pair, Connection::default())).collect();
        Self { connections, waiting: BTreeMap::new(), due: Vec::new() }
    }

    /// What will happen, and when; empties the list.
    pub fn due(&mut self) -> impl Iterator<Item = (Micros, NoticeEvent<M>)> {
        self.due.drain(..)
    }

    /// Sends a notification, or lets it wait in the place of the one before.
    pub fn send(&mut self, paths: &mut Paths, now: Micros, from: Host, to: Host, notice: M) {
        match self.connections[&pair(from, to)].boots {
            Some(boots) if boot_of(boots, from, to) == paths.boot(from) => {
                self.put(paths, now, (from, to), boots, notice);
            }
            _ => {
                self.waiting.insert((from, to), notice);
            }
        }
    }

    /// A process ended: what waits there is gone, and others learn of it, sooner or later.
    pub fn end_all(&mut self, paths: &mut Paths, now: Micros, host: Host, powered: bool) {
        self.waiting.retain(|&(from, _), _| from != host);
        self.look(paths, now, if powered { MILLI } else { 500 * MILLI }, |(a, b)| {
            a == host || b == host
        });
    }

    /// Processes or paths have changed: connections will be made or given up after about so long.
    pub fn look(
        &mut self,
        paths: &mut Paths,
        now: Micros,
        after: Micros,
        concerned: impl Fn((Host, Host)) -> bool,
    ) {
        for &pair in self.connections.keys().filter(|&&pair| concerned(pair)) {
            let at = now + paths.random().duration(after);
            self.due.push((at, NoticeEvent::Look { pair }));
        }
    }

    /// Lets something happen; appends what hosts learn.
    pub fn happen(
        &mut self,
        paths: &mut Paths,
        now: Micros,
        event: NoticeEvent<M>,
        arrivals: &mut Vec<NoticeArrival<M>>,
    ) {
        match event {
            NoticeEvent::Arrive { from, to, boots, notice } => {
                let is_same = self.connections[&pair(from, to)].boots == Some(boots);
                let is_there = paths.is_up(to) && paths.boot(to) == boot_of(boots, to, from);
                if is_same && is_there && !paths.loses(from, to) {
                    arrivals.push(NoticeArrival::Notice { from, to, notice });
                }
            }
            NoticeEvent::Look { pair } => self.look_at(paths, now, pair, arrivals),
        }
    }

    fn look_at(
        &mut self,
        paths: &mut Paths,
        now: Micros,
        (a, b): (Host, Host),
        arrivals: &mut Vec<NoticeArrival<M>>,
    ) {
        let is_free = |from, to| !paths.path(from, to).is_blocked;
        let is_possible = paths.is_up(a) && paths.is_up(b) && is_free(a, b) && is_free(b, a);
        let present = is_possible.then(|| (paths.boot(a), paths.boot(b)));
        let before = self.connections[&(a, b)].boots;
        if present == before {
            return;
        }
        let mut tell = |host: Host, peer: Host, boot: u32, up| {
            if paths.is_up(host) && paths.boot(host) == boot {
                arrivals.push(NoticeArrival::Reachable { host, peer, up });
            }
        };
        if let Some((boot_a, boot_b)) = before {
            tell(a, b, boot_a, false);
            tell(b, a, boot_b, false);
        }
        if let Some((boot_a, boot_b)) = present {
            tell(a, b, boot_a, true);
            tell(b, a, boot_b, true);
        }
        self.connections.insert((a, b), Connection { boots: present });
        if let Some(boots) = present {
            for way in [(a, b), (b, a)] {
                if let Some(notice) = self.waiting.remove(&way) {
                    self.put(paths, now, way, boots, notice);
                }
            }
        }
    }

    fn put(
        &mut self,
        paths: &mut Paths,
        now: Micros,
        (from, to): (Host, Host),
        boots: (u32, u32),
        notice: M,
    ) {
        // A connection that others still believe in may have lost one of its processes.
        if paths.loses(from, to) {
            return;
        }
        let times = if paths.duplicates(from, to) { 2 } else { 1 };
        for _ in 0..times {
            let at = paths.arrival(now, from, to, 0);
            let notice = notice.clone();
            self.due.push((at, NoticeEvent::Arrive { from, to, boots, notice }));
        }
    }
}

/// The process of `host`, of those that a connection with `peer` connects.
fn boot_of(boots: (u32, u32), host: Host, peer: Host) -> u32 {
    if host < peer { boots.0 } else { boots.1 }
}

fn pair(a: Host, b: Host) -> (Host, Host) {
    (a.min(b), a.max(b))
}
