//! Who watches one path.

use std::collections::BTreeMap;

use super::{ConnId, modes::Modes};

/// The connections that watch a path, in order, each with at least one mode. Nearly every path is
/// watched by one connection only, so that takes no allocation; where thousands watch the same
/// path, each comes and goes without the others being looked at.
#[derive(Debug)]
pub(super) enum Watchers {
    One(ConnId, Modes),
    #[expect(clippy::box_collection, reason = "keeps the entry of the common case at 16 bytes")]
    Many(Box<BTreeMap<ConnId, Modes>>),
}

impl Watchers {
    /// What `conn` has here.
    pub(super) fn modes(&self, conn: ConnId) -> Modes {
        match self {
            Self::One(one, modes) if *one == conn => *modes,
            Self::One(..) => Modes::NONE,
            Self::Many(all) => all.get(&conn).copied().unwrap_or_default(),
        }
    }

    /// Replaces what `conn` has here.
    pub(super) fn set(&mut self, conn: ConnId, modes: Modes) {
        match self {
            Self::One(one, old) if *one == conn => *old = modes,
            Self::One(..) if modes.is_empty() => {}
            Self::One(one, old) => {
                *self = Self::Many(Box::new(BTreeMap::from([(*one, *old), (conn, modes)])));
            }
            Self::Many(all) if modes.is_empty() => {
                all.remove(&conn);
            }
            Self::Many(all) => {
                all.insert(conn, modes);
            }
        }
    }

    /// Whether nobody is left.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::One(_, modes) => modes.is_empty(),
            Self::Many(all) => all.is_empty(),
        }
    }

    /// Everybody, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, Modes)> {
        let (one, many) = match self {
            Self::One(conn, modes) => (Some((*conn, *modes)), None),
            Self::Many(all) => (None, Some(all.iter().map(|(&conn, &modes)| (conn, modes)))),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// Replaces what everybody has by what `change` makes of it.
    pub(super) fn update(&mut self, mut change: impl FnMut(ConnId, Modes) -> Modes) {
        match self {
            Self::One(conn, modes) => *modes = change(*conn, *modes),
            Self::Many(all) => all.retain(|&conn, modes| {
                *modes = change(conn, *modes);
                !modes.is_empty()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Mode;

    #[test]
    fn an_entry_stays_small() {
        assert_eq!(size_of::<Watchers>(), 16);
    }

    #[test]
    fn one_becomes_many_and_ends_empty() {
        let data = Modes::from(Mode::Data);
        let both = data | Mode::Child.into();
        let mut watchers = Watchers::One(ConnId(2), data);
        watchers.set(ConnId(3), Modes::NONE);
        watchers.set(ConnId(2), both);
        watchers.set(ConnId(1), data);
        assert_eq!(watchers.iter().collect::<Vec<_>>(), [(ConnId(1), data), (ConnId(2), both)]);
        assert_eq!(watchers.modes(ConnId(2)), both);
        assert_eq!(watchers.modes(ConnId(3)), Modes::NONE);
        watchers.update(|_, modes| modes & !data);
        assert_eq!(watchers.iter().collect::<Vec<_>>(), [(ConnId(2), Mode::Child.into())]);
        assert!(!watchers.is_empty());
        watchers.set(ConnId(2), Modes::NONE);
        assert!(watchers.is_empty());
    }
}
