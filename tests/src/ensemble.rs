//! An ensemble under test: servers that are processes of this machine, of either kind, also mixed.
//!
//! Servers are known by their numbers, which begin with 1: the `N` of their `server.N` lines.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::ExitStatus,
};

use crate::{
    Connection, Server, Subject,
    server::free_port,
    wait::{self, PATIENCE},
};

/// A server to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    subject: Subject,
    votes: bool,
}

impl Member {
    /// A server that votes.
    pub fn participant(subject: Subject) -> Self {
        Self { subject, votes: true }
    }

    /// One that does not.
    pub fn observer(subject: Subject) -> Self {
        Self { subject, votes: false }
    }

    fn role(self) -> &'static str {
        if self.votes { "participant" } else { "observer" }
    }
}

/// Servers that know each other; some may be down. All processes end with the value.
#[derive(Debug)]
pub struct Ensemble {
    servers: BTreeMap<u8, Server>,
    /// Where they listen for each other: quorum port and election port.
    ports: BTreeMap<u8, (u16, u16)>,
    votes: BTreeMap<u8, bool>,
    /// Each has a host of its own: observer masters have the same port.
    apart: bool,
    /// Lines of every `zoo.cfg` that are not about servers.
    settings: Vec<String>,
}

impl Ensemble {
    /// Starts `size` servers of one kind, all voting, and waits until each serves clients.
    /// `settings` are lines of every `zoo.cfg`.
    pub fn start(subject: Subject, size: usize, settings: &[&str]) -> Self {
        Self::start_members(&vec![Member::participant(subject); size], settings)
    }

    /// Starts these servers, numbered from 1, and waits until each serves clients.
    pub fn start_members(members: &[Member], settings: &[&str]) -> Self {
        let mut ensemble = Self::prepare(members, settings);
        let all: Vec<_> = ensemble.ids().collect();
        ensemble.restart(&all);
        ensemble
    }

    /// These servers, numbered from 1, of which none was started yet: each has its `zoo.cfg` and
    /// its `myid`, and no data.
    ///
    /// # Panics
    /// When they are more than 255.
    pub fn prepare(members: &[Member], settings: &[&str]) -> Self {
        let members: BTreeMap<u8, Member> = (1..).zip(members.iter().copied()).collect();
        // Ticks are short, so their numbers are large: a busy machine must not end a connection.
        let limits = ["initLimit=50", "syncLimit=15"].map(str::to_owned);
        let settings = settings.iter().map(ToString::to_string);
        let settings: Vec<String> = limits.into_iter().chain(settings).collect();
        let mut lines = settings.clone();
        let mut ports = BTreeMap::new();
        let apart = settings.iter().any(|line| line.starts_with("observerMasterPort"));
        for (id, member) in &members {
            let (quorum, election, role) = (free_port(), free_port(), member.role());
            let host = host(*id, apart);
            lines.push(format!("server.{id}={host}:{quorum}:{election}:{role}"));
            ports.insert(*id, (quorum, election));
        }
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let prepare = |(&id, member): (&u8, &Member)| {
            let server = Server::prepare(member.subject, &lines);
            make_data_folder(&server, id);
            (id, server)
        };
        let servers = members.iter().map(prepare).collect();
        let votes = members.iter().map(|(&id, member)| (id, member.votes)).collect();
        Self { servers, ports, votes, apart, settings }
    }

    /// One more server, which was not started yet and is in no other's configuration: its own names
    /// itself, as one that votes, and these of the others.
    ///
    /// # Panics
    /// When there are more than 255.
    pub fn add(&mut self, subject: Subject, seeds: &[u8]) -> u8 {
        let id = self.servers.last_key_value().map_or(1, |(last, _)| last + 1);
        self.ports.insert(id, (free_port(), free_port()));
        let mut lines = self.settings.clone();
        let known = seeds.iter().copied().chain([id]);
        lines.extend(known.map(|id| {
            let (quorum, election) = self.ports[&id];
            let host = host(id, self.apart);
            format!("server.{id}={host}:{quorum}:{election}:participant")
        }));
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let server = Server::prepare(subject, &lines);
        make_data_folder(&server, id);
        self.servers.insert(id, server);
        self.votes.insert(id, true);
        id
    }

