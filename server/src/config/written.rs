//! Settings as written: which key got which text, and where.
//!
//! Gathers the file, the environment and the arguments, the later outdoing the earlier, and
//! remembers for each key where it was written, so that a complaint can name the place.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::keys;
use super::properties::Property;

/// Where a value was written; in the order in which to read complaints.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In the configuration that holds when no file is given.
    BuiltIn,
    /// In a file, on a line counted from 1.
    File(PathBuf, usize),
    /// In an environment variable of this name.
    Environment(String),
    /// In a `-D` argument.
    Argument,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in configuration"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Argument => f.write_str("argument -D"),
        }
    }
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The text, trimmed.
    pub value: String,
    /// Where it was written.
    pub origin: Origin,
}

/// Every key that was written, by the name it has in the table of keys if it has one.
#[derive(Debug, Default)]
pub struct Written {
    entries: BTreeMap<String, Entry>,
    /// What an operator should know about how the entries came to be.
    pub(super) warnings: Vec<String>,
}

impl Written {
    /// Adds the properties of the file at `path`.
    pub fn add_file(&mut self, path: &Path, properties: Vec<Property>) {
        for Property { key, value, line } in properties {
            self.add(&key, Entry { value, origin: Origin::File(path.to_owned(), line) });
        }
    }

    /// Adds the configuration that holds when no file is given.
    pub fn add_built_in(&mut self, properties: Vec<Property>) {
        for Property { key, value, .. } in properties {
            self.add(&key, Entry { value, origin: Origin::BuiltIn });
        }
    }

    /// Adds those of the environment's variables that begin with `QUORATE_`, but for the command
    /// line's. An empty one sets nothing.
    pub fn add_environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        let mut variables: Vec<_> = variables.into_iter().collect();
        variables.sort();
        for (name, value) in variables {
            let is_ours = name.starts_with(keys::ENVIRONMENT_PREFIX)
                && !name.starts_with(keys::COMMAND_LINE_PREFIX);
            if !is_ours || value.trim().is_empty() {
                continue;
            }
            let Some(key) = keys::of_environment(&name) else {
                let nearest = keys::nearest_variable(&name);
                let nearest = nearest.map(|near| format!("; did you mean {near}?"));
                self.warnings.push(format!(
                    "environment variable {name} names no key and has no effect{}",
                    nearest.unwrap_or_default()
                ));
                continue;
            };
            let value = value.trim().to_owned();
            self.add(&key, Entry { value, origin: Origin::Environment(name) });
        }
    }

    /// Adds a `-D` argument: `name=value`, with or without `zookeeper.` in front.
    pub fn add_argument(&mut self, key: &str, value: &str) {
        self.add(key, Entry { value: value.trim().to_owned(), origin: Origin::Argument });
    }

    /// What was written for a key.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Everything written, by key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), entry))
    }

    fn add(&mut self, key: &str, entry: Entry) {
        let key = keys::canonical(key);
        if let Some(before) = self.entries.get(&key).filter(|before| before.value != entry.value)
            && before.origin != Origin::BuiltIn
        {
            let [old, new] = [&before.value, &entry.value].map(|value| keys::shown(&key, value));
            self.warnings.push(format!(
                "{key} is {new} ({}); {old} ({}) has no effect",
                entry.origin, before.origin
            ));
        }
        self.entries.insert(key, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::super::properties;
    use super::*;

    #[test]
    fn the_later_and_the_stronger_win_and_say_so() {
        let mut written = Written::default();
        let file = "tickTime=1\nzookeeper.maxCnxns=5\ntickTime=2\ninitLimit=3\nskipACL=no";
        written.add_file("zoo.cfg".as_ref(), properties::parse(file.as_bytes()).unwrap());
        written.add_environment(
            [
                ("QUORATE_INIT_LIMIT", " 3 "),
                ("QUORATE_SNAPCOUNT", "x"),
                ("HOME", "/"),
                ("QUORATE_CLI_SERVER", "zk1:2181"),
                ("QUORATE_SKIP_ACL", "yes"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        written.add_argument("zookeeper.skipACL", "no");
        written.add_argument("DigestAuthenticationProvider.superDigest", "super:a");
        written.add_argument("DigestAuthenticationProvider.superDigest", "super:b");

        let seen: Vec<_> =
            written.iter().map(|(k, e)| format!("{k}={} {}", e.value, e.origin)).collect();
        assert_eq!(
            seen,
            [
                "DigestAuthenticationProvider.superDigest=super:b argument -D",
                "initLimit=3 environment variable QUORATE_INIT_LIMIT",
                "maxCnxns=5 zoo.cfg:2",
                "skipACL=no argument -D",
                "tickTime=2 zoo.cfg:3",
            ]
        );
        assert_eq!(
            written.warnings,
            [
                "tickTime is 2 (zoo.cfg:3); 1 (zoo.cfg:1) has no effect",
                "skipACL is yes (environment variable QUORATE_SKIP_ACL); no (zoo.cfg:5) has no effect",
                "environment variable QUORATE_SNAPCOUNT names no key and has no effect; did you mean QUORATE_SNAP_COUNT?",
                "skipACL is no (argument -D); yes (environment variable QUORATE_SKIP_ACL) has no effect",
                "DigestAuthenticationProvider.superDigest is *** (argument -D); *** (argument -D) has no effect",
            ]
        );
    }
}
