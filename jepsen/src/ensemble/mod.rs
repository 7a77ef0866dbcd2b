//! An ensemble of real processes on loopback, with a network that can be cut between them.

mod server;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use rustix::process::Signal;
pub use server::Role;
use server::Server;
use tokio::time::{sleep, timeout};

use crate::{
    network::{Network, Ports},
    ports,
    target::Target,
};

/// A tick of the servers: short, so that faults are noticed fast and a run sees many.
pub const TICK: Duration = Duration::from_millis(200);

/// Ticks after which servers take a silent peer for gone.
pub const SYNC_LIMIT: u32 = 5;

/// Ticks a server may take to follow a leader.
const INIT_LIMIT: u32 = 50;

/// Servers, by index (their ids count from 1). Their processes end with the value.
#[derive(Debug)]
pub struct Ensemble {
    servers: Vec<Server>,
    network: Network,
}

impl Ensemble {
    /// Prepares servers with empty data in folders below `dir`, and starts none.
    pub async fn prepare(target: &Target, servers: usize, dir: &Path) -> anyhow::Result<Self> {
        let ports =
            (0..servers).map(|_| ports::for_server()).collect::<anyhow::Result<Vec<_>>>()?;
        let network = Network::open(&ports).await.context("open proxies")?;
        let servers = (0..servers)
            .map(|index| {
                let dir = dir.join(format!("server-{}", index + 1));
                let data = dir.join("data");
                fs::create_dir_all(&data).context("create a server's folder")?;
                fs::write(data.join("myid"), format!("{}\n", index + 1)).context("write myid")?;
                let config = configuration(index, &ports, &network, &data);
                fs::write(dir.join("zoo.cfg"), config).context("write zoo.cfg")?;
                let client_port = ports[index].client;
                Ok(Server { target: target.clone(), dir, client_port, child: None })
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { servers, network })
    }

    /// How many servers there are.
    pub fn size(&self) -> usize {
        self.servers.len()
    }

    /// The network between them and to the clients.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The files with what the servers said.
    pub fn logs(&self) -> Vec<PathBuf> {
        self.servers.iter().map(Server::log).collect()
    }

    /// Starts a server, unless it runs.
    pub fn start(&mut self, server: usize) -> anyhow::Result<()> {
        self.servers[server].start()
    }

    /// Ends a server at once, as a crash does.
    pub fn kill(&mut self, server: usize) -> anyhow::Result<()> {
        self.servers[server].kill()
    }

    /// Asks a server to end, and waits for that.
    pub async fn terminate(&mut self, server: usize) -> anyhow::Result<()> {
        self.servers[server].terminate().await
    }

    /// Stops a server in its tracks; its connections stay.
    pub fn pause(&self, server: usize) -> anyhow::Result<()> {
        self.servers[server].signal(Signal::STOP)
    }

    /// Lets a paused server go on.
    pub fn resume(&self, server: usize) -> anyhow::Result<()> {
        self.servers[server].signal(Signal::CONT)
    }

    /// Fails when a server has ended by itself.
    pub fn check(&mut self) -> anyhow::Result<()> {
        for (index, server) in self.servers.iter_mut().enumerate() {
            server.check().with_context(|| format!("server {}", index + 1))?;
        }
        Ok(())
    }

    /// What each server says it is. All are asked at once: one may be paused.
    pub async fn roles(&self) -> Vec<Option<Role>> {
        let asked: Vec<_> = self
            .servers
            .iter()
            .map(|server| tokio::spawn(server::role(server.client_port)))
            .collect();
        let mut roles = Vec::new();
        for answer in asked {
            roles.push(answer.await.ok().flatten());
        }
        roles
    }

    /// Waits until all servers serve under one leader.
    pub async fn all_serve(&mut self, patience: Duration) -> anyhow::Result<()> {
        let served = async {
            loop {
                self.check()?;
                let roles = self.roles().await;
                let leaders = roles.iter().filter(|role| **role == Some(Role::Leader)).count();
                if leaders == 1 && roles.iter().all(Option::is_some) {
                    return anyhow::Ok(());
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(patience, served).await.with_context(|| {
            format!(
                "not all servers served under one leader within {}",
                humantime::format_duration(patience)
            )
        })?
    }
}

/// The `zoo.cfg` of a server: its peers are where its own proxies are.
fn configuration(index: usize, ports: &[Ports], network: &Network, data: &Path) -> String {
    let mut config = format!(
        "tickTime={}\ninitLimit={INIT_LIMIT}\nsyncLimit={SYNC_LIMIT}\ndataDir={}\n\
         clientPort={}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n\
         admin.enableServer=false\n4lw.commands.whitelist=*\n",
        TICK.as_millis(),
        data.display(),
        ports[index].client
    );
    for (peer, own) in ports.iter().enumerate() {
        let (quorum, election) = if peer == index {
            (own.quorum, own.election)
        } else {
            let addrs = network.peer(index, peer);
            (addrs.quorum.port(), addrs.election.port())
        };
        let id = peer + 1;
        writeln!(config, "server.{id}=127.0.0.1:{quorum}:{election}").expect("text grows");
    }
    config
}
