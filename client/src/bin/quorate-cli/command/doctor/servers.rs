//! Checks of what servers say by four-letter words.

use std::collections::{BTreeMap, BTreeSet};

use super::{Doctor, Finding, Level};
use crate::{
    four_letter::{self, NoAnswer},
    session::Target,
    survey::{self, Server, Surveyed},
};

/// What one server said.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    surveyed: Surveyed,
    mntr: Result<BTreeMap<String, String>, NoAnswer>,
    conf: Result<BTreeMap<String, String>, NoAnswer>,
    /// The digest of the tree at some zxids.
    digests: Result<BTreeMap<String, String>, NoAnswer>,
}

impl Facts {
    pub(super) fn serves(&self) -> bool {
        self.surveyed.answer.is_ok()
    }

    fn address(&self) -> &str {
        &self.surveyed.address
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.mntr.as_ref().ok()?.get(key)?.trim().parse().ok()
    }
}

/// Asks all servers.
pub(super) async fn ask_all(target: &Target) -> anyhow::Result<Vec<Facts>> {
    let mut all = Vec::new();
    for surveyed in survey::survey(target).await? {
        let address = surveyed.address.clone();
        let ask = async |word, split: &str| -> Result<BTreeMap<String, String>, NoAnswer> {
            let answer = four_letter::ask(target.tls.as_ref(), &address, word).await?;
            let pairs = answer.lines().filter_map(|line| line.split_once(split));
            Ok(pairs.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect())
        };
        let (mntr, conf, digests) = match &surveyed.answer {
            Ok(_) => (ask("mntr", "\t").await, ask("conf", "=").await, ask("hash", ": ").await),
            Err(why) => (Err(why.clone()), Err(why.clone()), Err(why.clone())),
        };
        all.push(Facts { surveyed, mntr, conf, digests });
    }
    Ok(all)
}

/// All checks.
pub(super) fn examine(all: &[Facts], limits: &Doctor) -> Vec<Finding> {
    let mut findings = Vec::new();
    reachable(all, &mut findings);
    quorum(all, &mut findings);
    whitelist(all, &mut findings);
    alike(all, &mut findings);
    behind(all, limits, &mut findings);
    digests(all, &mut findings);
    load(all, limits, &mut findings);
    findings
}

fn reachable(all: &[Facts], findings: &mut Vec<Finding>) {
    for facts in all {
        if let Err(why) = &facts.surveyed.answer {
            let text = format!("{} {why}", facts.address());
            findings.push(Finding::new(Level::Problem, "server", text));
        }
    }
    if all.iter().all(Facts::serves) {
        findings.push(Finding::new(Level::Ok, "server", format!("all {} serve", all.len())));
    }
}

fn servers(all: &[Facts]) -> impl Iterator<Item = (&Facts, &Server)> {
    all.iter().filter_map(|facts| Some((facts, facts.surveyed.answer.as_ref().ok()?)))
}

fn quorum(all: &[Facts], findings: &mut Vec<Finding>) {
    let with = |mode: &str| servers(all).filter(|(_, server)| server.mode == mode).count();
    let (leaders, followers, alone) = (with("leader"), with("follower"), with("standalone"));
    findings.push(match (leaders, alone) {
        (1, 0) => {
            Finding::new(Level::Ok, "quorum", format!("one leader, {followers} followers answer"))
        }
        (0, 1) if all.len() == 1 => {
            let text = "the server is alone: if its machine is lost, so is everything on it";
            Finding::new(Level::Warning, "quorum", text)
        }
        (0, 0) => {
            let text =
                "no server leads: too few voting servers reach each other, or not all were named";
            Finding::new(Level::Problem, "quorum", text)
        }
        _ => Finding::new(
            Level::Problem,
            "quorum",
            format!(
                "{leaders} leaders and {alone} servers that are alone: these are not one ensemble, \
                 or it is changing its leader just now"
            ),
        ),
    });
    if leaders == 1 && followers % 2 == 1 && servers(all).count() == all.len() {
        let text = format!(
            "{} voting servers survive no more failures than {followers} would",
            followers + 1
        );
        findings.push(Finding::new(Level::Warning, "quorum", text));
    }
}

/// Which words the servers do not allow, so that their checks are missing.
fn whitelist(all: &[Facts], findings: &mut Vec<Finding>) {
    for facts in all {
        let mut missing = Vec::new();
        for answer in [&facts.mntr, &facts.conf, &facts.digests] {
            if let Err(NoAnswer::NotAllowed(word)) = answer {
                missing.push(&**word);
            }
        }
        if !missing.is_empty() {
            let text = format!(
                "{} does not allow {}: not all can be checked (4lw.commands.whitelist in zoo.cfg)",
                facts.address(),
                missing.join(", ")
            );
            findings.push(Finding::new(Level::Warning, "whitelist", text));
        }
    }
}

