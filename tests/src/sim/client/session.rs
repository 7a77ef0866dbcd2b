//! A client's connection and session.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};
use quorate_protocol::{OpCode, SessionId, Xid, Zxid, codec::Decoder};

use super::work::{Habits, Work};
use crate::{
    Body, Frame, Op, Reply, Session,
    op::WatchLists,
    sim::{
        check::{Broken, clients::Online},
        coverage::Coverage,
        history::{ClientId, History},
        network::{Arrival, Host, StreamId},
        queue::{MILLI, Micros},
        random::Random,
    },
    wire,
};

/// How a client behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Manners {
    /// What it does.
    pub habits: Habits,
    /// The session timeout it asks for.
    pub timeout_ms: i32,
    /// How long it waits between two things it does, on average.
    pub pause: Micros,
    /// How many requests it leaves unanswered at a time.
    pub in_flight: usize,
    /// How likely it is, instead of doing anything, to go to another server with its session,
    pub moves: f64,
    /// to end its session and begin another,
    pub ends: f64,
    /// to be silent for longer than its session lives.
    pub vanishes: f64,
    /// Whether it is content with a server that is read-only.
    pub reads_on: bool,
}

/// What a client wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Connect to a server; [`Client::dialing`] is told the connection.
    Connect { to: Host },
    /// Send bytes.
    Send { stream: StreamId, bytes: Vec<u8> },
    /// End a connection.
    Close { stream: StreamId },
}

/// What clients act upon.
#[derive(Debug)]
pub struct Scene<'s> {
    /// The simulation's time.
    pub now: Micros,
    /// What all clients have done.
    pub history: &'s mut History,
    /// What is checked as answers come.
    pub online: &'s mut Online,
    /// What has occurred.
    pub coverage: &'s mut Coverage,
    /// What is to be done.
    pub acts: &'s mut Vec<Act>,
}

#[derive(Debug)]
enum Link {
    /// There is none until then.
    Down { until: Micros },
    /// Asked for, not there yet.
    Dialing { stream: Option<StreamId>, since: Micros },
    /// There, and the server was asked for the session.
    Attaching { stream: StreamId, since: Micros },
    /// The session is attached; its place in the history.
    Up { stream: StreamId, attached: usize },
}

/// A request on its way.
#[derive(Debug)]
struct Asked {
    xid: i32,
    /// None for a ping.
    call: Option<usize>,
}

/// A client; see the module.
#[derive(Debug)]
pub struct Client {
    id: ClientId,
    random: Random,
    manners: Manners,
    work: Work,
    /// Where it may connect to.
    servers: Vec<Host>,
    link: Link,
    session: Session,
    seen: Zxid,
    next_xid: i32,
    asked: VecDeque<Asked>,
    input: BytesMut,
    /// When it last sent and heard anything.
    sent_at: Micros,
    heard_at: Micros,
    next_work: Micros,
    /// It does nothing until then.
    absent_until: Micros,
    watches: WatchLists,
    /// It only keeps its session, and asks for nothing more.
    is_resting: bool,
}

impl Client {
    /// A client that begins soon.
    pub fn new(id: ClientId, manners: Manners, servers: Vec<Host>, mut random: Random) -> Self {
        let begin = random.within(0..200) * MILLI;
        Self {
            id,
            work: Work::new(id, manners.habits),
            session: Session::new(manners.timeout_ms),
            manners,
            servers,
            link: Link::Down { until: begin },
            seen: Zxid::ZERO,
            next_xid: 0,
            asked: VecDeque::new(),
            input: BytesMut::new(),
            sent_at: begin,
            heard_at: begin,
            next_work: begin,
            absent_until: 0,
            watches: WatchLists::default(),
            is_resting: false,
            random,
        }
    }

    /// From now on it uses only these servers.
    pub fn confine(&mut self, servers: Vec<Host>) {
        self.servers = servers;
    }

    /// From now on it only keeps its session.
    pub fn rest(&mut self) {
        self.is_resting = true;
    }

    /// Its session, if it has one as far as it knows.
    pub fn session(&self) -> Option<SessionId> {
        Some(self.session.id).filter(|&id| id != SessionId::NONE)
    }

