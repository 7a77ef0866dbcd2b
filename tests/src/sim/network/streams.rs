//! Connections as TCP makes them.

use std::collections::{BTreeMap, VecDeque};

use super::paths::{Host, Paths};
use crate::sim::queue::{MILLI, Micros};

/// A connection; never used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// What somebody connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Port {
    /// Where learners find their leader.
    Quorum,
    /// Where clients are served.
    Client,
}

/// To be given to [`Streams::arrive`] at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamEvent {
    stream: StreamId,
    /// Towards the end with this index: 0 is who connected, 1 who was connected to.
    to: usize,
}

/// What a host learns of its connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Arrival {
    /// Somebody connects. Who does not want it closes it.
    Offered { host: Host, stream: StreamId, port: Port },
    /// The connection that was asked for is there.
    Connected { host: Host, stream: StreamId },
    /// Bytes have come.
    Data { host: Host, stream: StreamId, bytes: Vec<u8> },
    /// It is over, or never began.
    Closed { host: Host, stream: StreamId },
}

#[derive(Debug)]
enum Piece {
    Request,
    Accepted,
    Data(Vec<u8>),
    /// Something that does not get through; only who does not know the connection says so.
    Lost,
    /// The end after everything that was sent.
    End,
    /// Nobody knows of such a connection here, or somebody in between cut it.
    Reset,
}

#[derive(Debug, Clone, Copy)]
struct End {
    host: Host,
    /// The process that holds it.
    boot: u32,
    is_open: bool,
}

#[derive(Debug, Default)]
struct Pipe {
    pieces: VecDeque<(Micros, Piece)>,
    /// Nothing arrives before what was sent before it.
    last: Micros,
    /// Nobody will ask for the next piece until the path is free again.
    is_stalled: bool,
}

#[derive(Debug)]
struct Stream {
    port: Port,
    ends: [End; 2],
    /// By the end they lead to.
    pipes: [Pipe; 2],
    /// It was cut: nothing gets through any more.
    is_cut: bool,
}

/// All connections.
#[derive(Debug, Default)]
pub struct Streams {
    all: BTreeMap<StreamId, Stream>,
    opened: u64,
    due: Vec<(Micros, StreamEvent)>,
    /// The part of arrivals that are cut into two.
    splitting: f64,
}

impl Streams {
    /// No connections yet; of what arrives, this part is cut into two.
    pub fn new(splitting: f64) -> Self {
        Self { splitting, ..Self::default() }
    }

    /// What has to be asked for, and when; empties the list.
    pub fn due(&mut self) -> impl Iterator<Item = (Micros, StreamEvent)> {
        self.due.drain(..)
    }

    /// Connects one host to another. It is told of the outcome, or of nothing.
    pub fn connect(
        &mut self,
        paths: &mut Paths,
        now: Micros,
        from: Host,
        to: Host,
        port: Port,
    ) -> StreamId {
        self.opened += 1;
        let id = StreamId(self.opened);
        let dialer = End { host: from, boot: paths.boot(from), is_open: true };
        let acceptor = End { host: to, boot: 0, is_open: false };
        let (ends, pipes) = ([dialer, acceptor], Default::default());
        self.all.insert(id, Stream { port, ends, pipes, is_cut: false });
        self.put(paths, now, id, 1, Piece::Request);
        id
    }

    /// Sends bytes. Nothing happens when the connection is over.
    pub fn send(
        &mut self,
        paths: &mut Paths,
        now: Micros,
        host: Host,
        id: StreamId,
        bytes: Vec<u8>,
    ) {
        if let Some(side) = self.side(paths, host, id) {
            self.put(paths, now, id, 1 - side, Piece::Data(bytes));
        }
    }

    /// Ends a connection behind what was sent. Nothing more is heard of it here.
    pub fn close(&mut self, paths: &mut Paths, now: Micros, host: Host, id: StreamId) {
        if let Some(side) = self.side(paths, host, id) {
            self.put(paths, now, id, 1 - side, Piece::End);
            self.end(id, side);
        }
    }

    /// The connections of a host's process end with it. Others are told if the machine lives to
    /// tell them; so this comes before [`Paths::end`].
    pub fn end_all(&mut self, paths: &mut Paths, now: Micros, host: Host, powered: bool) {
        let ids: Vec<_> = self.all.keys().copied().collect();
        for id in ids {
            let Some(side) = self.side(paths, host, id) else { continue };
            if powered {
                self.put(paths, now, id, 1 - side, Piece::Reset);
            }
            self.end(id, side);
        }
    }

    /// Cuts a connection somewhere in between: of what is on its way a part arrives, then those
    /// ends that are to learn of it do.
    pub fn cut(&mut self, paths: &mut Paths, now: Micros, id: StreamId, told: [bool; 2]) {
        let Some(stream) = self.all.get_mut(&id) else { return };
        for pipe in &mut stream.pipes {
            let survive = paths.random().below(pipe.pieces.len() + 1);
            pipe.pieces.truncate(survive);
            if let Some((_, Piece::Data(bytes))) = pipe.pieces.back_mut() {
                bytes.truncate(paths.random().below(bytes.len() + 1));
            }
        }
        for (to, told) in told.into_iter().enumerate() {
            if told {
                self.put(paths, now, id, to, Piece::Reset);
            }
        }
        if let Some(stream) = self.all.get_mut(&id) {
            stream.is_cut = true;
        }
    }

    /// The connections there are between these two hosts.
    pub fn between(&self, a: Host, b: Host) -> Vec<StreamId> {
        let is_between = |stream: &Stream| {
            let [one, other] = stream.ends.map(|end| end.host);
            (one, other) == (a, b) || (one, other) == (b, a)
        };
        self.all.iter().filter(|(_, s)| is_between(s)).map(|(&id, _)| id).collect()
    }

