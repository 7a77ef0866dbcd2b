//! Draws the steps of a script from a seed: all operations, right and wrong, on few enough paths
//! that they meet.

use std::collections::VecDeque;

use bytes::BytesMut;
use fastrand::Rng;
use quorate_protocol::{OpCode, SessionId};
use quorate_tests::{
    Body, Op, Session,
    op::{AclEntry, NewNode, WatchLists, acl, open_acl},
};

use super::{Outcome, side::Observed};

/// How many sessions are open at a time.
pub(super) const SLOTS: usize = 4;
/// What they ask for: none of them expires, however long the script runs.
pub(super) const TIMEOUT_MS: i32 = 300_000;
/// What a session asks for that is to expire.
pub(super) const SHORT_TIMEOUT_MS: i32 = 400;

/// Something done with one of the slots while the others listen.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Sends requests without waiting in between.
    Burst { slot: usize, ops: Vec<Op> },
    /// Closes the session and opens another.
    Close { slot: usize },
    /// Cuts the connection and attaches again, perhaps after an attempt with wrong credentials;
    /// no id there means the slot's own.
    Reattach { slot: usize, stray: Option<Session> },
    /// Sends a request that ends the connection, then attaches again.
    Fatal { slot: usize, op: Op },
    /// Sends bytes that end the connection, then attaches again.
    Garbage { slot: usize, bytes: Vec<u8> },
    /// Lets another session expire that has an ephemeral node at `path`.
    Expire { slot: usize, path: String },
}

impl Step {
    /// How many operations it counts for.
    pub(super) fn ops(&self) -> usize {
        if let Self::Burst { ops, .. } = self { ops.len() } else { 1 }
    }

    /// The request behind the `n`-th reply that `slot` sees.
    pub(super) fn op(&self, slot: usize, n: usize) -> Option<&Op> {
        match self {
            Self::Burst { slot: s, ops } if *s == slot => ops.get(n),
            Self::Fatal { slot: s, op } if *s == slot && n == 0 => Some(op),
            _ => None,
        }
    }
}

/// How requests follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Many are sent at once, so that they are pending together.
    Pipelined,
    /// Each waits for the reply to the one before. Only these scripts have hard quotas, which
    /// ZooKeeper checks against what has been applied by then.
    OneByOne,
}

/// Draws steps.
pub(super) struct Script {
    rng: Rng,
    pace: Pace,
    /// Paths of sequential nodes that the servers named; deleted before they become many.
    sequential: VecDeque<String>,
    /// The last zxid of any reply.
    zxid: i64,
}

/// How many sequential nodes stay at a time.
const SEQUENTIAL_KEPT: usize = 24;

const MALFORMED: &[&str] = &[
    "",
    "a",
    "a/b",
    "//",
    "/a/",
    "//a",
    "/a//b",
    "/.",
    "/..",
    "/a/.",
    "/./a",
    "/a/../b",
    "/a\0",
    "/a\u{1}b",
    "/a\u{1e}",
    "/\u{7f}",
    "/\u{9f}",
    "/\u{e000}",
    "/\u{f8ff}",
    "/\u{fff0}",
    "/\u{ffff}",
    "/\u{fffd}",
    "/\u{1f980}",
];

const ODD: &[&str] = &[
    "/ä€",
    "/a b",
    "/.a",
    "/...",
    "/a/..b",
    "/zookeeper",
    "/zookeeper/config",
    "/zookeeper/quota",
];

const SOFT_LIMITS: &[&str] = &["count=3,bytes=-1", "count=-1,bytes=40", "count=0,bytes=0"];

const HARD_LIMITS: &[&str] = &[
    "count=3,bytes=-1=;byteHardLimit=-1;countHardLimit=-1",
    "count=-1,bytes=-1=;byteHardLimit=60;countHardLimit=-1",
    "count=2,bytes=10=;byteHardLimit=-1;countHardLimit=4",
];

