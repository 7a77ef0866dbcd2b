//! What is done for a fault, step by step. Plain data: who does it is [`super::perform`].

use std::time::Duration;

use super::Kind;
use crate::network::{Link, Node};

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Ends a server's process at once.
    Kill(usize),
    /// Starts a server.
    Start(usize),
    /// Asks a server to end, and waits until it has.
    Terminate(usize),
    /// Stops a process in its tracks.
    Pause(usize),
    /// Lets it go on.
    Resume(usize),
    /// Sets what happens to bytes from one to another.
    Set(Node, Node, Link),
    /// Lets some time pass.
    Wait(Duration),
    /// Waits until all servers serve, but not for ever.
    Settle,
}

/// A fault and its repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// For people.
    pub what: String,
    /// How it is put on, with the time it lasts.
    pub inject: Vec<Action>,
    /// How it is taken off.
    pub repair: Vec<Action>,
}

/// What to do for a fault in an ensemble of `servers`, of which `leader` leads if it is known.
pub fn script(
    kind: Kind,
    servers: usize,
    leader: Option<usize>,
    hold: Duration,
    seed: u64,
) -> Script {
    let mut draw = Draw { rng: fastrand::Rng::with_seed(seed), servers, leader };
    let mut script = match kind {
        Kind::KillLeader => kill(&[draw.leader()]),
        Kind::KillFollower => kill(&[draw.follower()]),
        Kind::KillAll => kill(&draw.everyone()),
        Kind::PauseLeader => pause(&[draw.leader()]),
        Kind::PauseFollower => pause(&[draw.follower()]),
        Kind::PauseAll => pause(&draw.everyone()),
        Kind::Restart => return restart(&draw.everyone()),
        Kind::IsolateLeader => isolate(draw.leader(), servers),
        Kind::IsolateFollower => isolate(draw.follower(), servers),
        Kind::Halves => {
            let everyone = draw.everyone();
            let (minority, majority) = everyone.split_at((servers - 1) / 2);
            let what = format!("{} cut off from {}", names(minority), names(majority));
            network(what, between(minority, majority, Link::SILENT))
        }
        Kind::Bridge => {
            let everyone = draw.everyone();
            let (one, rest) = everyone.split_at((servers - 1) / 2);
            let (bridge, other) = rest.split_first().expect("more than half are left");
            let what = format!("{} and {} joined by {} only", names(one), names(other), bridge + 1);
            network(what, between(one, other, Link::SILENT))
        }
        Kind::Ring => ring(&draw.everyone()),
        Kind::Deaf => {
            let server = draw.server();
            let cut = others(server, servers).map(|peer| (peer, server));
            network(format!("server {} deaf", server + 1), one_way(cut, Link::SILENT))
        }
        Kind::Mute => {
            let server = draw.server();
            let cut = others(server, servers).map(|peer| (server, peer));
            network(format!("server {} mute", server + 1), one_way(cut, Link::SILENT))
        }
        Kind::OneWay => {
            let (from, to) = draw.pair();
            let what = format!("server {} not heard by {}", from + 1, to + 1);
            network(what, one_way([(from, to)], Link::SILENT))
        }
        Kind::Flap => return flap(&mut draw, hold),
        Kind::Reset => {
            let cut = draw.some_pairs();
            let what = format!("connections reset: {}", pairs(&cut));
            network(what, both_ways(&cut, Link::CLOSED))
        }
        Kind::Delay => {
            let delay = Duration::from_millis(draw.rng.u64(5..=80));
            let all: Vec<_> = draw.all_pairs();
            let what = format!("{} between servers", humantime::format_duration(delay));
            network(what, both_ways(&all, Link::delayed(delay)))
        }
        Kind::Swizzle => return swizzle(&mut draw, hold),
        Kind::Clients => {
            let everyone = draw.everyone();
            let count = draw.rng.usize(1..servers.max(2));
            let cut = &everyone[..count];
            let links = cut.iter().flat_map(|&server| {
                let server = Node::Server(server);
                [(Node::Clients, server), (server, Node::Clients)]
            });
            let set = links.map(|(from, to)| Action::Set(from, to, Link::SILENT)).collect();
            network(format!("clients cut off from {}", names(cut)), set)
        }
    };
    script.inject.push(Action::Wait(hold));
    script
}

/// Whom a fault hits.
struct Draw {
    rng: fastrand::Rng,
    servers: usize,
    leader: Option<usize>,
}

impl Draw {
    fn server(&mut self) -> usize {
        self.rng.usize(..self.servers)
    }

    /// The leader, or anybody when there is none.
    fn leader(&mut self) -> usize {
        let anybody = self.server();
        self.leader.unwrap_or(anybody)
    }

    /// Anybody but the leader.
    fn follower(&mut self) -> usize {
        let distance = self.rng.usize(1..self.servers.max(2));
        (self.leader() + distance) % self.servers
    }

    /// All, in some order.
    fn everyone(&mut self) -> Vec<usize> {
        let mut everyone: Vec<_> = (0..self.servers).collect();
        self.rng.shuffle(&mut everyone);
        everyone
    }