    /// Whether it has a session and every answer it waits for.
    pub fn is_settled(&self) -> bool {
        matches!(self.link, Link::Up { .. }) && self.asked.is_empty()
    }

    /// The greatest zxid it was shown.
    pub fn seen(&self) -> Zxid {
        self.seen
    }

    /// When it wants to be woken.
    pub fn wakes_at(&self) -> Micros {
        let at = match self.link {
            Link::Down { until } => until,
            Link::Dialing { since, .. } | Link::Attaching { since, .. } => since + self.patience(),
            Link::Up { .. } => {
                let mut at = (self.sent_at + self.ping_interval()).min(self.gives_up_at());
                if !self.is_resting && self.asked.len() < self.manners.in_flight {
                    at = at.min(self.next_work);
                }
                at
            }
        };
        at.max(self.absent_until)
    }

    /// A connection it asked for is being made.
    pub fn dialing(&mut self, stream: StreamId) {
        if let Link::Dialing { stream: asked, .. } = &mut self.link {
            *asked = Some(stream);
        }
    }

    /// Time has passed.
    pub fn wake(&mut self, scene: &mut Scene<'_>) {
        let now = scene.now;
        if now < self.wakes_at() {
            return;
        }
        match self.link {
            Link::Down { .. } => self.dial(scene),
            Link::Dialing { stream, .. } => self.leave(scene, stream),
            Link::Attaching { stream, .. } => self.leave(scene, Some(stream)),
            Link::Up { stream, .. } if now >= self.gives_up_at() => self.leave(scene, Some(stream)),
            Link::Up { stream, attached } => {
                if now >= self.sent_at + self.ping_interval() {
                    self.send(scene, stream, attached, vec![Op::ping()]);
                }
                let has_room = self.asked.len() < self.manners.in_flight;
                if !self.is_resting && has_room && now >= self.next_work {
                    self.next_work = now + self.random.duration(self.manners.pause);
                    self.act(scene, stream, attached);
                }
            }
        }
    }

