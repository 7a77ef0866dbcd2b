//! Frames that real clients and a real ZooKeeper exchanged decode, and encode to the same bytes.
//! How they were recorded is in `recorder/README.md`.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;

use bytes::BytesMut;
use quorate_protocol::{
    Decode, Decoder, Encode, OpCode, Stat, Xid,
    record::{
        AddWatchRequest, AddWatchResponse, AllChildrenNumberResponse, AuthRequest,
        Children2Response, ChildrenResponse, ConnectRequest, ConnectResponse, Create2Response,
        CreateRequest, CreateResponse, CreateTtlRequest, DeleteRequest, EphemeralsRequest,
        EphemeralsResponse, GetAclResponse, GetDataResponse, MultiHeader, MultiOps, MultiResults,
        PathRequest, PathWatchRequest, ReconfigRequest, RemoveWatchesRequest, ReplyHeader,
        RequestHeader, SaslRequest, SaslResponse, SetAclRequest, SetDataRequest,
        SetWatches2Request, SetWatchesRequest, SyncRequest, SyncResponse, WatcherEvent,
        WhoAmIResponse,
    },
};

const RECORDINGS: [(&str, &str); 4] = [
    ("go", include_str!("golden/go.txt")),
    ("java", include_str!("golden/java.txt")),
    ("java-sasl", include_str!("golden/java-sasl.txt")),
    ("kazoo", include_str!("golden/kazoo.txt")),
];

/// Decodes a record, which must be all that is left, and encodes it behind the others.
fn again<'a, T: Decode<'a> + Encode>(input: &mut Decoder<'a>, out: &mut BytesMut) {
    T::decode(input).expect("a recorded frame decodes").encode(out);
}

fn request(name: &str, frame: &[u8]) -> BytesMut {
    let (input, out) = (&mut Decoder::new(frame), &mut BytesMut::new());
    if name == "connect" {
        again::<ConnectRequest<'_>>(input, out);
        return out.split();
    }
    let header = RequestHeader::decode(input).unwrap();
    header.encode(out);
    let op = OpCode::from_wire(header.op).unwrap();
    assert_eq!(op.name(), name);
    match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => {
            again::<CreateRequest<'_>>(input, out);
        }
        OpCode::CreateTtl => again::<CreateTtlRequest<'_>>(input, out),
        OpCode::Delete => again::<DeleteRequest<'_>>(input, out),
        OpCode::Exists | OpCode::GetData | OpCode::GetChildren | OpCode::GetChildren2 => {
            again::<PathWatchRequest<'_>>(input, out);
        }
        OpCode::SetData => again::<SetDataRequest<'_>>(input, out),
        OpCode::GetAcl | OpCode::GetAllChildrenNumber => again::<PathRequest<'_>>(input, out),
        OpCode::SetAcl => again::<SetAclRequest<'_>>(input, out),
        OpCode::Sync => again::<SyncRequest<'_>>(input, out),
        OpCode::GetEphemerals => again::<EphemeralsRequest<'_>>(input, out),
        OpCode::Reconfig => again::<ReconfigRequest<'_>>(input, out),
        OpCode::CheckWatches | OpCode::RemoveWatches => {
            again::<RemoveWatchesRequest<'_>>(input, out);
        }
        OpCode::Auth => again::<AuthRequest<'_>>(input, out),
        OpCode::Sasl => again::<SaslRequest<'_>>(input, out),
        OpCode::SetWatches => again::<SetWatchesRequest<'_>>(input, out),
        OpCode::SetWatches2 => again::<SetWatches2Request<'_>>(input, out),
        OpCode::AddWatch => again::<AddWatchRequest<'_>>(input, out),
        OpCode::Multi | OpCode::MultiRead => {
            for item in MultiOps::new(op, input.rest()) {
                item.unwrap().encode(out);
            }
            MultiHeader::END.encode(out);
        }
        OpCode::Ping | OpCode::WhoAmI | OpCode::CloseSession => {}
        _ => panic!("no client sends {op}"),
    }
    out.split()
}

fn reply(name: &str, frame: &[u8]) -> BytesMut {
    let (input, out) = (&mut Decoder::new(frame), &mut BytesMut::new());
    if name == "connect" {
        again::<ConnectResponse>(input, out);
        return out.split();
    }
    let header = ReplyHeader::decode(input).unwrap();
    header.encode(out);
    assert_eq!(header.xid == Xid::EVENT, name == "event");
    if header.error != 0 {
        return out.split();
    }
    match name {
        "event" => again::<WatcherEvent<'_>>(input, out),
        "create" => again::<CreateResponse<'_>>(input, out),
        "create2" | "createContainer" | "createTTL" => again::<Create2Response<'_>>(input, out),
        "exists" | "setData" | "setACL" => again::<Stat>(input, out),
        "getData" | "reconfig" => again::<GetDataResponse<'_>>(input, out),
        "getACL" => again::<GetAclResponse<'_>>(input, out),
        "getChildren" => again::<ChildrenResponse<'_>>(input, out),
        "getChildren2" => again::<Children2Response<'_>>(input, out),
        "sync" => again::<SyncResponse<'_>>(input, out),
        "sasl" => again::<SaslResponse<'_>>(input, out),
        "getEphemerals" => again::<EphemeralsResponse<'_>>(input, out),
        "getAllChildrenNumber" => again::<AllChildrenNumberResponse>(input, out),
        "addWatch" => again::<AddWatchResponse>(input, out),
        "whoAmI" => again::<WhoAmIResponse<'_>>(input, out),
        "multi" | "multiRead" => {
            for item in MultiResults::new(input.rest()) {
                item.unwrap().encode(out);
            }
            MultiHeader::END.encode(out);
        }
        "delete" | "ping" | "auth" | "setWatches" | "setWatches2" | "removeWatches"
        | "checkWatches" | "closeSession" => {}
        _ => panic!("no answer is called {name}"),
    }
    out.split()
}

