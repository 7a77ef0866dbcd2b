//! Every record survives the way there and back; nothing a peer sends makes decoding panic or
//! hold more memory than the bytes received pay for.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::borrow::Cow;

use bytes::BytesMut;
use proptest::prelude::*;
use quorate_protocol::{
    AclList, Decode, Decoder, Encode, OpCode, SessionId, Stat, Xid, Zxid,
    acl::{Acl, Id, Perms},
    frame,
    record::*,
};

/// Memory for the rest of the process, so that records under test can borrow from it.
fn kept(bytes: Vec<u8>) -> &'static [u8] {
    bytes.leak()
}

fn text() -> impl Strategy<Value = Cow<'static, str>> {
    prop_oneof!["", "/[a-z]{1,8}(/[a-z.]{1,8}){0,3}", ".{0,12}"].prop_map(Cow::Owned)
}

fn texts() -> impl Strategy<Value = Vec<Cow<'static, str>>> {
    prop::collection::vec(text(), 0..5)
}

fn data() -> impl Strategy<Value = Option<&'static [u8]>> {
    any::<Option<Vec<u8>>>().prop_map(|data| data.map(kept))
}

fn acl() -> impl Strategy<Value = AclList<'static>> {
    let entry = (any::<i32>(), ".{0,6}", ".{0,12}")
        .prop_map(|(perms, scheme, id)| Acl { perms: Perms(perms), id: Id::new(scheme, id) });
    let list = prop::collection::vec(entry, 0..4)
        .prop_map(|list| AclList::from_bytes(kept(list[..].to_bytes().to_vec())).unwrap());
    let null = AclList::from_bytes(&[0xff; 4]).unwrap();
    prop_oneof![Just(null), Just(AclList::open()), list]
}

fn zxid() -> impl Strategy<Value = Zxid> {
    any::<i64>().prop_map(Zxid)
}

fn session() -> impl Strategy<Value = SessionId> {
    any::<i64>().prop_map(SessionId)
}

fn xid() -> impl Strategy<Value = Xid> {
    any::<i32>().prop_map(Xid)
}

fn stat() -> impl Strategy<Value = Stat> {
    let numbers = any::<([i64; 4], [i32; 3], i64, [i32; 2], i64)>();
    numbers.prop_map(|(times, versions, owner, sizes, pzxid)| Stat {
        czxid: Zxid(times[0]),
        mzxid: Zxid(times[1]),
        ctime: times[2],
        mtime: times[3],
        version: versions[0],
        cversion: versions[1],
        aversion: versions[2],
        ephemeral_owner: SessionId(owner),
        data_length: sizes[0],
        num_children: sizes[1],
        pzxid: Zxid(pzxid),
    })
}

fn identity() -> impl Strategy<Value = ClientInfo<'static>> {
    (text(), text()).prop_map(|(scheme, user)| ClientInfo { scheme, user })
}

/// A test per type: a strategy for its fields, and the record made of them.
macro_rules! records {
    ($($test:ident: $type:ty, $fields:expr, $make:expr;)*) => {$(
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(64))]
            #[test]
            fn $test(
                record in $fields.prop_map($make),
                cut: prop::sample::Index,
                damage in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..4),
            ) {
                let bytes = record.to_bytes();
                let input = &mut Decoder::new(&bytes);
                prop_assert_eq!(<$type>::decode(input), Ok(record));
                prop_assert_eq!(input.remaining(), 0);

                // Cut short it is refused, unless what is missing may be missing.
                let cut = &bytes[..cut.index(bytes.len())];
                if let Ok(shorter) = <$type>::from_bytes(cut) {
                    prop_assert_eq!(shorter.to_bytes(), cut);
                }

                // All that a record holds is in its encoding, so the size of that bounds its
                // memory. Replacing malformed text makes a byte three.
                let mut damaged = bytes.to_vec();
                for (place, byte) in damage {
                    damaged[place.index(bytes.len())] = byte;
                }
                if let Ok(other) = <$type>::from_bytes(&damaged) {
                    let again = other.to_bytes();
                    prop_assert!(again.len() <= 3 * damaged.len());
                    prop_assert_eq!(<$type>::from_bytes(&again), Ok(other));
                }
            }
        }
    )*};
}

