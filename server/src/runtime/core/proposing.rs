//! From a request to a transaction in the batch being built.

use bytes::BytesMut;
use quorate_protocol::{ErrorCode, OpCode};

use super::{Core, Duty, Waiting};
use crate::{
    request::{self, Prepared, Preparer, Request},
    runtime::{
        Behind,
        batch::{Entry, Waits},
        pipeline::Arrival,
        shared::Shared,
    },
    tree::Tree,
    zab::{LinkInfo, Member},
};

impl Core {
    /// Prepares what the server itself asks for.
    pub(super) fn prepare_own(
        &mut self,
        shared: &Shared,
        tree: &Tree,
        wall_ms: i64,
        request: &Request,
    ) {
        let arrival = Arrival::at(shared.clock.now_us());
        self.prepare(shared, tree, wall_ms, request, Waits::Nobody, arrival);
    }

    /// Adds the request's transaction to the batch being built.
    pub(super) fn prepare(
        &mut self,
        shared: &Shared,
        tree: &Tree,
        wall_ms: i64,
        request: &Request,
        waits: Waits,
        arrival: Arrival,
    ) {
        if request.op == OpCode::CloseSession {
            self.sessions.start_closing(request.session);
        }
        let asking = Asking { request, waits, arrival, has_place: false };
        let refused = self.add_prepared(shared, tree, wall_ms, asking);
        if let Some(refused) = refused {
            self.behind(shared, tree, refused);
        }
    }

    /// As [`Self::prepare`], for a leader's client whose write has its place in the connection's
    /// order already.
    pub(super) fn prepare_in_place(
        &mut self,
        shared: &Shared,
        tree: &Tree,
        wall_ms: i64,
        request: &Request,
        waits: Waits,
        arrival: Arrival,
    ) {
        if request.op == OpCode::CloseSession {
            self.sessions.start_closing(request.session);
        }
        let asking = Asking { request, waits, arrival, has_place: true };
        let refused = self.add_prepared(shared, tree, wall_ms, asking);
        debug_assert!(refused.is_none(), "a leader logs every refusal");
    }

    /// Refuses a write of a session that is another server's by now.
    pub(super) fn prepare_moved(
        &mut self,
        shared: &Shared,
        wall_ms: i64,
        request: &Request,
        waits: Waits,
        arrival: Arrival,
    ) {
        let asking = Asking { request, waits, arrival, has_place: false };
        let refused = self.add(shared, asking, |preparer, out| {
            preparer.refuse(ErrorCode::SessionMoved, wall_ms, request, out)
        });
        debug_assert!(refused.is_none(), "it is logged");
    }

    fn add_prepared(
        &mut self,
        shared: &Shared,
        tree: &Tree,
        wall_ms: i64,
        asking: Asking<'_>,
    ) -> Option<Waiting> {
        let request = asking.request;
        if request.op == OpCode::Reconfig {
            return self.add_reconfig(shared, tree, wall_ms, asking);
        }
        self.add(shared, asking, |preparer, out| preparer.prepare(tree, wall_ms, request, out))
    }

    /// Another configuration of the ensemble.
    fn add_reconfig(
        &mut self,
        shared: &Shared,
        tree: &Tree,
        wall_ms: i64,
        asking: Asking<'_>,
    ) -> Option<Waiting> {
        let (Some(ensemble), Some(settings)) = (&self.ensemble, &shared.settings.ensemble) else {
            let request = asking.request;
            return self.add(shared, asking, |preparer, out| {
                preparer.prepare(tree, wall_ms, request, out)
            });
        };
        let configs = ensemble.zab.configs().clone();
        // One that is to be an observer by now is about to leave and to come back as such.
        let is_follower = |link: &LinkInfo| {
            link.synced
                && link.member == Member::Participant
                && configs.member(link.server) == Member::Participant
        };
        let followers: Vec<_> = ensemble.zab.links().into_iter().filter(is_follower).collect();
        let view = request::Ensemble {
            configs: &configs,
            is_prepared: matches!(&self.duty, Duty::Leading(leading) if leading.is_reconfiguring()),
            synced: followers.iter().map(|link| link.server).chain([settings.me]).collect(),
            standalone_enabled: settings.standalone_enabled,
            multi_address: settings.multi_address,
        };
        let request = asking.request;
        let refused = self.add(shared, asking, |preparer, out| {
            preparer.prepare_in(Some(&view), tree, wall_ms, request, out)
        });
        if let (Some(next), Duty::Leading(leading)) =
            (self.preparer.take_reconfigured(), &mut self.duty)
        {
            let leads_on = configs.may_lead_on(settings.me, &next);
            leading.reconfigure(next, leads_on);
        }
        refused
    }

    /// Adds what `prepare` makes of a request; gives back who asked when that is nothing.
    fn add(
        &mut self,
        shared: &Shared,
        asking: Asking<'_>,
        prepare: impl FnOnce(&mut Preparer, &mut BytesMut) -> Prepared,
    ) -> Option<Waiting> {
        let Asking { request, waits, arrival, has_place } = asking;
        let building = self.outgoing.building(|| shared.clock.now_us());
        let preparer = &mut self.preparer;
        let window = match &mut self.duty {
            Duty::Leading(leading) => Some(&mut leading.window),
            _ => None,
        };
        let prepared = building.log.try_push(|out| {
            let start = out.len();
            match prepare(preparer, out) {
                Prepared::Logged(zxid) => {
                    if let Some(window) = window {
                        window.push(zxid, &out[start..]);
                    }
                    Ok(zxid)
                }
                Prepared::Refused(code) => Err(code),
            }
        });
        match (prepared, waits) {
            (Ok(()), waits) => {
                if let Waits::Reply(conn) = &waits
                    && !has_place
                {
                    self.order.push_write(conn.id);
                }
                building.entries.push(Entry {
                    waits,
                    op: request.op,
                    xid: request.xid,
                    arrival,
                    owns_nothing: false,
                });
                self.outgoing.added(Some(self.preparer.last_zxid()));
                None
            }
            (Err(code), Waits::Reply(conn)) => {
                let item = Behind::Empty { op: request.op, xid: request.xid, code };
                Some(Waiting { conn, item, arrival })
            }
            (Err(_), _) => None,
        }
    }
}

/// A request for a transaction.
struct Asking<'a> {
    request: &'a Request,
    waits: Waits,
    arrival: Arrival,
    /// The connection's order knows of it.
    has_place: bool,
}
