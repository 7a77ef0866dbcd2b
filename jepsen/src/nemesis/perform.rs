//! Does what scripts say.

use std::time::Duration;

use tokio::time::sleep;

use super::{Action, Planned, Script, script};
use crate::{
    clock::{Clock, nanos},
    ensemble::{Ensemble, Role},
    history::{Fault, Recorder},
};

/// How long a fault waits for a leader.
const LEADING: Duration = Duration::from_secs(3);

/// How long a step of a rolling restart waits for the server to be back.
const SETTLING: Duration = Duration::from_secs(10);

/// Puts the planned faults on and takes them off, and records them. Takes `time` in all, or longer when
/// a fault does. The network and all processes are as in the beginning afterwards, but need not
/// serve yet.
pub async fn perform(
    ensemble: &mut Ensemble,
    planned: &[Planned],
    time: Duration,
    clock: Clock,
    recorder: &Recorder,
) -> anyhow::Result<()> {
    let began = clock.now();
    let passed = || Duration::from_nanos(clock.now() - began);
    for fault in planned {
        sleep(fault.at.saturating_sub(passed())).await;
        ensemble.check()?;
        let leader = leader(ensemble, clock).await;
        let script = script(fault.kind, ensemble.size(), leader, fault.hold, fault.seed);
        let note = |begins| {
            let leads = leader.map_or_else(String::new, |leader| format!(" ({} led)", leader + 1));
            let what = format!("{}{leads}", script.what);
            recorder.fault(Fault { at: clock.now(), what, begins });
        };
        note(true);
        let result = run(ensemble, &script).await;
        note(false);
        result?;
    }
    sleep(time.saturating_sub(passed())).await;
    ensemble.check()
}

/// Who leads. Waits for somebody to do it, since there are faults for leaders, but not for long.
async fn leader(ensemble: &Ensemble, clock: Clock) -> Option<usize> {
    let end = clock.now() + nanos(LEADING);
    loop {
        let roles = ensemble.roles().await;
        let leader = roles.iter().position(|role| *role == Some(Role::Leader));
        if leader.is_some() || clock.now() > end {
            return leader;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn run(ensemble: &mut Ensemble, script: &Script) -> anyhow::Result<()> {
    for action in script.inject.iter().chain(&script.repair) {
        match *action {
            Action::Kill(server) => ensemble.kill(server)?,
            Action::Start(server) => ensemble.start(server)?,
            Action::Terminate(server) => ensemble.terminate(server).await?,
            Action::Pause(server) => ensemble.pause(server)?,
            Action::Resume(server) => ensemble.resume(server)?,
            Action::Set(from, to, link) => ensemble.network().set(from, to, link),
            Action::Wait(duration) => sleep(duration).await,
            // A server that does not come back shows in the end.
            Action::Settle => drop(ensemble.all_serve(SETTLING).await),
        }
    }
    Ok(())
}
