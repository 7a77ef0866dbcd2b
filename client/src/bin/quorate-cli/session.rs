//! Which ensemble is meant, and the client that talks to it.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use quorate_client::{Client, ConnectString, RetryPolicy, Servers};

use crate::{
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

/// Takes settings from a file of ZooKeeper's Java clients, `key=value` a line.
pub(crate) fn read_client_configuration(target: &mut Target, file: &Path) -> Outcome {
    let text = fs::read_to_string(file)
        .with_context(|| format!("read the client configuration {}", file.display()))?;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let wrong =
            |what: &str| Failure::usage(format!("{}, line {}: {what}", file.display(), number + 1));
        let (key, value) = line.split_once('=').ok_or_else(|| wrong("not key=value"))?;
        let (key, value) = (key.trim(), value.trim());
        match key {
            "jute.maxbuffer" => {
                target.max_buffer =
                    Some(value.parse().map_err(|_| wrong("jute.maxbuffer is no number of bytes"))?);
            }
            "zookeeper.request.timeout" => {
                let ms = value.parse().map_err(|_| wrong("the timeout is no number of ms"))?;
                target.request_timeout = (ms > 0).then(|| Duration::from_millis(ms));
            }
            "zookeeper.client.secure" if value.eq_ignore_ascii_case("true") => {
                return Err(wrong("connections with TLS are not there yet"));
            }
            "zookeeper.client.secure" => {}
            _ => output::note(&format!(
                "{}, line {}: {} has no meaning here and is ignored",
                file.display(),
                number + 1,
                output::escape::name(key)
            )),
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_ports() {
        for (host, address) in
            [("a", "a:2181"), ("a:1/app", "a:1"), ("[fe80::1]", "[fe80::1]:2181")]
        {
            let target = Target { servers: host.to_owned(), ..Target::default() };
            assert_eq!(target.addresses().unwrap(), [address]);
        }
        let target = Target { servers: "zk+srv://a".to_owned(), ..Target::default() };
        assert!(target.addresses().unwrap_err().to_string().contains("zk+srv://a"));
    }

    #[test]
    fn settings_of_java_clients_are_read() {
        let mut target = Target::default();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "# c\njute.maxbuffer = 4096\nzookeeper.request.timeout=250\n").unwrap();
        read_client_configuration(&mut target, file.path()).unwrap();
        assert_eq!(target.max_buffer, Some(4096));
        assert_eq!(target.request_timeout, Some(Duration::from_millis(250)));
        for (text, said) in [
            ("nothing", "not key=value"),
            ("zookeeper.client.secure=true", "TLS"),
            ("jute.maxbuffer=x", "no number"),
        ] {
            fs::write(&file, format!("\n{text}\n")).unwrap();
            let failure = read_client_configuration(&mut target, file.path()).unwrap_err();
            let message = failure.message().unwrap();
            assert!(message.contains("line 2") && message.contains(said), "{message}");
        }
    }

    impl Default for Target {
        fn default() -> Self {
            Self {
                servers: "localhost:2181".into(),
                session_timeout: Duration::from_secs(30),
                patient: false,
                read_only: false,
                identities: Vec::new(),
                max_buffer: None,
                request_timeout: None,
            }
        }
    }
}
