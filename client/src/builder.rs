//! How a client is to be.

use std::{
    fmt,
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU64},
    time::Duration,
};

use bytes::Bytes;
use quorate_protocol::{AclList, Encode, SessionId, acl::Acl, frame};
use tokio::{sync::watch, time::Instant};

use crate::{
    client::{Client, Options, Shared, View},
    error::{Error, ErrorKind},
    hosts::{ConnectString, Servers},
    io::{
        Driver, Parts,
        connector::{Connector, Tcp},
        resolve::Directory,
    },
    queue::{Identity, Queue},
    retry::RetryPolicy,
    sasl::Mechanism,
    session::{Session, Settings},
    state::SessionPassword,
};

/// Settings of a [`Client`]; [`connect`](Self::connect) makes it.
#[must_use = "settings alone do nothing"]
pub struct ClientBuilder {
    connect_string: String,
    session_timeout: Duration,
    connect_timeout: Duration,
    default_timeout: Option<Duration>,
    retry: RetryPolicy,
    read_only: bool,
    new_sessions: bool,
    session: Option<(SessionId, SessionPassword)>,
    identities: Vec<Identity>,
    acl: Option<Vec<Acl>>,
    emulate_streams: bool,
    budget: usize,
    max_request: usize,
    max_answer: usize,
    connector: Arc<dyn Connector>,
    mechanism: Option<Arc<dyn Mechanism>>,
    #[cfg(feature = "tls")]
    tls: Option<crate::tls::Tls>,
    #[cfg(feature = "srv")]
    dns_servers: Vec<std::net::SocketAddr>,
}

