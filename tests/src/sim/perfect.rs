//! A server alone that executes everything at once: to test clients, network and checks with, and
//! nothing else. What it answers comes from the server's own modules.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{Buf, Bytes, BytesMut};
use quorate_protocol::{
    Decode, Encode, OpCode, SessionId, Xid, Zxid, frame,
    record::{ConnectRequest, ConnectResponse, RequestHeader},
};
use quorate_server::{
    request::{
        Class, Prepared, Preparer, Request, Settings, classify, frame::put_event, read, reply,
    },
    session::{Passwords, SessionIds, State, Tracker},
    tree::Tree,
    txn::{Txn, TxnRecord},
    watch::{ConnId, WatchTable},
};

use super::{
    check::Role,
    disk::Disk,
    network::StreamId,
    plan::Plan,
    queue::{MILLI, Micros},
    server::{Command, Found, Input, Report, Server},
    world::Factory,
};

/// Starts such servers, which are to be one in a world.
#[derive(Debug)]
pub(super) struct Alone;

impl Factory for Alone {
    fn start(
        &self,
        plan: &Plan,
        _: usize,
        _: &Disk,
        local: Micros,
        seed: u64,
    ) -> Result<(Box<dyn Server>, Found), String> {
        let tree = Tree::new(seed);
        let found = Found {
            log: Vec::new(),
            floor: Zxid::ZERO,
            applied: Zxid::ZERO,
            digest: tree.digest(),
            accepted_epoch: 0,
            current_epoch: 0,
            in_force: Zxid::ZERO,
            is_incomplete: false,
        };
        let server = Perfect {
            preparer: Preparer::new(Settings::default(), &tree, seed),
            watches: WatchTable::new(seed),
            sessions: Tracker::new(plan.tick_ms),
            ids: SessionIds::new(1, local / MILLI),
            conns: BTreeMap::new(),
            reports: vec![Report::Became(Role::Leading { epoch: 0 })],
            local,
            tree,
        };
        Ok((Box::new(server), found))
    }
}

#[derive(Debug, Default)]
struct Conn {
    session: Option<SessionId>,
    input: BytesMut,
    output: BytesMut,
    is_over: bool,
}

#[derive(Debug)]
struct Perfect {
    tree: Tree,
    preparer: Preparer,
    watches: WatchTable,
    sessions: Tracker,
    ids: SessionIds,
    conns: BTreeMap<StreamId, Conn>,
    reports: Vec<Report>,
    local: Micros,
}

impl Server for Perfect {
    fn step(&mut self, local: Micros, input: Input, commands: &mut Vec<Command>) {
        self.local = local;
        match input {
            Input::Tick => {
                for session in self.sessions.expired(local / MILLI) {
                    self.write(&Request::expire_session(session), None);
                }
            }
            Input::ClientCame { stream } => {
                self.conns.insert(stream, Conn::default());
                self.watches.add_connection(conn_id(stream));
            }
            Input::Bytes { stream, bytes } => self.receive(stream, &bytes),
            Input::Closed { stream } => self.forget(stream),
            _ => {}
        }
        self.send(commands);
    }

    fn report(&mut self, reports: &mut Vec<Report>) {
        reports.append(&mut self.reports);
    }
}

impl Perfect {
    fn receive(&mut self, stream: StreamId, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(&stream) else { return };
        conn.input.extend_from_slice(bytes);
        while let Some(payload) = self.next_frame(stream) {
            match self.conns[&stream].session {
                None => self.connect(stream, &payload),
                Some(session) => self.request(stream, session, payload),
            }
        }
    }

    fn next_frame(&mut self, stream: StreamId) -> Option<Bytes> {
        let input = &mut self.conns.get_mut(&stream)?.input;
        let length = frame::peek_frame(input, 1 << 20).ok()??.len();
        input.advance(4);
        Some(input.split_to(length).freeze())
    }

