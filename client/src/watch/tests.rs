//! The registry and the queues of streams, without a connection.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use quorate_protocol::{
    Decode, OpCode, Zxid,
    record::{EventType, SetWatches2Request, SetWatchesRequest, WatcherType},
};

use super::{Event, Kind, OneShotSlot, Registry, Sink, Unwatch, WatchItem};

fn event(kind: EventType, path: &str, zxid: i64) -> Event {
    Event { kind, path: path.into(), zxid: Some(Zxid(zxid)) }
}

fn items(sink: &Sink) -> Vec<WatchItem> {
    std::iter::from_fn(|| sink.try_take()).collect()
}

fn resync(from: i64, to: i64) -> WatchItem {
    WatchItem::Resync { from: Zxid(from), to: Some(Zxid(to)) }
}

#[test]
fn events_reach_those_they_concern() {
    let mut registry = Registry::default();
    let sinks: Vec<_> = (0..3).map(|_| Arc::new(Sink::new(10))).collect();
    registry.add_stream("/a".into(), false, Arc::clone(&sinks[0]));
    registry.add_stream("/a".into(), true, Arc::clone(&sinks[1]));
    registry.add_stream("/".into(), true, Arc::clone(&sinks[2]));
    for event in [
        event(EventType::NodeCreated, "/a/b", 1),
        event(EventType::NodeChildrenChanged, "/a", 1),
        event(EventType::NodeDataChanged, "/a", 2),
        event(EventType::NodeDeleted, "/ab", 3),
    ] {
        registry.dispatch(&event, Zxid::ZERO);
    }
    let paths = |sink: &Sink| -> Vec<_> {
        let items = items(sink).into_iter();
        items
            .map(|item| match item {
                WatchItem::Event(event) => (event.path, event.kind.wire()),
                resync @ WatchItem::Resync { .. } => panic!("{resync:?}"),
            })
            .collect()
    };
    assert_eq!(paths(&sinks[0]), [("/a".into(), 4), ("/a".into(), 3)]);
    assert_eq!(paths(&sinks[1]), [("/a/b".into(), 1), ("/a".into(), 3)]);
    let all = [("/a/b".into(), 1), ("/a".into(), 3), ("/ab".into(), 2)];
    assert_eq!(paths(&sinks[2]), all);
}

#[test]
fn one_shots_fire_once_and_a_deletion_fires_all_of_them() {
    for (kind, fired) in [
        (EventType::NodeCreated, [true, true, false]),
        (EventType::NodeDataChanged, [true, true, false]),
        (EventType::NodeChildrenChanged, [false, false, true]),
        (EventType::NodeDeleted, [true, true, true]),
    ] {
        let mut registry = Registry::default();
        let mut receivers = Vec::new();
        for watch in [Kind::Data, Kind::Exist, Kind::Child] {
            let (slot, receiver) = OneShotSlot::pair();
            registry.add_one_shot(watch, "/a".into(), slot);
            receivers.push(receiver);
        }
        registry.dispatch(&event(kind, "/b", 1), Zxid::ZERO);
        registry.dispatch(&event(kind, "/a", 2), Zxid::ZERO);
        registry.dispatch(&event(kind, "/a", 3), Zxid::ZERO);
        for (receiver, fired) in receivers.iter_mut().zip(fired) {
            let told = receiver.try_recv().ok().and_then(|event| event.zxid);
            assert_eq!(told, fired.then_some(Zxid(2)), "{kind:?}");
        }
    }
}