/// Settings that must be the same at all servers, or sessions expire differently after a failover.
const ALIKE: [&str; 5] =
    ["tickTime", "minSessionTimeout", "maxSessionTimeout", "initLimit", "syncLimit"];

fn alike(all: &[Facts], findings: &mut Vec<Finding>) {
    let versions: BTreeSet<_> = servers(all).map(|(_, server)| &*server.version).collect();
    match versions.len() {
        0 => {}
        1 => findings.push(Finding::new(
            Level::Ok,
            "version",
            format!("all have version {}", versions.first().expect("there is one")),
        )),
        _ => {
            let versions: Vec<_> = versions.into_iter().collect();
            let text = format!("servers have different versions: {}", versions.join(", "));
            findings.push(Finding::new(Level::Warning, "version", text));
        }
    }
    for key in ALIKE {
        let values: BTreeMap<&str, &str> = all
            .iter()
            .filter_map(|facts| Some((facts.address(), &**facts.conf.as_ref().ok()?.get(key)?)))
            .collect();
        if values.values().collect::<BTreeSet<_>>().len() > 1 {
            let each: Vec<_> =
                values.iter().map(|(address, value)| format!("{value} at {address}")).collect();
            let text = format!("{key} differs: {}", each.join(", "));
            findings.push(Finding::new(Level::Problem, "settings", text));
        }
    }
}

fn behind(all: &[Facts], limits: &Doctor, findings: &mut Vec<Finding>) {
    let surveyed: Vec<_> = all.iter().map(|facts| facts.surveyed.clone()).collect();
    let Some(leader) = survey::leader(&surveyed) else { return };
    let mut fine = true;
    for (facts, server) in servers(all) {
        let text = match survey::behind(server, leader) {
            Some(behind) if behind > limits.max_behind => {
                format!("{} is {behind} transactions behind the leader", facts.address())
            }
            Some(_) => continue,
            None => format!(
                "{} is at {}, in another epoch than the leader's {}",
                facts.address(),
                server.zxid,
                leader.zxid
            ),
        };
        fine = false;
        findings.push(Finding::new(Level::Warning, "behind", text));
    }
    if fine {
        let text = format!("nobody is more than {} transactions behind", limits.max_behind);
        findings.push(Finding::new(Level::Ok, "behind", text));
    }
    for facts in all {
        let (Some(learners), Some(synced)) =
            (facts.number("zk_learners"), facts.number("zk_synced_followers"))
        else {
            continue;
        };
        let observers = facts.number("zk_synced_observers").unwrap_or(0.0);
        if synced + observers < learners {
            let text = format!(
                "{}: of {learners} servers that follow, {synced} followers and {observers} observers are in sync",
                facts.address()
            );
            findings.push(Finding::new(Level::Warning, "behind", text));
        }
    }
}

/// Two servers must have the same digest at the same zxid.
fn digests(all: &[Facts], findings: &mut Vec<Finding>) {
    let mut seen: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    let mut compared = 0_u64;
    for facts in all {
        for (zxid, digest) in facts.digests.iter().flatten() {
            match seen.get(&**zxid) {
                None => {
                    seen.insert(zxid, (digest, facts.address()));
                }
                Some((other, address)) if other != digest => {
                    let text = format!(
                        "the trees of {address} and {} differ at zxid 0x{zxid}: keep the data of \
                         both, and set the one up anew that is in the minority",
                        facts.address()
                    );
                    findings.push(Finding::new(Level::Problem, "digest", text));
                    return;
                }
                Some(_) => compared += 1,
            }
        }
        if facts.number("zk_digest_mismatches_count").is_some_and(|count| count > 0.0) {
            let text =
                format!("{} has found its tree to differ from the leader's", facts.address());
            findings.push(Finding::new(Level::Problem, "digest", text));
        }
    }
    if compared > 0 {
        let text = format!("the trees agree at {compared} zxids");
        findings.push(Finding::new(Level::Ok, "digest", text));
    }
}

