//! What happened, as a number and, on demand, as text.

use std::{
    collections::VecDeque,
    fmt::{Debug, Write},
    hash::{DefaultHasher, Hash, Hasher},
};

use super::queue::Micros;

/// A record of all events: always its hash, so that two runs of a seed can be compared, and the
/// text of the last events where somebody wants to read it.
#[derive(Debug, Default)]
pub struct Trace {
    hasher: DefaultHasher,
    lines: VecDeque<String>,
    kept: usize,
}

impl Trace {
    /// A trace that keeps the text of so many events.
    pub fn keeping(lines: usize) -> Self {
        Self { kept: lines, ..Self::default() }
    }

    /// Notes an event.
    pub fn note(&mut self, at: Micros, event: &(impl Hash + Debug)) {
        (at, event).hash(&mut self.hasher);
        if self.kept > 0 {
            if self.lines.len() == self.kept {
                self.lines.pop_front();
            }
            let (seconds, micros) = (at / 1_000_000, at % 1_000_000);
            self.lines.push_back(format!("{seconds:>3}.{micros:06} {event:?}"));
        }
    }

    /// The hash of everything noted.
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// The text that was kept, a line for each event.
    pub fn text(&self) -> String {
        self.lines.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{line}");
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_of_all_events_and_the_text_of_the_last() {
        let mut trace = Trace::keeping(2);
        let mut other = Trace::default();
        for (at, event) in [(1, "a"), (2, "b"), (1_000_003, "c")] {
            trace.note(at, &event);
            other.note(at, &event);
        }
        assert_eq!(trace.text(), "  0.000002 \"b\"\n  1.000003 \"c\"\n");
        assert_eq!(trace.hash(), other.hash());
        other.note(4, &"d");
        assert_ne!(trace.hash(), other.hash());
    }
}
