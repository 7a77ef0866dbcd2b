//! What clients are promised, as a plain map: the model that histories are replayed against.
//!
//! It executes requests, not transactions, and shares no code with the server's tree: what a
//! request comes to is decided here once more.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::{ErrorCode, OpCode, SessionId, Stat, Zxid, path};

use crate::{Body, Op, op::NewNode};

/// What happened to a node, in the order in which watchers learn of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was created.
    Created,
    /// It was deleted.
    Deleted,
    /// Its data was written.
    DataChanged,
}

/// A node's change.
pub type Changed = (Change, String);

/// Where and when a request is executed.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Whose it is.
    pub session: SessionId,
    /// Its transaction.
    pub zxid: Zxid,
    /// Its transaction's time.
    pub time_ms: i64,
    /// The session may be one that is known to its server alone.
    pub may_be_local: bool,
}

/// What a request comes to: the body of its reply, or why it is refused.
pub type Outcome = Result<Body, ErrorCode>;

#[derive(Debug, Clone, PartialEq)]
struct Node {
    /// Without what follows from other nodes.
    stat: Stat,
    data: Option<Vec<u8>>,
    children: BTreeSet<String>,
    /// Children that were ever created.
    created: i32,
}

/// The tree and the sessions.
#[derive(Debug, Clone)]
pub struct Model {
    nodes: BTreeMap<String, Node>,
    sessions: BTreeSet<SessionId>,
    /// Sessions that a transaction has opened, whatever became of them.
    opened: BTreeSet<SessionId>,
}

impl Default for Model {
    fn default() -> Self {
        let mut model =
            Self { nodes: BTreeMap::new(), sessions: BTreeSet::new(), opened: BTreeSet::new() };
        model.put("/", Node::new(Stat::default(), Some(Vec::new())));
        for path in ["/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
            let aversion = if path == "/zookeeper/config" { -1 } else { 0 };
            let stat = Stat { aversion, ..Stat::default() };
            model.put(path, Node::new(stat, Some(Vec::new())));
        }
        model
    }
}

impl Node {
    fn new(stat: Stat, data: Option<Vec<u8>>) -> Self {
        Self { stat, data, children: BTreeSet::new(), created: 0 }
    }

    fn stat(&self) -> Stat {
        let length = |n: usize| i32::try_from(n).expect("a model is small");
        let num_children = length(self.children.len());
        Stat {
            num_children,
            cversion: 2 * self.created - num_children,
            data_length: self.data.as_ref().map_or(0, |data| length(data.len())),
            ..self.stat
        }
    }
}

impl Model {
    /// A session begins.
    pub fn open_session(&mut self, session: SessionId) {
        self.sessions.insert(session);
        self.opened.insert(session);
    }

    /// Whether a transaction has opened a session, though it may have ended.
    pub fn was_opened(&self, session: SessionId) -> bool {
        self.opened.contains(&session)
    }

    /// Whether a session is open.
    pub fn is_open(&self, session: SessionId) -> bool {
        self.sessions.contains(&session)
    }

    /// The nodes that would go with a session.
    pub fn ephemerals(&self, session: SessionId) -> Vec<&str> {
        let is_its = |(_, node): &(&String, &Node)| node.stat.ephemeral_owner == session;
        self.nodes.iter().filter(is_its).map(|(path, _)| &**path).collect()
    }

    /// A session ends, and its nodes go in this order.
    pub fn close_session(
        &mut self,
        session: SessionId,
        zxid: Zxid,
        paths: &[String],
        changes: &mut Vec<Changed>,
    ) {
        self.sessions.remove(&session);
        for path in paths {
            self.remove(path, zxid, changes);
        }
    }

    /// Executes a write.
    pub fn write(&mut self, op: &Op, context: &Context, changes: &mut Vec<Changed>) -> Outcome {
        let Op::Multi(OpCode::Multi, ops) = op else {
            return self.write_one(op, context, changes);
        };
        let (mut after, mut made) = (self.clone(), Vec::new());
        let mut results = Vec::new();
        let mut failed = None;
        for op in ops {
            match after.write_one(op, context, &mut made) {
                Ok(body) => results.push((op.code(), 0, body)),
                Err(code) => {
                    failed = Some((results.len(), code));
                    break;
                }
            }
        }
        if let Some((at, code)) = failed {
            let code = |index: usize| match index.cmp(&at) {
                std::cmp::Ordering::Less => ErrorCode::Ok,
                std::cmp::Ordering::Equal => code,
                std::cmp::Ordering::Greater => ErrorCode::RuntimeInconsistency,
            };
            let result = |index| (-1, code(index).wire(), Body::Int(code(index).wire()));
            return Ok(Body::Results((0..ops.len()).map(result).collect()));
        }
        *self = after;
        changes.append(&mut made);
        Ok(Body::Results(results))
    }

