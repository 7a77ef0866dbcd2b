//! The core's hands in an ensemble: sockets to the other servers, threads for streams.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use anyhow::Context;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    checkpointer::Mailbox, core::Event, files::Files, io_threads::IoThreads, node::Node,
    pipeline::Input, shared::Shared, shell::Shell, stream::Stream, thread, ticker::Wake,
};
use crate::{
    config::EnsembleSettings,
    net::{
        Moves,
        peers::{self, Peers, Ports},
    },
    tree::Tree,
    zab::{Configs, HostPort, LinkId, Member, Server, ServerId, election::Notification},
};

/// The shell of a running server.
pub(super) struct Members {
    shared: Weak<Shared>,
    peers: Arc<OnceLock<Peers>>,
    wake: Wake,
    mailbox: Arc<Mailbox>,
    files: Option<Arc<Files>>,
    masters: Masters,
    /// Where clients are listened for.
    moves: Moves,
}

impl Members {
    /// Listens for the other servers.
    ///
    /// # Errors
    /// When one of the addresses cannot be bound; the error names it.
    pub(super) fn bind(ensemble: &EnsembleSettings) -> anyhow::Result<Ports> {
        let servers = Masters::of(ensemble).reached(ensemble.configuration.servers.clone());
        let own = servers.get(&ensemble.me).context("this server is not in the configuration")?;
        Ports::bind(own, ensemble.listen_on_all)
    }

    /// Connects the node with the other servers.
    pub(super) fn start(
        node: &Node,
        ports: Ports,
        moves: Moves,
        threads: &IoThreads,
        tasks: &TaskTracker,
        stop: &CancellationToken,
        wake: Wake,
    ) {
        let ensemble = node.shared.settings.ensemble.as_ref().expect("a member of an ensemble");
        let peers = Arc::<OnceLock<Peers>>::default();
        node.begin(Box::new(Self {
            shared: Arc::downgrade(&node.shared),
            peers: peers.clone(),
            wake,
            mailbox: node.mailbox.clone(),
            files: Files::new(ensemble),
            masters: Masters::of(ensemble),
            moves,
        }));
        let servers = Masters::of(ensemble).reached(ensemble.configuration.servers.clone());
        let settings = peers::Settings {
            server: ensemble.me,
            servers,
            listen_on_all: ensemble.listen_on_all,
            connect_timeout: ensemble.election_connect_timeout,
            handshake_timeout: ensemble.election_handshake_timeout,
            first_packet_timeout: ensemble.ticks(ensemble.init_limit),
            leader_timeout: match ensemble.observer_master_port {
                Some(_) if is_observer(ensemble) => MASTER_TIMEOUT,
                _ => ensemble.ticks(ensemble.connect_limit),
            },
            packet_max: node.shared.settings.limits.request_bytes + PACKET_EXTRA,
            seed: node.shared.tree_seed,
        };
        let shared = Arc::downgrade(&node.shared);
        let sink = Arc::new(move |event| {
            if let Some(shared) = shared.upgrade() {
                shared.submit(Input::Ensemble(Event::Peer(event)));
            }
        });
        let made = Peers::new(settings, threads.handles(), tasks.clone(), stop.clone(), sink);
        peers.get_or_init(|| made).start(ports);
    }

    fn peers(&self) -> &Peers {
        self.peers.get().expect("set before the first input")
    }
}

/// For how long an observer tries to connect to one follower before it goes to the next.
const MASTER_TIMEOUT: Duration = Duration::from_secs(1);

fn is_observer(ensemble: &EnsembleSettings) -> bool {
    let own = ensemble.configuration.servers.get(&ensemble.me);
    own.is_some_and(|own| own.member == Member::Observer)
}

/// Where observer masters make servers reached elsewhere.
struct Masters {
    me: ServerId,
    /// `observerMasterPort`.
    port: Option<u16>,
}

impl Masters {
    fn of(ensemble: &EnsembleSettings) -> Self {
        Self { me: ensemble.me, port: ensemble.observer_master_port }
    }

    /// All servers as this one goes by them. An observer goes to those that vote by the port of
    /// observer masters; for one that votes it is one more way to its quorum port: the core knows
    /// what to do with whoever comes.
    fn reached(&self, mut servers: BTreeMap<ServerId, Server>) -> BTreeMap<ServerId, Server> {
        let (Some(port), Some(own)) = (self.port, servers.get_mut(&self.me)) else {
            return servers;
        };
        if own.member == Member::Participant {
            own.quorum.extend(at_port(&own.quorum, port));
        } else {
            for server in servers.values_mut().filter(|one| one.member == Member::Participant) {
                server.quorum = at_port(&server.quorum, port);
            }
        }
        servers
    }
}

/// The same hosts, at another port.
fn at_port(addresses: &[HostPort], port: u16) -> Vec<HostPort> {
    let hosts: BTreeSet<_> = addresses.iter().map(|address| address.host.clone()).collect();
    hosts.into_iter().map(|host| HostPort { host, port }).collect()
}

/// Bytes of a packet around a client's request or a transaction's data.
const PACKET_EXTRA: usize = 1 << 20;

impl Shell for Members {
    fn notify(&self, to: ServerId, notification: &Notification) {
        self.peers().notify(to, notification);
    }

    fn configure(&self, configs: &Configs) {
        let servers = configs.servers();
        let servers = servers.filter_map(|id| Some((id, configs.server(id)?.clone()))).collect();
        self.peers().configure(&self.masters.reached(servers));
        if let Some(own) = configs.in_force().servers.get(&self.masters.me)
            && let Some(client) = &own.client
        {
            self.moves.send_if_modified(|to| {
                let is_new = to.as_ref() != Some(client);
                if is_new {
                    *to = Some(client.clone());
                }
                is_new
            });
        }
        if let Some(files) = &self.files {
            files.write(configs);
        }
    }

    fn connect(&self, leader: ServerId) {
        self.peers().connect(leader);
    }

    fn close(&self, link: LinkId) {
        self.peers().close(link);
    }

    fn synchronize(&self, mut stream: Stream) {
        let shared = self.shared.clone();
        // Not joined: it ends with its link.
        drop(thread::spawn("sync", move || {
            if let Some(shared) = shared.upgrade() {
                while stream.advance(&shared) {}
            }
        }));
    }

    fn wake_at(&self, at_ms: i64) {
        self.wake.at(at_ms);
    }

    fn install(&self, tree: Box<Tree>) {
        self.mailbox.install(tree);
    }

    fn installed(&self) {
        self.mailbox.installed();
    }
}