    /// Something came by the network.
    pub fn arrive(&mut self, scene: &mut Scene<'_>, arrival: Arrival) -> Result<(), Broken> {
        let of = |link: &Link| match *link {
            Link::Down { .. } => None,
            Link::Dialing { stream, .. } => stream,
            Link::Attaching { stream, .. } | Link::Up { stream, .. } => Some(stream),
        };
        match arrival {
            Arrival::Connected { stream, .. } if of(&self.link) == Some(stream) => {
                self.link = Link::Attaching { stream, since: scene.now };
                let mut bytes = wire::connect_frame(&self.session, self.seen.0).to_vec();
                // The flag is the last field.
                *bytes.last_mut().expect("a frame is not empty") = self.manners.reads_on.into();
                scene.acts.push(Act::Send { stream, bytes });
            }
            Arrival::Closed { stream, .. } if of(&self.link) == Some(stream) => {
                self.lose(scene.now);
            }
            Arrival::Data { stream, bytes, .. } if of(&self.link) == Some(stream) => {
                self.heard_at = scene.now;
                self.input.extend_from_slice(&bytes);
                while let Some(payload) = self.next_frame() {
                    self.take(scene, stream, &payload)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn patience(&self) -> Micros {
        i64::from(self.manners.timeout_ms) * MILLI * 2 / 3
    }

    fn ping_interval(&self) -> Micros {
        i64::from(self.session.timeout_ms) * MILLI / 3
    }

    fn gives_up_at(&self) -> Micros {
        self.heard_at + i64::from(self.session.timeout_ms) * MILLI * 2 / 3
    }

    fn dial(&mut self, scene: &mut Scene<'_>) {
        let to = *self.random.pick(&self.servers);
        self.link = Link::Dialing { stream: None, since: scene.now };
        scene.acts.push(Act::Connect { to });
    }

    /// Ends the connection and tries another soon.
    fn leave(&mut self, scene: &mut Scene<'_>, stream: Option<StreamId>) {
        scene.acts.extend(stream.map(|stream| Act::Close { stream }));
        self.lose(scene.now);
    }

    fn lose(&mut self, now: Micros) {
        self.asked.clear();
        self.input.clear();
        self.link = Link::Down { until: now + self.random.duration(20 * MILLI) };
    }

    fn forget_session(&mut self) {
        self.session = Session::new(self.manners.timeout_ms);
        self.next_xid = 0;
        self.watches = WatchLists::default();
    }

    fn act(&mut self, scene: &mut Scene<'_>, stream: StreamId, attached: usize) {
        let Manners { moves, ends, vanishes, .. } = self.manners;
        if self.random.chance(moves) {
            scene.coverage.count("client moves with its session");
            self.leave(scene, Some(stream));
        } else if self.random.chance(ends) {
            scene.coverage.count("client ends its session");
            self.send(scene, stream, attached, vec![Op::Plain(OpCode::CloseSession)]);
            // It answers for nothing that comes behind.
            self.next_work = Micros::MAX;
        } else if self.random.chance(vanishes) {
            scene.coverage.count("client vanishes");
            let timeout = i64::from(self.session.timeout_ms) * MILLI;
            self.absent_until = scene.now + timeout + self.random.duration(timeout);
            if self.random.chance(0.5) {
                self.leave(scene, Some(stream));
            }
            if self.random.chance(0.3) {
                self.leave(scene, Some(stream));
                self.forget_session();
            }
        } else {
            let ops = self.work.next(&mut self.random);
            self.send(scene, stream, attached, ops);
        }
    }

    fn send(&mut self, scene: &mut Scene<'_>, stream: StreamId, attached: usize, ops: Vec<Op>) {
        let mut bytes = BytesMut::new();
        for op in ops {
            let xid = op.special_xid().unwrap_or_else(|| {
                self.next_xid += 1;
                self.next_xid
            });
            wire::put_request(&mut bytes, xid, &op);
            let call =
                (xid != Xid::PING.0).then(|| scene.history.called(attached, xid, op, scene.now));
            self.asked.push_back(Asked { xid, call });
        }
        self.sent_at = scene.now;
        scene.acts.push(Act::Send { stream, bytes: bytes.to_vec() });
    }

    fn next_frame(&mut self) -> Option<BytesMut> {
        let length = u32::from_be_bytes(*self.input.first_chunk()?) as usize;
        if self.input.len() < 4 + length {
            return None;
        }
        self.input.advance(4);
        Some(self.input.split_to(length))
    }

    fn take(
        &mut self,
        scene: &mut Scene<'_>,
        stream: StreamId,
        payload: &[u8],
    ) -> Result<(), Broken> {
        match self.link {
            Link::Attaching { .. } => {
                self.attach(scene, stream, payload);
                Ok(())
            }
            Link::Up { attached, .. } => self.take_reply(scene, stream, attached, payload),
            Link::Down { .. } | Link::Dialing { .. } => Ok(()),
        }
    }

    fn attach(&mut self, scene: &mut Scene<'_>, stream: StreamId, payload: &[u8]) {
        let now = scene.now;
        let Some((answer, read_only)) = connect_response(payload) else {
            assert!(self.manners.reads_on, "a server answers with a connect response");
            scene.coverage.count("read-only server has no new session");
            self.leave(scene, Some(stream));
            return;
        };
        let is_resumed = self.session.id != SessionId::NONE;
        if !answer.is_accepted() {
            scene.coverage.count("session refused");
            if scene.history.has_local_sessions {
                scene.coverage.count("session refused where there are local ones");
            }
            scene.history.refused(self.session.id, now);
            self.forget_session();
            self.leave(scene, Some(stream));
            return;
        }
        scene.coverage.count(if is_resumed { "session resumed" } else { "session begun" });
        self.session = answer;
        let attached = scene.history.attached(self.id, self.session.id, now);
        if read_only {
            scene.coverage.count("session at a read-only server");
            scene.history.only_reads(attached);
        }
        self.link = Link::Up { stream, attached };
        self.next_work = self.next_work.min(now + self.random.duration(self.manners.pause));
        if !is_resumed {
            self.send(scene, stream, attached, Work::begin());
        } else if self.has_watches() {
            scene.coverage.count("watches set again");
            self.watches.relative_zxid = self.seen.0;
            let again = Op::SetWatches(OpCode::SetWatches2, self.watches.clone());
            self.send(scene, stream, attached, vec![again]);
        }
    }

    fn has_watches(&self) -> bool {
        let WatchLists { data, exist, child, persistent, recursive, .. } = &self.watches;
        [data, exist, child, persistent, recursive].iter().any(|list| !list.is_empty())
    }

    fn take_reply(
        &mut self,
        scene: &mut Scene<'_>,
        stream: StreamId,
        attached: usize,
        payload: &[u8],
    ) -> Result<(), Broken> {
        let out_of_step = |text: String| Err(Broken::new("ReplyOrder", text));
        let Some(frame) = frame(payload) else {
            return out_of_step(format!("a reply without header: {payload:02x?}"));
        };
        if frame.is_event() {
            self.take_event(scene, attached, &frame);
            return Ok(());
        }
        let Some(asked) = self.asked.pop_front().filter(|asked| asked.xid == frame.xid) else {
            return out_of_step(format!(
                "client {} is answered {} and does not wait for that",
                self.id, frame.xid
            ));
        };
        let zxid = Zxid(frame.zxid);
        let session = self.session.id;
        scene.online.answered(scene.history, session, asked.call, zxid, frame.error)?;
        self.seen = self.seen.max(zxid);
        let Some(call) = asked.call else {
            scene.history.ponged(attached, zxid);
            return Ok(());
        };
        let op = scene.history.calls[call].op.clone();
        let reply = frame.parse(&op);
        scene.coverage.count_reply(&op, &reply);
        self.work.learn(&op, &reply);
        self.note_watch(&op, &reply);
        scene.history.answered(call, reply, scene.now);
        if op == Op::Plain(OpCode::CloseSession) {
            self.forget_session();
            self.leave(scene, Some(stream));
            self.next_work = scene.now;
        }
        Ok(())
    }

    fn take_event(&mut self, scene: &mut Scene<'_>, attached: usize, frame: &Frame) {
        let Body::Event(kind, _, path) = Reply::parse(frame, 0).body else {
            unreachable!("an event is parsed as one");
        };
        scene.coverage.count(match (kind, frame.zxid) {
            (_, -1) => "event of what was missed",
            (1, _) => "event NodeCreated",
            (2, _) => "event NodeDeleted",
            (3, _) => "event NodeDataChanged",
            _ => "event NodeChildrenChanged",
        });
        // What fires once is not to be set again.
        let lists = &mut self.watches;
        if kind != 4 {
            lists.data.retain(|watched| *watched != path);
            lists.exist.retain(|watched| *watched != path);
        }
        if kind == 2 || kind == 4 {
            lists.child.retain(|watched| *watched != path);
        }
        scene.history.told(attached, Zxid(frame.zxid), kind, path);
    }

    /// Keeps what has to be set again on the next connection.
    fn note_watch(&mut self, op: &Op, reply: &Reply) {
        let is_there = reply.error == 0;
        let lists = &mut self.watches;
        let (list, path) = match op {
            Op::Read(OpCode::Exists, path, true) if !is_there => (&mut lists.exist, path),
            Op::Read(OpCode::Exists | OpCode::GetData, path, true) if is_there => {
                (&mut lists.data, path)
            }
            Op::Read(_, path, true) if is_there => (&mut lists.child, path),
            Op::AddWatch(path, 0) => (&mut lists.persistent, path),
            Op::AddWatch(path, _) => (&mut lists.recursive, path),
            _ => return,
        };
        if !list.contains(path) {
            list.push(path.clone());
        }
    }
}

fn connect_response(payload: &[u8]) -> Option<(Session, bool)> {
    let mut input = Decoder::new(payload);
    input.int().ok()?; // the protocol's version, always 0
    let timeout_ms = input.int().ok()?;
    let id = SessionId(input.long().ok()?);
    let passwd = input.buffer().ok()??.to_vec();
    let read_only = input.boolean().ok()?;
    Some((Session { id, passwd, timeout_ms }, read_only))
}

fn frame(payload: &[u8]) -> Option<Frame> {
    let mut input = Decoder::new(payload);
    let (xid, zxid, error) = (input.int().ok()?, input.long().ok()?, input.int().ok()?);
    Some(Frame { xid, zxid, error, body: input.rest().to_vec() })
}
