//! Which requests need a session that all servers know.

use quorate_protocol::{
    Decode, OpCode,
    record::{CreateMode, CreateRequest, MultiOp, MultiOps},
};

/// Whether a request makes an ephemeral node if it succeeds. One that cannot be read makes none.
///
/// Compat: `QuorumZooKeeperServer.checkUpgradeSession` looks at `create` and `create2`, alone or in
/// a multi, and at their flags only.
pub fn makes_ephemeral(op: OpCode, body: &[u8]) -> bool {
    match op {
        OpCode::Create | OpCode::Create2 => {
            CreateRequest::from_bytes(body).is_ok_and(|request| is_ephemeral(request.flags))
        }
        OpCode::Multi => {
            let ops: Result<Vec<_>, _> = MultiOps::new(OpCode::Multi, body).collect();
            ops.is_ok_and(|ops| {
                ops.iter().any(|op| {
                    matches!(op, MultiOp::Create(OpCode::Create | OpCode::Create2, request)
                        if is_ephemeral(request.flags))
                })
            })
        }
        _ => false,
    }
}

fn is_ephemeral(flags: i32) -> bool {
    CreateMode::from_flags(flags).is_some_and(CreateMode::is_ephemeral)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use quorate_protocol::{
        AclList, Encode,
        record::{DeleteRequest, MultiHeader},
    };

    use super::*;

    fn create(flags: i32) -> CreateRequest<'static> {
        CreateRequest { path: "/a".into(), data: None, acl: AclList::open(), flags }
    }

    fn multi(flags: &[i32]) -> BytesMut {
        let mut out = BytesMut::new();
        MultiHeader { op: OpCode::Delete.wire(), done: false, error: -1 }.encode(&mut out);
        DeleteRequest { path: "/b".into(), version: -1 }.encode(&mut out);
        for &flags in flags {
            MultiHeader { op: OpCode::Create.wire(), done: false, error: -1 }.encode(&mut out);
            create(flags).encode(&mut out);
        }
        MultiHeader::END.encode(&mut out);
        out
    }

    #[test]
    fn the_flags_of_creates_decide() {
        for (flags, ephemeral) in
            [(0, false), (1, true), (2, false), (3, true), (4, false), (9, false)]
        {
            let body = create(flags).to_bytes();
            assert_eq!(makes_ephemeral(OpCode::Create, &body), ephemeral, "{flags}");
            assert_eq!(makes_ephemeral(OpCode::Create2, &body), ephemeral, "{flags}");
            assert!(!makes_ephemeral(OpCode::SetData, &body));
            assert_eq!(makes_ephemeral(OpCode::Multi, &multi(&[0, flags])), ephemeral, "{flags}");
        }
        assert!(!makes_ephemeral(OpCode::Multi, &multi(&[])));
    }

    #[test]
    fn what_cannot_be_read_makes_none() {
        let body = create(1).to_bytes();
        assert!(!makes_ephemeral(OpCode::Create, &body[..body.len() - 1]));
        let ops = multi(&[1]);
        assert!(!makes_ephemeral(OpCode::Multi, &ops[..ops.len() - 1]));
    }
}