    /// Every connection that both ends believe in, and who they are.
    pub fn established(&self) -> Vec<(StreamId, [Host; 2])> {
        let of = |(&id, stream): (&StreamId, &Stream)| {
            let is_open = stream.ends.iter().all(|end| end.is_open);
            is_open.then(|| (id, stream.ends.map(|end| end.host)))
        };
        self.all.iter().filter_map(of).collect()
    }

    /// Whoever connected, and to whom.
    pub fn ends(&self, id: StreamId) -> Option<[Host; 2]> {
        self.all.get(&id).map(|stream| stream.ends.map(|end| end.host))
    }

    /// Paths may have become free: what was held up by them is on its way again.
    pub fn unblock(&mut self, paths: &mut Paths, now: Micros) {
        let again = 20 * MILLI;
        for (&id, stream) in &mut self.all {
            for to in 0..2 {
                let (from, host) = (stream.ends[1 - to].host, stream.ends[to].host);
                let pipe = &mut stream.pipes[to];
                if pipe.is_stalled && !paths.path(from, host).is_blocked {
                    pipe.is_stalled = false;
                    let at = now + paths.random().duration(again);
                    self.due.push((at, StreamEvent { stream: id, to }));
                }
            }
        }
    }

    /// Something arrives, if nothing is in its way.
    pub fn arrive(
        &mut self,
        paths: &mut Paths,
        now: Micros,
        event: StreamEvent,
    ) -> Option<Arrival> {
        let StreamEvent { stream: id, to } = event;
        let stream = self.all.get_mut(&id)?;
        let (from, host) = (stream.ends[1 - to].host, stream.ends[to].host);
        let pipe = &mut stream.pipes[to];
        if paths.path(from, host).is_blocked {
            pipe.is_stalled = true;
            return None;
        }
        let &(at, _) = pipe.pieces.front()?;
        let at = at.max(paths.path(from, host).clogged_until);
        if at > now {
            self.due.push((at, event));
            return None;
        }
        let (_, mut piece) = pipe.pieces.pop_front()?;
        if let Piece::Data(bytes) = &mut piece
            && bytes.len() > 1
            && paths.random().chance(self.splitting)
        {
            let rest = bytes.split_off(1 + paths.random().below(bytes.len() - 1));
            let at = now + paths.random().duration(MILLI);
            pipe.pieces.push_front((at, Piece::Data(rest)));
        }
        if let Some(&(at, _)) = pipe.pieces.front() {
            self.due.push((at.max(now), event));
        }
        self.take(paths, now, id, to, piece)
    }

    fn take(
        &mut self,
        paths: &mut Paths,
        now: Micros,
        id: StreamId,
        to: usize,
        piece: Piece,
    ) -> Option<Arrival> {
        let stream = self.all.get_mut(&id)?;
        let host = stream.ends[to].host;
        if !paths.is_powered(host) {
            return None;
        }
        let is_there = paths.is_up(host);
        if matches!(piece, Piece::Request) && is_there {
            stream.ends[to] = End { host, boot: paths.boot(host), is_open: true };
            let port = stream.port;
            self.put(paths, now, id, 1 - to, Piece::Accepted);
            return Some(Arrival::Offered { host, stream: id, port });
        }
        let end = stream.ends[to];
        let is_known = is_there && end.is_open && end.boot == paths.boot(host);
        match piece {
            Piece::End | Piece::Reset => {
                self.end(id, to);
                is_known.then_some(Arrival::Closed { host, stream: id })
            }
            Piece::Request | Piece::Accepted | Piece::Data(_) | Piece::Lost if !is_known => {
                self.put(paths, now, id, 1 - to, Piece::Reset);
                None
            }
            Piece::Accepted => Some(Arrival::Connected { host, stream: id }),
            Piece::Lost => None,
            Piece::Data(bytes) => Some(Arrival::Data { host, stream: id, bytes }),
            Piece::Request => unreachable!("a request to a process that runs is dealt with above"),
        }
    }

    /// Which end of a connection a host's process holds, if it does.
    fn side(&self, paths: &Paths, host: Host, id: StreamId) -> Option<usize> {
        let ends = &self.all.get(&id)?.ends;
        let holds = |end: &End| end.host == host && end.is_open && end.boot == paths.boot(host);
        ends.iter().position(holds)
    }

    fn end(&mut self, id: StreamId, side: usize) {
        let Some(stream) = self.all.get_mut(&id) else { return };
        stream.ends[side].is_open = false;
        let is_over = stream.ends.iter().all(|end| !end.is_open);
        if is_over && stream.pipes.iter().all(|pipe| pipe.pieces.is_empty()) {
            self.all.remove(&id);
        }
    }

    fn put(&mut self, paths: &mut Paths, now: Micros, id: StreamId, to: usize, piece: Piece) {
        let Some(stream) = self.all.get_mut(&id) else { return };
        let piece = match piece {
            Piece::Data(_) | Piece::End if stream.is_cut => Piece::Lost,
            piece => piece,
        };
        let (from, host) = (stream.ends[1 - to].host, stream.ends[to].host);
        let size = if let Piece::Data(bytes) = &piece { bytes.len() } else { 0 };
        let pipe = &mut stream.pipes[to];
        let at = paths.arrival(now, from, host, size).max(pipe.last);
        pipe.last = at;
        // Otherwise whoever waits for the piece in front asks for this one, too.
        if pipe.pieces.is_empty() {
            self.due.push((at, StreamEvent { stream: id, to }));
        }
        pipe.pieces.push_back((at, piece));
    }
}
