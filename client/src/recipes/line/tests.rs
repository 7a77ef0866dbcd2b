//! Contenders against a folder in memory, with a fault at every operation, and in random orders.

use std::collections::BTreeMap;

use super::{
    contender::{Contender, Effect, Failure, How, Input},
    order::{Rule, sequence_of},
};

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    /// It fails before it was sent.
    NotSent,
    /// The connection is lost before it was done, or after that.
    LostBefore,
    LostAfter,
    /// The session ends, before it was done or after that.
    ExpiredBefore,
    ExpiredAfter,
    /// The contender gives up while it is on its way; it is done then or not.
    LeftBefore,
    LeftAfter,
    /// Somebody deletes the contender's node first.
    Deleted,
}

const FAULTS: [Fate; 8] = [
    Fate::NotSent,
    Fate::LostBefore,
    Fate::LostAfter,
    Fate::ExpiredBefore,
    Fate::ExpiredAfter,
    Fate::LeftBefore,
    Fate::LeftAfter,
    Fate::Deleted,
];

/// The folder: its nodes and the contenders they are of.
#[derive(Debug, Default)]
struct Folder {
    nodes: BTreeMap<String, usize>,
    created: i32,
}

#[derive(Debug, PartialEq, Eq)]
enum Watched {
    Nothing,
    Node(String),
    Folder,
    Fired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Admitted,
    Leaving,
}

struct Actor {
    contender: Contender,
    /// What is to be done next.
    effect: Effect,
    rule: Rule,
    watched: Watched,
    name: Option<String>,
    phase: Phase,
    /// It was admitted at some time.
    served: bool,
    /// What it watched has changed, and so many operations ago, the wait for that included.
    stirred: bool,
    operations: usize,
    expired: bool,
}

struct World {
    folder: Folder,
    actors: Vec<Actor>,
    /// The number of the last one admitted by [`Rule::Alone`].
    last_token: i32,
    any_fault: bool,
    /// The contenders take turns, without any fault.
    orderly: bool,
}

impl World {
    fn new(rules: &[Rule]) -> Self {
        let actors = rules.iter().map(|&rule| Actor {
            contender: Contender::new(rule, true),
            effect: Effect::Enter,
            rule,
            watched: Watched::Nothing,
            name: None,
            phase: Phase::Waiting,
            served: false,
            stirred: false,
            operations: 0,
            expired: false,
        });
        let actors = actors.collect();
        Self { folder: Folder::default(), actors, last_token: -1, any_fault: false, orderly: false }
    }

    fn is_over(&self) -> bool {
        self.actors.iter().all(|actor| matches!(actor.effect, Effect::Gone(_)))
    }

    fn can_step(&self, index: usize) -> bool {
        let actor = &self.actors[index];
        match actor.effect {
            Effect::Gone(_) => false,
            Effect::Await => actor.watched == Watched::Fired,
            _ => true,
        }
    }

    /// Fires watches, and says how many.
    fn changed(&mut self, node: &str) -> usize {
        let mut woken = 0;
        for actor in &mut self.actors {
            let wakes = match &actor.watched {
                Watched::Node(name) => name == node,
                Watched::Folder => true,
                Watched::Nothing | Watched::Fired => false,
            };
            if wakes {
                (actor.watched, actor.stirred) = (Watched::Fired, true);
                actor.operations = 0;
                woken += 1;
            }
        }
        woken
    }

    fn remove(&mut self, name: &str) -> bool {
        let was_there = self.folder.nodes.remove(name).is_some();
        if was_there {
            let woken = self.changed(name);
            let alone = self.actors.iter().all(|actor| actor.rule == Rule::Alone);
            // One whose node somebody deleted waits for the same as the one behind it.
            assert!(!alone || woken <= 1 || self.any_fault, "one node wakes {woken} contenders");
        }
        was_there
    }

