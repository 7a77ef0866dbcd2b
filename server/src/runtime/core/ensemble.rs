//! What `zab` is told, and what it wants done.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use quorate_protocol::{Decode, Decoder, Encode, Xid, Zxid};
use tracing::{info, warn};

use super::{
    Core, Duty,
    forwarded::Pending,
    window::{KEPT_FOR_OBSERVERS_BYTES, Window},
};
use crate::{
    admin::{LeaderNumbers, Mode},
    net::{
        End,
        peers::{Held, Link, PeerEvent},
    },
    peer::packet::{self, HeardSessions, Packet, decode_from_leader, decode_from_learner},
    request::Request,
    runtime::{
        batch::{Entry, LogChange},
        pipeline::{Input, Opening},
        shared::Shared,
        stream::Stream,
    },
    tree::{CONFIG, Tree},
    txn::TxnRecord,
    zab::{
        self, Configuration, Effect, Features, LinkId, Member, Message, Position, Record, Role,
        Vouch, Zab,
    },
};

/// Something that other servers or the shell have to say.
pub enum Event {
    /// Time has passed.
    Tick {
        /// See [`zab::Input::Tick`].
        log_waits_ms: i64,
    },
    /// Another server says something, or comes or goes.
    Peer(PeerEvent),
    /// A leader's snapshot is written as this generation of the checkpoint.
    SnapshotWritten { tree: Box<Tree>, generation: u64 },
    /// The stream to a learner, or the writing of a leader's snapshot, goes on.
    Progress(LinkId),
    /// The stream to a learner has caught up.
    CaughtUp { link: LinkId, upto: Zxid },
    /// Leave the lead to another server; this one may be about to end.
    HandOver { ends: bool },
    /// A leader asks itself for a write that is no client's.
    Ask(Request),
}

/// What makes a server a member of an ensemble.
pub(in crate::runtime) struct Membership {
    /// Its state machines.
    pub(in crate::runtime) zab: Zab,
}

/// The ensemble as the core sees it.
pub(super) struct Ensemble {
    pub(super) zab: Zab,
    links: BTreeMap<LinkId, Arc<Link>>,
    /// The link to a leader, if this server asked for one.
    to_leader: Option<LinkId>,
    /// What is said once the log is durable up to a position; positions ascend.
    vouched: VecDeque<(Position, LinkId, Vouch)>,
    /// The log is durable up to there.
    durable: Position,
    /// Links with something in their outboxes.
    to_wake: BTreeSet<LinkId>,
    /// A leader's snapshot that came by a link.
    snapshot: Option<(LinkId, Box<Tree>)>,
    /// A snapshot is being installed; packets wait until it is.
    installing: bool,
    waiting_packets: VecDeque<(LinkId, Bytes, Held)>,
}

impl Ensemble {
    pub(super) fn new(membership: Membership) -> Self {
        Self {
            zab: membership.zab,
            links: BTreeMap::new(),
            to_leader: None,
            vouched: VecDeque::new(),
            durable: Position::default(),
            to_wake: BTreeSet::new(),
            snapshot: None,
            installing: false,
            waiting_packets: VecDeque::new(),
        }
    }

    /// Sends what was put into links' outboxes.
    pub(super) fn wake_links(&mut self) {
        for link in std::mem::take(&mut self.to_wake) {
            if let Some(link) = self.links.get(&link) {
                link.outbox.send_or_wake();
            }
        }
    }

    /// Appends packets to what waits for a link.
    pub(super) fn send(&mut self, link: LinkId, put: impl FnOnce(&mut BytesMut)) {
        if let Some(to) = self.links.get(&link)
            && to.outbox.append(put)
        {
            self.to_wake.insert(link);
        }
    }

    /// The link is gone; false if it was before.
    fn forget(&mut self, link: LinkId) -> bool {
        self.vouched.retain(|(_, to, _)| *to != link);
        if self.to_leader == Some(link) {
            self.to_leader = None;
        }
        self.links.remove(&link).is_some()
    }

    /// Ends a link behind what was sent on it.
    fn end(&mut self, link: LinkId) {
        if let Some(ended) = self.links.get(&link) {
            ended.outbox.end(End::AfterFlush);
        }
        self.forget(link);
    }

    fn vouch_after(&mut self, after: Position, link: LinkId, vouch: Vouch) {
        if after <= self.durable && self.vouched.is_empty() {
            self.vouch(link, vouch);
        } else {
            debug_assert!(self.vouched.back().is_none_or(|(last, _, _)| *last <= after));
            self.vouched.push_back((after, link, vouch));
        }
    }

