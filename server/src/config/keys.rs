//! Keys: what each is, and how the names that people write lead to them.
//!
//! The table ([`GROUPS`]) has every key ZooKeeper knows, and our own. A key's default stands there
//! and nowhere else: reading a setting that was not written parses the default's text.
//! `docs/configuration.md` shows the table, and a test holds the two together.

pub use super::key_table::GROUPS;

/// What variables of the environment begin with that set a key.
pub const ENVIRONMENT_PREFIX: &str = "QUORATE_";

/// With it begin those of the command line, which an operator may have set where a server starts.
pub const COMMAND_LINE_PREFIX: &str = "QUORATE_CLI_";

/// What Java's system properties of ZooKeeper begin with.
const PROPERTY_PREFIX: &str = "zookeeper.";

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is read and does what its text says.
    Honoured,
    /// It is accepted, and has no effect for the reason its text gives.
    NoEffect,
    /// The server does not start with it, as what it asks for is not built yet; except with one
    /// of these values, which ask for nothing.
    NotBuilt(&'static [&'static str]),
}

/// A key of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name in `zoo.cfg`. One that ends with `*` stands for all names that begin so; `N` at
    /// the end stands for a server's or a provider's number or name.
    pub name: &'static str,
    /// The default as one would write it; empty for none.
    pub default: &'static str,
    /// What it means, or why it has no effect, or what is not built.
    pub text: &'static str,
    /// What becomes of it.
    pub standing: Standing,
}

/// Keys that belong together.
#[derive(Debug)]
pub struct Group {
    /// What they are about.
    pub title: &'static str,
    /// The keys, most wanted first.
    pub keys: &'static [Key],
}

/// Names that ZooKeeper's documentation uses for keys that its code, and this table, call
/// otherwise.
pub const OTHER_NAMES: &[(&str, &str)] = &[
    ("connectionMaxTokens", "connection_throttle_tokens"),
    ("connectionTokenFillTime", "connection_throttle_fill_time"),
    ("connectionTokenFillCount", "connection_throttle_fill_count"),
    ("connectionFreezeTime", "connection_throttle_freeze_time"),
    ("connectionDropIncrease", "connection_throttle_drop_increase"),
    ("connectionDropDecrease", "connection_throttle_drop_decrease"),
    ("connectionDecreaseRatio", "connection_throttle_decrease_ratio"),
    ("requestThrottleLimit", "request_throttle_max_requests"),
    ("requestThrottleStallTime", "request_throttle_stall_time"),
    ("requestThrottleDropStale", "request_throttle_drop_stale"),
    ("requestStaleLatencyCheck", "request_stale_latency_check"),
    ("requestStaleConnectionCheck", "request_stale_connection_check"),
    ("throttledOpWaitTime", "throttled_op_wait_time"),
    ("maxConcurrentSnapSyncs", "leader.maxConcurrentSnapSyncs"),
    ("maxConcurrentDiffSyncs", "leader.maxConcurrentDiffSyncs"),
    ("maxTimeToWaitForEpoch", "leader.maxTimeToWaitForEpoch"),
];

/// All keys, in the table's order.
pub fn all() -> impl Iterator<Item = &'static Key> {
    GROUPS.iter().flat_map(|group| group.keys)
}

/// The key that a name is, or belongs to.
pub fn find(name: &str) -> Option<&'static Key> {
    let belongs = |key: &&Key| key.family().is_some_and(|family| name.starts_with(family));
    all()
        .find(|key| key.name == name)
        .or_else(|| all().filter(belongs).max_by_key(|key| key.name.len()))
}

impl Key {
    /// What the names begin with that the key stands for, if it stands for several.
    pub(super) fn family(&self) -> Option<&'static str> {
        self.name
            .strip_suffix('*')
            .or_else(|| self.name.strip_suffix('N').filter(|f| f.ends_with('.')))
    }

    /// The variable of the environment that sets it; for a family, what its variables begin with.
    pub fn environment(&self) -> String {
        let name = self.family().unwrap_or(self.name);
        let mut variable = ENVIRONMENT_PREFIX.to_owned();
        let mut before = '.';
        for c in name.strip_prefix("quorate.").unwrap_or(name).chars() {
            if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
                variable.push('_');
            }
            variable.push(if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
            before = c;
        }
        variable
    }
}

/// The name in the table for a name as written: without `zookeeper.`, and under one of its names.
pub(super) fn canonical(name: &str) -> String {
    let name = name.strip_prefix(PROPERTY_PREFIX).unwrap_or(name);
    let known = OTHER_NAMES.iter().find(|&&(other, _)| other == name);
    known.map_or(name, |&(_, canonical)| canonical).to_owned()
}