impl Script {
    pub(super) fn new(pace: Pace, seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), pace, sequential: VecDeque::new(), zxid: 0 }
    }

    /// The next step.
    pub(super) fn next_step(&mut self) -> Step {
        let slot = self.rng.usize(..SLOTS);
        match self.rng.u32(..1000) {
            0..20 => Step::Close { slot },
            20..50 => Step::Reattach { slot, stray: self.stray() },
            50..65 => Step::Fatal { slot, op: self.fatal() },
            65..75 => Step::Garbage { slot, bytes: self.garbage() },
            75..76 => Step::Expire { slot, path: self.fixed_path() },
            _ => Step::Burst { slot, ops: self.burst() },
        }
    }

    /// Takes note of the nodes and zxids that came out of a step.
    pub(super) fn learn(&mut self, step: &Step, outcome: &Outcome) {
        for (slot, seen) in outcome.iter().enumerate() {
            let replies = seen.iter().filter(|seen| seen.is_reply());
            for (n, observed) in replies.enumerate() {
                let Observed::Reply(reply) = observed else { continue };
                self.zxid = self.zxid.max(reply.zxid);
                let created = step.op(slot, n).is_some_and(|op| matches!(op, Op::Create(..)));
                if let (true, Body::Path(path, _)) = (created, &reply.body)
                    && path.ends_with(|c: char| c.is_ascii_digit())
                {
                    self.sequential.push_back(path.clone());
                }
            }
        }
    }

    fn burst(&mut self) -> Vec<Op> {
        let length = match self.rng.u32(..10) {
            _ if self.pace == Pace::OneByOne => 1,
            0 => 1,
            1..8 => self.rng.usize(2..24),
            _ => self.rng.usize(24..200),
        };
        let mut ops: Vec<_> = (0..length).map(|_| self.op()).collect();
        if let Some(at) = ops.iter().position(must_be_last) {
            ops.truncate(at + 1);
        }
        while self.sequential.len() > SEQUENTIAL_KEPT {
            let oldest = self.sequential.pop_front().expect("there are more than that");
            ops.insert(0, Op::delete(&oldest));
        }
        // ZooKeeper answers these ahead of requests that are pending, so they come first.
        if self.rng.u32(..12) == 0 {
            ops.insert(0, self.auth());
        }
        ops
    }

    fn op(&mut self) -> Op {
        match self.rng.u32(..100) {
            0..18 => self.create(),
            18..21 => Op::CreateTtl(self.new_node(&[5, 5, 6]), self.ttl()),
            21..31 => Op::Delete(self.path(), self.version()),
            31..41 => Op::SetData(self.path(), self.data(), self.version()),
            41..44 => Op::SetAcl(self.path(), self.acl(), self.version()),
            44..60 => self.read(),
            60..66 => self.path_op(),
            66..70 => Op::AddWatch(self.path(), self.pick(&[0, 0, 0, 1, 1, 1, 2, -1])),
            70..74 => {
                let op = self.pick(&[OpCode::RemoveWatches, OpCode::CheckWatches]);
                Op::Watches(op, self.path(), self.rng.i32(0..7))
            }
            74..76 => self.set_watches(),
            76..84 => self.multi(),
            84..86 => self.multi_read(),
            86..88 => Op::Plain(OpCode::WhoAmI),
            88..90 => Op::ping(),
            90..91 => Op::Reconfig([Some("server.1=a:1:2;3".into()), None, None], -1),
            91..93 => self.quota(),
            _ => self.corrupted(),
        }
    }

    fn create(&mut self) -> Op {
        match self.rng.u32(..10) {
            0..2 => Op::Create(OpCode::CreateContainer, self.new_node(&[4, 4, 4, 0])),
            2..5 => Op::Create(OpCode::Create2, self.new_node(&[0, 0, 0, 1, 2, 3, 4, 7])),
            _ => Op::Create(OpCode::Create, self.new_node(&[0, 0, 0, 0, 1, 1, 2, 3, 4, 5, -1])),
        }
    }

    fn new_node(&mut self, flags: &[i32]) -> NewNode {
        let flags = self.pick(flags);
        let mut path = self.path();
        if matches!(flags, 2 | 3 | 6) {
            path.push_str(self.pick(&["/", "/n-", "", "/."]));
        }
        NewNode { path, data: self.data(), acl: self.acl(), flags }
    }

    fn read(&mut self) -> Op {
        let op = self.pick(&[
            OpCode::Exists,
            OpCode::GetData,
            OpCode::GetChildren,
            OpCode::GetChildren2,
        ]);
        Op::Read(op, self.path(), self.rng.u32(..3) > 0)
    }

    fn path_op(&mut self) -> Op {
        let op = self.pick(&[
            OpCode::GetAcl,
            OpCode::Sync,
            OpCode::GetAllChildrenNumber,
            OpCode::GetEphemerals,
        ]);
        Op::Path(op, self.path())
    }

    fn set_watches(&mut self) -> Op {
        let op = self.pick(&[OpCode::SetWatches, OpCode::SetWatches2]);
        let relative_zxid = self.zxid - self.rng.i64(0..60);
        Op::SetWatches(
            op,
            WatchLists {
                relative_zxid,
                data: self.paths(),
                exist: self.paths(),
                child: self.paths(),
                persistent: self.paths(),
                recursive: self.paths(),
            },
        )
    }

    fn multi(&mut self) -> Op {
        let length = self.rng.usize(0..6);
        let ops = (0..length)
            .map(|_| match self.rng.u32(..40) {
                0..12 => self.create(),
                12..14 => Op::CreateTtl(self.new_node(&[5, 6]), self.ttl()),
                14..22 => Op::Delete(self.path(), self.version()),
                22..31 => Op::SetData(self.path(), self.data(), self.version()),
                31..39 => Op::Check(self.path(), self.version()),
                _ => Op::SetAcl(self.path(), self.acl(), -1),
            })
            .collect();
        Op::Multi(OpCode::Multi, ops)
    }

    fn multi_read(&mut self) -> Op {
        let length = self.rng.usize(0..6);
        let ops = (0..length)
            .map(|_| {
                let op = match self.rng.u32(..20) {
                    0 => OpCode::Exists,
                    1..10 => OpCode::GetData,
                    _ => OpCode::GetChildren,
                };
                Op::Read(op, self.path(), false)
            })
            .collect();
        Op::Multi(OpCode::MultiRead, ops)
    }

    /// Nodes that set a quota, in the order clients create them; a limit may be there already.
    fn quota(&mut self) -> Op {
        let name = self.pick(&["a", "b"]);
        let base = format!("/zookeeper/quota/{name}");
        let limits = format!("{base}/zookeeper_limits");
        let stats = format!("{base}/zookeeper_stats");
        let texts = if self.pace == Pace::OneByOne { HARD_LIMITS } else { SOFT_LIMITS };
        let text = self.pick(texts).as_bytes();
        match self.rng.u32(..8) {
            0..4 => {
                let empty = b"count=0,bytes=0";
                let nodes = [(&base, &b""[..]), (&limits, text), (&stats, &empty[..])];
                let create = |(path, data): (&String, &[u8])| Op::create(path, data, 0);
                Op::Multi(OpCode::Multi, nodes.map(create).into())
            }
            4 => Op::set(&limits, text),
            5 => Op::get(&stats),
            _ => Op::Multi(OpCode::Multi, [&limits, &stats, &base].map(|p| Op::delete(p)).into()),
        }
    }

    fn auth(&mut self) -> Op {
        match self.rng.u32(..12) {
            0..4 => digest("super:test"),
            4..8 => digest("user:password"),
            8 => digest("blah"),
            9 => digest(""),
            10 => Op::Auth("ip".into(), Some(b"none".to_vec())),
            _ => Op::Sasl(Some(b"token".to_vec())),
        }
    }

    /// A request with some bytes changed or missing.
    fn corrupted(&mut self) -> Op {
        let op = match self.rng.u32(..12) {
            0 => self.create(),
            1 => Op::Delete(self.path(), self.version()),
            2 => Op::SetData(self.path(), self.data(), self.version()),
            3 => Op::SetAcl(self.path(), self.acl(), self.version()),
            4 => self.multi(),
            5 => self.read(),
            6..8 => self.path_op(),
            8 => Op::AddWatch(self.path(), self.rng.i32(0..2)),
            9 => self.set_watches(),
            _ => self.multi_read(),
        };
        let mut body = BytesMut::new();
        op.encode(&mut body);
        if body.is_empty() {
            return op;
        }
        let at = self.rng.usize(1..=body.len()) - 1;
        match self.rng.u32(..3) {
            // Of lists with a null path ZooKeeper does the part in front of it.
            _ if matches!(op, Op::SetWatches(..)) => body.truncate(at),
            0 => body.truncate(at),
            1 => body[at] = self.pick(&[0, 1, 0x7f, 0x80, 0xff]),
            _ => body[at..].iter_mut().take(4).for_each(|byte| *byte = 0xff),
        }
        Op::Raw(op.code(), body.into())
    }

    /// A request after which the server hangs up.
    fn fatal(&mut self) -> Op {
        match self.rng.u32(..5) {
            0 => Op::Raw(888, Vec::new()),
            1 => Op::Check(self.path(), self.version()),
            2 => Op::Auth("nope".into(), Some(b"x".to_vec())),
            3 => Op::Auth("digest".into(), None),
            _ => Op::Raw(OpCode::Auth.wire(), vec![0, 0]),
        }
    }

    fn garbage(&mut self) -> Vec<u8> {
        let frames: &[&[u8]] = &[
            b"\xff\xff\xff\xff",
            b"\x7f\xff\xff\xff",
            b"\0\x10\0\0more than jute.maxbuffer",
            b"\0\0\0\0",
            b"\0\0\0\x07\0\0\0\x01\0\0\0",
        ];
        self.pick(frames).to_vec()
    }

    fn stray(&mut self) -> Option<Session> {
        let wrong_password =
            Session { id: SessionId::NONE, passwd: vec![7; 16], timeout_ms: TIMEOUT_MS };
        match self.rng.u32(..4) {
            0 => Some(wrong_password),
            1 => Some(Session { id: SessionId(99_999), ..wrong_password }),
            _ => None,
        }
    }

    fn paths(&mut self) -> Vec<String> {
        (0..self.rng.usize(0..4)).map(|_| self.path()).collect()
    }

    fn path(&mut self) -> String {
        match self.rng.u32(..100) {
            0..3 => "/".to_owned(),
            3..8 => self.pick(MALFORMED).to_owned(),
            8..12 => self.pick(ODD).to_owned(),
            12..22 if !self.sequential.is_empty() => {
                self.sequential[self.rng.usize(..self.sequential.len())].clone()
            }
            _ => self.fixed_path(),
        }
    }

    fn fixed_path(&mut self) -> String {
        let depth = self.pick(&[1, 1, 2, 2, 2, 3]);
        (0..depth).map(|_| self.pick(&["/a", "/b", "/c"])).collect()
    }

    fn data(&mut self) -> Option<Vec<u8>> {
        let length = match self.rng.u32(..200) {
            0..20 => return None,
            20..40 => 0,
            40 => 200_000,
            _ => self.rng.usize(1..40),
        };
        Some(vec![self.rng.u8(..); length])
    }

    fn version(&mut self) -> i32 {
        match self.rng.u32(..20) {
            0..12 => -1,
            12 => -2,
            13 => i32::MAX,
            _ => self.rng.i32(0..4),
        }
    }

    fn ttl(&mut self) -> i64 {
        self.pick(&[1, 1000, 0xff_ffff_ffff, 0, -1, 0x100_0000_0000, i64::MAX])
    }

    fn acl(&mut self) -> Option<Vec<AclEntry>> {
        let user = "user:tpUq/4Pn5A64fVZyQ0gOJ8ZWqkY=";
        match self.rng.u32(..80) {
            0 => None,
            1 => acl(&[]),
            2 => Some(vec![(31, Some("auth".into()), None)]),
            3..6 => acl(&[(31, "auth", ""), (1, "world", "anyone")]),
            6 => acl(&[(1, "world", "anyone")]),
            7 => acl(&[(30, "world", "anyone")]),
            8 => acl(&[(15, "world", "anyone"), (15, "world", "anyone"), (16, "digest", user)]),
            9 => acl(&[(31, "world", "someone")]),
            10 => acl(&[(31, "digest", user)]),
            11 => acl(&[(31, "digest", "no colon")]),
            12 => acl(&[(31, "digest", "a:b:c")]),
            13 => acl(&[(31, "ip", "127.0.0.1")]),
            14 => acl(&[(31, "ip", "127.0.0.0/8"), (1, "ip", "10.0.0.0/33")]),
            15 => acl(&[(31, "ip", "10.1.2.3")]),
            16 => acl(&[(31, "nope", "x")]),
            17 => Some(vec![(31, None, Some("anyone".into()))]),
            18 => Some(vec![(31, Some("world".into()), None)]),
            19 => acl(&[(0, "world", "anyone")]),
            20 => acl(&[(255, "world", "anyone")]),
            _ => open_acl(),
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(..from.len())]
    }
}

/// Whether ZooKeeper does not answer the same way twice to what comes while this is pending.
///
/// Behind a setACL it goes by the old ACL until the new one is applied. A multi that ends in an
/// exception leaves what its operations were about to change in the way of later requests until it
/// is answered; a null id in an ACL leads to that.
fn must_be_last(op: &Op) -> bool {
    let has_null_id = |op: &Op| {
        let (Op::Create(_, node) | Op::CreateTtl(node, _)) = op else { return false };
        node.acl.iter().flatten().any(|(_, _, id)| id.is_none())
    };
    match op {
        Op::Multi(_, ops) => ops.iter().any(has_null_id),
        Op::Raw(code, _) if *code == OpCode::Multi.wire() => true,
        _ => op.code() == OpCode::SetAcl.wire(),
    }
}

fn digest(credentials: &str) -> Op {
    Op::Auth("digest".into(), Some(credentials.as_bytes().to_vec()))
}
