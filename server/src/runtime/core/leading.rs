//! A leader: what its learners ask for, and whose session is whose.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use quorate_protocol::{Decoder, Encode, Id, OpCode, SessionId, Zxid};
use tracing::debug;

use super::{
    ClientSync, Core, Duty,
    forwarded::Pending,
    window::{KEPT_BYTES, Window},
};
use crate::{
    admin::LeaderNumbers,
    auth::SUPER,
    net::End,
    peer::packet::{Ids, Packet},
    request::{self, Class, Request},
    runtime::{batch::Waits, pipeline::Arrival, shared::Shared},
    session::{State, Tracker},
    tree::Tree,
    watch::ConnId,
    zab::{self, Configuration, LinkId},
};

/// What a leader keeps while it leads.
pub(super) struct Leading {
    /// When it began.
    pub(super) since_ms: i64,
    pub(super) window: Window,
    /// The server each session was last heard of by; sessions not heard of yet are missing, and
    /// belong to whoever asks first. Never iterated.
    owners: HashMap<SessionId, Owner, FixedState>,
    /// Syncs of this server's clients that wait for the proof that it leads.
    syncs: VecDeque<Sync>,
    /// Those of learners.
    learners_syncs: VecDeque<(u64, LinkId)>,
    /// The number of the last of them.
    last_ticket: u64,
    /// Streams to learners that have not caught up.
    streams: usize,
    /// No new proposals are made.
    draining: bool,
    /// The configuration that one of the proposals of this step brings.
    reconfig: Option<Configuration>,
    /// The identities that came with the last request from a learner, which the next is likely
    /// to come with.
    ids: Option<(Bytes, Arc<[Id]>)>,
}

/// Where a session's client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Here,
    Learner(LinkId),
}

/// A `sync` of a client of this server.
struct Sync {
    ticket: u64,
    /// What was committed when it came: everything that was acknowledged to anybody.
    behind: Zxid,
    asked: ClientSync,
}

impl Leading {
    /// A leader whose proposals follow `last`.
    pub(super) fn new(last: Zxid, since_ms: i64) -> Self {
        Self {
            since_ms,
            window: Window::new(last),
            owners: HashMap::default(),
            syncs: VecDeque::new(),
            learners_syncs: VecDeque::new(),
            last_ticket: 0,
            streams: 0,
            draining: false,
            reconfig: None,
            ids: None,
        }
    }

