//! Connections of the quorum port: bytes into events for the core, and outboxes into bytes.

use std::{collections::BTreeMap, sync::Arc};

use bytes::BytesMut;
use quorate_server::{
    net::{
        End,
        peers::{Link, LinkInput, PeerEvent, has_introduced_itself},
    },
    peer::LinkDecoder,
    runtime::Shared,
    zab::{LinkId, ServerId},
};

use super::{settings, tell};
use crate::sim::{network::StreamId, server::Command};

/// Bytes that may wait on a link; the network takes them at once.
const BYTES_MAX: usize = 64 << 20;
/// The longest packet.
const PACKET_MAX: usize = 2 << 20;

/// All of a server's links.
#[derive(Default)]
pub(super) struct Links {
    open: BTreeMap<StreamId, Connection>,
    opened: u64,
    /// The leader that was to be connected to last.
    pub(super) dialing: Option<ServerId>,
}

enum Connection {
    /// Somebody who has not said who he is.
    Newcomer(BytesMut),
    Link(Open),
}

struct Open {
    link: Arc<Link>,
    input: LinkInput,
    /// Bytes have come for which there was no room.
    is_held_up: bool,
}

impl Links {
    /// Somebody has connected to the quorum port.
    pub(super) fn learner_came(&mut self, stream: StreamId) {
        self.open.insert(stream, Connection::Newcomer(BytesMut::new()));
    }

    /// The connection to the leader is there.
    pub(super) fn connected(&mut self, shared: &Shared, stream: StreamId) {
        let Some(leader) = self.dialing.take() else { return };
        let decoder = LinkDecoder::from_leader(PACKET_MAX, shared.tree_seed);
        let link = self.open(stream, decoder, BytesMut::new());
        tell(shared, PeerEvent::Connected { leader, link });
    }

    /// There is no connection to the leader.
    pub(super) fn connect_failed(&mut self, shared: &Shared) {
        if let Some(leader) = self.dialing.take() {
            tell(shared, PeerEvent::ConnectFailed { leader });
        }
    }

    fn open(&mut self, stream: StreamId, decoder: LinkDecoder, input: BytesMut) -> Arc<Link> {
        self.opened += 1;
        let remote = settings::address(0);
        let link = Arc::new(Link::new(LinkId(self.opened), remote, BYTES_MAX));
        let input = LinkInput::new(link.clone(), decoder, input);
        let open = Open { link: link.clone(), input, is_held_up: false };
        self.open.insert(stream, Connection::Link(open));
        link
    }

    /// Bytes have come, if this is one of these connections.
    pub(super) fn receive(
        &mut self,
        shared: &Shared,
        stream: StreamId,
        bytes: &[u8],
        commands: &mut Vec<Command>,
    ) {
        match self.open.get_mut(&stream) {
            None => {}
            Some(Connection::Newcomer(input)) => {
                input.extend_from_slice(bytes);
                match has_introduced_itself(input) {
                    Ok(false) => {}
                    Ok(true) => {
                        let input = std::mem::take(input);
                        let decoder = LinkDecoder::from_learner(PACKET_MAX);
                        let link = self.open(stream, decoder, input);
                        tell(shared, PeerEvent::Accepted { link });
                        self.take(shared, stream, commands);
                    }
                    Err(_) => {
                        self.open.remove(&stream);
                        commands.push(Command::Close { stream });
                    }
                }
            }
            Some(Connection::Link(open)) => {
                open.input.bytes.extend_from_slice(bytes);
                self.take(shared, stream, commands);
            }
        }
    }

    /// As if these packets had come, unless one has come in part.
    pub(super) fn hear_between(
        &mut self,
        shared: &Shared,
        stream: StreamId,
        packets: &[u8],
        commands: &mut Vec<Command>,
    ) {
        if let Some(Connection::Link(open)) = self.open.get(&stream)
            && open.input.bytes.is_empty()
        {
            self.receive(shared, stream, packets, commands);
        }
    }

    /// Tells the core what has come whole, as far as there is room for it.
    fn take(&mut self, shared: &Shared, stream: StreamId, commands: &mut Vec<Command>) {
        let Some(Connection::Link(open)) = self.open.get_mut(&stream) else { return };
        open.is_held_up = !open.link.has_room();
        if open.is_held_up {
            return;
        }
        if open.input.take(|event| tell(shared, event)).is_err() {
            commands.push(Command::Close { stream });
            self.closed(shared, stream);
        }
    }

    /// A connection has ended, if it is one of these.
    pub(super) fn closed(&mut self, shared: &Shared, stream: StreamId) {
        if let Some(Connection::Link(Open { link, .. })) = self.open.remove(&stream) {
            link.outbox.close();
            if !link.is_forgotten() {
                tell(shared, PeerEvent::Closed { link: link.id });
            }
        }
    }

    /// Ends a link behind what is in its outbox.
    pub(super) fn close(&mut self, link: LinkId) {
        for connection in self.open.values() {
            if let Connection::Link(open) = connection
                && open.link.id == link
            {
                open.link.forget();
                open.link.outbox.end(End::AfterFlush);
            }
        }
    }

    /// Sends what waits in outboxes, ends what is to end, and goes on with what was held up; whether
    /// there was anything to do.
    pub(super) fn flush(&mut self, shared: &Shared, commands: &mut Vec<Command>) -> bool {
        let before = commands.len();
        let mut ended = Vec::new();
        let mut free = Vec::new();
        for (&stream, connection) in &mut self.open {
            let Connection::Link(open) = connection else { continue };
            let mut out = BytesMut::new();
            let end = open.link.outbox.take(&mut out);
            if !out.is_empty() && end != Some(End::Now) {
                commands.push(Command::Send { stream, bytes: out.to_vec() });
            }
            if end.is_some() {
                commands.push(Command::Close { stream });
                ended.push(stream);
            } else if open.is_held_up && open.link.has_room() {
                free.push(stream);
            }
        }
        for &stream in &ended {
            self.closed(shared, stream);
        }
        for &stream in &free {
            self.take(shared, stream, commands);
        }
        commands.len() > before || !free.is_empty()
    }
}
