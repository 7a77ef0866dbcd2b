//! Which ensemble is meant, and the client that talks to it.

use std::time::Duration;

use anyhow::bail;
use quorate_client::{
    Client, ConnectString, OneShot, RetryPolicy, Servers, Tls, WatcherType, sasl::DigestMd5,
};

use crate::{
    command::note_lone_watch,
    failure::{Failure, Outcome},
    output::{self, Screen},
    watches::Watches,
};

/// How long the first connection may take, unless told to wait for longer.
const CONNECT: Duration = Duration::from_secs(5);

/// An ensemble, and how to talk to it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// `host:port,host:port/chroot`.
    pub(crate) servers: String,
    pub(crate) session_timeout: Duration,
    /// Wait for a connection as long as a session would live.
    pub(crate) patient: bool,
    pub(crate) read_only: bool,
    /// Scheme and proof of each identity.
    pub(crate) identities: Vec<(String, String)>,
    /// The longest request and answer, if it is not the client's own limit.
    pub(crate) max_buffer: Option<usize>,
    /// How long a call may take, if there is a limit.
    pub(crate) request_timeout: Option<Duration>,
    /// How connections are encrypted, if they are.
    pub(crate) tls: Option<Tls>,
    /// Who is proved by SASL, if anybody.
    pub(crate) sasl: Option<DigestMd5>,
}

impl Target {
    /// The same way of talking to other servers.
    pub(crate) fn at(&self, servers: &str) -> Self {
        Self { servers: servers.to_owned(), ..self.clone() }
    }

    /// A client, once it is connected.
    pub(crate) async fn connect(&self) -> Outcome<Client> {
        let client = self.builder().connect().await;
        client.map_err(|error| self.unreachable(error))
    }

    /// A client that is being connected.
    pub(crate) fn connect_lazily(&self) -> Outcome<Client> {
        Ok(self.builder().connect_lazily()?)
    }

    fn builder(&self) -> quorate_client::ClientBuilder {
        let patience = self.patience();
        let mut builder = Client::builder(&self.servers)
            .session_timeout(self.session_timeout)
            .connect_timeout(patience)
            .read_only(self.read_only)
            .retry(RetryPolicy::default().max_elapsed(patience));
        for (scheme, proof) in &self.identities {
            builder = builder.auth(scheme, proof.clone());
        }
        if let Some(limit) = self.max_buffer {
            builder = builder.max_request(limit).max_answer(limit);
        }
        if let Some(limit) = self.request_timeout {
            builder = builder.default_timeout(limit);
        }
        if let Some(tls) = &self.tls {
            builder = builder.tls(tls.clone());
        }
        if let Some(user) = &self.sasl {
            builder = builder.sasl(user.clone());
        }
        builder
    }

    fn patience(&self) -> Duration {
        if self.patient { self.session_timeout } else { CONNECT }
    }

    /// The error, with what a person can do about it.
    fn unreachable(&self, error: quorate_client::Error) -> Failure {
        if let quorate_client::ErrorKind::NotConnected(_) = error.kind() {
            output::note(&format!(
                "No session with {} within {}; is a server running there, and is there a quorum? \
                 `quorate-cli --server {} status` asks each server.",
                output::escape::name(&self.servers),
                humantime::format_duration(self.patience()),
                output::escape::name(&self.servers),
            ));
        }
        error.into()
    }

    /// Each server's address, with its port.
    pub(crate) fn addresses(&self) -> anyhow::Result<Vec<String>> {
        match self.servers.parse::<ConnectString>()?.servers() {
            Servers::Hosts(hosts) => Ok(hosts.iter().map(ToString::to_string).collect()),
            _ => bail!("{:?} names a service, and not the single servers to ask", self.servers),
        }
    }
}

/// What commands work with.
pub(crate) struct Context {
    pub(crate) target: Target,
    pub(crate) screen: Screen,
    /// The watches of a shell; none when there is one command only, whose watches end with it.
    pub(crate) watches: Option<Watches>,
    client: Option<Client>,
}

impl Context {
    pub(crate) fn new(target: Target, screen: Screen, watches: Option<Watches>) -> Self {
        Self { target, screen, watches, client: None }
    }

    /// The client. It is connected by the first command that needs it.
    pub(crate) async fn client(&mut self) -> Outcome<Client> {
        match &self.client {
            Some(client) => Ok(client.clone()),
            // A shell connects when it is told to.
            None if self.watches.is_some() => {
                Err(quorate_client::Error::from(quorate_client::ErrorKind::Closed).into())
            }
            None => {
                let client = self.target.connect().await?;
                Ok(self.client.insert(client).clone())
            }
        }
    }

    /// Shows the event of a watch when it comes; where there is no shell to do so, says that.
    pub(crate) fn show_event(&mut self, path: &str, kind: WatcherType, watch: OneShot) {
        match &mut self.watches {
            Some(watches) => watches.add_one_shot(path, kind, watch),
            None => note_lone_watch(),
        }
    }

    /// The client, connected or not, if there is one.
    pub(crate) fn present_client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// Goes to other servers. The session before ends.
    pub(crate) async fn reconnect(&mut self, target: Target) -> Outcome {
        let client = target.connect_lazily()?;
        self.close().await;
        if let Some(watches) = &mut self.watches {
            watches.follow(&client);
        }
        self.client = Some(client);
        self.target = target;
        Ok(())
    }

    /// Says what a failure does not: that all paths are below one that is not there.
    pub(crate) async fn explain(&self, failure: &Failure) {
        if let Some(client) = self.client.as_ref().filter(|_| failure.is_no_node())
            && !client.chroot_path().is_empty()
            && matches!(client.exists("/").await, Ok(None))
        {
            output::note(&format!(
                "All paths are below {}, as --server says, and there is no such node.",
                output::escape::name(client.chroot_path())
            ));
        }
    }

    /// Ends the session, and its ephemeral nodes with it.
    pub(crate) async fn close(&mut self) {
        if let Some(watches) = &mut self.watches {
            watches.clear().await;
        }
        if let Some(client) = self.client.take() {
            // A session that cannot be closed ends with its timeout.
            let _ = client.close().timeout(Duration::from_secs(2)).await;
        }
    }
}