    fn release_vouched(&mut self, position: Position) {
        self.durable = position;
        while let Some((_, link, vouch)) =
            self.vouched.pop_front_if(|(after, _, _)| *after <= position)
        {
            // Of acknowledgements that are cumulative only the last says anything.
            let is_said_later = matches!(vouch, Vouch::Ack { cumulative: true, .. })
                && self.vouched.front().is_some_and(|(after, next, later)| {
                    *after <= position
                        && *next == link
                        && matches!(later, Vouch::Ack { cumulative: true, .. })
                });
            if !is_said_later {
                self.vouch(link, vouch);
            }
        }
    }

    fn vouch(&mut self, link: LinkId, vouch: Vouch) {
        let message = match vouch {
            Vouch::LeaderInfo { epoch } => Message::LeaderInfo { epoch, features: Features::ALL },
            Vouch::AckEpoch { current_epoch, last } => Message::AckEpoch { current_epoch, last },
            Vouch::Ack { zxid, .. } => Message::Ack { zxid },
        };
        self.send(link, |out| Packet::Zab(message).encode(out));
    }
}

impl Core {
    pub(super) fn ensemble_event(&mut self, shared: &Shared, wall_ms: i64, event: Event) {
        match event {
            Event::Tick { log_waits_ms } => {
                self.zab(shared, wall_ms, zab::Input::Tick { log_waits_ms });
                self.look_for_leader(shared);
            }
            Event::Peer(event) => self.peer_event(shared, wall_ms, event),
            Event::SnapshotWritten { tree, generation } => {
                let last = tree.last_zxid();
                let change = LogChange::BeginAnew { tree, generation };
                self.outgoing.change(change, last, shared.clock.now_us());
                self.forget_recent(last);
            }
            Event::Progress(link) => self.zab(shared, wall_ms, zab::Input::Progress { link }),
            Event::CaughtUp { link, upto } => self.caught_up(shared, wall_ms, link, upto),
            Event::HandOver { ends } => self.zab(shared, wall_ms, zab::Input::HandOver { ends }),
            Event::Ask(request) => {
                if self.decides_about_sessions() {
                    let tree = shared.tree.read();
                    self.prepare_own(shared, &tree, wall_ms, &request);
                }
            }
        }
        self.apply_committed(shared);
    }

    fn peer_event(&mut self, shared: &Shared, wall_ms: i64, event: PeerEvent) {
        let Some(ensemble) = &mut self.ensemble else { return };
        match event {
            PeerEvent::Notification { from, notification } => {
                self.zab(shared, wall_ms, zab::Input::Notification { from, notification });
            }
            PeerEvent::Reachable { server, up } => {
                self.zab(shared, wall_ms, zab::Input::Reachable { server, up });
            }
            PeerEvent::Accepted { link } => {
                let id = link.id;
                ensemble.links.insert(id, link);
                self.zab(shared, wall_ms, zab::Input::Accepted { link: id });
            }
            PeerEvent::Connected { leader, link } => {
                let id = link.id;
                ensemble.links.insert(id, link);
                ensemble.to_leader = Some(id);
                self.zab(shared, wall_ms, zab::Input::Connected { leader, link: id });
            }
            PeerEvent::ConnectFailed { leader } => {
                self.zab(shared, wall_ms, zab::Input::ConnectFailed { leader });
            }
            PeerEvent::Closed { link } => {
                if ensemble.forget(link) {
                    self.zab(shared, wall_ms, zab::Input::Closed { link });
                }
            }
            PeerEvent::Packets { link, bytes, held } if ensemble.installing => {
                ensemble.waiting_packets.push_back((link, bytes, held));
            }
            PeerEvent::Packets { link, bytes, held } => {
                self.packets(shared, wall_ms, link, &bytes);
                drop(held);
            }
            PeerEvent::Progress { link } => {
                self.zab(shared, wall_ms, zab::Input::Progress { link });
            }
            PeerEvent::Snapshot { link, zxid, tree } => {
                ensemble.snapshot = Some((link, tree));
                self.zab(shared, wall_ms, zab::Input::SnapshotReceived { link, zxid });
            }
        }
    }

