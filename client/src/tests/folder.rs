//! A server played by a test that keeps nodes: enough for one client's recipes.

use std::collections::BTreeMap;

use quorate_protocol::{
    Decode, ErrorCode, OpCode, SessionId, Stat, Xid, Zxid,
    record::{
        AddWatchResponse, Children2Response, Create2Response, CreateRequest, DeleteRequest,
        EventType, GetDataResponse, PathWatchRequest, SetDataRequest,
    },
};
use tokio::{sync::oneshot, task::JoinHandle};

use super::peer::{Listener, Nothing, Peer};

/// The timeout of its sessions.
const TIMEOUT_MS: i32 = 6000;
/// The session of its client.
const SESSION: SessionId = SessionId(0x77);

/// Nodes, without regard to parents, and the watches set on them.
#[derive(Debug, Default)]
struct Nodes {
    by_path: BTreeMap<String, (Vec<u8>, Stat)>,
    watched: Vec<String>,
    zxid: i64,
    numbers: i32,
}

impl Nodes {
    fn create(&mut self, request: &CreateRequest<'_>) -> Result<(String, Stat), ErrorCode> {
        let [is_ephemeral, is_sequential] = [1, 2].map(|bit| request.flags & bit != 0);
        let mut path = request.path.to_string();
        if is_sequential && request.flags < 4 {
            path = format!("{path}{:010}", self.numbers);
            self.numbers += 1;
        }
        if self.by_path.contains_key(&path) {
            return Err(ErrorCode::NodeExists);
        }
        self.zxid += 1;
        let owner = if is_ephemeral && request.flags < 4 { SESSION } else { SessionId::NONE };
        let (czxid, mzxid) = (Zxid(self.zxid), Zxid(self.zxid));
        let stat = Stat { czxid, mzxid, ephemeral_owner: owner, ..Stat::default() };
        let data = request.data.unwrap_or_default().to_vec();
        self.by_path.insert(path.clone(), (data, stat));
        Ok((path, stat))
    }

    fn children(&self, parent: &str) -> Vec<String> {
        let names = self.by_path.keys().filter_map(|path| path.strip_prefix(parent));
        let names = names.filter_map(|rest| rest.strip_prefix('/'));
        names.filter(|name| !name.contains('/')).map(str::to_owned).collect()
    }
}

/// Serves one client until it is told to be silent, or to delete a node.
pub(super) struct Folder {
    task: JoinHandle<(Nodes, Peer)>,
    hush: oneshot::Sender<()>,
}

impl Folder {
    pub(super) fn serve(mut listener: Listener) -> Self {
        let (hush, mut hushed) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut peer = listener.accept().await;
            peer.greet(SESSION, TIMEOUT_MS).await;
            let mut nodes = Nodes::default();
            loop {
                let (xid, op, body) = tokio::select! {
                    request = peer.request() => request,
                    _ = &mut hushed => return (nodes, peer),
                };
                answer(&mut peer, &mut nodes, xid, op, &body).await;
            }
        });
        Self { task, hush }
    }

    /// Answers nothing any more. The connection stays as long as the result.
    pub(super) async fn hush(self) -> impl Sized {
        let _ = self.hush.send(());
        self.task.await.expect("it served")
    }

    /// Tells that all nodes whose watches were set are gone, then is silent, but for pings.
    pub(super) async fn delete_all(self) {
        let _ = self.hush.send(());
        let (nodes, mut peer) = self.task.await.expect("it served");
        for path in nodes.watched {
            peer.event(EventType::NodeDeleted, &path, nodes.zxid + 1).await;
        }
        loop {
            peer.request().await;
        }
    }
}

async fn answer(peer: &mut Peer, nodes: &mut Nodes, xid: Xid, op: OpCode, body: &[u8]) {
    let failed = |code: ErrorCode| code.wire();
    match op {
        OpCode::Create2 | OpCode::CreateContainer => {
            let request = CreateRequest::from_bytes(body).unwrap();
            match nodes.create(&request) {
                Ok((path, stat)) => {
                    let created = Create2Response { path: path.into(), stat };
                    peer.answer_at(xid, nodes.zxid, 0, &created).await;
                }
                Err(code) => peer.answer_at(xid, nodes.zxid, failed(code), &Nothing).await,
            }
        }
        OpCode::GetData | OpCode::Exists => {
            let request = PathWatchRequest::from_bytes(body).unwrap();
            let Some((data, stat)) = nodes.by_path.get(&*request.path) else {
                return peer.answer_at(xid, nodes.zxid, failed(ErrorCode::NoNode), &Nothing).await;
            };
            if request.watch {
                nodes.watched.push(request.path.to_string());
            }
            if op == OpCode::Exists {
                return peer.answer_at(xid, nodes.zxid, 0, stat).await;
            }
            let response = GetDataResponse { data: Some(data), stat: *stat };
            peer.answer_at(xid, nodes.zxid, 0, &response).await;
        }
        OpCode::GetChildren2 => {
            let request = PathWatchRequest::from_bytes(body).unwrap();
            let children = nodes.children(&request.path).into_iter().map(Into::into).collect();
            let response = Children2Response { children, stat: Stat::default() };
            peer.answer_at(xid, nodes.zxid, 0, &response).await;
        }
        OpCode::SetData => {
            let request = SetDataRequest::from_bytes(body).unwrap();
            nodes.zxid += 1;
            let (data, stat) = nodes.by_path.get_mut(&*request.path).expect("it is there");
            *data = request.data.unwrap_or_default().to_vec();
            (stat.version, stat.mzxid) = (stat.version + 1, Zxid(nodes.zxid));
            peer.answer_at(xid, nodes.zxid, 0, stat).await;
        }
        OpCode::Delete => {
            let request = DeleteRequest::from_bytes(body).unwrap();
            nodes.zxid += 1;
            nodes.by_path.remove(&*request.path);
            peer.answer_at(xid, nodes.zxid, 0, &Nothing).await;
        }
        OpCode::AddWatch => {
            peer.answer_at(xid, nodes.zxid, 0, &AddWatchResponse { error: 0 }).await;
        }
        OpCode::Sync | OpCode::RemoveWatches => peer.answer_at(xid, nodes.zxid, 0, &Nothing).await,
        op => panic!("{op:?} is not played here"),
    }
}
