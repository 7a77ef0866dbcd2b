//! What happened: operations with their outcomes and times, and the faults, as JSON lines.
//!
//! The file is all a checker gets. Operations stand in the order in which they ended; those that
//! never ended (outcome [`Outcome::Unknown`]) stand where the client gave up. The first line is
//! the run's [`Settings`].

use std::{
    fmt,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::{clock::Nanos, target::Kind, workload};

/// The number of a transaction, as servers report it. Text in hexadecimal, as operators know it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(into = "String", try_from = "String")]
pub struct Zxid(pub i64);

/// The number of a session.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(into = "String", try_from = "String")]
pub struct SessionId(pub i64);

macro_rules! hexadecimal {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }

        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let digits = text.strip_prefix("0x").ok_or_else(|| format!("{text}: no 0x"))?;
                let number = u64::from_str_radix(digits, 16).map_err(|e| format!("{text}: {e}"))?;
                Ok(Self(number.cast_signed()))
            }
        }
    };
}

hexadecimal!(Zxid);
hexadecimal!(SessionId);

/// Under what conditions a history came about, as far as a checker has to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// What served.
    pub target: Kind,
    /// How many servers.
    pub servers: usize,
    /// What the clients did.
    pub workload: workload::Kind,
    /// The faults wanted, as on the command line.
    pub nemesis: String,
    /// Everything random follows from it, but not how processes and threads are scheduled.
    pub seed: u64,
    /// A tick of the servers, in milliseconds.
    pub tick_ms: u64,
    /// Ticks after which servers miss each other.
    pub sync_limit: u32,
}

/// A request, or a step in the life of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "f", rename_all = "kebab-case")]
pub enum Op {
    /// Opens a session.
    Open,
    /// Reconnects to a session, on whichever server.
    Attach,
    /// Ends the session.
    Close,
    /// Says that the client is there.
    Ping,
    /// Creates a node with a value nobody else writes.
    Create {
        /// Its path, or what the path begins with.
        path: String,
        /// Its data.
        value: String,
        /// How long it lives, and whether its name gets a number.
        mode: Mode,
    },
    /// Replaces a node's value by one that nobody else writes.
    Set {
        /// The node.
        path: String,
        /// Its new data.
        value: String,
        /// The version it must have, if any.
        expected: Option<i32>,
    },
    /// Reads a node.
    Get {
        /// The node.
        path: String,
    },
    /// Asks what is known of a node.
    Exists {
        /// The node.
        path: String,
    },
    /// Lists a node's children.
    Children {
        /// The node.
        path: String,
    },
    /// Waits until this server has everything that was acknowledged by any.
    Sync,
}

impl Op {
    /// Whether it is a transaction when it is done.
    pub fn is_write(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Set { .. } | Self::Close)
    }

    /// Whether it answers with a part of the tree.
    pub fn is_read(&self) -> bool {
        matches!(self, Self::Get { .. } | Self::Exists { .. } | Self::Children { .. })
    }

    /// The value it writes.
    pub fn written(&self) -> Option<&str> {
        match self {
            Self::Create { value, .. } | Self::Set { value, .. } => Some(value),
            _ => None,
        }
    }

    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Attach => "attach",
            Self::Close => "close",
            Self::Ping => "ping",
            Self::Create { .. } => "create",
            Self::Set { expected: None, .. } => "set",
            Self::Set { expected: Some(_), .. } => "compare-and-set",
            Self::Get { .. } => "get",
            Self::Exists { .. } => "exists",
            Self::Children { .. } => "children",
            Self::Sync => "sync",
        }
    }
}

/// How a node is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Stays.
    Persistent,
    /// Stays; its name gets a number.
    Sequential,
    /// Goes with its session.
    Ephemeral,
}

/// What is known of a node besides its data, as far as the model has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// When it was created.
    pub czxid: Zxid,
    /// When its data was written.
    pub mzxid: Zxid,
    /// When a child was created or deleted.
    pub pzxid: Zxid,
    /// How often its data was written since its creation.
    pub version: i32,
    /// How often children were created and deleted.
    pub cversion: i32,
    /// Whose ephemeral node it is; 0 when it is none.
    pub owner: SessionId,
    /// Bytes of data.
    pub length: i32,
    /// Number of children.
    pub children: i32,
}

/// What a server answered to a request that it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Nothing but that.
    Done,
    /// A session begun or kept.
    Session {
        /// Its timeout as agreed on, in milliseconds.
        timeout_ms: u64,
    },
    /// A node created.
    Created {
        /// Its path, with its number.
        path: String,
        /// Its first state.
        stat: Stat,
    },
    /// What is known of a node.
    Stat(Stat),
    /// A node's value.
    Data {
        /// Its data.
        value: String,
        /// The rest.
        stat: Stat,
    },
    /// Names of children.
    Names {
        /// In no order.
        names: Vec<String>,
        /// Of the parent.
        stat: Stat,
    },
    /// There is no such node. An answer like any other to a read.
    Missing,
}

/// How an operation ended, as far as its client knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done.
    Ok {
        /// A write's own zxid, or the state a read shows; none for `open` and `attach`.
        zxid: Option<Zxid>,
        /// The answer.
        reply: Reply,
    },
    /// It was refused and has no effect.
    Fail {
        /// As for `Ok`.
        zxid: Option<Zxid>,
        /// The error's number.
        error: i32,
    },
    /// No answer: it was done, will be done, or never.
    Unknown,
}