    fn write_one(&mut self, op: &Op, context: &Context, changes: &mut Vec<Changed>) -> Outcome {
        if !self.is_open(context.session) {
            if !context.may_be_local || self.was_opened(context.session) {
                return Err(ErrorCode::SessionExpired);
            }
            // A local session owns nothing.
            if matches!(op, Op::Create(_, node) if node.flags & 1 != 0) {
                return Err(ErrorCode::EphemeralOnLocalSession);
            }
        }
        match op {
            Op::Create(code, node) => self.create(*code, node, context, changes),
            Op::Delete(path, version) => {
                let node = self.node(path)?;
                check_version(node, *version)?;
                if !node.children.is_empty() {
                    return Err(ErrorCode::NotEmpty);
                }
                self.remove(path, context.zxid, changes);
                Ok(Body::Empty)
            }
            Op::SetData(path, data, version) => {
                let node = self.nodes.get_mut(path).ok_or(ErrorCode::NoNode)?;
                check_version(node, *version)?;
                node.data.clone_from(data);
                node.stat.version += 1;
                node.stat.mzxid = context.zxid;
                node.stat.mtime = context.time_ms;
                changes.push((Change::DataChanged, path.clone()));
                Ok(Body::Stat(node.stat()))
            }
            Op::Check(path, version) => {
                check_version(self.node(path)?, *version)?;
                Ok(Body::Empty)
            }
            op => unreachable!("no workload has {op:?}"),
        }
    }

    /// Executes a read.
    pub fn read(&self, op: &Op) -> Outcome {
        match op {
            Op::Read(code, path, _) => {
                let node = self.node(path)?;
                let names = || node.children.iter().cloned().collect();
                Ok(match code {
                    OpCode::Exists => Body::Stat(node.stat()),
                    OpCode::GetData => Body::Data(node.data.clone(), node.stat()),
                    OpCode::GetChildren => Body::Names(names(), None),
                    _ => Body::Names(names(), Some(node.stat())),
                })
            }
            Op::Path(OpCode::Sync, path) => Ok(Body::Path(path.clone(), None)),
            Op::AddWatch(..) => Ok(Body::Int(0)),
            Op::SetWatches(..) | Op::Plain(OpCode::Ping) => Ok(Body::Empty),
            op => unreachable!("no workload has {op:?}"),
        }
    }

    /// Whether there is such a node.
    pub fn has(&self, path: &str) -> bool {
        self.nodes.contains_key(path)
    }

    /// A node's data and `Stat`.
    pub fn get(&self, path: &str) -> Option<(Option<&[u8]>, Stat)> {
        self.nodes.get(path).map(|node| (node.data.as_deref(), node.stat()))
    }

    /// The paths of all nodes.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().map(|path| &**path)
    }

    fn create(
        &mut self,
        code: OpCode,
        new: &NewNode,
        context: &Context,
        changes: &mut Vec<Changed>,
    ) -> Outcome {
        let (is_ephemeral, is_sequential) = (new.flags & 1 != 0, new.flags & 2 != 0);
        let (above, _) = path::split(&new.path).expect("workloads create valid paths");
        let parent = self.node(above)?;
        let path = if is_sequential {
            format!("{}{:010}", new.path, parent.created)
        } else {
            new.path.clone()
        };
        if self.has(&path) {
            return Err(ErrorCode::NodeExists);
        }
        if parent.stat.ephemeral_owner != SessionId::NONE {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let &Context { session, zxid, time_ms, .. } = context;
        let stat = Stat {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time_ms,
            mtime: time_ms,
            ephemeral_owner: if is_ephemeral { session } else { SessionId::NONE },
            ..Stat::default()
        };
        self.put(&path, Node::new(stat, new.data.clone()));
        let parent = self.nodes.get_mut(above).expect("it was there just now");
        parent.stat.pzxid = zxid;
        changes.push((Change::Created, path.clone()));
        let stat = self.nodes[&path].stat();
        Ok(Body::Path(path, (code == OpCode::Create2).then_some(stat)))
    }

    fn node(&self, path: &str) -> Result<&Node, ErrorCode> {
        self.nodes.get(path).ok_or(ErrorCode::NoNode)
    }

    fn put(&mut self, path: &str, node: Node) {
        self.nodes.insert(path.to_owned(), node);
        if let Some((above, name)) = path::split(path) {
            let parent = self.nodes.get_mut(above).expect("a node has a parent");
            parent.children.insert(name.to_owned());
            // The nodes of an empty tree were never created by anybody.
            if above != "/zookeeper" && path != "/zookeeper" {
                parent.created += 1;
            }
        }
    }

    fn remove(&mut self, path: &str, zxid: Zxid, changes: &mut Vec<Changed>) {
        self.nodes.remove(path);
        let (above, name) = path::split(path).expect("the root is never removed");
        let parent = self.nodes.get_mut(above).expect("a node has a parent");
        parent.children.remove(name);
        parent.stat.pzxid = zxid;
        changes.push((Change::Deleted, path.to_owned()));
    }
}

fn check_version(node: &Node, version: i32) -> Result<(), ErrorCode> {
    if version == -1 || version == node.stat.version { Ok(()) } else { Err(ErrorCode::BadVersion) }
}
