//! What is tested: how its servers are started.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// Whose servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// This project's.
    Quorate,
    /// Apache's, in Java.
    Zookeeper,
}

/// A server's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The path of `quorate-server`.
    Quorate(PathBuf),
    /// The class path of a ZooKeeper release.
    Zookeeper(String),
}

impl Target {
    /// Looks for the program of this kind in the build folder this executable is in: the binary
    /// beside it, and the jars that `tests/clients/install` puts there.
    pub fn find(kind: Kind) -> anyhow::Result<Self> {
        let executable = env::current_exe().context("find this executable")?;
        match kind {
            Kind::Quorate => {
                let beside = executable.ancestors().skip(1).take(2);
                let mut binaries = beside.map(|folder| folder.join("quorate-server"));
                let binary = binaries.find(|binary| binary.exists());
                let binary = binary.context(
                    "quorate-server is not beside this executable: build the workspace, \
                     or say where it is",
                )?;
                Ok(Self::Quorate(binary))
            }
            Kind::Zookeeper => {
                let homes = executable.ancestors().map(|folder| folder.join("foreign/zookeeper"));
                let Some(home) = { homes }.find(|home| home.join("complete").exists()) else {
                    bail!("ZooKeeper is not installed: tests/clients/install does it");
                };
                // The folder itself comes first: it holds the logging configuration.
                let jars = home.join("jars");
                let class_path = format!("{0}:{0}/*", jars.display());
                let java = Command::new("java").arg("-version").output();
                java.ok().filter(|out| out.status.success()).context("Java is not installed")?;
                Ok(Self::Zookeeper(class_path))
            }
        }
    }

    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Quorate(_) => Kind::Quorate,
            Self::Zookeeper(_) => Kind::Zookeeper,
        }
    }

    /// The command that starts a server with this configuration.
    pub(crate) fn command(&self, config: &Path) -> Command {
        let mut command = match self {
            Self::Quorate(binary) => Command::new(binary),
            Self::Zookeeper(class_path) => {
                let mut java = Command::new("java");
                java.args(["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
                    .args(["-cp", class_path])
                    .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
                java
            }
        };
        // What tells a test how to run must not be taken for settings of the server.
        for (name, _) in env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"QUORATE_") {
                command.env_remove(name);
            }
        }
        command.arg(config);
        command
    }
}
