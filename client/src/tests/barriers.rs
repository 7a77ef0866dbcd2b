//! A double barrier, in an order of events that only a test can bring about.

use quorate_protocol::{
    OpCode, SessionId, Stat, Zxid,
    record::{AddWatchResponse, Children2Response, Create2Response, EventType},
};

use super::peer::{Nothing, Peer, builder};
use crate::{ErrorCode, recipes::barrier::DoubleBarrier};

/// Shows a look this member and another one, and no `ready`.
async fn show_two_members(peer: &mut Peer, zxid: i64) {
    let (exists, _) = peer.expect(OpCode::Exists).await;
    peer.answer_at(exists, zxid, ErrorCode::NoNode.wire(), &Nothing).await;
    let (list, _) = peer.expect(OpCode::GetChildren2).await;
    let children = vec!["0".into(), "own".into()];
    let response = Children2Response { children, stat: Stat::default() };
    peer.answer_at(list, zxid, 0, &response).await;
}

fn created(zxid: i64) -> Create2Response<'static> {
    let stat = Stat { czxid: Zxid(zxid), ephemeral_owner: SessionId(0x77), ..Stat::default() };
    Create2Response { path: "/double/created".into(), stat }
}

#[tokio::test(start_paused = true)]
async fn who_opens_a_barrier_that_was_opened_and_shut_meanwhile_shuts_it_again() {
    let (builder, mut listener) = builder(1 << 16);
    let client = builder.connect_lazily().unwrap();
    let barrier = DoubleBarrier::new(&client, "/double", 2).unwrap();
    let serve = async {
        let mut peer = listener.open().await;
        let (watch, _) = peer.expect(OpCode::AddWatch).await;
        peer.answer(watch, 0, &AddWatchResponse { error: 0 }).await;
        let (enter, _) = peer.expect(OpCode::Create2).await;
        peer.answer_at(enter, 4, 0, &created(4)).await;
        show_two_members(&mut peer, 4).await;
        let (open, _) = peer.expect(OpCode::Create2).await;
        // The other one came ahead of it, and has left already.
        peer.event(EventType::NodeCreated, "/double/ready", 5).await;
        peer.event(EventType::NodeDeleted, "/double/ready", 6).await;
        peer.event(EventType::NodeCreated, "/double/ready", 7).await;
        peer.answer_at(open, 7, 0, &created(7)).await;
        let (shut, _) = peer.expect(OpCode::Delete).await;
        peer.event(EventType::NodeDeleted, "/double/ready", 8).await;
        peer.answer_at(shut, 8, 0, &Nothing).await;
        show_two_members(&mut peer, 8).await;
        peer
    };
    let (entered, _peer) = tokio::join!(barrier.enter(), serve);
    drop(entered.expect("it was opened while it was there"));
}
