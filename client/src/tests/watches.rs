//! Watches across connections.

use quorate_protocol::{
    Decode, Encode, ErrorCode, OpCode, Stat, Xid, Zxid,
    record::{
        AddWatchRequest, AddWatchResponse, Children2Response, EventType, GetDataResponse,
        RemoveWatchesRequest, SetWatches2Request, SetWatchesRequest, WatcherType,
    },
};

use super::peer::{Nothing, Peer, builder};
use crate::{Client, WatchItem, WatchStream};

const SET: AddWatchResponse = AddWatchResponse { error: 0 };

async fn watching(client: &Client, peer: &mut Peer, zxid: i64) -> WatchStream {
    let serve = async {
        let (xid, body) = peer.expect(OpCode::AddWatch).await;
        assert_eq!(AddWatchRequest::from_bytes(&body).unwrap().path, "/app/a");
        // An event may come ahead of the answer.
        peer.event(EventType::NodeCreated, "/app/a", zxid - 1).await;
        peer.answer_at(xid, zxid, 0, &SET).await;
    };
    let (stream, ()) = tokio::join!(client.watch("/a").recursive().start(), serve);
    stream.unwrap()
}

fn event(item: Option<WatchItem>) -> (EventType, String, Option<Zxid>) {
    match item {
        Some(WatchItem::Event(event)) => (event.kind, event.path, event.zxid),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_after_a_reconnect_and_tells_of_the_gap() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.connect_lazily().unwrap().chroot("/app").unwrap();
    let mut peer = listener.open().await;
    let mut stream = watching(&client, &mut peer, 5).await;
    assert_eq!(event(stream.next().await), (EventType::NodeCreated, "/a".into(), Some(Zxid(4))));
    peer.event(EventType::NodeDataChanged, "/app/a/b", -1).await;
    assert_eq!(event(stream.next().await), (EventType::NodeDataChanged, "/a/b".into(), None));

    drop(peer);
    let mut peer = listener.open().await;
    let (xid, body) = peer.expect(OpCode::SetWatches2).await;
    let request = SetWatches2Request::from_bytes(&body).unwrap();
    assert_eq!(request.persistent_recursive, ["/app/a"]);
    assert_eq!((xid, request.relative_zxid), (Xid::SET_WATCHES, Zxid(5)));
    peer.answer_at(xid, 5, 0, &Nothing).await;
    peer.event(EventType::NodeDataChanged, "/app/a", 6).await;
    // Nothing happened while it was away.
    assert_eq!(event(stream.next().await).2, Some(Zxid(6)));

    drop(peer);
    let mut peer = listener.open().await;
    let (xid, _) = peer.expect(OpCode::SetWatches2).await;
    peer.answer_at(xid, 9, 0, &Nothing).await;
    let gap = WatchItem::Resync { from: Zxid(5), to: Some(Zxid(9)) };
    assert_eq!(stream.next().await, Some(gap));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_is_removed_unless_another_is_being_set() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.connect_lazily().unwrap().chroot("/app").unwrap();
    let mut peer = listener.open().await;
    let stream = watching(&client, &mut peer, 5).await;
    let other = watching(&client, &mut peer, 6).await;
    drop(stream);
    drop(client.sync("/").send());
    peer.expect(OpCode::Sync).await;
    drop(other);
    let (xid, body) = peer.expect(OpCode::RemoveWatches).await;
    let request = RemoveWatchesRequest::from_bytes(&body).unwrap();
    assert_eq!((&*request.path, request.kind), ("/app/a", WatcherType::Any.wire()));
    assert_eq!(xid, Xid::SET_WATCHES);
}

#[tokio::test(start_paused = true)]
async fn one_shots_are_set_again_with_what_was_last_seen() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.connect_lazily().unwrap();
    let mut peer = listener.open().await;
    let get = client.get("/a").watch().send();
    let exists = client.exists("/b").watch().send();
    let missing = client.get("/c").watch().send();
    let (xid, _) = peer.expect(OpCode::GetData).await;
    let answer = GetDataResponse { data: None, stat: Stat::default() };
    peer.answer_at(xid, 7, 0, &answer).await;
    for op in [OpCode::Exists, OpCode::GetData] {
        let (xid, _) = peer.expect(op).await;
        peer.answer_at(xid, 8, -101, &Nothing).await;
    }
    let (node, changed) = get.await.unwrap();
    assert!(node.is_null);
    let (stat, created) = exists.await.unwrap();
    assert_eq!(stat, None);
    assert!(missing.await.unwrap_err().is_no_node());

    drop(peer);
    let mut peer = listener.open().await;
    let (xid, body) = peer.expect(OpCode::SetWatches).await;
    let request = SetWatchesRequest::from_bytes(&body).unwrap();
    assert_eq!((request.relative_zxid, &request.data[..]), (Zxid(8), &["/a".into()][..]));
    assert_eq!((&request.exist[..], &request.child[..]), (&["/b".into()][..], &[][..]));
    peer.event(EventType::NodeDeleted, "/a", -1).await;
    peer.answer_at(xid, 9, 0, &Nothing).await;
    assert_eq!(changed.await.unwrap().kind, EventType::NodeDeleted);
    drop(created);
    let (_, body) = peer.expect(OpCode::RemoveWatches).await;
    let expected = RemoveWatchesRequest { path: "/b".into(), kind: WatcherType::Any.wire() };
    assert_eq!(body, expected.to_bytes());
}