    /// Adds what is known here.
    pub(super) fn numbers(&self, numbers: LeaderNumbers) -> LeaderNumbers {
        let pending_syncs = self.syncs.len() + self.learners_syncs.len();
        LeaderNumbers { pending_syncs, ..numbers }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    pub(super) fn drain(&mut self) {
        self.draining = true;
    }

    /// A configuration is prepared. Where it does without this server as the leader, nothing is
    /// proposed behind it.
    pub(super) fn reconfigure(&mut self, next: Configuration, leads_on: bool) {
        self.reconfig = Some(next);
        self.draining |= !leads_on;
    }

    /// Whether a configuration is prepared that the state machines do not know of yet.
    pub(super) fn is_reconfiguring(&self) -> bool {
        self.reconfig.is_some()
    }

    /// Whether a session's writes may come from a client of this server. A local session, which
    /// the tracker does not know, is at one server only.
    pub(super) fn is_here(&mut self, session: SessionId, tracker: &Tracker) -> bool {
        self.is_at(session, Owner::Here, tracker)
    }

    fn is_at(&mut self, session: SessionId, owner: Owner, tracker: &Tracker) -> bool {
        match self.owners.get(&session) {
            Some(known) => *known == owner,
            None if tracker.state(session).is_none() => true,
            None => {
                self.owners.insert(session, owner);
                true
            }
        }
    }

    /// A client of this server has the session.
    pub(super) fn moved_here(&mut self, session: SessionId) {
        self.owners.insert(session, Owner::Here);
    }

    pub(super) fn session_ended(&mut self, session: SessionId) {
        self.owners.remove(&session);
    }

    pub(super) fn stream_began(&mut self) {
        self.streams += 1;
    }

    pub(super) fn stream_ended(&mut self) {
        self.streams = self.streams.saturating_sub(1);
    }

    /// Lets proposals go that nobody needs any more.
    pub(super) fn prune(&mut self, applied: Zxid) {
        self.window.prune(applied, if self.streams > 0 { KEPT_BYTES } else { 0 });
    }

    /// Syncs of clients of this server that were not answered.
    pub(super) fn take_syncs(&mut self) -> Vec<ClientSync> {
        std::mem::take(&mut self.syncs).into_iter().map(|sync| sync.asked).collect()
    }

    /// Who asks. Where no ACL is checked, that goes for what comes from a ZooKeeper server, too, which
    /// leaves it to its leader.
    fn identities(&mut self, ids: Ids<'_>, skip_acl: bool) -> Arc<[Id]> {
        let raw = ids.raw().unwrap_or_default();
        if let Some((of, known)) = &self.ids
            && of == raw
        {
            return known.clone();
        }
        let mut known = ids.to_vec();
        if skip_acl {
            known.push(Id::new(SUPER, ""));
        }
        let known: Arc<[Id]> = known.into();
        self.ids = Some((Bytes::copy_from_slice(raw), known.clone()));
        known
    }
}

impl Core {
    /// A packet of a learner that is none of ZAB's business.
    pub(super) fn learner_packet(
        &mut self,
        shared: &Shared,
        wall_ms: i64,
        link: LinkId,
        packet: &Packet<'_>,
        bytes: &Bytes,
    ) {
        let Duty::Leading(leading) = &mut self.duty else {
            return self.relay(link, packet);
        };
        if leading.draining {
            // The learner asks the next leader once more.
            return;
        }
        match packet {
            Packet::Request { op: OpCode::Sync, .. } => {
                self.add_sync(shared, wall_ms, |leading, ticket, _| {
                    leading.learners_syncs.push_back((ticket, link));
                });
            }
            Packet::Request { session, cxid, op, body, ids } => {
                let auth = leading.identities(*ids, shared.settings.auth.skip_acl);
                let request = Request {
                    session: *session,
                    conn: ConnId::NONE,
                    xid: *cxid,
                    op: *op,
                    body: bytes.slice_ref(body),
                    auth,
                    is_local: false,
                };
                self.learner_request(shared, wall_ms, link, &request);
            }
            Packet::Revalidate { session, timeout_ms } => {
                self.learner_revalidates(shared, link, *session, *timeout_ms);
            }
            _ => debug!(?link, "a learner sent what only leaders send"),
        }
    }

    fn learner_request(&mut self, shared: &Shared, wall_ms: i64, link: LinkId, request: &Request) {
        let Duty::Leading(leading) = &mut self.duty else { return };
        let is_write = matches!(request::classify(request.op.wire()), Class::Write(_));
        let opens = request.op == OpCode::CreateSession && request.body.len() == 4;
        if !is_write && !opens {
            debug!(?link, op = %request.op, "a learner asked for what is no write");
            return;
        }
        let arrival = Arrival::at(shared.clock.now_us());
        let owner = Owner::Learner(link);
        if opens {
            leading.owners.insert(request.session, owner);
            // An upgraded session is used before its transaction is applied.
            let timeout_ms = Decoder::new(&request.body).int().expect("four bytes");
            self.sessions.open(request.session, timeout_ms, shared.clock.now_ms());
        } else if !leading.is_at(request.session, owner, &self.sessions) {
            self.prepare_moved(shared, wall_ms, request, Waits::Nobody, arrival);
            return;
        }
        let tree = shared.tree.read();
        self.prepare(shared, &tree, wall_ms, request, Waits::Nobody, arrival);
    }

    /// A client came with its session to a learner.
    fn learner_revalidates(
        &mut self,
        shared: &Shared,
        link: LinkId,
        session: SessionId,
        timeout_ms: i32,
    ) {
        let valid = self.sessions.state(session) == Some(State::Open);
        if valid {
            self.sessions.open(session, timeout_ms, shared.clock.now_ms());
            if let Duty::Leading(leading) = &mut self.duty {
                leading.owners.insert(session, Owner::Learner(link));
            }
            if let Some(conn) = shared.conns.of_session(session) {
                conn.outbox.end(End::Now);
            }
        }
        self.send(link, |out| Packet::Revalidated { session, valid }.encode(out));
    }

