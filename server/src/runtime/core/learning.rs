//! A learner: what it asks its leader for its clients.

use std::collections::{BTreeMap, VecDeque};

use bytes::BytesMut;
use quorate_protocol::{Encode, OpCode, SessionId};
use tracing::debug;

use super::{
    ClientSync, Core, Duty, clients::refuse_session, ensemble::Ensemble, forwarded::Pending,
};
use crate::{
    net::End,
    peer::packet::{self, HeardSessions, Packet},
    request::Request,
    runtime::{
        Behind, Input,
        pipeline::{Opening, Reopening},
        shared::{Duty as SharedDuty, Shared},
    },
    tree::Tree,
    zab::{LinkId, Member},
};

/// What a learner keeps while it has a leader.
pub(super) struct Learning {
    pub(super) link: LinkId,
    member: Member,
    /// Syncs that the leader was asked for; it answers them in order.
    syncs_asked: VecDeque<Asked<ClientSync>>,
    /// Clients that came with their sessions, until the leader says whether those are valid.
    revalidating: BTreeMap<SessionId, VecDeque<Asked<Reopening>>>,
    /// Sessions heard of since the leader was told last, with their timeouts.
    touched: BTreeMap<SessionId, i32>,
}

/// What the leader was asked for.
pub(super) enum Asked<T> {
    /// By a client of this server.
    Here(T),
    /// By an observer that learns from this server.
    Observer(LinkId),
}

impl<T> Asked<T> {
    fn here(self) -> Option<T> {
        match self {
            Self::Here(asked) => Some(asked),
            Self::Observer(_) => None,
        }
    }
}

impl Learning {
    pub(super) fn new(link: LinkId, member: Member) -> Self {
        Self {
            link,
            member,
            syncs_asked: VecDeque::new(),
            revalidating: BTreeMap::new(),
            touched: BTreeMap::new(),
        }
    }

    pub(super) fn shown(&self) -> SharedDuty {
        match self.member {
            Member::Participant => SharedDuty::Following,
            Member::Observer => SharedDuty::Observing,
        }
    }

    /// Notes which sessions were heard of, for the leader.
    pub(super) fn touched(
        &mut self,
        sessions: &[(SessionId, i64)],
        tree: &Tree,
        upgrading: &BTreeMap<SessionId, i32>,
    ) {
        for (session, _) in sessions {
            let known = tree.sessions().get(session).or_else(|| upgrading.get(session));
            if let Some(&timeout_ms) = known {
                self.touched.insert(*session, timeout_ms);
            }
        }
    }

    /// Asks the leader for a sync.
    fn ask(&mut self, ensemble: &mut Ensemble, sync: ClientSync) {
        if let Behind::Read(request) = &sync.waiting.item {
            ensemble.send(self.link, |out| put_request(out, request));
        }
        self.syncs_asked.push_back(Asked::Here(sync));
    }

    /// Takes what is not answered, in order: syncs, and clients with their sessions.
    pub(super) fn take_unanswered(&mut self) -> (Vec<ClientSync>, Vec<Reopening>) {
        let syncs = std::mem::take(&mut self.syncs_asked);
        let revalidating = std::mem::take(&mut self.revalidating).into_values().flatten();
        let syncs = syncs.into_iter().filter_map(Asked::here).collect();
        (syncs, revalidating.filter_map(Asked::here).collect())
    }
}

impl Core {
    /// Has the leader do something for a client; kept until there is one.
    pub(super) fn forward(&mut self, pending: Pending) {
        if let Duty::Learning(learning) = &self.duty {
            let link = learning.link;
            self.send(link, |out| put_request(out, pending.request()));
        }
        self.forwarded.push(pending);
    }

    /// Asks the leader for a sync; kept until there is one.
    pub(super) fn ask_for_sync(&mut self, shared: &Shared, sync: ClientSync) {
        match (&mut self.duty, &mut self.ensemble) {
            (Duty::Leading(leading), _) if !leading.is_draining() => {
                self.add_client_sync(shared, sync);
            }
            (Duty::Learning(learning), Some(ensemble)) => learning.ask(ensemble, sync),
            _ => self.pending_syncs.push(sync),
        }
    }

    /// Asks the leader whether a client's session is valid.
    pub(super) fn revalidate(&mut self, shared: &Shared, reopening: Reopening) {
        let Duty::Learning(learning) = &mut self.duty else { return };
        let session = reopening.session;
        let timeout_ms = reopening.opening.timeout_ms;
        let link = learning.link;
        learning.revalidating.entry(session).or_default().push_back(Asked::Here(reopening));
        shared.stats.revalidate_count.add(1);
        self.send(link, |out| Packet::Revalidate { session, timeout_ms }.encode(out));
    }

