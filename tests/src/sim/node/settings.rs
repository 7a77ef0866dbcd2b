//! What the servers of a plan are told to do.

use std::{
    fmt::Write,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use quorate_server::{
    config::{self, EnsembleSettings, SessionPassword, Settings},
    session::Passwords,
    zab::configuration::Configuration,
};

use super::number;
use crate::sim::{plan::Plan, world::folders};

/// What no plan changes.
pub(super) fn common() -> Settings {
    let (mut settings, _) = config::load(None, [], &[]).expect("the built-in settings are valid");
    settings.sessions.password = SessionPassword::Given(Passwords::ZooKeeper);
    settings.clients.max_connections_per_ip = None;
    settings
}

/// The settings of a server of a plan.
pub(super) fn of(common: &Settings, plan: &Plan, server: usize) -> Settings {
    let mut settings = common.clone();
    let tick = Duration::from_millis(plan.tick_ms.unsigned_abs());
    settings.server_id = u8::try_from(number(server).0).expect("there are few servers");
    settings.ensemble = Some(ensemble(plan, server, tick));
    settings.tree.reconfig = plan.menace.reconfigures();
    settings.sessions.tick = tick;
    settings.sessions.min_timeout = tick * 2;
    settings.sessions.max_timeout = tick * 20;
    let storage = &mut settings.storage;
    [storage.data_dir, storage.log_dir] = folders(server);
    storage.segment_bytes = plan.segment_bytes;
    storage.checkpoint_transactions = plan.checkpoint_every;
    storage.retained_segments = 0;
    settings.sessions.local = plan.local_sessions;
    settings
}

fn ensemble(plan: &Plan, server: usize, tick: Duration) -> EnsembleSettings {
    EnsembleSettings {
        me: number(server),
        configuration: configuration(plan),
        file: None,
        tick,
        init_limit: plan.init_limit,
        sync_limit: plan.sync_limit,
        connect_limit: plan.init_limit,
        // Of connections the world decides, and what is about elections is not ours to set.
        election_connect_timeout: tick,
        election_handshake_timeout: tick,
        finalize_wait: tick,
        min_notification_interval: tick,
        max_notification_interval: tick,
        standalone_enabled: false,
        listen_on_all: false,
        tcp_keep_alive: false,
        multi_address: false,
        observer_master_port: plan.observer_masters.then_some(2191),
        // Sooner than in a real server, so that it occurs.
        read_only_after: plan.read_only.then_some(tick * 3),
    }
}

fn configuration(plan: &Plan) -> Configuration {
    let votes = (0..plan.servers()).map(|server| (server, server < plan.participants));
    Configuration::parse(&members(votes)).expect("the lines are valid")
}

/// The lines of these servers, and whether they vote.
pub fn members(servers: impl Iterator<Item = (usize, bool)>) -> String {
    let mut text = String::new();
    for (server, votes) in servers {
        let member = if votes { "participant" } else { "observer" };
        let (id, host) = (number(server), address(server).ip());
        writeln!(text, "server.{id}={host}:2888:3888:{member};{host}:2181").expect("it is text");
    }
    text
}

/// Where a server's clients connect to.
pub(super) fn address(server: usize) -> SocketAddr {
    let host = u8::try_from(server + 1).expect("there are few servers");
    (Ipv4Addr::new(10, 0, 0, host), 2181).into()
}