    /// A server's line as `reconfig` takes it.
    pub fn line(&self, id: u8, role: &str) -> String {
        let (quorum, election) = self.ports[&id];
        let (host, client) = (host(id, self.apart), self.servers[&id].addr());
        format!("server.{id}={host}:{quorum}:{election}:{role};{client}")
    }

    /// Lets a server listen elsewhere, with all its ports, from when it has learned this line.
    pub fn move_ports(&mut self, id: u8) -> String {
        self.ports.insert(id, (free_port(), free_port()));
        self.server_mut(id).set_port(free_port());
        self.line(id, "participant")
    }

    /// The numbers of all servers, running or not.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = u8> + use<> {
        self.servers.keys().copied().collect::<Vec<_>>().into_iter()
    }

    /// The numbers of all servers but one.
    pub fn others(&self, than: u8) -> Vec<u8> {
        self.ids().filter(|&id| id != than).collect()
    }

    /// A server.
    pub fn server(&self, id: u8) -> &Server {
        &self.servers[&id]
    }

    /// Where a server listens for learners.
    pub fn quorum_addr(&self, id: u8) -> SocketAddr {
        (host(id, self.apart), self.ports[&id].0).into()
    }

    /// Where a server listens for votes.
    pub fn election_addr(&self, id: u8) -> SocketAddr {
        (host(id, self.apart), self.ports[&id].1).into()
    }

    /// A server, to do something to its process.
    ///
    /// # Panics
    /// When there is none of this number.
    pub fn server_mut(&mut self, id: u8) -> &mut Server {
        self.servers.get_mut(&id).expect("a server of the ensemble")
    }

    /// Starts these servers, together, and waits until each serves clients.
    pub fn restart(&mut self, ids: &[u8]) {
        for &id in ids {
            self.server_mut(id).spawn();
        }
        for &id in ids {
            self.server_mut(id).wait_until_serving();
        }
    }

    /// Ends a server at once, as a crash of its process does.
    pub fn kill(&mut self, id: u8) {
        self.server_mut(id).kill();
    }

    /// Takes everything from a server that has ended but its number.
    pub fn wipe(&self, id: u8) {
        let server = self.server(id);
        fs::remove_dir_all(server.dir().join("data")).expect("remove the data folder");
        make_data_folder(server, id);
    }

    /// Ends a server politely.
    pub fn terminate(&mut self, id: u8) -> ExitStatus {
        self.server_mut(id).terminate()
    }

    /// The server that says it leads, if there is one.
    pub fn leader(&self) -> Option<u8> {
        let started = self.servers.iter().filter(|(_, server)| server.is_started());
        let mut modes = started.map(|(&id, server)| (id, server.mode()));
        modes.find_map(|(id, mode)| (mode.as_deref() == Some("leader")).then_some(id))
    }

    /// Waits until there is a leader.
    pub fn wait_for_leader(&self) -> u8 {
        wait::until("a leader", PATIENCE, || self.leader())
    }

    /// A server that follows: one that votes and does not lead.
    ///
    /// # Panics
    /// When there is none.
    pub fn follower(&self) -> u8 {
        let leader = self.wait_for_leader();
        let mut running = self.votes.iter().filter(|&(id, _)| self.servers[id].is_started());
        let found = running.find(|&(&id, &votes)| votes && id != leader);
        *found.expect("somebody else votes").0
    }

    /// A client of a server, with a new session.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn connect(&self, id: u8, timeout_ms: i32) -> Connection {
        Connection::with_new_session(self.server(id).addr(), timeout_ms)
            .expect("the server accepts a session")
    }
}

/// Where a server listens for the others.
fn host(id: u8, apart: bool) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, if apart { id } else { 1 })
}

/// The folder a server expects, with nothing but its number.
fn make_data_folder(server: &Server, id: u8) {
    let data = server.dir().join("data");
    fs::create_dir(&data).expect("make the data folder");
    fs::write(data.join("myid"), id.to_string()).expect("write myid");
}