    /// A snapshot is installed: what came meanwhile is dealt with.
    pub(super) fn snapshot_installed(&mut self, shared: &Shared, wall_ms: i64, zxid: Zxid) {
        let tree = shared.tree.read();
        let configuration = tree.get(CONFIG).and_then(|node| {
            let text = std::str::from_utf8(node.data().unwrap_or_default()).ok()?;
            Configuration::parse(text).ok()
        });
        drop(tree);
        let input = zab::Input::SnapshotInstalled { zxid, configuration };
        self.zab(shared, wall_ms, input);
        let Some(ensemble) = &mut self.ensemble else { return };
        ensemble.installing = false;
        for (link, packets, _held) in std::mem::take(&mut ensemble.waiting_packets) {
            self.packets(shared, wall_ms, link, &packets);
        }
    }

    /// Deals with packets in their order.
    fn packets(&mut self, shared: &Shared, wall_ms: i64, link: LinkId, packets: &Bytes) {
        let mut rest = Decoder::new(packets);
        while rest.remaining() > 0 {
            let Some(ensemble) = &self.ensemble else { return };
            if !ensemble.links.contains_key(&link) {
                return;
            }
            let from_leader = ensemble.to_leader == Some(link);
            let decoded = if from_leader {
                decode_from_leader(&mut rest)
            } else {
                decode_from_learner(&mut rest)
            };
            let packet = match decoded {
                Ok(packet) => packet,
                Err(error) => {
                    warn!(?link, %error, "another server sent what cannot be understood");
                    self.drop_link(shared, wall_ms, link);
                    return;
                }
            };
            match packet {
                Packet::Zab(
                    Message::Proposal { zxid, txn }
                    | Message::Inform { zxid, txn }
                    | Message::InformAndActivate { zxid, txn, .. },
                ) if TxnRecord::from_bytes(txn)
                    .map_or(true, |record| record.header.zxid != zxid) =>
                {
                    warn!(?link, %zxid, "the leader sent a transaction that cannot be decoded");
                    self.drop_link(shared, wall_ms, link);
                    return;
                }
                Packet::Zab(message) => {
                    self.zab(shared, wall_ms, zab::Input::Message { link, message });
                }
                packet if from_leader => self.leader_packet(shared, &packet),
                packet => self.learner_packet(shared, wall_ms, link, &packet, packets),
            }
        }
    }

    /// Ends a link because of what came by it.
    fn drop_link(&mut self, shared: &Shared, wall_ms: i64, link: LinkId) {
        shared.shell().close(link);
        if self.ensemble.as_mut().is_some_and(|ensemble| ensemble.forget(link)) {
            self.zab(shared, wall_ms, zab::Input::Closed { link });
        }
    }

    fn caught_up(&mut self, shared: &Shared, wall_ms: i64, link: LinkId, upto: Zxid) {
        let covered = match &self.duty {
            Duty::Leading(leading) => leading.window.reaches_back_to(upto),
            _ => self.recent.as_ref().is_none_or(|recent| recent.reaches_back_to(upto)),
        };
        let Some(ensemble) = &self.ensemble else { return };
        let Some(to) = ensemble.links.get(&link) else { return };
        if covered {
            if let Duty::Leading(leading) = &mut self.duty {
                leading.stream_ended();
            }
            self.zab(shared, wall_ms, zab::Input::CaughtUp { link, upto });
        } else {
            // It was too slow to say so: what it lacks has left the window meanwhile.
            shared.shell().synchronize(Stream::go_on(to.clone(), upto));
        }
    }

    /// Tells the state machines what happened and does what they say.
    ///
    /// What was prepared is said before anything else: it is on its way into the log, and this
    /// server may not lead any more afterwards.
    pub(super) fn zab(&mut self, shared: &Shared, wall_ms: i64, input: zab::Input<'_>) {
        if !matches!(input, zab::Input::Proposed { .. }) {
            self.propose(shared);
        }
        let Some(ensemble) = &mut self.ensemble else { return };
        let mut effects = Vec::new();
        ensemble.zab.step(shared.clock.now_ms(), input, &mut effects);
        for effect in effects {
            self.perform(shared, wall_ms, effect);
        }
        self.look_at_election(shared, wall_ms);
    }

    /// What this server is in its ensemble; none for a server alone.
    pub fn role(&self) -> Option<Role> {
        self.ensemble.as_ref().map(|ensemble| ensemble.zab.role())
    }

