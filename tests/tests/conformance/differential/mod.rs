//! The same long random script at ZooKeeper and at Quorate: every reply, `Stat`, error and event
//! must be the same, in the same order on each connection.
//!
//! `script` draws the steps from a seed, `side` performs them at one server and describes what it
//! saw in terms that do not depend on the server (session ids become numbers, times are checked and
//! dropped), `known` lists the differences that are meant. Both servers begin empty and get the
//! same writes, so zxids are compared as they are.
//!
//! `QUORATE_DIFF_SEED` and `QUORATE_DIFF_OPS` choose the script; a failure prints them.

mod known;
mod script;
mod side;

use std::{
    collections::VecDeque,
    fmt::Write as _,
    fs,
    sync::mpsc::{self, Receiver, Sender},
    thread::{self, JoinHandle},
};

use quorate_tests::{Server, Subject, asked::number, foreign, wait::Stopwatch};

use script::{Pace, Script, Step};
use side::{Observed, Side};

/// Lines of `zoo.cfg` that switch on what is off by default, so that it is compared too. Sessions
/// of the script ask for long timeouts, except where it wants them to expire; the reaper sleeps,
/// because its writes would come at different moments.
const SETTINGS: &[&str] = &[
    "extendedTypesEnabled=true",
    "enforceQuota=true",
    "DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=",
    "minSessionTimeout=400",
    "maxSessionTimeout=600000",
    "znode.container.checkIntervalMs=36000000",
];

/// How many operations an ordinary test run compares.
const OPS_BY_DEFAULT: usize = 20_000;

/// What each slot's connection saw during a step, in order.
type Outcome = Vec<Vec<Observed>>;

#[test]
fn every_known_difference_is_documented() {
    let document = fs::read_to_string(foreign::root().join("docs/differences.md"));
    let document = document.expect("docs/differences.md is there");
    for known in known::ALL {
        assert!(document.contains(&format!("## {}\n", known.heading)), "{}", known.heading);
    }
}

#[test]
fn pipelined_requests_have_the_same_outcome_as_at_zookeeper() {
    println!("{}", compare(Pace::Pipelined));
}

#[test]
fn requests_one_by_one_have_the_same_outcome_as_at_zookeeper() {
    println!("{}", compare(Pace::OneByOne));
}

/// Runs a script at both servers and answers what it amounted to.
fn compare(pace: Pace) -> String {
    if !Subject::available().contains(&Subject::ZooKeeper) {
        return format!("{pace:?}: not compared");
    }
    let seed = number("QUORATE_DIFF_SEED").unwrap_or(1);
    let ops = number("QUORATE_DIFF_OPS")
        .map_or(OPS_BY_DEFAULT, |n| usize::try_from(n).expect("fits into memory"));
    let oracle = Performer::start(Subject::ZooKeeper);
    let tested = Performer::start(Subject::tested());
    let mut script = Script::new(pace, seed);
    let mut recent = VecDeque::new();
    let (mut done, mut step_number) = (0, 0);
    let began = Stopwatch::start();
    while done < ops {
        let step = script.next_step();
        oracle.begin(&step);
        tested.begin(&step);
        let (wanted, got) = (oracle.outcome(), tested.outcome());
        if recent.len() == 3 {
            recent.pop_front();
        }
        recent.push_back((step_number, step.clone()));
        done += step.ops();
        if let Some(difference) = first_difference(&step, &wanted, &got) {
            let test = thread::current().name().unwrap_or("differential").to_owned();
            panic!(
                "last steps:\n{}{difference}to see it again: QUORATE_DIFF_SEED={seed} \
                 QUORATE_DIFF_OPS={done} cargo test -p quorate-tests --test conformance {test}",
                listing(&recent)
            );
        }
        script.learn(&step, &wanted);
        step_number += 1;
    }
    format!("{pace:?}: {done} operations in {step_number} steps, {:?}", began.elapsed())
}

fn first_difference(step: &Step, wanted: &Outcome, got: &Outcome) -> Option<String> {
    for (slot, (all_wanted, all_got)) in wanted.iter().zip(got).enumerate() {
        for i in 0..all_wanted.len().max(all_got.len()) {
            let (wanted, got) = (all_wanted.get(i), all_got.get(i));
            let replies = all_wanted.iter().take(i).filter(|seen| seen.is_reply()).count();
            let op = step.op(slot, replies);
            let failed = matches!(wanted, Some(Observed::Failed(_)));
            if (wanted == got && !failed) || known::is_meant(op, wanted, got) {
                continue;
            }
            let mut text = format!("difference at connection {slot}, observation {i}:\n");
            for (who, seen) in [("ZooKeeper:", wanted), ("tested:   ", got)] {
                let _ = writeln!(text, "  {who} {:.600}", format!("{seen:?}"));
            }
            if let Some(op) = op {
                let _ = writeln!(text, "  request:   {:.600}", format!("{op:?}"));
            }
            return Some(text);
        }
    }
    None
}

/// Steps with a line for each request, long values cut short.
fn listing(steps: &VecDeque<(usize, Step)>) -> String {
    let mut text = String::new();
    for (number, step) in steps {
        let mut line = |shown: &dyn std::fmt::Debug| {
            let _ = writeln!(text, "  {number}: {:.300}", format!("{shown:?}"));
        };
        match step {
            Step::Burst { slot, ops } => {
                line(&format_args!("Burst at connection {slot} of {} requests", ops.len()));
                for op in ops {
                    line(op);
                }
            }
            _ => line(step),
        }
    }
    text
}

/// A thread that performs steps at one server, so that both work at the same time.
struct Performer {
    steps: Option<Sender<Step>>,
    outcomes: Receiver<Outcome>,
    thread: Option<JoinHandle<()>>,
}

impl Performer {
    fn start(subject: Subject) -> Self {
        let (steps, inbox) = mpsc::channel();
        let (outbox, outcomes) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut side = Side::new(Server::start(subject, SETTINGS));
            for step in inbox {
                if outbox.send(side.perform(&step)).is_err() {
                    break;
                }
            }
        });
        Self { steps: Some(steps), outcomes, thread: Some(thread) }
    }

    fn begin(&self, step: &Step) {
        let steps = self.steps.as_ref().expect("it is there until this is dropped");
        steps.send(step.clone()).expect("the thread runs until this is dropped");
    }

    fn outcome(&self) -> Outcome {
        self.outcomes.recv().expect("the thread answers every step")
    }
}

impl Drop for Performer {
    /// Waits until the thread has ended its server: the process may be over after a failed test.
    fn drop(&mut self) {
        self.steps = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, it has said so itself.
            let _ = thread.join();
        }
    }
}