#[test]
fn watches_are_set_again_in_requests_of_bounded_size() {
    let mut registry = Registry::default();
    let mut receivers = Vec::new();
    let sink = Arc::new(Sink::new(10));
    for number in 0..10_000 {
        let (slot, receiver) = OneShotSlot::pair();
        let kind = [Kind::Data, Kind::Exist, Kind::Child][number % 3];
        registry.add_one_shot(kind, format!("/some/long/prefix/{number}").into(), slot);
        receivers.push(receiver);
    }
    registry.add_stream("/zz".into(), true, Arc::clone(&sink));
    drop(receivers.drain(..10));
    let requests = registry.restore(Zxid(7));
    assert!(requests.len() > 1);
    let mut restored = 0;
    for (op, body) in &requests {
        assert!(body.len() + 8 <= 128 * 1024, "{}", body.len());
        restored += if *op == OpCode::SetWatches {
            let request = SetWatchesRequest::from_bytes(body).unwrap();
            assert_eq!(request.relative_zxid, Zxid(7));
            request.data.len() + request.exist.len() + request.child.len()
        } else {
            let request = SetWatches2Request::from_bytes(body).unwrap();
            assert_eq!(request.persistent_recursive, ["/zz"]);
            request.data.len() + request.exist.len() + request.child.len() + 1
        };
    }
    assert_eq!(restored, 10_000 - 10 + 1, "without those nobody waits for");
    sink.close();
    drop(receivers);
    assert!(registry.restore(Zxid(8)).is_empty());
}

#[test]
fn a_watch_is_removed_with_its_last_listener() {
    let mut registry = Registry::default();
    let unwatch = |kind| Unwatch { path: "/a".into(), kind };
    let (data, data_receiver) = OneShotSlot::pair();
    let (exist, exist_receiver) = OneShotSlot::pair();
    let sink = Arc::new(Sink::new(1));
    registry.add_one_shot(Kind::Data, "/a".into(), data);
    registry.add_one_shot(Kind::Exist, "/a".into(), exist);
    registry.add_stream("/a".into(), false, Arc::clone(&sink));
    drop(data_receiver);
    assert_eq!(registry.unwatch(&unwatch(Kind::Data)), None, "the server has both in one table");
    drop(exist_receiver);
    assert_eq!(registry.unwatch(&unwatch(Kind::Exist)), Some(WatcherType::Data));
    sink.close();
    assert_eq!(registry.unwatch(&unwatch(Kind::Persistent)), Some(WatcherType::Any));
    assert_eq!(registry.unwatch(&unwatch(Kind::Persistent)), None);
}

#[test]
fn a_slow_consumer_gets_a_resync_in_place_of_what_it_missed() {
    let sink = Sink::new(3);
    sink.started(Zxid(10));
    for zxid in 11..=13 {
        sink.event(&event(EventType::NodeDataChanged, "/a", zxid), Zxid(10));
    }
    assert!(matches!(sink.try_take(), Some(WatchItem::Event(_))));
    sink.event(&event(EventType::NodeDataChanged, "/a", 14), Zxid(10));
    sink.event(&event(EventType::NodeDataChanged, "/a", 15), Zxid(10));
    sink.event(&event(EventType::NodeDataChanged, "/a", 16), Zxid(10));
    let after = WatchItem::Event(event(EventType::NodeDataChanged, "/a", 16));
    // 11 was taken, but there may be more events of the same transaction.
    assert_eq!(items(&sink), [resync(10, 15), after]);
}

#[test]
fn a_gap_is_told_unless_nothing_happened() {
    let sink = Sink::new(3);
    sink.interrupt(Zxid(3));
    sink.resume(Zxid(9));
    assert_eq!(items(&sink), [], "it was never set before");
    sink.started(Zxid(9));
    sink.interrupt(Zxid(10));
    sink.resume(Zxid(10));
    assert_eq!(items(&sink), []);
    sink.interrupt(Zxid(10));
    // Lost once more before the watch was set again.
    sink.interrupt(Zxid(12));
    sink.resume(Zxid(15));
    assert_eq!(items(&sink), [resync(10, 15)]);
}

#[test]
fn a_gap_on_top_of_a_full_queue_swallows_it() {
    let sink = Sink::new(2);
    sink.started(Zxid(1));
    for zxid in 2..=3 {
        sink.event(&event(EventType::NodeDataChanged, "/a", zxid), Zxid(1));
    }
    sink.interrupt(Zxid(3));
    sink.resume(Zxid(8));
    assert_eq!(items(&sink), [resync(1, 8)]);
    sink.end();
    assert_eq!(sink.poll_take(&mut Context::from_waker(Waker::noop())), Poll::Ready(None));
}
