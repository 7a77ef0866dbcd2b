//! A node's `Stat`, for people and for programs.

use std::fmt::Write;

use jiff::{Timestamp, tz::TimeZone};
use quorate_client::Stat;
use serde::Serialize;

/// A `Stat` as it is written in JSON and YAML.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StatView {
    czxid: String,
    ctime: String,
    mzxid: String,
    mtime: String,
    pzxid: String,
    cversion: i32,
    version: i32,
    aversion: i32,
    /// The session's id; null for a node that is not ephemeral.
    ephemeral_owner: Option<String>,
    data_length: i32,
    num_children: i32,
}

impl From<Stat> for StatView {
    fn from(stat: Stat) -> Self {
        let owner = stat.ephemeral_owner;
        Self {
            czxid: stat.czxid.to_string(),
            ctime: rfc3339(stat.ctime),
            mzxid: stat.mzxid.to_string(),
            mtime: rfc3339(stat.mtime),
            pzxid: stat.pzxid.to_string(),
            cversion: stat.cversion,
            version: stat.version,
            aversion: stat.aversion,
            ephemeral_owner: (owner.0 != 0).then(|| owner.to_string()),
            data_length: stat.data_length,
            num_children: stat.num_children,
        }
    }
}

/// The lines zkCli shows, each with its line feed. Times are those of the zone.
pub(crate) fn stat_lines(stat: &Stat, zone: &TimeZone) -> String {
    let mut text = String::new();
    let lines = [
        ("cZxid", stat.czxid.to_string()),
        ("ctime", java_date(stat.ctime, zone)),
        ("mZxid", stat.mzxid.to_string()),
        ("mtime", java_date(stat.mtime, zone)),
        ("pZxid", stat.pzxid.to_string()),
        ("cversion", stat.cversion.to_string()),
        ("dataVersion", stat.version.to_string()),
        ("aclVersion", stat.aversion.to_string()),
        ("ephemeralOwner", stat.ephemeral_owner.to_string()),
        ("dataLength", stat.data_length.to_string()),
        ("numChildren", stat.num_children.to_string()),
    ];
    for (key, value) in lines {
        writeln!(text, "{key} = {value}").expect("a string takes all");
    }
    text
}

/// `Compat:` as `java.util.Date.toString` has it.
fn java_date(ms: i64, zone: &TimeZone) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(time) => time.to_zoned(zone.clone()).strftime("%a %b %d %H:%M:%S %Z %Y").to_string(),
        Err(_) => format!("{ms} ms since 1970"),
    }
}

fn rfc3339(ms: i64) -> String {
    Timestamp::from_millisecond(ms)
        .map_or_else(|_| format!("{ms} ms since 1970"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use quorate_client::{SessionId, Zxid};

    use super::*;

    #[test]
    fn lines_are_those_of_zkcli() {
        let stat = Stat {
            czxid: Zxid(0x1f),
            ctime: 1_700_000_000_123,
            version: 2,
            ephemeral_owner: SessionId(0x1000_0000_0001),
            ..Stat::default()
        };
        insta::assert_snapshot!(stat_lines(&stat, &TimeZone::UTC), @r"
        cZxid = 0x1f
        ctime = Tue Nov 14 22:13:20 UTC 2023
        mZxid = 0x0
        mtime = Thu Jan 01 00:00:00 UTC 1970
        pZxid = 0x0
        cversion = 0
        dataVersion = 2
        aclVersion = 0
        ephemeralOwner = 0x100000000001
        dataLength = 0
        numChildren = 0
        ");
    }

    #[test]
    fn a_time_no_calendar_has_is_a_number() {
        assert_eq!(java_date(i64::MAX, &TimeZone::UTC), format!("{} ms since 1970", i64::MAX));
    }
}
