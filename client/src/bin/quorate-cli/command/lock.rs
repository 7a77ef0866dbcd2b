use std::{ffi::OsString, time::Duration};

use clap::Args;
use quorate_client::{
    ErrorKind,
    recipes::lock::{Guard, Mutex, Semaphore},
};

use super::{
    guarded::{self, End},
    participants,
};
use crate::{
    failure::{Failure, Outcome},
    output::escape,
    session::Context,
};

/// Runs a command while it holds a lock, as flock does, but among machines.
///
/// The command finds the lock's fencing token in `QUORATE_FENCING_TOKEN` and its node in
/// `QUORATE_LOCK_NODE`. When the lock may be lost the command gets SIGTERM, and soon SIGKILL. The
/// exit code is the command's; 1 if the lock was not to be had, 10 if it was lost. Programs with
/// Apache Curator's `InterProcessMutex` (with --leases: `InterProcessSemaphoreV2`) stand in the same line.
#[derive(Debug, Args)]
pub(crate) struct Lock {
    /// Do not wait: end with 1 if somebody else holds the lock.
    #[arg(short = 'n', long, conflicts_with = "wait")]
    nonblock: bool,
    /// Wait for so long at most (`10s`), then end with 1.
    #[arg(short = 'w', long, value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
    /// How many may hold it at once. All must say the same.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    leases: Option<u16>,
    /// Who this is, for the others to see.
    #[arg(long, default_value_t = own_name())]
    id: String,
    /// List who holds the lock and who waits for it, and do nothing else.
    #[arg(long, conflicts_with = "command")]
    who: bool,
    /// The lock's folder, which is created if it is not there.
    path: String,
    /// The command and its arguments.
    #[arg(required_unless_present = "who", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// The machine's name and the process, which tell most about who this is.
pub(super) fn own_name() -> String {
    let machine = rustix::system::uname();
    format!("{}:{}", machine.nodename().to_string_lossy(), std::process::id())
}

impl Lock {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        if self.who {
            return self.show(context).await;
        }
        let acquired = guarded::unless_told_to_end(self.acquire(context)).await?;
        let Some(guard) = acquired else {
            let path = escape::name(&self.path).into_owned();
            return Err(Failure::no(format!("The lock is held by others: {path}")));
        };
        match guarded::run(&guard, &self.command).await? {
            End::Lost => Err(Failure::Exit(Failure::LOCK_LOST)),
            End::Exited(code) => {
                guard.release().await?;
                if code == 0 { Ok(()) } else { Err(Failure::Exit(code)) }
            }
        }
    }

    async fn show(&self, context: &mut Context) -> Outcome {
        let client = context.client().await?;
        let participants = match self.leases {
            None => Mutex::new(&client, &self.path)?.participants().await?,
            Some(leases) => Semaphore::new(&client, &self.path, leases.into())?.holders().await?,
        };
        participants::show(&participants, self.leases.unwrap_or(1).into(), &context.screen)
    }

    /// None when it was not to be had as asked for.
    async fn acquire(&self, context: &mut Context) -> Outcome<Option<Guard>> {
        let client = context.client().await?;
        let id = self.id.clone();
        let acquired = if let Some(leases) = self.leases {
            let semaphore = Semaphore::new(&client, &self.path, leases.into())?.data(id);
            match (self.nonblock, self.wait) {
                (true, _) => return Ok(semaphore.try_acquire().await?),
                (_, Some(wait)) => semaphore.acquire().timeout(wait).await,
                (_, None) => semaphore.acquire().await,
            }
        } else {
            let mutex = Mutex::new(&client, &self.path)?.data(id);
            match (self.nonblock, self.wait) {
                (true, _) => return Ok(mutex.try_acquire().await?),
                (_, Some(wait)) => mutex.acquire().timeout(wait).await,
                (_, None) => mutex.acquire().await,
            }
        };
        match acquired {
            Ok(guard) => Ok(Some(guard)),
            Err(error) if self.wait.is_some() && matches!(error.kind(), ErrorKind::Timeout) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}