    fn pair(&mut self) -> (usize, usize) {
        let everyone = self.everyone();
        (everyone[0], everyone[1 % self.servers])
    }

    fn all_pairs(&mut self) -> Vec<(usize, usize)> {
        let mut pairs: Vec<_> =
            (0..self.servers).flat_map(|a| (0..a).map(move |b| (b, a))).collect();
        self.rng.shuffle(&mut pairs);
        pairs
    }

    /// One pair at least.
    fn some_pairs(&mut self) -> Vec<(usize, usize)> {
        let mut pairs = self.all_pairs();
        pairs.truncate(self.rng.usize(1..=pairs.len()));
        pairs
    }
}

fn kill(servers: &[usize]) -> Script {
    Script {
        what: format!("kill -9 {}", names(servers)),
        inject: servers.iter().copied().map(Action::Kill).collect(),
        repair: servers.iter().copied().map(Action::Start).collect(),
    }
}

fn pause(servers: &[usize]) -> Script {
    Script {
        what: format!("pause {}", names(servers)),
        inject: servers.iter().copied().map(Action::Pause).collect(),
        repair: servers.iter().copied().map(Action::Resume).collect(),
    }
}

fn restart(servers: &[usize]) -> Script {
    let steps =
        |&server: &usize| [Action::Terminate(server), Action::Start(server), Action::Settle];
    let inject = servers.iter().flat_map(steps).collect();
    Script { what: format!("restart {} in turn", names(servers)), inject, repair: Vec::new() }
}

/// A fault of the network, with the steps that put it on.
fn network(what: String, inject: Vec<Action>) -> Script {
    let healed = |action: &Action| match *action {
        Action::Set(from, to, _) => Some(Action::Set(from, to, Link::UP)),
        _ => None,
    };
    Script { what, repair: inject.iter().filter_map(healed).collect(), inject }
}

fn isolate(server: usize, servers: usize) -> Script {
    let peers: Vec<_> = others(server, servers).collect();
    let what = format!("server {} cut off from its peers", server + 1);
    network(what, between(&[server], &peers, Link::SILENT))
}

/// With three servers a ring would have all links: then one is missing.
fn ring(everyone: &[usize]) -> Script {
    let n = everyone.len();
    let reach = usize::from(n > 3);
    let mut cut = Vec::new();
    for a in 0..n {
        for b in 0..a {
            let distance = (a - b).min(n - (a - b));
            if distance > reach && (n > 3 || (b, a) == (0, 1)) {
                cut.push((everyone[b], everyone[a]));
            }
        }
    }
    network(format!("ring {everyone:?} without {}", pairs(&cut)), both_ways(&cut, Link::SILENT))
}

fn flap(draw: &mut Draw, hold: Duration) -> Script {
    let pair = [draw.pair()];
    let mut script =
        network(format!("link {} flaps", pairs(&pair)), both_ways(&pair, Link::SILENT));
    let (cut, heal) = (script.inject.clone(), script.repair.clone());
    let mut left = hold;
    while left > Duration::ZERO {
        for steps in [&heal, &cut] {
            let wait = Duration::from_millis(draw.rng.u64(50..=600)).min(left);
            left -= wait;
            script.inject.push(Action::Wait(wait));
            script.inject.extend(steps);
        }
    }
    script
}

fn swizzle(draw: &mut Draw, hold: Duration) -> Script {
    let mut cut = draw.some_pairs();
    let what = format!("swizzle {}", pairs(&cut));
    let step = hold / (2 * u32::try_from(cut.len()).unwrap_or(1));
    let mut phase = |link| -> Vec<Action> {
        draw.rng.shuffle(&mut cut);
        let one = |pair: &(usize, usize)| {
            let mut steps = both_ways(&[*pair], link);
            steps.push(Action::Wait(step));
            steps
        };
        cut.iter().flat_map(one).collect()
    };
    Script { what, inject: phase(Link::SILENT), repair: phase(Link::UP) }
}

fn others(server: usize, servers: usize) -> impl Iterator<Item = usize> {
    (0..servers).filter(move |&other| other != server)
}

fn one_way(links: impl IntoIterator<Item = (usize, usize)>, link: Link) -> Vec<Action> {
    let set = |(from, to)| Action::Set(Node::Server(from), Node::Server(to), link);
    links.into_iter().map(set).collect()
}

fn both_ways(pairs: &[(usize, usize)], link: Link) -> Vec<Action> {
    one_way(pairs.iter().flat_map(|&(a, b)| [(a, b), (b, a)]), link)
}

fn between(one: &[usize], other: &[usize], link: Link) -> Vec<Action> {
    let pairs: Vec<_> = one.iter().flat_map(|&a| other.iter().map(move |&b| (a, b))).collect();
    both_ways(&pairs, link)
}

fn names(servers: &[usize]) -> String {
    let ids: Vec<_> = servers.iter().map(|server| (server + 1).to_string()).collect();
    format!("server{} {}", if ids.len() == 1 { "" } else { "s" }, ids.join(", "))
}

fn pairs(pairs: &[(usize, usize)]) -> String {
    let names: Vec<_> = pairs.iter().map(|(a, b)| format!("{}-{}", a + 1, b + 1)).collect();
    names.join(", ")
}
