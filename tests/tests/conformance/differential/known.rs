//! The differences from ZooKeeper that are meant. `docs/differences.md` explains each to users.

use quorate_protocol::{ErrorCode, OpCode};
use quorate_tests::{Body, Op, Reply};

use super::side::Observed;

/// A difference, by its heading in `docs/differences.md`.
pub(super) struct Known {
    pub(super) heading: &'static str,
    /// Whether it explains these two replies to a request.
    explains: fn(&Op, &Reply, &Reply) -> bool,
}

pub(super) const ALL: &[Known] = &[
    Known {
        heading: "A multiRead that cannot be read has no results",
        explains: |op, wanted, got| {
            let same = (wanted.xid, wanted.zxid, wanted.error) == (got.xid, got.zxid, got.error);
            let unreadable = got.error == ErrorCode::MarshallingError.wire();
            op.code() == OpCode::MultiRead.wire() && same && unreadable && got.body == Body::Empty
        },
    },
    Known {
        heading: "getAllChildrenNumber of an empty path",
        explains: |op, wanted, got| match (&wanted.body, &got.body) {
            (Body::Int(wanted), Body::Int(got)) => {
                op.code() == OpCode::GetAllChildrenNumber.wire() && *wanted == got + 1
            }
            _ => false,
        },
    },
    Known {
        heading: "A create with neither a path nor a mode",
        explains: |op, wanted, got| {
            let Op::Raw(code, body) = op else { return false };
            let creates =
                [OpCode::Create, OpCode::Create2, OpCode::CreateContainer, OpCode::CreateTtl];
            let is_create = creates.iter().any(|create| create.wire() == *code);
            let errors = (wanted.error, got.error);
            let expected = (ErrorCode::BadArguments.wire(), ErrorCode::MarshallingError.wire());
            let same = (wanted.xid, wanted.zxid, &wanted.body) == (got.xid, got.zxid, &got.body);
            is_create && body.starts_with(&[0xff; 4]) && errors == expected && same
        },
    },
    Known {
        heading: "Characters outside the Basic Multilingual Plane",
        explains: |_, wanted, got| match (&wanted.body, &got.body) {
            (Body::Event(a, b, wanted), Body::Event(c, d, got)) => {
                (a, b, wanted) == (c, d, &as_java_writes_it(got))
            }
            (Body::Path(wanted, None), Body::Path(got, None)) => *wanted == as_java_writes_it(got),
            _ => false,
        },
    },
];

/// Whether a difference in the replies to a request is one of those meant.
pub(super) fn is_meant(op: Option<&Op>, wanted: Option<&Observed>, got: Option<&Observed>) -> bool {
    let (Some(op), Some(Observed::Reply(wanted)), Some(Observed::Reply(got))) = (op, wanted, got)
    else {
        return false;
    };
    ALL.iter().any(|known| (known.explains)(op, wanted, got))
}

/// Java writes each half of a surrogate pair by itself, which no decoder of UTF-8 understands.
fn as_java_writes_it(path: &str) -> String {
    let shown = |c: char| {
        if c > '\u{ffff}' { "\u{fffd}".repeat(6) } else { c.to_string() }
    };
    path.chars().map(shown).collect()
}
