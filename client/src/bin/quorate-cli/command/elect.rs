use std::ffi::OsString;

use clap::Args;
use quorate_client::recipes::lock::Mutex;

use super::{
    guarded::{self, End},
    lock::own_name,
    participants,
};
use crate::{
    failure::{Failure, Outcome},
    output::{escape, note},
    session::Context,
};

/// Runs a command while it leads: at most one of all who take part runs it at a time.
///
/// Others wait, and take over when the leader's command ends or its machine is lost. When the lead
/// may be lost the command gets SIGTERM, and soon SIGKILL, and this takes part anew. The
/// command finds a fencing token in `QUORATE_FENCING_TOKEN`, larger than that of all leaders before.
/// Programs with Apache Curator's `LeaderSelector` take part in the same election.
#[derive(Debug, Args)]
pub(crate) struct Elect {
    /// Who this is, for the others to see.
    #[arg(long, default_value_t = own_name())]
    id: String,
    /// End with 10 when the lead was lost, rather than take part anew.
    #[arg(long)]
    once: bool,
    /// List who leads and who waits, and do nothing else.
    #[arg(long, conflicts_with = "command")]
    who: bool,
    /// The election's folder, which is created if it is not there.
    path: String,
    /// The command and its arguments.
    #[arg(required_unless_present = "who", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl Elect {
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        let client = context.client().await?;
        let mutex = Mutex::new(&client, &self.path)?.data(self.id.clone());
        if self.who {
            let participants = mutex.participants().await?;
            return participants::show(&participants, 1, &context.screen);
        }
        loop {
            let acquire = async { Ok(mutex.acquire().await?) };
            let guard = guarded::unless_told_to_end(acquire).await?;
            note(&format!("Leads {} with token {}.", escape::name(&self.path), guard.token()));
            match guarded::run(&guard, &self.command).await? {
                End::Lost if self.once => return Err(Failure::Exit(Failure::LOCK_LOST)),
                End::Lost => {}
                End::Exited(code) => {
                    guard.release().await?;
                    return if code == 0 { Ok(()) } else { Err(Failure::Exit(code)) };
                }
            }
        }
    }
}