/// Metrics that tell of trouble when they are high: their key, from where on, and in what words.
fn load(all: &[Facts], limits: &Doctor, findings: &mut Vec<Finding>) {
    #[expect(clippy::cast_precision_loss, reason = "a limit of people's making")]
    let max_watches = limits.max_watches as f64;
    let metrics = [
        ("zk_watch_count", max_watches, "watches", "watches"),
        ("zk_outstanding_requests", 1000.0, "requests", "requests are waiting"),
        ("zk_avg_latency", 100.0, "latency", "ms is the average latency"),
        ("zk_fsync_threshold_exceed_count", 0.0, "disk", "syncs of the log took too long"),
        ("zk_unrecoverable_error_count", 0.0, "errors", "errors it could not recover from"),
    ];
    for facts in all {
        for (key, limit, check, words) in metrics {
            if let Some(value) = facts.number(key).filter(|value| *value > limit) {
                let text = format!("{}: {value} {words}", facts.address());
                findings.push(Finding::new(Level::Warning, check, text));
            }
        }
        let open = facts.number("zk_open_file_descriptor_count");
        if let (Some(open), Some(most)) = (open, facts.number("zk_max_file_descriptor_count"))
            && most > 0.0
            && open > most * 0.8
        {
            let text = format!("{}: {open} of {most} files are open", facts.address());
            findings.push(Finding::new(Level::Problem, "files", text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_client::Zxid;

    fn facts(address: &str, mode: &str, zxid: i64) -> Facts {
        let server = Server {
            version: "3.9.5".into(),
            mode: mode.into(),
            zxid: Zxid(zxid),
            latency: "0/0/0".into(),
            connections: 1,
            outstanding: 0,
            nodes: 5,
        };
        let surveyed = Surveyed { address: address.into(), answer: Ok(server) };
        let map = || Ok(BTreeMap::new());
        Facts { surveyed, mntr: map(), conf: map(), digests: map() }
    }

    fn ensemble() -> Vec<Facts> {
        let modes = [("a:1", "follower"), ("b:1", "leader"), ("c:1", "follower")];
        modes.map(|(address, mode)| facts(address, mode, 0x1_0000_1000)).into()
    }

    fn put(map: &mut Result<BTreeMap<String, String>, NoAnswer>, key: &str, value: &str) {
        map.as_mut().unwrap().insert(key.into(), value.into());
    }

    /// The findings that are not ok, as text.
    fn complaints(all: &[Facts]) -> Vec<(Level, &'static str)> {
        let limits = Doctor {
            no_tree: true,
            probe: false,
            max_watches: 10,
            max_behind: 100,
            max_data: 0,
            max_children: 0,
        };
        let findings = examine(all, &limits);
        let bad = findings.into_iter().filter(|finding| finding.level != Level::Ok);
        bad.map(|finding| (finding.level, finding.check)).collect()
    }

    #[test]
    fn a_healthy_ensemble_has_no_complaints() {
        assert_eq!(complaints(&ensemble()), []);
    }

    #[test]
    fn each_trouble_is_found() {
        type Trouble = fn(&mut Vec<Facts>);
        let down: Trouble = |all| {
            all[0].surveyed.answer = Err(NoAnswer::Silent);
        };
        let leaderless: Trouble = |all| {
            for facts in all {
                facts.surveyed.answer = Err(NoAnswer::NotServing);
            }
        };
        let two_leaders: Trouble = |all| all[0] = facts("a:1", "leader", 0x1_0000_1000);
        let lagging: Trouble = |all| all[0] = facts("a:1", "follower", 0x1_0000_0001);
        let old_epoch: Trouble = |all| all[2] = facts("c:1", "follower", 0x1000);
        let versions: Trouble = |all| {
            all[0].surveyed.answer.as_mut().unwrap().version = "3.8.0".into();
        };
        let settings: Trouble = |all| {
            put(&mut all[0].conf, "tickTime", "2000");
            put(&mut all[1].conf, "tickTime", "200");
        };
        let digest: Trouble = |all| {
            put(&mut all[0].digests, "100", "1");
            put(&mut all[1].digests, "100", "2");
        };
        let mismatch: Trouble = |all| put(&mut all[0].mntr, "zk_digest_mismatches_count", "1");
        let watches: Trouble = |all| put(&mut all[0].mntr, "zk_watch_count", "11");
        let files: Trouble = |all| {
            put(&mut all[0].mntr, "zk_open_file_descriptor_count", "90");
            put(&mut all[0].mntr, "zk_max_file_descriptor_count", "100");
        };
        let words: Trouble = |all| all[0].mntr = Err(NoAnswer::NotAllowed("mntr".into()));
        let even: Trouble = |all| {
            all.pop();
        };
        let unsynced: Trouble = |all| {
            put(&mut all[1].mntr, "zk_learners", "2");
            put(&mut all[1].mntr, "zk_synced_followers", "1");
        };
        for (trouble, level, check) in [
            (down, Level::Problem, "server"),
            (leaderless, Level::Problem, "quorum"),
            (two_leaders, Level::Problem, "quorum"),
            (lagging, Level::Warning, "behind"),
            (old_epoch, Level::Warning, "behind"),
            (versions, Level::Warning, "version"),
            (settings, Level::Problem, "settings"),
            (digest, Level::Problem, "digest"),
            (mismatch, Level::Problem, "digest"),
            (watches, Level::Warning, "watches"),
            (files, Level::Problem, "files"),
            (words, Level::Warning, "whitelist"),
            (even, Level::Warning, "quorum"),
            (unsynced, Level::Warning, "behind"),
        ] {
            let mut all = ensemble();
            trouble(&mut all);
            let found = complaints(&all);
            assert!(found.contains(&(level, check)), "{check}: {found:?}");
        }
    }
}