/// The frames of a recording: who sent it, what it is called, its bytes.
fn frames(recording: &str) -> impl Iterator<Item = (&str, &str, Vec<u8>)> {
    recording.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let [sender, name, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("not a recorded frame: {line}");
        };
        let digits = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
        (sender, name, digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect())
    })
}

#[test]
fn recorded_frames_encode_to_the_same_bytes() {
    for (client, recording) in RECORDINGS {
        for (number, (sender, name, frame)) in frames(recording).enumerate() {
            let encoded = match sender {
                ">" => request(name, &frame),
                _ => reply(name, &frame),
            };
            assert_eq!(encoded, frame, "frame {number} of {client}: {sender} {name}");
        }
    }
}

#[test]
fn every_request_a_client_may_send_was_recorded() {
    let sent: BTreeSet<&str> = RECORDINGS
        .iter()
        .flat_map(|(_, recording)| frames(recording))
        .filter(|(sender, ..)| *sender == ">")
        .map(|(_, name, _)| name)
        .collect();
    for op in OpCode::ALL.iter().filter(|op| op.is_request()) {
        assert!(sent.contains(op.name()), "{op}");
    }
}

/// The parts of the protocol that only some clients use, so that a recording made anew keeps them.
#[test]
fn the_recordings_show_the_odd_cases() {
    let all: Vec<_> = RECORDINGS.iter().flat_map(|(_, recording)| frames(recording)).collect();
    let shown = |sender, name, test: &dyn Fn(&[u8]) -> bool| {
        all.iter().any(|(s, n, frame)| (*s, *n) == (sender, name) && test(frame))
    };
    for read_only in [None, Some(false), Some(true)] {
        assert!(shown(">", "connect", &|frame| {
            ConnectRequest::from_bytes(frame).unwrap().read_only == read_only
        }));
    }
    assert!(shown("<", "getData", &|frame| frame[16..].starts_with(&[0xff; 4])), "null data");
    assert!(shown("<", "getData", &|frame| frame[16..].starts_with(&[0; 4])), "empty data");
    let failed = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(shown("<", "multi", &|frame| frame[16..].starts_with(&failed)), "undone in a multi");
    assert!(shown("<", "reconfig", &|frame| frame.len() > 16), "a new configuration");
    assert!(shown(">", "setWatches", &|frame| frame[..4] != [0xff, 0xff, 0xff, 0xf8]), "of go");
}

/// Neighbours of one type would survive the way there and back even if they were swapped.
#[test]
fn fields_of_one_type_stand_in_the_right_order() {
    let body = |recording, sender, name, nth: usize| {
        let mut found = frames(recording).filter(|(s, n, _)| (*s, *n) == (sender, name));
        let header = if sender == ">" { RequestHeader::SIZE } else { ReplyHeader::SIZE };
        found.nth(nth).unwrap().2.split_off(header)
    };
    let [(_, go), (_, java), ..] = RECORDINGS;

    let (_, _, reconnect) = frames(go).filter(|(_, name, _)| *name == "connect").nth(2).unwrap();
    let reconnect = ConnectRequest::from_bytes(&reconnect).unwrap();
    assert_eq!((reconnect.last_zxid_seen.epoch(), reconnect.timeout_ms), (1, 10_000));

    let again = body(java, ">", "setWatches2", 0);
    let again = SetWatches2Request::from_bytes(&again).unwrap();
    assert_eq!(again.relative_zxid.epoch(), 1);
    assert_eq!(again.data[..], ["/java"]);
    assert!(again.exist.is_empty());
    assert_eq!(again.child[..], ["/java/later"]);
    assert_eq!(again.persistent[..], ["/java/e"]);
    assert_eq!(again.persistent_recursive[..], ["/java"]);

    let again = body(java, ">", "setWatches", 0);
    let again = SetWatchesRequest::from_bytes(&again).unwrap();
    assert_eq!(again.data[..], ["/java"]);
    assert_eq!(again.exist[..], ["/java/later"]);
    assert_eq!(again.child[..], ["/java"]);

    let removal = body(go, ">", "reconfig", 0);
    let removal = ReconfigRequest::from_bytes(&removal).unwrap();
    assert_eq!((removal.joining, removal.leaving), (Some("".into()), Some("9".into())));
    assert_eq!((removal.new_members, removal.config_id), (None, 99));

    let replacement = body(java, ">", "reconfig", 1);
    assert!(ReconfigRequest::from_bytes(&replacement).unwrap().new_members.is_some());

    let create = body(go, ">", "createTTL", 0);
    let create = CreateTtlRequest::from_bytes(&create).unwrap();
    assert_eq!((create.flags, create.ttl), (5, 5000));

    let stat = body(java, "<", "setData", 0);
    let stat = Stat::from_bytes(&stat).unwrap();
    assert!(stat.czxid < stat.pzxid && stat.pzxid < stat.mzxid && stat.ctime < stat.mtime);
    assert_eq!((stat.version, stat.cversion, stat.aversion), (1, 9, 0));
    assert_eq!((stat.data_length, stat.num_children, stat.ephemeral_owner.0), (4, 9, 0));
}
