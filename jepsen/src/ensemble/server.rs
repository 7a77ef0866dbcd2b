//! One server: a process that is started, stopped and asked what it is.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::target::Target;

/// How long a word of four letters may take.
const WORD_PATIENCE: Duration = Duration::from_millis(500);

/// How long a server may take to end when it is asked to.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// What a server does for its ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It orders the writes.
    Leader,
    /// It votes on them.
    Follower,
}

/// A server and its process, which ends with the value.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) target: Target,
    /// Holds `zoo.cfg`, the data, and the log of what the server said.
    pub(super) dir: PathBuf,
    pub(super) client_port: u16,
    pub(super) child: Option<Child>,
}

impl Server {
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// Starts the process, unless it runs.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(self.log()).context("open log")?;
        let mut command = self.target.command(&self.dir.join("zoo.cfg"));
        let child = command
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share log")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        self.child = Some(child);
        Ok(())
    }

    /// Ends the process at once, as a crash does, unless there is none.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill().context("kill")?;
        child.wait().context("wait for the killed")?;
        Ok(())
    }

    /// Sends a signal to the process, unless there is none.
    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        kill_process(Pid::from_child(child), signal).context("signal")
    }

    /// Asks the process to end, and waits for that.
    pub(super) async fn terminate(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let ended = async {
            while let Some(child) = &mut self.child {
                if child.try_wait().context("wait for the end")?.is_some() {
                    self.child = None;
                }
                sleep(Duration::from_millis(5)).await;
            }
            anyhow::Ok(())
        };
        let Ok(ended) = timeout(END_PATIENCE, ended).await else {
            self.kill()?;
            bail!("a server did not end within {}", humantime::format_duration(END_PATIENCE));
        };
        ended
    }

    /// Fails when the process has ended by itself.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        let Some(status) = child.try_wait().context("look at the process")? else { return Ok(()) };
        self.child = None;
        bail!("it ended by itself ({status}); see {}", self.log().display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; there is nobody left to tell.
        let _ = self.kill();
    }
}

/// What the server on this port says it is, if it answers and serves.
pub(super) async fn role(client_port: u16) -> Option<Role> {
    let answer = timeout(WORD_PATIENCE, word(client_port, "srvr")).await.ok()?.ok()?;
    match answer.lines().find_map(|line| line.strip_prefix("Mode: "))? {
        "leader" => Some(Role::Leader),
        "follower" => Some(Role::Follower),
        _ => None,
    }
}

async fn word(client_port: u16, word: &str) -> io::Result<String> {
    let mut stream =
        TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, client_port))).await?;
    stream.write_all(word.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