/// When in a run an operation belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Before the clients begin.
    Setup,
    /// While there may be faults.
    Run,
    /// After all faults are healed: what is read now is what remains.
    Final,
}

/// A request and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its number; a client's operations have rising numbers in the order they were sent.
    pub id: u64,
    /// Who asked.
    pub client: usize,
    /// For which session; 0 while there is none.
    pub session: SessionId,
    /// Over which connection: no two connections of a run have the same number.
    pub connection: u64,
    /// Which server.
    pub server: usize,
    /// When in the run.
    pub phase: Phase,
    /// Read before the first byte was sent.
    pub call: Nanos,
    /// Read after the last byte of the answer had come; none without an answer.
    #[serde(rename = "return")]
    pub returned: Option<Nanos>,
    /// What was asked.
    pub op: Op,
    /// What became of it.
    pub outcome: Outcome,
}

impl Operation {
    /// Whether it was done.
    pub fn is_ok(&self) -> bool {
        matches!(self.outcome, Outcome::Ok { .. })
    }

    /// The zxid of the answer, if there is one.
    pub fn zxid(&self) -> Option<Zxid> {
        match self.outcome {
            Outcome::Ok { zxid, .. } | Outcome::Fail { zxid, .. } => zxid,
            Outcome::Unknown => None,
        }
    }

    /// The answer, if it was done.
    pub fn reply(&self) -> Option<&Reply> {
        match &self.outcome {
            Outcome::Ok { reply, .. } => Some(reply),
            _ => None,
        }
    }

    /// The error, if it was refused.
    pub fn error(&self) -> Option<i32> {
        match self.outcome {
            Outcome::Fail { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |at: Nanos| Duration::from_nanos(at).as_secs_f64();
        write!(f, "[{} at {:.3}", self.id, seconds(self.call))?;
        if let Some(returned) = self.returned {
            write!(f, "-{:.3}", seconds(returned))?;
        }
        let Self { client, session, server, op, .. } = self;
        write!(f, "s, client {client}, session {session}, server {}] {op:?}", server + 1)?;
        match &self.outcome {
            Outcome::Ok { zxid, reply } => {
                let zxid = zxid.map(|zxid| format!(" at {zxid}")).unwrap_or_default();
                // A list can be long.
                let reply: String = format!("{reply:?}").chars().take(300).collect();
                write!(f, " = {reply}{zxid}")
            }
            Outcome::Fail { zxid, error } => {
                let zxid = zxid.map(|zxid| format!(" at {zxid}")).unwrap_or_default();
                write!(f, " refused with {error}{zxid}")
            }
            Outcome::Unknown => f.write_str(" without an answer"),
        }
    }
}

/// A fault that was put on or taken off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// When.
    pub at: Nanos,
    /// What was done, for people.
    pub what: String,
    /// Whether a fault is on from now.
    pub begins: bool,
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Settings(Settings),
    Operation(Operation),
    Fault(Fault),
}

/// All of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Its conditions.
    pub settings: Settings,
    /// By their numbers, so that a client's stand in the order they were sent.
    pub operations: Vec<Operation>,
    /// By time.
    pub faults: Vec<Fault>,
}

impl History {
    /// Reads a file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let (mut settings, mut operations, mut faults) = (None, Vec::new(), Vec::new());
        for (number, line) in (1..).zip(BufReader::new(file).lines()) {
            let context = || format!("{}:{number}", path.display());
            match serde_json::from_str(&line.with_context(context)?).with_context(context)? {
                Line::Settings(found) => settings = Some(found),
                Line::Operation(operation) => operations.push(operation),
                Line::Fault(fault) => faults.push(fault),
            }
        }
        operations.sort_by_key(|operation| operation.id);
        let settings = settings.with_context(|| format!("{}: no settings", path.display()))?;
        Ok(Self { settings, operations, faults })
    }
}

/// Writes a history while it happens. Shared by all clients.
#[derive(Debug)]
pub struct Recorder {
    file: Mutex<BufWriter<File>>,
    operations: AtomicU64,
    connections: AtomicU64,
}

impl Recorder {
    /// Begins a file.
    pub fn create(path: &Path, settings: &Settings) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        let recorder = Self {
            file: Mutex::new(BufWriter::new(file)),
            operations: AtomicU64::new(1),
            connections: AtomicU64::new(1),
        };
        recorder.line(&Line::Settings(settings.clone()));
        Ok(recorder)
    }

    /// The next operation's number.
    pub fn operation_id(&self) -> u64 {
        self.operations.fetch_add(1, Ordering::Relaxed)
    }

    /// The next connection's number.
    pub fn connection_id(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds an operation that has ended or was given up.
    pub fn operation(&self, operation: &Operation) {
        self.line(&Line::Operation(operation.clone()));
    }

    /// Adds a fault.
    pub fn fault(&self, fault: Fault) {
        self.line(&Line::Fault(fault));
    }

    /// Makes sure that all of it is in the file.
    pub fn finish(&self) -> anyhow::Result<()> {
        self.file().flush().context("write the history")
    }

    /// # Panics
    /// When the file cannot be written: without it the run is worth nothing.
    fn line(&self, line: &Line) {
        let mut text = serde_json::to_string(line).expect("a line has no map and no failing part");
        text.push('\n');
        self.file().write_all(text.as_bytes()).expect("write the history");
    }

    fn file(&self) -> MutexGuard<'_, BufWriter<File>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
