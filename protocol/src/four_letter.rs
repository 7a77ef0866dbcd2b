//! The words that operators' tools send in place of a frame, on a connection of their own.
//!
//! What each one answers is the server's business. They cannot be mistaken for a frame: as a
//! length, each is negative or larger than any limit.

use std::fmt;

macro_rules! four_letter_words {
    ($($(#[$doc:meta])* $variant:ident = $bytes:literal, $name:literal;)*) => {
        /// A command of four bytes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FourLetterWord {
            $($(#[$doc])* $variant,)*
        }

        impl FourLetterWord {
            /// All words, in the order of this table.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word that these bytes are, if they are one.
            pub const fn from_bytes(bytes: [u8; 4]) -> Option<Self> {
                match &bytes {
                    $($bytes => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The word on the wire.
            pub const fn bytes(self) -> [u8; 4] {
                match self {
                    $(Self::$variant => *$bytes,)*
                }
            }

            /// The word as configuration files and logs spell it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

four_letter_words! {
    /// The configuration in use.
    Conf = b"conf", "conf";
    /// Every connection in full.
    Cons = b"cons", "cons";
    /// Resets the statistics of all connections.
    Crst = b"crst", "crst";
    /// Sizes of the data directories.
    Dirs = b"dirs", "dirs";
    /// Sessions and their ephemeral nodes.
    Dump = b"dump", "dump";
    /// Version, host and process.
    Envi = b"envi", "envi";
    /// The trace mask.
    Gtmk = b"gtmk", "gtmk";
    /// Leaves the lead to another server: this project's own, ZooKeeper has no such word.
    Hand = b"hand", "hand";
    /// Digests of the tree at some zxids.
    Hash = b"hash", "hash";
    /// Whether the server can only read.
    Isro = b"isro", "isro";
    /// Every metric.
    Mntr = b"mntr", "mntr";
    /// Whether the server is there at all.
    Ruok = b"ruok", "ruok";
    /// Resets the server's statistics.
    Srst = b"srst", "srst";
    /// The server's statistics.
    Srvr = b"srvr", "srvr";
    /// The server's statistics and its connections in short.
    Stat = b"stat", "stat";
    /// Sets the trace mask: a `long` follows the word.
    Stmk = b"stmk", "stmk";
    /// Watches by session.
    Wchc = b"wchc", "wchc";
    /// Watches by path.
    Wchp = b"wchp", "wchp";
    /// How many watches there are.
    Wchs = b"wchs", "wchs";
    /// Ctrl-C typed into telnet (interrupt process, do timing mark): asks for nothing but the end
    /// of the connection.
    TelnetInterrupt = b"\xff\xf4\xff\xfd", "telnet close";
}

impl fmt::Display for FourLetterWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_by_its_bytes() {
        for &word in FourLetterWord::ALL {
            assert_eq!(FourLetterWord::from_bytes(word.bytes()), Some(word));
            if word != FourLetterWord::TelnetInterrupt {
                assert_eq!(word.bytes(), word.name().as_bytes());
            }
        }
        assert_eq!(FourLetterWord::from_bytes(*b"RUOK"), None);
        assert_eq!(FourLetterWord::from_bytes([0, 0, 0, 45]), None);
    }
}
