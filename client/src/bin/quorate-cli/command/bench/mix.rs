//! Which operations a benchmark makes, and in which proportion.

use std::str::FromStr;

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Get,
    Set,
    Exists,
    /// The children of the node that has all of them.
    Ls,
    /// A node that stays.
    Create,
    /// Deletes a node and creates it again, in one transaction.
    DeleteCreate,
    Sync,
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::Get,
        Self::Set,
        Self::Exists,
        Self::Ls,
        Self::Create,
        Self::DeleteCreate,
        Self::Sync,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Exists => "exists",
            Self::Ls => "ls",
            Self::Create => "create",
            Self::DeleteCreate => "delete-create",
            Self::Sync => "sync",
        }
    }
}

/// Operations with their weights, as typed: `get=90,set=10`, or `get` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mix {
    parts: Vec<(Kind, u32)>,
    total: u32,
}

impl Mix {
    /// Draws an operation; `random` gives a number below its argument.
    pub(super) fn draw(&self, random: impl FnOnce(u32) -> u32) -> Kind {
        let mut drawn = random(self.total);
        for (kind, weight) in &self.parts {
            match drawn.checked_sub(*weight) {
                Some(rest) => drawn = rest,
                None => return *kind,
            }
        }
        unreachable!("what is drawn is below the sum of the weights")
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |part: &str| {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
                let names = Kind::ALL.map(Kind::name).join(", ");
                format!("{name:?} is no operation; there are {names}")
            })?;
            let weight = weight.parse().ok().filter(|weight| (1..=1000).contains(weight));
            Ok((kind, weight.ok_or_else(|| format!("{part:?}: the weight is 1 to 1000"))?))
        };
        let parts = text.split(',').map(part).collect::<Result<Vec<_>, String>>()?;
        let total = parts.iter().map(|(_, weight)| weight).sum();
        Ok(Self { parts, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_drawn_by_their_weights() {
        let mix: Mix = "get=2,set=1".parse().unwrap();
        let drawn: Vec<_> = (0..3).map(|drawn| mix.draw(|_| drawn)).collect();
        assert_eq!(drawn, [Kind::Get, Kind::Get, Kind::Set]);
        assert_eq!("sync".parse::<Mix>().unwrap().draw(|_| 0), Kind::Sync);
    }

    #[test]
    fn what_is_no_mix_is_refused() {
        for (text, said) in [
            ("", "no operation"),
            ("got=1", "\"got\" is no operation"),
            ("get=0", "weight"),
            ("get=x", "weight"),
        ] {
            let error = text.parse::<Mix>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