/// The key that a variable of the environment sets. In a family, what follows its name is taken
/// over in lower case.
pub(super) fn of_environment(variable: &str) -> Option<String> {
    if let Some(key) = all().find(|key| key.family().is_none() && key.environment() == variable) {
        return Some(key.name.to_owned());
    }
    all()
        .filter_map(|key| {
            let rest = variable.strip_prefix(&key.environment())?;
            Some((key.family()?, rest)).filter(|(_, rest)| !rest.is_empty())
        })
        .max_by_key(|(family, _)| family.len())
        .map(|(family, rest)| format!("{family}{}", rest.to_lowercase()))
}

/// The known name that is most like an unknown one, if any is at all.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    most_like(name, all().map(|key| key.name).filter(|name| !name.ends_with('*')))
}

/// The known variable of the environment that is most like an unknown one, if any is at all.
pub(super) fn nearest_variable(name: &str) -> Option<String> {
    most_like(name, all().filter(|key| key.family().is_none()).map(Key::environment))
}

fn most_like<T: AsRef<str> + Ord>(name: &str, known: impl Iterator<Item = T>) -> Option<T> {
    let wanted = name.to_lowercase();
    let (distance, nearest) =
        known.map(|known| (distance(&wanted, &known.as_ref().to_lowercase()), known)).min()?;
    (distance <= 1 + wanted.len() / 4).then_some(nearest)
}

/// The least number of characters to insert, delete or replace to make one text of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &b) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// A value as it may be shown: secrets are not.
pub(super) fn shown<'a>(key: &str, value: &'a str) -> &'a str {
    let key = key.to_lowercase();
    if key.ends_with("password") || key.ends_with("superdigest") { "***" } else { value }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_variables_are_unambiguous() {
        let names: Vec<_> = all().map(|key| key.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        let variables: BTreeSet<_> = all().map(Key::environment).collect();
        assert_eq!(variables.len(), names.len());
        for key in all() {
            assert_eq!(find(key.name).unwrap().name, key.name);
            if key.family().is_none() {
                assert_eq!(of_environment(&key.environment()).as_deref(), Some(key.name));
            }
        }
        for (other, name) in OTHER_NAMES {
            assert!(find(name).is_some(), "{name}");
            assert!(!names.contains(other), "{other}");
        }
    }

    #[test]
    fn names_are_found_in_all_their_forms() {
        assert_eq!(canonical("zookeeper.snapCount"), "snapCount");
        assert_eq!(canonical("zookeeper.throttledOpWaitTime"), "throttled_op_wait_time");
        assert_eq!(find("server.3").unwrap().name, "server.N");
        assert_eq!(find("authProvider.sasl").unwrap().name, "authProvider.N");
        assert_eq!(find("metricsProvider.httpPort").unwrap().name, "metricsProvider.*");
        assert_eq!(find("admin.enableServer").unwrap().name, "admin.enableServer");
        assert_eq!(find("quorum.auth.enableSasl").unwrap().name, "quorum.auth.enableSasl");
        assert!(find("serverX").is_none() && find("tickTim").is_none());
        for (variable, key) in [
            ("QUORATE_TICK_TIME", Some("tickTime")),
            ("QUORATE_4LW_COMMANDS_WHITELIST", Some("4lw.commands.whitelist")),
            ("QUORATE_SKIP_ACL", Some("skipACL")),
            ("QUORATE_LOG_FORMAT", Some("quorate.log.format")),
            ("QUORATE_JUTE_MAXBUFFER", Some("jute.maxbuffer")),
            ("QUORATE_SERVER_1", Some("server.1")),
            ("QUORATE_AUTH_PROVIDER_SASL", Some("authProvider.sasl")),
            ("QUORATE_SERVER_", None),
            ("QUORATE_HOME_TOWN", None),
        ] {
            assert_eq!(of_environment(variable).as_deref(), key, "{variable}");
        }
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        for (name, near) in [
            ("ticktime", Some("tickTime")),
            ("clientport", Some("clientPort")),
            ("maxClientCnxn", Some("maxClientCnxns")),
            ("4lw.command.whitelist", Some("4lw.commands.whitelist")),
            ("autopurge.snapRetain", Some("autopurge.snapRetainCount")),
            ("somethingElse", None),
        ] {
            assert_eq!(nearest(name), near, "{name}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(shown("ssl.keyStore.password", "x"), "***");
        assert_eq!(shown("DigestAuthenticationProvider.superDigest", "super:x"), "***");
        assert_eq!(shown("tickTime", "2000"), "2000");
    }
}