    fn expire(&mut self, index: usize) {
        self.actors[index].expired = true;
        let own = self.folder.nodes.iter().filter(|(_, owner)| **owner == index);
        let names: Vec<_> = own.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.remove(&name);
        }
    }

    /// Does what a server does.
    fn perform(&mut self, index: usize) -> Input {
        let effect = self.actors[index].effect.clone();
        self.actors[index].operations += 1;
        match effect {
            Effect::Enter => {
                let word = match self.actors[index].rule {
                    Rule::Shared => "__READ__",
                    _ => "__WRIT__",
                };
                let name = format!("_c_{index}-{word}{:010}", self.folder.created);
                self.folder.created += 1;
                self.folder.nodes.insert(name.clone(), index);
                self.changed("");
                Input::Entered(name)
            }
            Effect::List { watch } => {
                if watch {
                    self.actors[index].watched = Watched::Folder;
                }
                Input::Listed(self.folder.nodes.keys().cloned().collect())
            }
            Effect::Watch(name) => {
                let there = self.folder.nodes.contains_key(&name);
                if there {
                    self.actors[index].watched = Watched::Node(name);
                }
                Input::Watched(there)
            }
            Effect::Await => {
                self.actors[index].watched = Watched::Nothing;
                Input::Stirred
            }
            Effect::Find => {
                let mut own = self.folder.nodes.iter().filter(|(_, owner)| **owner == index);
                Input::Found(own.next().map(|(name, _)| name.clone()))
            }
            Effect::Delete(name) => {
                if self.remove(&name) {
                    Input::Deleted
                } else {
                    Input::Failed(Failure::NoNode { before: true })
                }
            }
            Effect::Rest => Input::Rested,
            Effect::Admit | Effect::TurnAway | Effect::Missing => Input::Leave,
            Effect::Gone(_) => unreachable!("it is not stepped any more"),
        }
    }

    /// One operation of one contender.
    fn step(&mut self, index: usize, fate: Fate) {
        self.any_fault |= fate != Fate::Done;
        let is_call = !matches!(
            self.actors[index].effect,
            Effect::Await | Effect::Rest | Effect::Admit | Effect::TurnAway | Effect::Missing
        );
        if self.actors[index].expired {
            return self.feed(index, Input::Failed(Failure::SessionEnded));
        }
        let input = match fate {
            Fate::Done => self.perform(index),
            Fate::Deleted => {
                if let Some(name) = self.actors[index].name.clone() {
                    self.remove(&name);
                }
                self.perform(index)
            }
            _ if !is_call && fate != Fate::LeftBefore => self.perform(index),
            Fate::NotSent => Input::Failed(Failure::NotDone),
            Fate::LostBefore => Input::Failed(Failure::Unknown),
            Fate::LostAfter => {
                self.perform(index);
                Input::Failed(Failure::Unknown)
            }
            Fate::ExpiredBefore => {
                self.expire(index);
                Input::Failed(Failure::SessionEnded)
            }
            Fate::ExpiredAfter => {
                self.perform(index);
                self.expire(index);
                Input::Failed(Failure::SessionEnded)
            }
            // The clean-up itself is not given up.
            _ if self.actors[index].phase == Phase::Leaving => self.perform(index),
            Fate::LeftBefore => Input::Leave,
            Fate::LeftAfter => {
                self.perform(index);
                Input::Leave
            }
        };
        self.feed(index, input);
    }

    /// Does what the shell does with what came of an operation.
    fn feed(&mut self, index: usize, input: Input) {
        let actor = &mut self.actors[index];
        if let Input::Entered(name) = &input {
            actor.name = Some(name.clone());
        }
        let failed = matches!(input, Input::Failed(_));
        let leaves = input == Input::Leave || (failed && actor.phase != Phase::Leaving);
        actor.effect = actor.contender.step(input);
        if failed && actor.phase != Phase::Leaving && !matches!(actor.effect, Effect::Gone(_)) {
            // The seat is dropped.
            actor.effect = actor.contender.step(Input::Leave);
        }
        if leaves {
            (actor.phase, actor.watched) = (Phase::Leaving, Watched::Nothing);
        }
        if actor.effect == Effect::Admit {
            self.admit(index);
        }
        self.check();
    }

    fn admit(&mut self, index: usize) {
        let actor = &mut self.actors[index];
        (actor.phase, actor.served) = (Phase::Admitted, true);
        if actor.stirred {
            let calls = actor.operations - 1;
            assert!(!self.orderly || calls == 1, "a hand-over takes {calls} calls");
        }
        if actor.rule == Rule::Alone {
            let token = sequence_of(actor.name.as_deref().unwrap()).unwrap();
            assert!(token > self.last_token, "{token} comes behind {}", self.last_token);
            self.last_token = token;
        }
    }

    /// Who is in, with a node that is there.
    fn check(&self) {
        let holds = |actor: &&Actor| {
            let there = |name: &String| self.folder.nodes.contains_key(name);
            actor.phase == Phase::Admitted && actor.name.as_ref().is_some_and(there)
        };
        let holders: Vec<_> = self.actors.iter().filter(holds).map(|actor| actor.rule).collect();
        let alone = holders.contains(&Rule::Alone);
        assert!(!alone || holders.len() == 1, "{holders:?} at once");
        for rule in &holders {
            if let Rule::Places(places) = rule {
                assert!(holders.len() <= *places, "{holders:?} at once");
            }
        }
    }

    fn check_end(&self) {
        assert!(self.folder.nodes.is_empty(), "left behind: {:?}", self.folder.nodes);
        for actor in &self.actors {
            assert!(actor.served || self.any_fault, "somebody was never in");
            assert!(!matches!(actor.effect, Effect::Gone(How::Stuck)));
        }
    }
}