#[tokio::test(start_paused = true)]
async fn closing_ends_streams_and_one_shots() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.connect_lazily().unwrap().chroot("/app").unwrap();
    let mut peer = listener.open().await;
    let mut stream = watching(&client, &mut peer, 5).await;
    stream.next().await;
    let close = client.close().send();
    let (xid, _) = peer.expect(OpCode::CloseSession).await;
    peer.answer(xid, 0, &Nothing).await;
    close.await.unwrap();
    assert_eq!(stream.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_persistent_watches_is_found_out() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.connect_lazily().unwrap();
    let serve = async {
        let mut peer = listener.open().await;
        let (xid, _) = peer.expect(OpCode::AddWatch).await;
        peer.answer_at(xid, -1, ErrorCode::Unimplemented.wire(), &Nothing).await;
        drop(peer);
        // Nothing that such a server does not know.
        let mut peer = listener.open().await;
        let (exists, _) = peer.expect(OpCode::Exists).await;
        let (children, _) = peer.expect(OpCode::GetChildren2).await;
        for xid in [exists, children] {
            peer.answer_at(xid, 3, ErrorCode::NoNode.wire(), &Nothing).await;
        }
        peer
    };
    let (stream, mut peer) = tokio::join!(client.watch("/a").start(), serve);
    let mut stream = stream.unwrap();
    peer.event(EventType::NodeCreated, "/a", -1).await;
    let stat = Stat { czxid: Zxid(4), mzxid: Zxid(4), ..Stat::default() };
    let serve = async {
        for op in [OpCode::Exists, OpCode::Exists, OpCode::GetChildren2] {
            let (xid, _) = peer.expect(op).await;
            if op == OpCode::Exists {
                peer.answer_at(xid, 4, 0, &stat).await;
            } else {
                let children = Children2Response { children: Vec::new(), stat };
                peer.answer_at(xid, 4, 0, &children).await;
            }
        }
    };
    let (item, ()) = tokio::join!(stream.next(), serve);
    assert_eq!(event(item), (EventType::NodeCreated, "/a".into(), Some(Zxid(4))));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_set_watches_again_is_left() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.connect_lazily().unwrap().chroot("/app").unwrap();
    let mut peer = listener.open().await;
    let mut stream = watching(&client, &mut peer, 5).await;
    stream.next().await;
    drop(peer);
    let mut peer = listener.open().await;
    let (xid, _) = peer.expect(OpCode::SetWatches2).await;
    peer.answer_at(xid, 8, ErrorCode::ThrottledOp.wire(), &Nothing).await;
    while peer.frame().await.is_some() {}
    let mut peer = listener.open().await;
    let (xid, _) = peer.expect(OpCode::SetWatches2).await;
    peer.answer_at(xid, 9, 0, &Nothing).await;
    let gap = WatchItem::Resync { from: Zxid(5), to: Some(Zxid(9)) };
    assert_eq!(stream.next().await, Some(gap));
}