    /// A client of this server asks for a sync.
    pub(super) fn add_client_sync(&mut self, shared: &Shared, sync: ClientSync) {
        let wall_ms = shared.clock.wall_ms();
        self.add_sync(shared, wall_ms, |leading, ticket, behind| {
            leading.syncs.push_back(Sync { ticket, behind, asked: sync });
        });
    }

    /// Asks for the proof that this server leads, for a sync that is behind what is committed.
    fn add_sync(
        &mut self,
        shared: &Shared,
        wall_ms: i64,
        add: impl FnOnce(&mut Leading, u64, Zxid),
    ) {
        let behind = self.committed;
        let Duty::Leading(leading) = &mut self.duty else { return };
        leading.last_ticket += 1;
        let ticket = leading.last_ticket;
        add(leading, ticket, behind);
        self.zab(shared, wall_ms, zab::Input::Confirm { ticket });
    }

    /// This server led when this ticket was asked for, or later. A learner has been sent everything
    /// that was committed when it asked, and is answered before what is committed next.
    pub(super) fn confirmed(&mut self, shared: &Shared, ticket: u64) {
        while let Duty::Leading(leading) = &mut self.duty
            && let Some((_, link)) =
                leading.learners_syncs.pop_front_if(|(asked, _)| *asked <= ticket)
        {
            self.send(link, |out| Packet::Synced.encode(out));
        }
        if let Duty::Leading(leading) = &mut self.duty {
            while let Some(sync) = leading.syncs.pop_front_if(|sync| sync.ticket <= ticket) {
                self.proved_syncs.push_back((sync.behind, sync.asked));
            }
        }
        self.answer_syncs(shared);
    }

    /// Has what was prepared proposed to the learners.
    pub(super) fn propose(&mut self, shared: &Shared) {
        if let Duty::Leading(leading) = &mut self.duty
            && let Some((last, count)) = leading.window.close_chunk()
        {
            let wall_ms = shared.clock.wall_ms();
            let reconfig = leading.reconfig.take();
            self.zab(shared, wall_ms, zab::Input::Proposed { last, count, reconfig });
        }
    }

    /// Begins to lead: everything in the log is committed.
    pub(super) fn begin_leading(&mut self, shared: &Shared, wall_ms: i64, epoch: u32) {
        self.committed = self.outgoing.last_zxid();
        self.apply_initial_history(shared);
        self.outgoing.begin_term();
        let tick_ms = shared.tick_ms();
        let now_ms = shared.clock.now_ms();
        let tree = shared.tree.read();
        self.preparer.begin_epoch(&tree, epoch);
        self.sessions = Tracker::new(tick_ms);
        for (&session, &timeout_ms) in tree.sessions() {
            self.sessions.open(session, timeout_ms, now_ms);
        }
        self.duty = Duty::Leading(Box::new(Leading::new(self.outgoing.last_zxid(), now_ms)));
        drop(tree);
        let mut syncs = self.take_pending_syncs();
        for (number, pending) in self.forwarded.take() {
            while let Some(sync) = syncs.pop_front_if(|sync| sync.number < number) {
                self.ask_for_sync(shared, sync);
            }
            if matches!(&self.duty, Duty::Leading(leading) if leading.is_draining()) {
                // One of them has brought a configuration that does without this server.
                self.forwarded.put_back(number, pending);
                continue;
            }
            let tree = shared.tree.read();
            self.take_up(shared, &tree, wall_ms, pending);
        }
        for sync in syncs {
            self.ask_for_sync(shared, sync);
        }
        self.admit_early(shared, wall_ms);
    }

    /// Prepares what a client of this server had asked for before it led.
    fn take_up(&mut self, shared: &Shared, tree: &Tree, wall_ms: i64, pending: Pending) {
        match pending {
            Pending::Write { conn, request, arrival } => {
                let waits = Waits::Reply(conn);
                self.prepare_in_place(shared, tree, wall_ms, &request, waits, arrival);
            }
            Pending::Open { conn, request, timeout_ms, read_only } => {
                let waits = Waits::Session { conn, timeout_ms, read_only };
                let arrival = Arrival::at(shared.clock.now_us());
                self.prepare(shared, tree, wall_ms, &request, waits, arrival);
            }
            Pending::Upgrade { request, timeout_ms } => {
                self.propose_upgrade(shared, tree, wall_ms, &request, timeout_ms);
            }
        }
    }
}