const SCENES: [&[Rule]; 4] = [
    &[Rule::Alone, Rule::Alone, Rule::Alone],
    &[Rule::Shared, Rule::Alone, Rule::Shared, Rule::Shared, Rule::Alone],
    &[Rule::Places(1), Rule::Places(1), Rule::Places(1)],
    &[Rule::Places(2), Rule::Places(2), Rule::Places(2), Rule::Places(2)],
];

/// Plays a scene, in turn, with a fate for the operation of this number; how many there were.
fn play(rules: &[Rule], fault: Option<(usize, Fate)>) -> usize {
    let mut world = World::new(rules);
    world.orderly = fault.is_none();
    let mut number = 0;
    while !world.is_over() {
        let before = number;
        for index in 0..rules.len() {
            if world.can_step(index) {
                let fate =
                    fault.filter(|(at, _)| *at == number).map_or(Fate::Done, |fault| fault.1);
                world.step(index, fate);
                number += 1;
            }
        }
        assert!(number > before, "all wait for ever: {fault:?}");
        assert!(number < 10_000, "no end: {fault:?}");
    }
    world.check_end();
    number
}

#[test]
fn a_fault_at_any_operation_does_no_harm() {
    for rules in SCENES {
        let operations = play(rules, None);
        for at in 0..operations {
            for fate in FAULTS {
                play(rules, Some((at, fate)));
            }
        }
    }
}

#[test]
fn many_faults_in_any_order_do_no_harm() {
    for seed in 0..5_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let rules = SCENES[random.usize(..SCENES.len())];
        let mut world = World::new(rules);
        let mut steps = 0;
        while !world.is_over() {
            let able: Vec<_> = (0..rules.len()).filter(|&index| world.can_step(index)).collect();
            assert!(!able.is_empty(), "all wait for ever: seed {seed}");
            let index = able[random.usize(..able.len())];
            let faulty = random.u8(..10) == 0;
            let fate = if faulty { FAULTS[random.usize(..FAULTS.len())] } else { Fate::Done };
            world.step(index, fate);
            steps += 1;
            assert!(steps < 100_000, "no end: seed {seed}");
        }
        world.check_end();
    }
}

#[test]
fn who_only_tries_is_turned_away() {
    let mut contender = Contender::new(Rule::Alone, false);
    let mine = "_c_2-lock-0000000002".to_owned();
    assert_eq!(contender.step(Input::Entered(mine.clone())), Effect::List { watch: false });
    let names = vec!["_c_1-lock-0000000001".to_owned(), mine.clone()];
    assert_eq!(contender.step(Input::Listed(names)), Effect::TurnAway);
    assert_eq!(contender.step(Input::Leave), Effect::Delete(mine));
    assert_eq!(contender.step(Input::Deleted), Effect::Gone(How::Left));
}

#[test]
fn who_leaves_learns_whether_it_was_there_until_then() {
    let admitted = || {
        let mut contender = Contender::new(Rule::Alone, true);
        let mine = "_c_1-lock-0000000001".to_owned();
        contender.step(Input::Entered(mine.clone()));
        assert_eq!(contender.step(Input::Listed(vec![mine.clone()])), Effect::Admit);
        assert_eq!(contender.step(Input::Leave), Effect::Delete(mine));
        contender
    };
    let gone = |how| Effect::Gone(how);
    let absent = Input::Failed(Failure::NoNode { before: true });
    assert_eq!(admitted().step(absent.clone()), gone(How::Taken));
    // The attempt before may have deleted it.
    let mut contender = admitted();
    assert_eq!(contender.step(Input::Failed(Failure::Unknown)), Effect::Rest);
    assert!(matches!(contender.step(Input::Rested), Effect::Delete(_)));
    assert_eq!(contender.step(absent), gone(How::Left));
    let ended = Input::Failed(Failure::SessionEnded);
    assert_eq!(admitted().step(ended), gone(How::Expired));
    assert_eq!(admitted().step(Input::Failed(Failure::Refused)), gone(How::Stuck));
}
