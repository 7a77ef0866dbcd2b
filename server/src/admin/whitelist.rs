//! Which four-letter words may be executed.

use std::fmt;

use quorate_protocol::FourLetterWord;

/// The words that may be executed: `4lw.commands.whitelist`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Whitelist(u32);

impl Whitelist {
    /// Reads a list separated by commas, where `*` means all that ZooKeeper has. The second value
    /// is what is in the list and no word.
    ///
    /// Compat: `srvr` may always be executed, as ZooKeeper's own scripts need it.
    pub fn parse(list: &str) -> (Self, Vec<String>) {
        let mut allowed = bit(FourLetterWord::Srvr);
        let mut unknown = Vec::new();
        for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            if item == "*" {
                // Who allows all of ZooKeeper's does not expect one that moves the lead.
                allowed |= !bit(FourLetterWord::Hand);
            } else if let Some(&word) = FourLetterWord::ALL.iter().find(|word| word.name() == item)
            {
                allowed |= bit(word);
            } else {
                unknown.push(item.to_owned());
            }
        }
        (Self(allowed), unknown)
    }

    /// Lets one more be executed.
    pub fn allow(&mut self, word: FourLetterWord) {
        self.0 |= bit(word);
    }

    /// Whether the word may be executed.
    pub const fn allows(self, word: FourLetterWord) -> bool {
        self.0 & bit(word) != 0
    }
}

impl fmt::Debug for Whitelist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed = FourLetterWord::ALL.iter().filter(|&&word| self.allows(word));
        f.debug_set().entries(allowed.map(|word| word.name())).finish()
    }
}

const fn bit(word: FourLetterWord) -> u32 {
    1 << word as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whitelist_always_has_srvr() {
        let (list, unknown) = Whitelist::parse(" ruok , mntr,, what");
        assert_eq!(unknown, ["what"]);
        assert_eq!(format!("{list:?}"), r#"{"mntr", "ruok", "srvr"}"#);
        assert!(list.allows(FourLetterWord::Ruok) && !list.allows(FourLetterWord::Stat));
        let all = Whitelist::parse("stat,*").0;
        let own = FourLetterWord::Hand;
        assert!(FourLetterWord::ALL.iter().all(|&word| all.allows(word) == (word != own)));
        for list in ["hand,*", "*,hand"] {
            assert!(Whitelist::parse(list).0.allows(own), "{list}");
        }
    }
}