    /// A packet of the leader that is none of ZAB's business.
    pub(super) fn leader_packet(&mut self, shared: &Shared, packet: &Packet<'_>) {
        let Duty::Learning(learning) = &mut self.duty else { return };
        match packet {
            Packet::Synced => {
                match learning.syncs_asked.pop_front() {
                    Some(Asked::Here(sync)) => {
                        self.proved_syncs.push_back((self.committed, sync));
                        self.answer_syncs(shared);
                    }
                    // It has been sent everything committed before.
                    Some(Asked::Observer(link)) => {
                        self.send(link, |out| Packet::Synced.encode(out));
                    }
                    None => {}
                }
            }
            Packet::Revalidated { session, valid } => {
                self.revalidated(shared, *session, *valid);
            }
            _ => {}
        }
    }

    fn revalidated(&mut self, shared: &Shared, session: SessionId, valid: bool) {
        let Duty::Learning(learning) = &mut self.duty else { return };
        let Some(waiting) = learning.revalidating.get_mut(&session) else { return };
        let asked = waiting.pop_front();
        if waiting.is_empty() {
            learning.revalidating.remove(&session);
        }
        let opening = match asked {
            Some(Asked::Here(Reopening { opening, .. })) => opening,
            Some(Asked::Observer(link)) => {
                if valid && let Some(conn) = shared.conns.of_session(session) {
                    // Its client is at that observer now.
                    conn.outbox.end(End::Now);
                }
                return self.send(link, |out| Packet::Revalidated { session, valid }.encode(out));
            }
            None => return,
        };
        let Opening { conn, timeout_ms, read_only, .. } = opening;
        if valid {
            self.attach(shared, &conn, session, timeout_ms, read_only);
        } else {
            refuse_session(&conn, read_only.map(|_| false));
        }
    }

    /// An observer asks for what only the leader can do; what it answers goes back.
    pub(super) fn relay(&mut self, from: LinkId, packet: &Packet<'_>) {
        let Duty::Learning(learning) = &mut self.duty else { return };
        match *packet {
            Packet::Request { op: OpCode::Sync, .. } => {
                learning.syncs_asked.push_back(Asked::Observer(from));
            }
            Packet::Request { .. } => {}
            Packet::Revalidate { session, .. } => {
                learning.revalidating.entry(session).or_default().push_back(Asked::Observer(from));
            }
            _ => return debug!(?from, "an observer sent what only leaders send"),
        }
        let link = learning.link;
        self.send(link, |out| packet.encode(out));
    }

    /// An observer has heard of sessions.
    pub(super) fn observer_heard(&mut self, sessions: HeardSessions<'_>) {
        if let Duty::Learning(learning) = &mut self.duty {
            learning.touched.extend(sessions);
        }
    }

    /// Answers the syncs that a leader has answered, as far as that is applied here.
    pub(super) fn answer_syncs(&mut self, shared: &Shared) {
        let applied = self.applied;
        while let Some((_, sync)) = self.proved_syncs.pop_front_if(|(upto, _)| *upto <= applied) {
            let tree = shared.tree.read();
            self.finish_sync(shared, &tree, sync.waiting);
        }
    }

    /// Answers the leader's ping with the sessions heard of.
    pub(super) fn answer_ping(&mut self, link: LinkId, round: i64) {
        let Duty::Learning(learning) = &mut self.duty else { return };
        let touched = std::mem::take(&mut learning.touched);
        self.send(link, |out| packet::put_ping_answer(out, round, touched.into_iter()));
    }

    /// Begins to serve clients with a leader's help.
    pub(super) fn begin_learning(
        &mut self,
        shared: &Shared,
        wall_ms: i64,
        link: LinkId,
        member: Member,
    ) {
        self.apply_initial_history(shared);
        self.outgoing.begin_term();
        let mut learning = Learning::new(link, member);
        let mut syncs = self.take_pending_syncs();
        if let Some(ensemble) = &mut self.ensemble {
            for (number, pending) in self.forwarded.in_order() {
                while let Some(sync) = syncs.pop_front_if(|sync| sync.number < *number) {
                    learning.ask(ensemble, sync);
                }
                ensemble.send(link, |out| put_request(out, pending.request()));
            }
            for sync in syncs {
                learning.ask(ensemble, sync);
            }
        }
        self.duty = Duty::Learning(learning);
        self.admit_early(shared, wall_ms);
    }

    /// The syncs that were not answered before, in the order in which clients asked.
    pub(super) fn take_pending_syncs(&mut self) -> VecDeque<ClientSync> {
        let mut syncs = std::mem::take(&mut self.pending_syncs);
        syncs.sort_unstable_by_key(|sync| sync.number);
        syncs.into()
    }

    /// Keeps what was asked of a leader for the next one.
    pub(super) fn keep_unanswered(&mut self) {
        match &mut self.duty {
            Duty::Learning(learning) => {
                let (syncs, reopenings) = learning.take_unanswered();
                self.pending_syncs.extend(syncs);
                self.early.extend(reopenings.into_iter().map(Input::Reopen));
            }
            Duty::Leading(leading) => self.pending_syncs.extend(leading.take_syncs()),
            Duty::Alone | Duty::Looking { .. } | Duty::ReadOnly => {}
        }
    }
}

fn put_request(out: &mut BytesMut, request: &Request) {
    let Request { session, xid, op, body, auth, .. } = request;
    packet::put_request(out, *session, *xid, *op, body, auth);
}