    fn connect(&mut self, stream: StreamId, payload: &[u8]) {
        let request = ConnectRequest::from_bytes(payload).expect("clients connect properly");
        let (mut session, timeout_ms) = (request.session_id, request.timeout_ms);
        let now_ms = self.local / MILLI;
        let is_new = session == SessionId::NONE;
        let passwords = Passwords::ZooKeeper;
        if is_new {
            session = self.ids.next(|_| false);
            let opening = Request::create_session(session, conn_id(stream), timeout_ms);
            self.write(&opening, None);
            self.sessions.open(session, timeout_ms, now_ms);
        }
        let may = self.sessions.state(session) == Some(State::Open)
            && (is_new || passwords.verify(session, request.passwd));
        let response = if may {
            self.sessions.touch(session, now_ms);
            let its = self.conns.values_mut().filter(|conn| conn.session == Some(session));
            its.for_each(|conn| conn.is_over = true);
            ConnectResponse {
                protocol_version: 0,
                timeout_ms,
                session_id: session,
                passwd: passwords.of(session),
                read_only: Some(false),
            }
        } else {
            ConnectResponse::refusal(Some(false))
        };
        let conn = self.conns.get_mut(&stream).expect("it has just sent something");
        conn.session = may.then_some(session);
        conn.is_over = !may;
        frame::put_frame(&mut conn.output, |out| response.encode(out));
    }

    fn request(&mut self, stream: StreamId, session: SessionId, mut payload: Bytes) {
        self.sessions.touch(session, self.local / MILLI);
        let header = RequestHeader::from_bytes(&payload[..RequestHeader::SIZE]);
        let header = header.expect("clients send whole requests");
        payload.advance(RequestHeader::SIZE);
        let (conn, xid, body) = (conn_id(stream), header.xid, payload);
        match classify(header.op) {
            Class::Read(op) => {
                let request =
                    Request { session, conn, xid, op, body, auth: Arc::from([]), is_local: false };
                let output = &mut self.conns.get_mut(&stream).expect("it is there").output;
                read::execute(&self.tree, &self.watches, &request.as_read(), output);
            }
            Class::Write(op) => {
                let request =
                    Request { session, conn, xid, op, body, auth: Arc::from([]), is_local: false };
                self.write(&request, Some((stream, xid)));
            }
            class => unreachable!("no workload has {class:?}"),
        }
    }

    fn write(&mut self, request: &Request, answer: Option<(StreamId, Xid)>) {
        let mut bytes = BytesMut::new();
        let now_ms = self.local / MILLI;
        let Prepared::Logged(zxid) = self.preparer.prepare(&self.tree, now_ms, request, &mut bytes)
        else {
            unreachable!("workloads can be decoded")
        };
        let record = TxnRecord::from_bytes(&bytes).expect("it was just prepared");
        let (conns, watches) = (&mut self.conns, &self.watches);
        let outcome = self.tree.apply(&record, &mut |change| {
            watches.trigger(&change, |event, told| {
                for conn in told {
                    let conn = conns.get_mut(&StreamId(conn.0)).expect("only these watch");
                    put_event(&mut conn.output, event.zxid, event.kind, event.path);
                }
            });
        });
        self.preparer.applied(zxid);
        let txn = bytes.to_vec();
        self.reports.push(Report::Logged { zxid, txn: txn.clone() });
        self.reports.push(Report::Delivered { zxid, txn });
        self.reports.push(Report::State { applied: zxid, digest: self.tree.digest() });
        if let Txn::CloseSession(_) = record.txn {
            self.sessions.remove(request.session);
            let its = self.conns.values_mut().filter(|c| c.session == Some(request.session));
            its.for_each(|conn| conn.is_over = true);
        }
        if let Some((stream, _)) = answer
            && let Some(conn) = self.conns.get_mut(&stream)
        {
            reply::put(&record, &outcome, &mut conn.output);
            conn.is_over |= request.op == OpCode::CloseSession;
        }
    }

    fn forget(&mut self, stream: StreamId) {
        self.conns.remove(&stream);
        self.watches.remove_connection(conn_id(stream));
    }

    fn send(&mut self, commands: &mut Vec<Command>) {
        for (&stream, conn) in &mut self.conns {
            if !conn.output.is_empty() {
                let bytes = conn.output.split().to_vec();
                commands.push(Command::Send { stream, bytes });
            }
            if conn.is_over {
                commands.push(Command::Close { stream });
            }
        }
        let over = self.conns.iter().filter(|(_, conn)| conn.is_over);
        let over: Vec<_> = over.map(|(&stream, _)| stream).collect();
        for stream in over {
            self.forget(stream);
        }
    }
}

fn conn_id(stream: StreamId) -> ConnId {
    ConnId(stream.0)
}