    /// What operators are shown.
    pub fn mode(&self, now_ms: i64) -> Option<Mode> {
        let ensemble = self.ensemble.as_ref()?;
        match (&self.duty, ensemble.zab.role()) {
            (Duty::ReadOnly, _) => Some(Mode::ReadOnly),
            (Duty::Leading(leading), _) => {
                let links = ensemble.zab.links();
                let synced = |member| {
                    links.iter().filter(|link| link.synced && link.member == member).count()
                };
                Some(Mode::Leader(leading.numbers(LeaderNumbers {
                    uptime_ms: (now_ms - leading.since_ms).max(0).unsigned_abs(),
                    learners: links.len(),
                    synced_followers: synced(Member::Participant),
                    synced_non_voting_followers: 0,
                    synced_observers: synced(Member::Observer),
                    ..LeaderNumbers::default()
                })))
            }
            (Duty::Learning(_), Role::Following { leader, member, .. }) => Some(match member {
                Member::Participant => {
                    let serves = ensemble.zab.settings().observer_masters;
                    let synced = || ensemble.zab.observers().filter(|link| link.synced).count();
                    Mode::Follower { leader, observers: serves.then(synced) }
                }
                Member::Observer => Mode::Observer { leader },
            }),
            _ => None,
        }
    }

    fn perform(&mut self, shared: &Shared, wall_ms: i64, effect: Effect<'_>) {
        match effect {
            Effect::Wake { at_ms } => shared.shell().wake_at(at_ms),
            Effect::Notify { to, notification } => shared.shell().notify(to, &notification),
            Effect::Connect { leader } => shared.shell().connect(leader),
            Effect::Close { link } => {
                if let Some(ensemble) = &mut self.ensemble {
                    ensemble.end(link);
                }
                shared.shell().close(link);
            }
            Effect::Send { link, message } => {
                self.send(link, |out| Packet::Zab(message).encode(out));
            }
            Effect::SendDurable { after, link, message } => {
                if let Some(ensemble) = &mut self.ensemble {
                    ensemble.vouch_after(after, link, message);
                }
            }
            Effect::Append { position, record } => self.append(shared, position, record),
            Effect::Truncate { to } => {
                info!(%to, "what this server has above is cut off: the leader does not have it");
                // What comes again behind the cut is not durable because it was before, and what was
                // to be applied may be void.
                self.durable = self.durable.min(to);
                self.give_up_clients_kept(shared);
                let now_us = shared.clock.now_us();
                self.outgoing.change(LogChange::Truncate(to), to, now_us);
                self.forget_recent(to);
            }
            Effect::InstallSnapshot { link } => {
                if let Some(ensemble) = &mut self.ensemble
                    && let Some((from, tree)) = ensemble.snapshot.take()
                    && from == link
                {
                    ensemble.installing = true;
                    shared.shell().install(tree);
                }
            }
            Effect::Become(role) => self.become_(shared, wall_ms, role),
            Effect::Commit { upto } => self.committed = self.committed.max(upto),
            Effect::Synchronize { link, plan, until } => {
                if let Duty::Leading(leading) = &mut self.duty {
                    leading.stream_began();
                }
                info!(link = link.0, ?plan, "bringing a learner up to date");
                if let Some(to) = self.ensemble.as_ref().and_then(|all| all.links.get(&link)) {
                    shared.shell().synchronize(Stream::begin(to.clone(), plan, until));
                }
            }
            Effect::SendWindow { link, after, upto } => {
                if let (Duty::Leading(leading), Some(ensemble)) = (&self.duty, &mut self.ensemble) {
                    ensemble.send(link, |out| leading.window.put_proposals(after, upto, out));
                }
            }
            Effect::SendProposals { link } => {
                if let (Duty::Leading(leading), Some(ensemble)) = (&self.duty, &mut self.ensemble) {
                    ensemble.send(link, |out| out.extend_from_slice(leading.window.newest()));
                }
            }
            Effect::SendNewLeader { link, epoch, newest } => {
                self.send_new_leader(link, epoch, newest);
            }
            Effect::SendActivation { link, zxid, leader, observes } => {
                let window = observed(&self.duty, &mut self.recent);
                if let (Some(window), Some(ensemble)) = (window, &mut self.ensemble) {
                    ensemble.send(link, |out| {
                        if observes {
                            window.put_activation(zxid, leader, out);
                        } else {
                            let message = Message::CommitAndActivate { zxid, leader };
                            Packet::Zab(message).encode(out);
                        }
                    });
                }
            }
            Effect::Configured => self.configured(shared),
            Effect::SendCommits { link, after, upto, cumulative } => {
                self.send(link, |out| put_commits(out, after, upto, cumulative));
            }
            Effect::SendInforms { link, after, upto } => {
                let window = observed(&self.duty, &mut self.recent);
                if let (Some(window), Some(ensemble)) = (window, &mut self.ensemble) {
                    ensemble.send(link, |out| window.put_informs(after, upto, out));
                }
            }
            Effect::AnswerPing { link, round } => self.answer_ping(link, round),
            Effect::SessionsHeard { sessions, .. } if !matches!(self.duty, Duty::Leading(_)) => {
                self.observer_heard(HeardSessions::new(sessions));
            }
            Effect::SessionsHeard { sessions, .. } => {
                let now_ms = shared.clock.now_ms();
                for (session, _) in HeardSessions::new(sessions) {
                    self.sessions.touch(session, now_ms);
                }
            }
            Effect::Confirmed { ticket } => self.confirmed(shared, ticket),
            Effect::Halt(why) => shared.process.halt(why, None),
        }
    }

