//! Short runs on real processes: each workload, with a leader killed, paused and cut off.
//!
//! `QUORATE_TEST_SUBJECT=zookeeper` runs them at ZooKeeper in Quorate's place, to see whether it is
//! the harness that is wrong. `QUORATE_JEPSEN_TIME` and `QUORATE_JEPSEN_SEED` are the time of each
//! run and its seed.

use std::{
    env,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use quorate_jepsen::{
    checker::{self, Verdict},
    history::{History, Mode, Op, Phase},
    nemesis::Kinds,
    report,
    run::{self, Options},
    target::{Kind, Target},
    workload,
};

/// Runs come one after the other: together they would starve each other of time.
static TURN: Mutex<()> = Mutex::new(());

fn quorate() -> Option<Target> {
    match env::var("QUORATE_TEST_SUBJECT").as_deref() {
        Ok("zookeeper") => zookeeper(),
        _ => Some(Target::find(Kind::Quorate).expect("`cargo build --workspace` builds it")),
    }
}

/// Without Java or ZooKeeper's jars a test is skipped, unless nothing may be.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn zookeeper() -> Option<Target> {
    Target::find(Kind::Zookeeper)
        .inspect_err(|missing| {
            let required = env::var_os("QUORATE_REQUIRE_FOREIGN").is_some_and(|value| value == "1");
            assert!(!required, "{missing:#}");
            eprintln!("SKIPPED: {missing:#}");
        })
        .ok()
}

fn setting<T>(name: &str, parse: impl FnOnce(&str) -> Option<T>, default: T) -> T {
    let Ok(text) = env::var(name) else { return default };
    parse(&text).unwrap_or_else(|| panic!("{name}={text} has no meaning"))
}

/// Runs a workload and fails, with the report, unless everything is found right. Answers the
/// history.
fn assert_valid(target: Target, workload: workload::Kind, nemesis: &str) -> History {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let kinds: Kinds = nemesis.parse().expect("the kinds are there");
    let time = |text: &str| humantime::parse_duration(text).ok();
    let mut dir = tempfile::Builder::new().prefix("quorate-jepsen-").tempdir().expect("a folder");
    let options = Options {
        target,
        servers: 3,
        workload,
        nemesis: (kinds.0, nemesis.to_owned()),
        time: setting("QUORATE_JEPSEN_TIME", time, Duration::from_secs(14)),
        seed: setting("QUORATE_JEPSEN_SEED", |text| text.parse().ok(), 1),
        clients: 8,
        rate: 150.0,
        dir: dir.path().to_owned(),
    };
    // Stays if anything fails from here on.
    dir.disable_cleanup(true);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let files = dir.path().display();
    let traces = runtime.block_on(run::run(&options)).unwrap_or_else(|e| panic!("{e:#}; {files}"));
    let history = History::read(&traces.history).expect("the history can be read");
    let findings = checker::check(&history);
    let text = report::text(&history, &findings);
    if let Some(trouble) = traces.trouble {
        panic!("{trouble:#}; files in {files}\n{text}");
    }
    assert_eq!(
        findings.verdict(history.settings.target),
        Verdict::Valid,
        "files in {files}\n{text}"
    );
    dir.disable_cleanup(false);
    history
}

const FAULTS: &str = "kill-leader,pause-leader,isolate-leader,one-way,kill-all";

#[test]
fn what_is_created_and_set_stays() {
    let Some(target) = quorate() else { return };
    assert_valid(target, workload::Kind::Set, FAULTS);
}

#[test]
fn registers_are_linearizable() {
    let Some(target) = quorate() else { return };
    assert_valid(target, workload::Kind::Register, FAULTS);
}

#[test]
fn ephemerals_go_with_their_sessions() {
    let Some(target) = quorate() else { return };
    assert_valid(target, workload::Kind::Ephemeral, FAULTS);
}

/// The harness itself: what is right about ZooKeeper is found right, and a lie about it is found.
#[test]
fn zookeeper_passes_and_a_lie_about_it_does_not() {
    let Some(target) = zookeeper() else { return };
    let mut history = assert_valid(target, workload::Kind::Set, "kill-leader,isolate-leader,flap");
    let acknowledged = history.operations.iter().position(|operation| {
        operation.phase == Phase::Run
            && operation.is_ok()
            && matches!(operation.op, Op::Create { mode: Mode::Persistent, .. })
    });
    history.operations.remove(acknowledged.expect("something was created"));
    assert_eq!(checker::check(&history).verdict(Kind::Zookeeper), Verdict::Invalid);
}