impl fmt::Debug for ClientBuilder {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("connect_string", &self.connect_string)
            .field("session_timeout", &self.session_timeout)
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    pub(crate) fn new(connect_string: &str) -> Self {
        Self {
            connect_string: connect_string.to_owned(),
            session_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(15),
            default_timeout: None,
            retry: RetryPolicy::default(),
            read_only: false,
            new_sessions: true,
            session: None,
            identities: Vec::new(),
            acl: None,
            emulate_streams: false,
            budget: 64 * 1024 * 1024,
            max_request: frame::DEFAULT_LIMIT,
            max_answer: 256 * 1024 * 1024,
            connector: Arc::new(Tcp),
            mechanism: None,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "srv")]
            dns_servers: Vec::new(),
        }
    }

    /// The session timeout to ask for, 30 s by default. The servers have bounds of their own.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// How long [`connect`](Self::connect) tries, 15 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long each call may take that says nothing else. Without it calls wait for their answers
    /// as long as the connection lives, and for a connection as long as the retry policy has it.
    pub fn default_timeout(mut self, timeout: Duration) -> Self {
        self.default_timeout = Some(timeout);
        self
    }

    /// How calls are repeated, and how long they wait for a connection.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Whether a server without a quorum, which can only read, will do until another is found. No
    /// by default.
    pub fn read_only(mut self, allowed: bool) -> Self {
        self.read_only = allowed;
        self
    }

    /// Whether a session that is lost is followed by a new one, as with Apache Curator. Yes by
    /// default; if not, the client ends with its session.
    pub fn new_sessions(mut self, reopen: bool) -> Self {
        self.new_sessions = reopen;
        self
    }

    /// A session to carry on with: see [`Client::leave`] and [`Client::session`].
    pub fn session(mut self, id: SessionId, password: impl Into<SessionPassword>) -> Self {
        self.session = Some((id, password.into()));
        self
    }

    /// An identity for each connection: a scheme such as `digest`, and its proof (`user:password`).
    pub fn auth(mut self, scheme: &str, proof: impl Into<Bytes>) -> Self {
        self.identities.push(Identity { scheme: scheme.into(), proof: proof.into() });
        self
    }

    /// The ACL of nodes that are created without one; by default everybody may do everything.
    pub fn default_acl(mut self, acl: impl Into<Vec<Acl>>) -> Self {
        self.acl = Some(acl.into());
        self
    }

    /// Whether streams of events are made of one-shot watches even where servers have persistent
    /// ones. Servers before ZooKeeper 3.6 have none: the client finds out when it asks for the
    /// first, at the price of a connection; this spares it that.
    pub fn emulate_streams(mut self, emulate: bool) -> Self {
        self.emulate_streams = emulate;
        self
    }

    /// How many bytes of requests may be under way, from the call to its answer, before calls that
    /// are awaited have to wait: 64 MiB by default. See [`Client::ready`].
    pub fn budget(mut self, bytes: usize) -> Self {
        self.budget = bytes.max(1);
        self
    }

    /// The longest request: 1,048,575 bytes by default, as servers have it (`jute.maxbuffer`). They
    /// end the connection at a longer one.
    pub fn max_request(mut self, bytes: usize) -> Self {
        self.max_request = bytes;
        self
    }

    /// The longest answer: 256 MiB by default. The connection ends at a longer one.
    pub fn max_answer(mut self, bytes: usize) -> Self {
        self.max_answer = bytes;
        self
    }

    /// What makes transports; plain TCP by default.
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.connector = Arc::new(connector);
        self
    }

    /// Encrypts all connections, those of a [`connector`](Self::connector) of one's own as well.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: crate::tls::Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Proves the client's identity on each connection, before anything else is sent on it. See
    /// [`sasl`](crate::sasl).
    pub fn sasl(mut self, mechanism: impl Mechanism) -> Self {
        self.mechanism = Some(Arc::new(mechanism));
        self
    }

    /// Which DNS servers to ask for the servers of `zk+srv://name`, and for their addresses; by
    /// default those of the system.
    #[cfg(feature = "srv")]
    pub fn dns_servers(mut self, servers: impl Into<Vec<std::net::SocketAddr>>) -> Self {
        self.dns_servers = servers.into();
        self
    }

    /// Connects, and answers the client once its session is open.
    ///
    /// # Errors
    /// When the connect string is none, when an identity is refused, or when there is no session
    /// within [`connect_timeout`](Self::connect_timeout): [`ErrorKind::NotConnected`] with the
    /// reason of the last attempt.
    ///
    /// # Cancel safety
    /// Dropping the future ends the client.
    pub async fn connect(self) -> Result<Client, Error> {
        let timeout = self.connect_timeout;
        let client = self.connect_lazily()?;
        match tokio::time::timeout(timeout, client.wait_connected()).await {
            Ok(Ok(_)) => Ok(client),
            Ok(Err(ended)) => Err(ended),
            Err(_) => Err(ErrorKind::NotConnected(client.view().cause()).into()),
        }
    }

    /// Begins to connect, and answers the client at once. Its calls wait for the connection.
    ///
    /// # Errors
    /// When the connect string is none, or names a service and the system's configuration of DNS
    /// cannot be read.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn connect_lazily(self) -> Result<Client, Error> {
        let hosts: ConnectString = self.connect_string.parse()?;
        let directory = Arc::new(match hosts.servers() {
            Servers::Hosts(hosts) => Directory::Hosts(hosts.clone()),
            #[cfg(feature = "srv")]
            Servers::Service(name) => {
                let records = crate::io::srv::Records::new(name, &self.dns_servers)?;
                Directory::Records(Box::new(records))
            }
            #[cfg(not(feature = "srv"))]
            Servers::Service(name) => {
                let why =
                    format!("{name:?} is a service: it needs the feature \"srv\" of the crate");
                return Err(ErrorKind::BadConnectString(why).into());
            }
        });
        let timeout_ms = i32::try_from(self.session_timeout.as_millis());
        if !matches!(timeout_ms, Ok(1..)) {
            return Err(ErrorKind::BadArgument("session timeout is none or 25 days").into());
        }
        let acl = self.acl.map_or(Bytes::from_static(AclList::OPEN), |acl| acl.to_bytes().freeze());
        let attempts = self.retry.attempts();
        let settings = Settings {
            timeout: self.session_timeout,
            read_only: self.read_only,
            reopen: self.new_sessions,
            patience: self.retry.elapsed(),
            proves: self.mechanism.is_some(),
            resume: self.session,
        };
        let runtime = tokio::runtime::Handle::current();
        let queue = Queue::new(self.budget, self.max_request);
        self.identities.into_iter().for_each(|identity| queue.add_identity(identity));
        let session = Session::new(settings, fastrand::u64(..));
        queue.set_session(session.status().session_number);
        let shared = Arc::new(Shared {
            queue,
            status: watch::channel(session.status()).0,
            runtime: runtime.clone(),
            options: Options { retry: self.retry, deadline: self.default_timeout, acl },
            start: Instant::now(),
            confirmed: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            emulate_streams: AtomicBool::new(self.emulate_streams),
            ticket: parking_lot::Mutex::new(None),
            hosts,
            cause: parking_lot::Mutex::new(None),
        });
        let connector = self.connector;
        #[cfg(feature = "tls")]
        let connector = match self.tls {
            Some(tls) => Arc::new(crate::tls::Encrypted::new(connector, tls)),
            None => connector,
        };
        let parts = Parts {
            shared: Arc::clone(&shared),
            session,
            connector,
            directory,
            mechanism: self.mechanism,
            answer_limit: self.max_answer,
            attempts,
        };
        runtime.spawn(Driver::new(parts).run());
        let chroot = shared.hosts.chroot().to_owned();
        Ok(Client::new(View::new(shared, chroot)))
    }
}