records! {
    connect_request: ConnectRequest<'_>,
        (any::<(i32, i32, Vec<u8>, Option<bool>)>(), zxid(), session()),
        |((protocol_version, timeout_ms, passwd, read_only), last_zxid_seen, session_id)| {
            let passwd = kept(passwd);
            ConnectRequest {
                protocol_version, last_zxid_seen, timeout_ms, session_id, passwd, read_only,
            }
        };
    connect_response: ConnectResponse,
        (any::<(i32, i32, [u8; 16], Option<bool>)>(), session()),
        |((protocol_version, timeout_ms, passwd, read_only), session_id)| ConnectResponse {
            protocol_version, timeout_ms, session_id, passwd, read_only,
        };
    request_header: RequestHeader,
        (xid(), any::<i32>()), |(xid, op)| RequestHeader { xid, op };
    reply_header: ReplyHeader,
        (xid(), zxid(), any::<i32>()), |(xid, zxid, error)| ReplyHeader { xid, zxid, error };

    create: CreateRequest<'_>,
        (text(), data(), acl(), any::<i32>()),
        |(path, data, acl, flags)| CreateRequest { path, data, acl, flags };
    create_ttl: CreateTtlRequest<'_>,
        (text(), data(), acl(), any::<(i32, i64)>()),
        |(path, data, acl, (flags, ttl))| CreateTtlRequest { path, data, acl, flags, ttl };
    delete: DeleteRequest<'_>,
        (text(), any::<i32>()), |(path, version)| DeleteRequest { path, version };
    set_data: SetDataRequest<'_>,
        (text(), data(), any::<i32>()),
        |(path, data, version)| SetDataRequest { path, data, version };
    set_acl: SetAclRequest<'_>,
        (text(), acl(), any::<i32>()), |(path, acl, version)| SetAclRequest { path, acl, version };
    check: CheckRequest<'_>,
        (text(), any::<i32>()), |(path, version)| CheckRequest { path, version };
    path_watch: PathWatchRequest<'_>,
        (text(), any::<bool>()), |(path, watch)| PathWatchRequest { path, watch };
    path: PathRequest<'_>, text(), |path| PathRequest { path };
    sync: SyncRequest<'_>, prop::option::of(text()), |path| SyncRequest { path };
    ephemerals: EphemeralsRequest<'_>,
        prop::option::of(text()), |prefix| EphemeralsRequest { prefix };
    reconfig: ReconfigRequest<'_>,
        (prop::array::uniform3(prop::option::of(text())), any::<i64>()),
        |([joining, leaving, new_members], config_id)| ReconfigRequest {
            joining, leaving, new_members, config_id,
        };
    create_response: CreateResponse<'_>, text(), |path| CreateResponse { path };
    create2_response: Create2Response<'_>,
        (text(), stat()), |(path, stat)| Create2Response { path, stat };
    stat_response: Stat, stat(), |stat| stat;
    get_data_response: GetDataResponse<'_>,
        (data(), stat()), |(data, stat)| GetDataResponse { data, stat };
    get_acl_response: GetAclResponse<'_>,
        (acl(), stat()), |(acl, stat)| GetAclResponse { acl, stat };
    children_response: ChildrenResponse<'_>, texts(), |children| ChildrenResponse { children };
    children2_response: Children2Response<'_>,
        (texts(), stat()), |(children, stat)| Children2Response { children, stat };
    sync_response: SyncResponse<'_>, prop::option::of(text()), |path| SyncResponse { path };
    ephemerals_response: EphemeralsResponse<'_>,
        texts(), |ephemerals| EphemeralsResponse { ephemerals };
    all_children_number_response: AllChildrenNumberResponse,
        any::<i32>(), |total| AllChildrenNumberResponse { total };

    add_watch: AddWatchRequest<'_>,
        (text(), any::<i32>()), |(path, mode)| AddWatchRequest { path, mode };
    add_watch_response: AddWatchResponse, any::<i32>(), |error| AddWatchResponse { error };
    remove_watches: RemoveWatchesRequest<'_>,
        (text(), any::<i32>()), |(path, kind)| RemoveWatchesRequest { path, kind };
    set_watches: SetWatchesRequest<'_>,
        (zxid(), prop::array::uniform3(texts())),
        |(relative_zxid, [data, exist, child])| SetWatchesRequest {
            relative_zxid, data, exist, child,
        };
    set_watches2: SetWatches2Request<'_>,
        (zxid(), prop::array::uniform5(texts())),
        |(relative_zxid, [data, exist, child, persistent, persistent_recursive])| {
            SetWatches2Request {
                relative_zxid, data, exist, child, persistent, persistent_recursive,
            }
        };
    watcher_event: WatcherEvent<'_>,
        (prop::sample::select(EventType::ALL), any::<i32>(), text()),
        |(kind, state, path)| WatcherEvent { kind, state, path };

    auth: AuthRequest<'_>,
        (any::<i32>(), prop::option::of(text()), data()),
        |(kind, scheme, auth)| AuthRequest { kind, scheme, auth };
    sasl: SaslRequest<'_>, data(), |token| SaslRequest { token };
    sasl_response: SaslResponse<'_>, data(), |token| SaslResponse { token };
    who_am_i_response: WhoAmIResponse<'_>,
        prop::collection::vec(identity(), 0..4), |identities| WhoAmIResponse { identities };
    multi_header: MultiHeader,
        any::<(i32, bool, i32)>(), |(op, done, error)| MultiHeader { op, done, error };
}