    /// Tells a learner that it has the epoch's history, and by which configuration it is to go.
    fn send_new_leader(&mut self, link: LinkId, epoch: u32, newest: bool) {
        let Some(ensemble) = &mut self.ensemble else { return };
        let config = ensemble.zab.configs().of_new_leader(newest).to_string();
        ensemble.send(link, |out| {
            let config = config.as_bytes();
            Packet::Zab(Message::NewLeader { epoch, config }).encode(out);
        });
    }

    /// Other servers are to be reached, or elsewhere.
    fn configured(&mut self, shared: &Shared) {
        let Some(ensemble) = &self.ensemble else { return };
        let configs = ensemble.zab.configs();
        info!(
            servers = ?configs.in_force().servers.keys().map(|id| id.0).collect::<Vec<_>>(),
            version = format!("{:x}", configs.in_force().version),
            next = configs.last_seen().map(|next| format!("{:x}", next.version)),
            "the configuration of the ensemble"
        );
        *shared.configuration.write() = Some(configs.in_force().clone());
        shared.shell().configure(configs);
    }

    /// Shows clients the configuration in force, if no transaction has.
    pub(super) fn show_configuration(&mut self, shared: &Shared) {
        let Some(ensemble) = &self.ensemble else { return };
        let config = ensemble.zab.configs().in_force();
        let text = config.to_string();
        let mut tree = shared.tree.write();
        let is_shown = tree.get(CONFIG).is_some_and(|node| node.data() == Some(text.as_bytes()));
        if !is_shown {
            let to_wake = &mut self.to_wake;
            tree.set_configuration(text.as_bytes(), config.version, &mut |change| {
                super::apply::notify(to_wake, shared, &change);
            });
        }
    }

    fn append(&mut self, shared: &Shared, position: Position, record: Record<'_>) {
        let building = self.outgoing.building(|| shared.clock.now_us());
        let zxid = match record {
            Record::AcceptedEpoch(epoch) => {
                building.log.push_accepted_epoch(epoch);
                None
            }
            Record::CurrentEpoch(epoch) => {
                building.log.push_current_epoch(epoch);
                None
            }
            Record::Configuration(bytes) => {
                building.log.push_configuration(&bytes);
                None
            }
            Record::Transaction { zxid, txn } => {
                building.log.push(zxid, |out| out.extend_from_slice(txn));
                if let Some(recent) = &mut self.recent {
                    recent.push(zxid, txn);
                }
                if matches!(self.duty, Duty::Learning(_)) {
                    let record = TxnRecord::from_bytes(txn).expect("checked when it came");
                    let entry = self.forwarded.claim(&record.header);
                    building.entries.push(entry.unwrap_or_else(|| {
                        Entry::of_nobody(record.header.kind, Xid(record.header.cxid))
                    }));
                }
                Some(zxid)
            }
        };
        self.outgoing.added(zxid);
        debug_assert_eq!(self.position(), position, "both count the log's records");
    }

    fn become_(&mut self, shared: &Shared, wall_ms: i64, role: Role) {
        self.end_read_only(shared);
        if matches!(role, Role::Looking { .. }) {
            self.begin_recent();
        }
        match role {
            Role::Looking { planned: true } => {
                self.apply_committed(shared);
                self.keep_unanswered();
                self.duty = Duty::Looking { planned: true };
            }
            Role::Looking { planned: false } => self.leave(shared),
            Role::Leading { epoch } => {
                info!(epoch, "leading");
                self.recent = None;
                self.begin_leading(shared, wall_ms, epoch);
            }
            Role::Draining => {
                if let Duty::Leading(leading) = &mut self.duty {
                    leading.drain();
                }
            }
            Role::Following { link, leader, epoch, member } => {
                info!(%leader, epoch, ?member, "following");
                self.begin_learning(shared, wall_ms, link, member);
            }
        }
        self.show_duty(shared);
    }

