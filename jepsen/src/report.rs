//! A run for people: what was done, what came of it, and where to look.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    time::Duration,
};

use humantime::format_duration;

use crate::{
    checker::{Check, Findings, Verdict},
    clock::Nanos,
    history::{History, Outcome, Phase},
};

/// Pauses between acknowledged writes that are worth a line.
const GAP: Duration = Duration::from_millis(300);

/// Gaps shown.
const GAPS: usize = 10;

/// The text about a history and what was found in it.
pub fn text(history: &History, findings: &Findings) -> String {
    let mut out = String::new();
    write(&mut out, history, findings).expect("text grows");
    out
}

fn write(out: &mut String, history: &History, findings: &Findings) -> fmt::Result {
    let settings = &history.settings;
    let target = format!("{:?}", settings.target).to_lowercase();
    let workload = format!("{:?}", settings.workload).to_lowercase();
    writeln!(
        out,
        "{target}, {} servers; workload {workload}; nemesis {}; seed {}",
        settings.servers, settings.nemesis, settings.seed
    )?;
    outcomes(out, history)?;
    faults(out, history)?;
    availability(out, history)?;
    checks(out, history, findings)?;
    let verdict = findings.verdict(settings.target);
    let verdict = format!("{verdict:?}").to_uppercase();
    writeln!(out, "\nverdict: {verdict}")
}

fn outcomes(out: &mut String, history: &History) -> fmt::Result {
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for operation in &history.operations {
        let place = match operation.outcome {
            Outcome::Ok { .. } => 0,
            Outcome::Fail { .. } => 1,
            Outcome::Unknown => 2,
        };
        counts.entry(operation.op.name()).or_default()[place] += 1;
    }
    writeln!(out, "\n{:<18}{:>9}{:>9}{:>9}", "operations", "ok", "refused", "unknown")?;
    for (name, [ok, refused, unknown]) in counts {
        writeln!(out, "  {name:<16}{ok:>9}{refused:>9}{unknown:>9}")?;
    }
    Ok(())
}

fn faults(out: &mut String, history: &History) -> fmt::Result {
    let count = history.faults.iter().filter(|fault| fault.begins).count();
    writeln!(out, "\nfaults: {count}")?;
    for (n, fault) in history.faults.iter().enumerate() {
        if fault.begins {
            // They do not overlap.
            let end = history.faults.get(n + 1).map_or(fault.at, |end| end.at);
            let [at, lasted] = [fault.at, end - fault.at].map(seconds);
            writeln!(out, "  at {at:>7.2}s for {lasted:>5.2}s  {}", fault.what)?;
        }
    }
    Ok(())
}

fn availability(out: &mut String, history: &History) -> fmt::Result {
    let acknowledged = history.operations.iter().filter(|operation| {
        operation.phase == Phase::Run && operation.op.is_write() && operation.is_ok()
    });
    let mut times: Vec<Nanos> = acknowledged.filter_map(|operation| operation.returned).collect();
    times.sort_unstable();
    let (Some(first), Some(last)) = (times.first(), times.last()) else {
        return writeln!(out, "\nno write was acknowledged");
    };
    let mut gaps: Vec<(Nanos, Nanos)> =
        times.windows(2).map(|pair| (pair[1] - pair[0], pair[0])).collect();
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    let gap = u64::try_from(GAP.as_nanos()).expect("it is short");
    gaps.retain(|(length, _)| *length >= gap);
    let without: Nanos = gaps.iter().map(|(length, _)| length).sum();
    let all = (last - first).max(1);
    writeln!(
        out,
        "\navailability: {} writes acknowledged in {:.1}s; {} gaps of {} or more, {:.1} % of the time",
        times.len(),
        seconds(all),
        gaps.len(),
        format_duration(GAP),
        100.0 * seconds(without) / seconds(all)
    )?;
    for (length, at) in gaps.iter().take(GAPS) {
        let during = history.faults.iter().rfind(|fault| fault.at <= at + length);
        let during = during.map_or_else(String::new, |fault| {
            let when = if fault.begins { "while" } else { "after" };
            format!("  {when}: {}", fault.what)
        });
        writeln!(out, "  at {:>7.2}s for {:>5.2}s{during}", seconds(*at), seconds(*length))?;
    }
    Ok(())
}

fn checks(out: &mut String, history: &History, findings: &Findings) -> fmt::Result {
    writeln!(out, "\n{:<32}{:>9}", "checks", "cases")?;
    for check in Check::ALL {
        let Some(finding) = findings.get(check) else { continue };
        let condemns = check.condemns(history.settings.target);
        let result = match (finding.violations, condemns) {
            (0, _) if finding.undecided.is_empty() => "ok".to_owned(),
            (0, _) => format!("UNDECIDED for {}", finding.undecided.len()),
            (count, true) => format!("VIOLATED {count} times"),
            (count, false) => format!("{count} times not so; this target does not promise it"),
        };
        writeln!(out, "  {:<30}{:>9}  {result}", check.name(), finding.examined)?;
        for why in &finding.undecided {
            writeln!(out, "      {why}")?;
        }
        for example in finding.examples.iter().filter(|_| condemns) {
            writeln!(out, "      {example}")?;
        }
    }
    Ok(())
}

fn seconds(time: Nanos) -> f64 {
    Duration::from_nanos(time).as_secs_f64()
}

/// The verdict of a run as the exit status of its process: 0 if all is well, 1 if something is
/// violated, 2 if it could not be decided.
pub fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Valid => 0,
        Verdict::Invalid => 1,
        Verdict::Unknown => 2,
    }
}
