//! The search for an order.

use std::collections::{BTreeMap, HashSet};

use crate::clock::Nanos;

/// Something done to a register.
#[derive(Debug, Clone)]
pub(super) struct Event<'h> {
    /// Which operation it was.
    pub(super) index: usize,
    pub(super) call: Nanos,
    /// None if it may also never have happened.
    pub(super) returned: Option<Nanos>,
    pub(super) write: Write<'h>,
}

/// What was done, and what the answer was.
#[derive(Debug, Clone)]
pub(super) enum Write<'h> {
    /// A set, if the version was as expected; `version` is the answer, if there was one.
    Set { value: &'h str, expected: Option<i32>, version: Option<i32> },
    /// A set that was refused for the version.
    Refused { expected: i32 },
    /// A read.
    Read { value: &'h str, version: i32 },
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// There is an order.
    Found,
    /// There is none; the operation that no attempt has come past.
    None { stuck: usize },
    /// There may be one.
    GaveUp,
}

/// What the register holds: how often it was written, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State<'h> {
    version: i32,
    value: &'h str,
}

impl<'h> State<'h> {
    /// The state behind an event, if its answer is right.
    fn step(self, write: &Write<'h>) -> Option<Self> {
        match *write {
            Write::Set { value, expected, version } => {
                let next = self.version + 1;
                let right = expected.is_none_or(|expected| expected == self.version)
                    && version.is_none_or(|version| version == next);
                right.then_some(Self { version: next, value })
            }
            Write::Refused { expected } => (expected != self.version).then_some(self),
            Write::Read { value, version } => {
                (self.version == version && self.value == value).then_some(self)
            }
        }
    }
}

impl Write<'_> {
    /// The version it must find. Versions only grow, so none may be passed while it waits.
    fn finds(&self) -> Option<i32> {
        match *self {
            Self::Set { version: Some(version), .. } => Some(version - 1),
            Self::Read { version, .. } => Some(version),
            Self::Set { version: None, .. } | Self::Refused { .. } => None,
        }
    }
}

/// Calls and returns in the order of time, as a list that events are taken from and put back into.
struct Timeline {
    /// Event and whether it is a return, by place; place 0 is the head.
    entries: Vec<Option<(usize, bool)>>,
    next: Vec<usize>,
    previous: Vec<usize>,
    /// Places of an event's call and return.
    places: Vec<(usize, Option<usize>)>,
}

impl Timeline {
    fn new(events: &[Event<'_>]) -> Self {
        let mut times: Vec<(Nanos, bool, usize)> = Vec::new();
        for (n, event) in events.iter().enumerate() {
            times.push((event.call, false, n));
            times.extend(event.returned.map(|returned| (returned, true, n)));
        }
        // Of two at the same time the call counts as the first: they are concurrent.
        times.sort_unstable();
        let mut places = vec![(0, None); events.len()];
        let mut entries = vec![None];
        for (place, (_, is_return, n)) in (1..).zip(times) {
            entries.push(Some((n, is_return)));
            if is_return {
                places[n].1 = Some(place);
            } else {
                places[n].0 = place;
            }
        }
        let count = entries.len();
        let next = (1..=count).map(|place| place % count).collect();
        let previous = (0..count).map(|place| (place + count - 1) % count).collect();
        Self { entries, next, previous, places }
    }

    /// What can be next: everything called before the first return.
    fn candidates(&self, events: &[Event<'_>]) -> Vec<usize> {
        let mut place = self.next[0];
        let mut candidates = Vec::new();
        while let Some((event, false)) = self.entries[place] {
            candidates.push(event);
            place = self.next[place];
        }
        // Those that need not have happened are the last resort.
        candidates.sort_by_key(|&event| events[event].returned.is_none());
        candidates
    }

    /// The event whose return comes first, which has to be placed now.
    fn due(&self) -> Option<usize> {
        let mut place = self.next[0];
        while let Some((event, is_return)) = self.entries[place] {
            if is_return {
                return Some(event);
            }
            place = self.next[place];
        }
        None
    }

    fn take(&mut self, event: usize) {
        let (call, returned) = self.places[event];
        for place in [Some(call), returned].into_iter().flatten() {
            self.next[self.previous[place]] = self.next[place];
            self.previous[self.next[place]] = self.previous[place];
        }
    }

    fn put_back(&mut self, event: usize) {
        let (call, returned) = self.places[event];
        for place in [returned, Some(call)].into_iter().flatten() {
            self.next[self.previous[place]] = place;
            self.previous[self.next[place]] = place;
        }
    }
}

/// A point the search may have to come back to.
struct Point<'h> {
    state: State<'h>,
    /// What was taken to come here.
    taken: Option<usize>,
    candidates: Vec<usize>,
    tried: usize,
}

/// Looks for an order of `events` from a register that holds `initial` at version 0.
pub(super) fn search<'h>(initial: &'h str, events: &[Event<'h>], steps: usize) -> Answer {
    let mut timeline = Timeline::new(events);
    let mut left = events.iter().filter(|event| event.returned.is_some()).count();
    if left == 0 {
        return Answer::Found;
    }
    let mut awaited: BTreeMap<i32, usize> = BTreeMap::new();
    for version in events.iter().filter_map(|event| event.write.finds()) {
        *awaited.entry(version).or_default() += 1;
    }
    let mut placed = vec![0_u64; events.len().div_ceil(64)];
    let mut visited = HashSet::new();
    let state = State { version: 0, value: initial };
    let candidates = timeline.candidates(events);
    let mut points = vec![Point { state, taken: None, candidates, tried: 0 }];
    let mut best = (left, timeline.due());
    for _ in 0..steps {
        let Some(point) = points.last_mut() else {
            let stuck = best.1.map_or(0, |event| events[event].index);
            return Answer::None { stuck };
        };
        let Some(&event) = point.candidates.get(point.tried) else {
            if let Some(event) = points.pop().and_then(|point| point.taken) {
                timeline.put_back(event);
                placed[event / 64] &= !(1 << (event % 64));
                left += usize::from(events[event].returned.is_some());
                if let Some(version) = events[event].write.finds() {
                    *awaited.entry(version).or_default() += 1;
                }
            }
            continue;
        };
        point.tried += 1;
        let write = &events[event].write;
        let Some(state) = point.state.step(write) else { continue };
        let changes = state.version != point.state.version;
        let passed = |(&version, &count): (&i32, &usize)| {
            // The event itself has found its version.
            count > usize::from(write.finds() == Some(version)) && version < state.version
        };
        if changes && awaited.range(..state.version).any(passed) {
            continue;
        }
        placed[event / 64] |= 1 << (event % 64);
        if !visited.insert((placed.clone(), state)) {
            placed[event / 64] &= !(1 << (event % 64));
            continue;
        }
        timeline.take(event);
        left -= usize::from(events[event].returned.is_some());
        if let Some(version) = write.finds()
            && let Some(count) = awaited.get_mut(&version)
        {
            *count -= 1;
            if *count == 0 {
                awaited.remove(&version);
            }
        }
        if left == 0 {
            return Answer::Found;
        }
        if left < best.0 {
            best = (left, timeline.due());
        }
        let candidates = timeline.candidates(events);
        points.push(Point { state, taken: Some(event), candidates, tried: 0 });
    }
    Answer::GaveUp
}
