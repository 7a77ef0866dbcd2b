//! Client connections, through the server's own handshake and handling of requests.

use std::{collections::BTreeMap, sync::Arc};

use bytes::BytesMut;
use quorate_server::{
    net::{
        Conn, End, Requests,
        handshake::{self, Beginning, Outcome},
        listener,
    },
    runtime::Shared,
    watch::ConnId,
};

use super::plant::{Misheard, Plant};
use super::settings;
use crate::sim::{network::StreamId, server::Command};

/// All clients of a server.
pub(super) struct Clients {
    plant: Plant,
    all: BTreeMap<StreamId, Client>,
}

struct Client {
    conn: Arc<Conn>,
    /// In a server that has a mistake.
    misheard: Option<Misheard>,
    stage: Stage,
}

enum Stage {
    /// Its connect record has not come whole.
    New(BytesMut),
    /// It was asked for a session; more may have come meanwhile.
    Waiting(BytesMut),
    Serving(Box<Requests>),
    /// There is nothing more to say, and its connection is to be closed.
    Over,
}

impl Clients {
    /// None yet, of a server with this mistake.
    pub(super) fn new(plant: Plant) -> Self {
        Self { plant, all: BTreeMap::new() }
    }

    /// Somebody has connected.
    pub(super) fn came(&mut self, shared: &Shared, stream: StreamId, commands: &mut Vec<Command>) {
        // Where a client is does not matter; nobody counts them.
        let id = ConnId(stream.0);
        match listener::admit(shared, id, settings::address(0)) {
            Some(conn) => {
                let misheard = self.plant.concerns_clients().then(|| Misheard::new(self.plant));
                let stage = Stage::New(BytesMut::new());
                self.all.insert(stream, Client { conn, misheard, stage });
            }
            None => commands.push(Command::Close { stream }),
        }
    }

    /// Bytes have come, if this is one of these connections.
    pub(super) fn receive(&mut self, stream: StreamId, bytes: &[u8]) {
        let Some(client) = self.all.get_mut(&stream) else { return };
        let heard = client.misheard.as_mut().map(|misheard| misheard.hear(bytes));
        let bytes = heard.as_deref().unwrap_or(bytes);
        match &mut client.stage {
            Stage::New(input) | Stage::Waiting(input) => input.extend_from_slice(bytes),
            Stage::Serving(requests) => requests.receive(bytes),
            Stage::Over => {}
        }
    }

    /// A connection has ended, if it is one of these.
    pub(super) fn closed(&mut self, shared: &Shared, stream: StreamId) {
        if let Some(client) = self.all.remove(&stream) {
            listener::dismiss(shared, client.conn);
        }
    }

    /// Lets each go on as far as it can; whether any has.
    pub(super) fn advance(&mut self, shared: &Arc<Shared>, commands: &mut Vec<Command>) -> bool {
        let mut has_advanced = false;
        let mut over = Vec::new();
        for (&stream, client) in &mut self.all {
            while client.advance(shared, stream, self.plant, commands) {
                has_advanced = true;
            }
            if matches!(client.stage, Stage::Over) {
                over.push(stream);
            }
        }
        for stream in over {
            commands.push(Command::Close { stream });
            self.closed(shared, stream);
        }
        has_advanced
    }
}

impl Client {
    /// Goes on by a bit; false when it has to wait.
    fn advance(
        &mut self,
        shared: &Arc<Shared>,
        stream: StreamId,
        plant: Plant,
        commands: &mut Vec<Command>,
    ) -> bool {
        match &mut self.stage {
            Stage::New(input) => {
                self.stage = match handshake::begin(shared, &self.conn, input) {
                    Ok(Beginning::Incomplete) if self.conn.outbox.ended().is_none() => {
                        return false;
                    }
                    Ok(Beginning::Asked) => Stage::Waiting(std::mem::take(input)),
                    Ok(Beginning::Incomplete | Beginning::Word(_)) | Err(_) => Stage::Over,
                };
            }
            Stage::Waiting(input) => {
                self.stage = match handshake::outcome(&self.conn) {
                    Outcome::Waiting => return false,
                    Outcome::Session(session) => {
                        let (conn, input) = (self.conn.clone(), std::mem::take(input));
                        let requests = Requests::new(shared.clone(), conn, session, input);
                        Stage::Serving(Box::new(requests))
                    }
                    Outcome::Refused(answer) => {
                        commands.push(Command::Send { stream, bytes: answer.to_vec() });
                        Stage::Over
                    }
                    Outcome::CutOff => Stage::Over,
                };
            }
            Stage::Serving(requests) => {
                let end = requests.collect();
                let has_sent = !requests.out.is_empty() && end != Some(End::Now);
                if has_sent {
                    let bytes = plant.answers(requests.out.split());
                    commands.push(Command::Send { stream, bytes });
                }
                if end.is_some() || requests.handle().is_err() {
                    self.stage = Stage::Over;
                    return true;
                }
                return has_sent || !requests.out.is_empty();
            }
            Stage::Over => return false,
        }
        true
    }
}
