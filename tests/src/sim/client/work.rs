//! What a client does next.

use std::collections::VecDeque;

use quorate_protocol::OpCode;

use crate::{
    Body, Op, Reply,
    op::NewNode,
    sim::{history::ClientId, random::Random},
};

/// Folders that everybody works in.
const FOLDERS: [&str; 5] = ["/r", "/u", "/q", "/e", "/m"];
/// How many registers there are.
const REGISTERS: usize = 4;
/// How many nodes of its own of each kind a client leaves behind.
const KEPT: usize = 4;

const EPHEMERAL: i32 = 1;
const SEQUENTIAL: i32 = 2;

/// How likely each kind of work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Habits {
    /// Registers that everybody sets, also by comparing versions, and reads after a sync.
    pub registers: u32,
    /// Registers that are only read after a sync: a leader that is deposed notices it by its
    /// clients' writes, and must not be up to date in the eyes of those who write nothing.
    pub looks: u32,
    /// Nodes with names nobody else uses.
    pub unique: u32,
    /// Sequential nodes, ephemeral ones among them.
    pub sequential: u32,
    /// Ephemeral nodes.
    pub ephemeral: u32,
    /// Watches of all kinds.
    pub watches: u32,
    /// Several writes at once, some of which fail.
    pub multis: u32,
}

impl Habits {
    fn weights(self) -> [u32; 7] {
        let Self { registers, looks, unique, sequential, ephemeral, watches, multis } = self;
        [registers, unique, sequential, ephemeral, watches, multis, looks]
    }
}

/// What a client remembers of its work.
#[derive(Debug)]
pub struct Work {
    client: ClientId,
    habits: Habits,
    made: u32,
    /// The versions of registers, as last seen.
    versions: [i32; REGISTERS],
    /// Nodes of its own that may be there.
    own: VecDeque<String>,
    numbered: VecDeque<String>,
}

impl Work {
    /// The work of a client with these habits.
    pub fn new(client: ClientId, habits: Habits) -> Self {
        let (own, numbered) = (VecDeque::new(), VecDeque::new());
        Self { client, habits, made: 0, versions: [0; REGISTERS], own, numbered }
    }

    /// What is done at the beginning: others may have done so already.
    pub fn begin() -> Vec<Op> {
        let folders = FOLDERS.iter().map(|&path| path.to_owned());
        let registers = (0..REGISTERS).map(register);
        folders.chain(registers).map(|path| Op::create(&path, b"", 0)).collect()
    }

    /// The next requests, to be sent together.
    pub fn next(&mut self, random: &mut Random) -> Vec<Op> {
        match random.weighted(&self.habits.weights()) {
            0 => self.on_registers(random),
            1 => self.unique(random),
            2 => self.sequential(random),
            3 => self.ephemeral(random),
            4 => vec![watch(random)],
            5 => vec![self.multi(random)],
            _ => read_after_sync(register(random.below(REGISTERS))),
        }
    }

    /// Learns from an answer.
    pub fn learn(&mut self, op: &Op, reply: &Reply) {
        let version = match &reply.body {
            Body::Data(_, stat) | Body::Stat(stat) => Some(stat.version),
            _ => None,
        };
        if let (Op::Read(_, path, _) | Op::SetData(path, ..), Some(version)) = (op, version)
            && let Some(number) = (0..REGISTERS).find(|&number| register(number) == *path)
        {
            self.versions[number] = version;
        }
        if let (Op::Create(_, NewNode { flags, .. }), Body::Path(path, _)) = (op, &reply.body)
            && flags & SEQUENTIAL != 0
        {
            self.numbered.push_back(path.clone());
        }
    }

    fn data(&mut self) -> Vec<u8> {
        self.made += 1;
        format!("{}:{}", self.client, self.made).into_bytes()
    }

    fn on_registers(&mut self, random: &mut Random) -> Vec<Op> {
        let number = random.below(REGISTERS);
        let path = register(number);
        match random.weighted(&[4, 3, 2, 3]) {
            0 => vec![Op::SetData(path, Some(self.data()), -1)],
            1 => vec![Op::SetData(path, Some(self.data()), self.versions[number])],
            2 => vec![Op::get(&path)],
            _ => read_after_sync(path),
        }
    }

    fn unique(&mut self, random: &mut Random) -> Vec<Op> {
        if random.chance(0.2) {
            return vec![Op::Read(OpCode::GetChildren2, "/u".to_owned(), false)];
        }
        let data = self.data();
        let path = format!("/u/{}-{}", self.client, self.made);
        self.own.push_back(path.clone());
        let code = *random.pick(&[OpCode::Create, OpCode::Create2]);
        let mut ops = vec![Op::Create(code, NewNode::open(&path, &data, 0))];
        if self.own.len() > KEPT {
            ops.extend(self.own.pop_front().map(|path| Op::delete(&path)));
        }
        ops
    }

    fn sequential(&mut self, random: &mut Random) -> Vec<Op> {
        if random.chance(0.2) {
            return vec![Op::children("/q")];
        }
        let flags = SEQUENTIAL | if random.chance(0.3) { EPHEMERAL } else { 0 };
        let mut ops = vec![Op::create("/q/n-", &self.data(), flags)];
        while self.numbered.len() > KEPT {
            ops.extend(self.numbered.pop_front().map(|path| Op::delete(&path)));
        }
        ops
    }

    fn ephemeral(&mut self, random: &mut Random) -> Vec<Op> {
        // Few names, so that a session meets what its client's last one has left.
        let path = format!("/e/{}-{}", self.client, random.below(3));
        match random.weighted(&[5, 2, 2]) {
            0 => vec![Op::create(&path, &self.data(), EPHEMERAL)],
            1 => vec![Op::delete(&path)],
            _ => vec![Op::children("/e"), Op::exists(&path)],
        }
    }

    fn multi(&mut self, random: &mut Random) -> Op {
        let number = random.below(REGISTERS);
        let version = if random.chance(0.6) { -1 } else { self.versions[number] };
        let data = self.data();
        let path = format!("/m/{}-{}", self.client, random.below(4));
        let mut ops = vec![
            Op::Check(register(number), version),
            Op::SetData(register(random.below(REGISTERS)), Some(data.clone()), -1),
            Op::create(&path, &data, 0),
        ];
        match random.below(3) {
            // Fails unless the node is gone; half the time the node goes with it.
            0 => {}
            1 => ops.push(Op::delete(&path)),
            _ => {
                ops.pop();
                ops.push(Op::delete(&path));
            }
        }
        Op::Multi(OpCode::Multi, ops)
    }
}

fn register(number: usize) -> String {
    format!("/r/{number}")
}

fn read_after_sync(path: String) -> Vec<Op> {
    let get = Op::get(&path);
    vec![Op::Path(OpCode::Sync, path), get]
}

fn watch(random: &mut Random) -> Op {
    let register = register(random.below(REGISTERS));
    let other = format!("/e/{}-{}", random.below(4), random.below(3));
    let folder = (*random.pick(&FOLDERS)).to_owned();
    match random.weighted(&[4, 4, 4, 1, 1]) {
        0 => Op::Read(OpCode::GetData, register, true),
        1 => Op::Read(OpCode::Exists, other, true),
        2 => Op::Read(OpCode::GetChildren2, folder, true),
        3 => Op::AddWatch(folder, 0),
        _ => Op::AddWatch(folder, 1),
    }
}