fn multi_op() -> impl Strategy<Value = MultiOp<'static>> {
    let creates = prop::sample::select(&[OpCode::Create, OpCode::Create2, OpCode::CreateContainer]);
    let list = acl().prop_filter("null is refused in a multi", |acl| acl.raw().is_some());
    prop_oneof![
        (creates, text(), data(), list, 0..=4).prop_map(|(op, path, data, acl, flags)| {
            MultiOp::Create(op, CreateRequest { path, data, acl, flags })
        }),
        (text(), any::<(i32, i64)>()).prop_map(|(path, (flags, ttl))| {
            let acl = AclList::open();
            MultiOp::CreateTtl(CreateTtlRequest { path, data: None, acl, flags, ttl })
        }),
        (text(), any::<i32>())
            .prop_map(|(path, version)| MultiOp::Delete(DeleteRequest { path, version })),
        (text(), data(), any::<i32>()).prop_map(|(path, data, version)| {
            MultiOp::SetData(SetDataRequest { path, data, version })
        }),
        (text(), any::<i32>())
            .prop_map(|(path, version)| MultiOp::Check(CheckRequest { path, version })),
    ]
}

fn multi_result() -> impl Strategy<Value = MultiResult<'static>> {
    prop_oneof![
        text().prop_map(|path| MultiResult::Create(CreateResponse { path })),
        (text(), stat())
            .prop_map(|(path, stat)| MultiResult::Create2(Create2Response { path, stat })),
        Just(MultiResult::Delete),
        stat().prop_map(MultiResult::SetData),
        Just(MultiResult::Check),
        (data(), stat())
            .prop_map(|(data, stat)| MultiResult::GetData(GetDataResponse { data, stat })),
        texts().prop_map(|children| MultiResult::GetChildren(ChildrenResponse { children })),
        any::<i32>().prop_map(MultiResult::Error),
    ]
}

fn run(items: &[impl Encode]) -> BytesMut {
    let mut out = BytesMut::new();
    for item in items {
        item.encode(&mut out);
    }
    MultiHeader::END.encode(&mut out);
    out
}

proptest! {
    #[test]
    fn multi(
        ops in prop::collection::vec(multi_op(), 0..6),
        results in prop::collection::vec(multi_result(), 0..6),
    ) {
        let bytes = run(&ops);
        let decoded: Result<Vec<_>, _> = MultiOps::new(OpCode::Multi, &bytes).collect();
        prop_assert_eq!(decoded, Ok(ops));
        let bytes = run(&results);
        let decoded: Result<Vec<_>, _> = MultiResults::new(&bytes).collect();
        prop_assert_eq!(decoded, Ok(results));
    }

    #[test]
    fn a_damaged_multi_ends(
        ops in prop::collection::vec(multi_op(), 0..6),
        place: prop::sample::Index,
        byte: u8,
    ) {
        let mut bytes = run(&ops);
        let place = place.index(bytes.len());
        bytes[place] = byte;
        // An item takes more than a byte, so there are fewer of them than bytes.
        prop_assert!(MultiOps::new(OpCode::Multi, &bytes).count() < bytes.len());
        prop_assert!(MultiOps::new(OpCode::MultiRead, &bytes).count() < bytes.len());
        prop_assert!(MultiResults::new(&bytes).count() < bytes.len());
    }

    #[test]
    fn arbitrary_streams_are_cut_or_refused(bytes: Vec<u8>, limit in 0_usize..64) {
        let mut buffer = BytesMut::from(&bytes[..]);
        let mut rest = &bytes[..];
        while let Ok(Some(frame)) = frame::next_frame(&mut buffer, limit) {
            prop_assert!(frame.len() <= limit);
            prop_assert_eq!(&frame[..], &rest[frame::LENGTH_SIZE..][..frame.len()]);
            rest = &rest[frame::LENGTH_SIZE + frame.len()..];
        }
        prop_assert_eq!(&buffer[..], rest);
    }
}
