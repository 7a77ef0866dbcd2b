//! Elections in bad weather: whatever happens, those who are left agree in the end.

use std::fmt::Write as _;

use super::*;

/// How long a decision may take to come true, before the server looks anew.
const PATIENCE_MS: i64 = 400;

/// Three to seven servers with various histories, some of them fresh, some observers.
fn drawn(random: &mut fastrand::Rng) -> Ensemble {
    let count = random.i64(3..=7);
    let voters = random.i64(3..=count);
    let all_fresh = random.u8(0..4) == 0;
    let mut servers = Vec::new();
    let mut more = String::new();
    for id in 1..=count {
        servers.push((id, if all_fresh { FRESH } else { own(random.u32(1..4), random.u32(0..4)) }));
        if id > voters {
            writeln!(more, "server.{id}=h:1:2:observer").unwrap();
        }
    }
    if random.bool() {
        let ids: Vec<String> = (1..=voters).map(|id| id.to_string()).collect();
        write!(more, "group.1={}\nweight.1={}", ids.join(":"), random.u8(0..=2)).unwrap();
    }
    let mut ensemble = Ensemble::new(&servers, &more);
    ensemble.random = random.fork();
    ensemble
}

impl Ensemble {
    fn rank(&self, id: ServerId) -> (u32, Zxid, ServerId) {
        let own = self.nodes[&id].own;
        (own.epoch, own.zxid, id)
    }

    fn leader_of(&self, id: ServerId) -> Option<ServerId> {
        self.nodes[&id].decision.map(|(decision, _)| decision.leader)
    }

    /// Who has the leader `id`, it included, connected with it.
    fn followers(&self, id: ServerId) -> BTreeSet<ServerId> {
        let ids = self.ids().into_iter();
        ids.filter(|&other| self.leader_of(other) == Some(id))
            .filter(|&other| other == id || self.are_connected(id, other))
            .collect()
    }
}

#[test]
fn who_can_talk_agrees_at_once_on_the_best() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut ensemble = drawn(&mut random);
        let mut ids = ensemble.ids();
        random.shuffle(&mut ids);
        for id in &ids {
            ensemble.start(id.0);
        }
        ensemble.run(0);
        let voters: Vec<_> = ensemble.configuration.voters().collect();
        let eligible = voters.iter().copied().filter(|&id| ensemble.configuration.weight(id) > 0);
        let best = eligible.max_by_key(|&id| ensemble.rank(id)).unwrap();
        for id in voters {
            assert_eq!(ensemble.leader_of(id), Some(best), "seed {seed}: {}", ensemble.outcome());
        }
        ensemble.establish(9);
        ensemble.run(0);
        assert!(!ensemble.outcome().contains('?'), "seed {seed}: {}", ensemble.outcome());
    }
}

/// Does what comes after an election, as far as elections see it.
struct Aftermath {
    /// Leaders whose epoch has begun, and their epochs.
    established: BTreeMap<ServerId, u32>,
    epoch: u32,
}

impl Aftermath {
    fn act(&mut self, ensemble: &mut Ensemble) {
        for leader in ensemble.ids() {
            self.lead(ensemble, leader);
        }
        for id in ensemble.ids() {
            let Some((decision, since_ms)) = ensemble.nodes[&id].decision else { continue };
            let leader = decision.leader;
            let is_late = ensemble.now_ms - since_ms > PATIENCE_MS;
            match self.established.get(&leader) {
                Some(_) if leader == id => {}
                Some(_) if !ensemble.are_connected(id, leader) => ensemble.look(id.0),
                Some(&epoch) if ensemble.nodes[&id].own.epoch != epoch => {
                    let own = ensemble.nodes[&leader].own;
                    ensemble.nodes.get_mut(&id).unwrap().own = own;
                    ensemble.enter(id.0, epoch);
                }
                None if is_late || ensemble.election(id.0).is_deserted() => ensemble.look(id.0),
                Some(_) | None => {}
            }
        }
    }

    /// Begins or ends the lead of a server.
    fn lead(&mut self, ensemble: &mut Ensemble, leader: ServerId) {
        let followers = ensemble.followers(leader);
        let leads = ensemble.leader_of(leader) == Some(leader);
        let is_established = self.established.contains_key(&leader);
        if is_established && !(leads && ensemble.configuration.is_quorum(&followers)) {
            self.established.remove(&leader);
            if leads {
                ensemble.look(leader.0);
            }
        } else if leads && !is_established {
            let rank = |id| (ensemble.nodes[&id].own.epoch, ensemble.nodes[&id].own.zxid);
            let fit = followers.into_iter().filter(|&id| rank(id) <= rank(leader)).collect();
            if ensemble.configuration.is_quorum(&fit) {
                self.epoch += 1;
                self.established.insert(leader, self.epoch);
                let own = &mut ensemble.nodes.get_mut(&leader).unwrap().own;
                own.zxid = own.zxid.max(Zxid::new(own.epoch, 1));
                ensemble.enter(leader.0, self.epoch);
            }
        }
    }
}

/// A misfortune, or its end.
fn disturb(ensemble: &mut Ensemble, random: &mut fastrand::Rng) {
    let ids = ensemble.ids();
    let mut any = || ids[random.usize(0..ids.len())];
    let (a, b) = (any(), any());
    match random.u8(0..5) {
        0 if ensemble.is_up(a) => ensemble.crash(a.0),
        1 if a != b => ensemble.cut(a.0, b.0),
        2 if a != b => ensemble.heal(a.0, b.0),
        _ if !ensemble.is_up(a) => ensemble.start(a.0),
        _ => {}
    }
}

/// Runs for a while, with the aftermath after each thing that happens.
fn live(ensemble: &mut Ensemble, aftermath: &mut Aftermath, for_ms: i64) {
    let end_ms = ensemble.now_ms + for_ms;
    while ensemble.now_ms < end_ms {
        let until_ms = (ensemble.now_ms + 20).min(end_ms);
        while ensemble.happen_next(until_ms) {}
        ensemble.now_ms = until_ms;
        aftermath.act(ensemble);
    }
}

#[test]
fn who_is_left_agrees_in_the_end() {
    for seed in 0..250 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut ensemble = drawn(&mut random);
        ensemble.weather = Weather {
            lost: random.u8(0..40),
            doubled: random.u8(0..40),
            delay_ms: random.i64(0..150),
        };
        let mut aftermath = Aftermath { established: BTreeMap::new(), epoch: 9 };
        for id in ensemble.ids() {
            ensemble.start(id.0);
            live(&mut ensemble, &mut aftermath, random.i64(0..100));
        }
        for _ in 0..random.u8(0..40) {
            disturb(&mut ensemble, &mut random);
            live(&mut ensemble, &mut aftermath, random.i64(0..500));
        }
        for (a, b) in ensemble.cut.clone() {
            ensemble.heal(a.0, b.0);
        }
        for id in ensemble.ids() {
            if !ensemble.is_up(id) {
                ensemble.start(id.0);
            }
        }
        live(&mut ensemble, &mut aftermath, 20_000);
        let outcome = ensemble.outcome();
        let leaders = outcome.matches('!').count();
        assert!(leaders == 1 && !outcome.contains('?'), "seed {seed}: {outcome}");
        assert_eq!(aftermath.established.len(), 1, "seed {seed}: {outcome}");
    }
}
