//! `quorate-cli`: ZooKeeper's `zkCli`, and what operators miss in it, for Quorate and ZooKeeper.
//!
//! `arguments` are the command line as typed; `command` has a file for each command; `shell` reads
//! commands from a terminal or a pipe; `session` and `walk` talk to the ensemble by the client
//! crate, `four_letter` and `survey` to each of its servers; `output` is all that is said, and
//! `failure` what a failure is called and which exit code it has. Commands know nothing of the
//! shell, and nothing but `output` writes to standard output.

mod arguments;
mod client_configuration;
mod clock;
mod command;
mod failure;
mod four_letter;
mod output;
mod security;
mod session;
mod shell;
mod survey;
mod walk;
mod watches;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Runtime;

use crate::{
    arguments::Invocation,
    command::Verb,
    failure::{Failure, Outcome},
    output::Screen,
    session::{Context, Target},
};

fn main() -> ExitCode {
    let invocation = Invocation::parse_from(arguments::in_claps_words(std::env::args_os()));
    let screen = Screen::stdout(invocation.options.output, invocation.options.color);
    let outcome = invocation.options.target().and_then(|target| {
        let runtime = runtime()?;
        match invocation.verb {
            Some(verb) => run_alone(&runtime, verb, target, &screen),
            None => shell::run(&runtime, target, &screen),
        }
    });
    ExitCode::from(told(outcome, &screen))
}

fn runtime() -> Outcome<Runtime> {
    use anyhow::Context as _;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(2).enable_all().build().context("start the runtime")?)
}

/// A command, and nothing else.
fn run_alone(runtime: &Runtime, verb: Verb, target: Target, screen: &Screen) -> Outcome<u8> {
    let mut context = Context::new(target, screen.clone(), None);
    let outcome = perform(runtime, verb, &mut context);
    runtime.block_on(context.close());
    outcome.map(|()| 0)
}

/// Does a command, unless Ctrl-C comes first.
fn perform(runtime: &Runtime, verb: Verb, context: &mut Context) -> Outcome {
    runtime.block_on(async {
        if verb.heeds_signals() {
            return verb.run(context).await;
        }
        let outcome = tokio::select! {
            outcome = verb.run(context) => outcome,
            // Without the signal's handler Ctrl-C ends the process, which is as well.
            Ok(()) = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
        };
        if let Err(failure) = &outcome {
            context.explain(failure).await;
        }
        outcome
    })
}

/// Brings the answer to the reader, and says what went wrong. Gives the exit code.
fn told(outcome: Outcome<u8>, screen: &Screen) -> u8 {
    let outcome = screen.flush().map_err(Failure::from).and(outcome);
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            if let Some(message) = failure.message() {
                output::note(&message);
            }
            failure.exit_code()
        }
    }
}