    /// There is no leader, and nobody knows what becomes of clients' requests.
    fn leave(&mut self, shared: &Shared) {
        info!("looking for a leader");
        self.apply_committed(shared);
        self.keep_unanswered();
        self.outgoing.begin_term();
        self.send_clients_away(shared);
    }

    /// The next leader does not have all that this server had of the last one: it is not known what
    /// has become of what clients asked for who were kept for the next one.
    pub(super) fn give_up_clients_kept(&mut self, shared: &Shared) {
        if let Duty::Looking { planned: true } = self.duty {
            self.send_clients_away(shared);
            self.show_duty(shared);
        }
    }

    /// Ends the connections of all clients, and forgets what they asked for. Those that come from now
    /// on wait for a leader.
    pub(super) fn send_clients_away(&mut self, shared: &Shared) {
        self.duty = Duty::Looking { planned: false };
        for conn in shared.conns.all() {
            if conn.session().is_some() {
                conn.outbox.end(End::Now);
            }
        }
        self.local.upgrading.clear();
        let proved = std::mem::take(&mut self.proved_syncs).len();
        let mut lost = proved + std::mem::take(&mut self.pending_syncs).len();
        for (_, pending) in self.forwarded.take() {
            match pending {
                Pending::Write { .. } => lost += 1,
                Pending::Upgrade { .. } => {}
                Pending::Open { conn, timeout_ms, read_only, .. } => {
                    // It has no session yet, so nothing is lost if it gets one later.
                    let last_zxid_seen = Zxid::ZERO;
                    let opening = Opening { conn, timeout_ms, read_only, last_zxid_seen };
                    self.early.push(Input::Open(opening));
                }
            }
        }
        self.abandon(shared, lost);
        while let Some(batch) = self.unapplied.pop_front() {
            self.recycle(shared, batch);
        }
    }

    /// Appends packets to what waits for a link.
    pub(super) fn send(&mut self, link: LinkId, put: impl FnOnce(&mut BytesMut)) {
        if let Some(ensemble) = &mut self.ensemble {
            ensemble.send(link, put);
        }
    }

    /// Sends what waited for the log to be durable up to here.
    pub(super) fn release_vouched(&mut self, position: Position) {
        if let Some(ensemble) = &mut self.ensemble {
            ensemble.release_vouched(position);
        }
    }

    /// From now on what is appended is kept for observers, if this server may have some. It may be made
    /// a participant while it learns.
    pub(super) fn begin_recent(&mut self) {
        let serves = self.ensemble.as_ref().is_some_and(|ensemble| {
            let settings = ensemble.zab.settings();
            let configs = ensemble.zab.configs();
            let is_participant = configs.member(settings.server) == Member::Participant;
            settings.observer_masters && (is_participant || configs.can_change())
        });
        self.recent = serves.then(|| Window::new(self.outgoing.last_zxid()));
    }

    /// What observers may be sent begins anew behind `last`.
    fn forget_recent(&mut self, last: Zxid) {
        if let Some(recent) = &mut self.recent {
            *recent = Window::new(last);
        }
    }

    /// What is due whenever something was applied.
    pub(super) fn after_apply(&mut self, shared: &Shared) {
        if let Some(recent) = &mut self.recent {
            recent.prune(self.applied, KEPT_FOR_OBSERVERS_BYTES);
        }
        if let Duty::Leading(leading) = &mut self.duty {
            leading.prune(self.applied);
        }
        self.answer_syncs(shared);
    }
}

/// What observers are sent is taken from the window of a leader, or from that of a follower that
/// serves observers.
fn observed<'w>(duty: &'w Duty, recent: &'w mut Option<Window>) -> Option<&'w Window> {
    if let Duty::Leading(leading) = duty {
        return Some(&leading.window);
    }
    debug_assert!(recent.is_some(), "only who keeps what is appended has observers");
    let recent = recent.as_mut()?;
    recent.close_chunk();
    Some(recent)
}

fn put_commits(out: &mut BytesMut, after: Zxid, upto: Zxid, cumulative: bool) {
    if cumulative {
        packet::put_commit(out, upto);
        return;
    }
    let first = if after.epoch() == upto.epoch() { after.counter() + 1 } else { 1 };
    for counter in first..=upto.counter() {
        packet::put_commit(out, Zxid::new(upto.epoch(), counter));
    }
}
