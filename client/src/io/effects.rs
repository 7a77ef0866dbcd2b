//! What the session wants done.

use std::{io, sync::Arc, time::Duration};

use quorate_protocol::{Encode, OpCode, Xid, Zxid, record::ConnectRequest};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    Boxed, Driver, Restoring, Stage,
    connector::{Connecting, Transport},
    outgoing::own_call,
    resolve::find_servers,
};
use crate::{
    error::Disconnect,
    session::{Effect, Endpoint, Greeting, Time},
    state::Status,
};

/// How long a server may take to say whether it can write.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);

impl Driver {
    pub(super) fn perform(&mut self, effect: Effect, now: Time) {
        tracing::trace!(?effect);
        match effect {
            Effect::Resolve => self.resolving = Some(self.resolve()),
            Effect::Connect(endpoint) => {
                let connecting = self.parts.connector.connect(endpoint.name.clone(), endpoint.addr);
                self.connecting = Some((endpoint.to_string(), connecting));
            }
            Effect::Greet(greeting) => self.greet(greeting, now),
            Effect::Prove => self.prove(),
            Effect::Restore => self.restore(),
            Effect::Open => self.open(),
            Effect::Ping => {
                if let Some(wire) = &mut self.wire {
                    wire.put_request(Xid::PING, OpCode::Ping, |_| {});
                    self.ping_sent.get_or_insert(now);
                }
            }
            Effect::Probe(endpoint) => self.probing = Some(self.probe(endpoint)),
            Effect::Disconnect(cause) => self.disconnect(&cause),
            Effect::GiveUpCalls => self.give_up_calls(),
            Effect::LoseSession => self.lose_session(),
            Effect::NewSession(number) => self.parts.shared.queue.set_session(number),
            Effect::Publish(status) => self.publish(status),
            Effect::End(cause) => self.end(&cause),
        }
    }

    fn resolve(&self) -> Boxed<Result<Vec<Endpoint>, Disconnect>> {
        let connector = Arc::clone(&self.parts.connector);
        let directory = Arc::clone(&self.parts.directory);
        Box::pin(async move { find_servers(&*connector, &directory).await })
    }

    fn greet(&mut self, greeting: Greeting, now: Time) {
        let Some(wire) = &mut self.wire else { return };
        let Greeting { last_zxid, timeout, session, password, read_only } = greeting;
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: last_zxid,
            timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
            session_id: session,
            passwd: password.as_ref(),
            read_only: Some(read_only),
        };
        wire.put(|out| request.encode(out));
        (self.stage, self.greeted) = (Stage::Greeting, now);
    }

    /// Sends identities and watches, ahead of all calls.
    fn restore(&mut self) {
        self.confirm(self.greeted);
        *self.parts.shared.ticket.lock() = Some(self.parts.session.ticket());
        let Some(wire) = &mut self.wire else { return };
        for identity in self.parts.shared.queue.identities() {
            let call = own_call(Xid::AUTH, OpCode::Auth);
            wire.put_call(call, |out| identity.encode(out));
        }
        let relative = self.parts.session.last_zxid();
        let requests = self.watches.restore(relative);
        if requests.is_empty() {
            return;
        }
        let sinks: Vec<_> = self.watches.sinks().cloned().collect();
        for sink in &sinks {
            sink.interrupt(relative);
        }
        self.restoring = Some(Restoring { sinks, requests: requests.len(), zxid: Zxid::ZERO });
        for (op, body) in requests {
            wire.put_call(own_call(Xid::SET_WATCHES, op), |out| out.extend_from_slice(&body));
        }
    }

    /// Lets calls pass, those first that wait already.
    fn open(&mut self) {
        self.stage = Stage::Open;
        self.parts.shared.queue.open();
        let Some(wire) = &mut self.wire else { return };
        wire.set_answer_limit(self.parts.answer_limit);
        for call in self.kept.drain(..) {
            wire.put_again(call);
        }
    }

    pub(super) fn publish(&mut self, status: Status) {
        let Status { state, session, server, .. } = status;
        tracing::info!(?state, %session, ?server, "client state");
        self.parts.shared.status.send_replace(status);
    }

    fn probe(&self, endpoint: Endpoint) -> Boxed<(Endpoint, bool)> {
        let connecting = self.parts.connector.connect(endpoint.name.clone(), endpoint.addr);
        Box::pin(async move {
            let writes = timeout(PROBE_PATIENCE, can_write(connecting)).await;
            let writes = writes.is_ok_and(|writes| writes.unwrap_or(false));
            (endpoint, writes)
        })
    }
}

/// Asks a server whether it can write. `Compat:` the answer is exactly `rw`, then it closes.
async fn can_write(connecting: Connecting<Box<dyn Transport>>) -> io::Result<bool> {
    let mut transport = connecting.await?;
    transport.write_all(b"isro").await?;
    let mut answer = [0; 2];
    transport.read_exact(&mut answer).await?;
    Ok(answer == *b"rw")
}
