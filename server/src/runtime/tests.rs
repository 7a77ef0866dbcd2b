//! A node driven by hand: a member of an ensemble that has no other.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use quorate_protocol::Zxid;

use super::{
    Clock, Duty, Event, Input, NextBatch, Node, Opening, Process, Shell, Stream, Surroundings,
};
use crate::{
    admin::Environment,
    config::{self, EnsembleSettings},
    net::listener,
    storage::fs::MemoryFs,
    tree::Tree,
    watch::ConnId,
    zab::{Configs, LinkId, ServerId, configuration::Configuration, election::Notification},
};

/// Does everything at once, and sees nobody.
struct Alone;

impl Process for Alone {
    fn spawn(&self, _: &'static str, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    fn halt(&self, why: &str, error: Option<&dyn Error>) -> ! {
        panic!("{why} {error:?}")
    }
}

impl Shell for Alone {
    fn configure(&self, _: &Configs) {}

    fn notify(&self, _: ServerId, _: &Notification) {}
    fn connect(&self, _: ServerId) {}
    fn close(&self, _: LinkId) {}
    fn synchronize(&self, _: Stream) {}
    fn wake_at(&self, _: i64) {}
    fn install(&self, _: Box<Tree>) {}
    fn installed(&self) {}
}

struct Member {
    node: Node,
    time: Arc<AtomicU64>,
}

impl Member {
    fn start() -> Self {
        let time = Arc::new(AtomicU64::new(1_000_000));
        let surroundings = Surroundings {
            fs: Arc::new(MemoryFs::new()),
            clock: Clock::simulated(time.clone()),
            process: Box::new(Alone),
            fast_sync: None,
            reserve_bytes: 4096,
            random: [7; 48],
            client_address: ([127, 0, 0, 1], 2181).into(),
            environment: Environment::collect(),
        };
        let (mut settings, _) = config::load(None, [], &[]).unwrap();
        let tick = settings.sessions.tick;
        let line = "server.1=127.0.0.1:2888:3888:participant;127.0.0.1:2181";
        settings.ensemble = Some(EnsembleSettings {
            me: ServerId(1),
            configuration: Configuration::parse(line).unwrap(),
            file: None,
            tick,
            init_limit: 10,
            sync_limit: 5,
            connect_limit: 10,
            election_connect_timeout: tick,
            election_handshake_timeout: tick,
            finalize_wait: tick,
            min_notification_interval: tick,
            max_notification_interval: tick,
            standalone_enabled: true,
            listen_on_all: false,
            tcp_keep_alive: false,
            multi_address: false,
            observer_master_port: None,
            read_only_after: None,
        });
        let node = Node::open(settings, surroundings).unwrap();
        node.begin(Box::new(Alone));
        Self { node, time }
    }

    /// Lets time pass, and the log write what it is given, until the member leads.
    fn lead(&self) {
        let shared = &self.node.shared;
        for _ in 0..100 {
            self.time.fetch_add(500_000, Relaxed);
            shared.half_tick(None);
            while let NextBatch::Batch(batch) = shared.pipeline.next_batch(Duration::ZERO) {
                let written = shared.write_log(batch);
                shared.submit(written);
            }
            if shared.duty() == Duty::Leading {
                return;
            }
        }
        panic!("it does not lead");
    }

    fn applied(&self) -> Zxid {
        self.node.shared.tree.read().last_zxid()
    }
}

#[test]
fn what_was_prepared_counts_though_the_leader_leaves_in_the_same_step() {
    let member = Member::start();
    member.lead();
    let shared = &member.node.shared;
    let before = member.applied();
    let conn = listener::admit(shared, ConnId(1), ([127, 0, 0, 1], 4000).into()).unwrap();
    let opening = Opening { conn, timeout_ms: 10_000, read_only: None, last_zxid_seen: Zxid::ZERO };
    // A log that has been at one batch for so long makes a leader leave.
    let stuck = Event::Tick { log_waits_ms: 1_000_000 };
    let mut inputs = vec![Input::Open(opening), Input::Ensemble(stuck)];
    shared.pipeline.submit(shared, &mut inputs);
    assert_eq!(shared.duty(), Duty::Looking);
    member.lead();
    // Whoever leads next has it: it is in the log, and known to be.
    assert!(member.applied() > before);
    assert_eq!(member.applied(), shared.pipeline.with_log(crate::storage::log::Log::durable_zxid));
}
