//! A command that runs while a lock is held.

use std::{ffi::OsString, os::unix::process::ExitStatusExt, process::ExitStatus};

use anyhow::Context as _;
use quorate_client::recipes::{Loss, lock::Guard};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    time::sleep,
};

use crate::{
    failure::{Failure, Outcome},
    output::note,
};

/// The command is told to end when the lock may be lost, which is a tenth of the session's timeout
/// before others can have it; half of that later it is killed.
const PATIENCE: u32 = 20;

/// How it ended.
pub(super) enum End {
    /// By itself, with this exit code; 128 and the signal's number if a signal ended it.
    Exited(u8),
    /// It was ended because the lock may be lost.
    Lost,
}

/// Waits for something, unless this process is told to end.
pub(super) async fn unless_told_to_end<T>(wait: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let mut terminate = listen(SignalKind::terminate())?;
    tokio::select! {
        done = wait => done,
        Ok(()) = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
        Some(()) = terminate.recv() => Err(Failure::Exit(128 + 15)),
    }
}

/// Runs a command until it ends or the lock may be lost. It finds the lock's node and token in its
/// environment. Told to end (SIGTERM), this process passes it on; Ctrl-C a terminal gives to both.
pub(super) async fn run(guard: &Guard, command: &[OsString]) -> Outcome<End> {
    let (program, arguments) = command.split_first().expect("clap asks for a command");
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let child = Command::new(program)
        .args(arguments)
        .env("QUORATE_LOCK_NODE", guard.path())
        .env("QUORATE_FENCING_TOKEN", guard.token().to_string())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.with_context(|| format!("run {}", program.display()))?;
    loop {
        tokio::select! {
            biased;
            status = child.wait() => return Ok(End::Exited(exit_code(status.context("wait for the command")?))),
            loss = guard.lost() => {
                note(&format!("The lock may be lost ({}); the command is ended.", reason(loss)));
                end(&mut child, guard).await?;
                return Ok(End::Lost);
            }
            Some(()) = terminate.recv() => tell(&child, Signal::TERM),
            // The command has got it too, and decides.
            Some(()) = interrupt.recv() => {}
        }
    }
}

fn listen(kind: SignalKind) -> Outcome<tokio::signal::unix::Signal> {
    Ok(signal(kind).context("listen to signals")?)
}

/// Tells the command to end, and ends it if it does not.
async fn end(child: &mut Child, guard: &Guard) -> Outcome {
    tell(child, Signal::TERM);
    let patience = guard.client().session_timeout() / PATIENCE;
    tokio::select! {
        status = child.wait() => status.map(|_| ()).context("wait for the command")?,
        () = sleep(patience) => child.kill().await.context("kill the command")?,
    }
    Ok(())
}

fn tell(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(pid) = pid {
        // It may have ended just now, which is what is wanted.
        let _ = kill_process(pid, signal);
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

fn reason(loss: Loss) -> &'static str {
    match loss {
        Loss::Session => "its session has ended",
        Loss::Silence => "the servers are silent, and its session is about to expire",
        Loss::Deleted => "somebody deleted its node",
        _ => "the client has ended",
    }
}
