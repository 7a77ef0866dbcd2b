//! Several servers that know each other.

use std::ops::Range;

use quorate_protocol::SessionId;

use super::{During, TestServer, TestingError, ports, wait_for};

/// Servers that form an ensemble, known by their index from 0 on (`server.1` is index 0). See the [module](super).
#[derive(Debug)]
pub struct TestEnsemble {
    servers: Vec<TestServer>,
}

impl TestEnsemble {
    /// Starts so many servers that all vote, and waits until each serves.
    ///
    /// # Errors
    /// When there is no program, or a server does not come up.
    ///
    /// # Panics
    /// When it is to have no server.
    ///
    /// # Cancel safety
    /// The processes end when the future is dropped.
    pub async fn start(size: usize) -> Result<Self, TestingError> {
        Self::start_with(size, &[]).await
    }

    /// The same with further lines of each `zoo.cfg`, which outdo the lines every test server has.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Panics
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    /// As [`start`](Self::start).
    pub async fn start_with(size: usize, settings: &[&str]) -> Result<Self, TestingError> {
        assert!(size > 0, "an ensemble of no server");
        let mut lines: Vec<String> = ["initLimit=50", "syncLimit=15"].map(str::to_owned).into();
        for number in 1..=size {
            let port = || ports::free().during(|| "find a free port".to_owned());
            lines.push(format!("server.{number}=127.0.0.1:{}:{}", port()?, port()?));
        }
        lines.extend(settings.iter().map(ToString::to_string));
        let servers = (1..=size).map(|number| TestServer::prepare(Some(number), &lines));
        let mut ensemble = Self { servers: servers.collect::<Result<_, _>>()? };
        for server in &mut ensemble.servers {
            server.spawn()?;
        }
        for server in &mut ensemble.servers {
            server.wait_until_serving().await?;
        }
        Ok(ensemble)
    }

    /// The hosts of all servers, for a client.
    pub fn hosts(&self) -> String {
        let hosts: Vec<_> = self.servers.iter().map(TestServer::hosts).collect();
        hosts.join(",")
    }

    /// The indexes of the servers.
    pub fn indexes(&self) -> Range<usize> {
        0..self.servers.len()
    }

    /// A server.
    ///
    /// # Panics
    /// When there is none of this index.
    pub fn server(&self, index: usize) -> &TestServer {
        &self.servers[index]
    }

    /// The server that leads, if there is one.
    pub fn leader(&self) -> Option<usize> {
        let leads = |server: &TestServer| server.mode().as_deref() == Some("leader");
        self.servers.iter().position(|server| server.is_running() && leads(server))
    }

    /// Waits until one leads.
    ///
    /// # Errors
    /// When none does for long.
    ///
    /// # Cancel safety
    /// It may be called again.
    pub async fn wait_for_leader(&self) -> Result<usize, TestingError> {
        let leader = wait_for(|| Ok(self.leader())).await?;
        leader.ok_or(TestingError::TimedOut { what: "a leader", said: String::new() })
    }

    /// Ends a server at once, as a crash does.
    ///
    /// # Errors
    /// [`TestingError::WrongState`] when it is not running.
    ///
    /// # Panics
    /// When there is none of this index.
    pub fn kill(&mut self, index: usize) -> Result<(), TestingError> {
        self.servers[index].kill()
    }

    /// Starts a server again on its data, and waits until it serves.
    ///
    /// # Errors
    /// [`TestingError::WrongState`] when it is running; when it does not come up.
    ///
    /// # Panics
    /// When there is none of this index.
    ///
    /// # Cancel safety
    /// As [`TestServer::restart`].
    pub async fn restart(&mut self, index: usize) -> Result<(), TestingError> {
        self.servers[index].restart().await
    }

    /// Has a session expire, wherever its client is connected, see [`TestServer::expire_session`].
    ///
    /// # Errors
    /// [`TestingError::NoSession`] when there is none with this id and password.
    pub fn expire_session(
        &self,
        id: SessionId,
        password: impl AsRef<[u8]>,
    ) -> Result<(), TestingError> {
        let running = self.servers.iter().find(|server| server.is_running());
        running.ok_or(TestingError::WrongState("not running"))?.expire_session(id, password)
    }
}
