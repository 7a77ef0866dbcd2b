//! Several operations in one request, and their results.
//!
//! Both are a run of [`MultiHeader`]s, each with a record behind it, up to a header that says
//! `done`. [`MultiOps`] and [`MultiResults`] walk such a run without allocating.

use std::iter::FusedIterator;

use bytes::BytesMut;

use super::{
    field::records,
    node::{
        CheckRequest, ChildrenResponse, Create2Response, CreateMode, CreateRequest, CreateResponse,
        CreateTtlRequest, DeleteRequest, GetDataResponse, PathWatchRequest, SetDataRequest,
    },
};
use crate::{
    codec::{Decode, DecodeError, Decoder, Encode, PutJute},
    op_code::OpCode,
    stat::Stat,
};

records! {
    /// In front of each operation or result of a multi, and behind the last.
    #[derive(Copy)]
    pub struct MultiHeader {
        /// An [`OpCode`]'s number.
        op: i32,
        /// Whether this header is the end.
        done: bool,
        /// Of a result: an [`ErrorCode`](crate::ErrorCode)'s number. Of a request: -1.
        error: i32,
    }
}

impl MultiHeader {
    /// Behind the last operation or result.
    pub const END: Self = Self { op: -1, done: true, error: -1 };

    /// In front of an operation.
    pub const fn request(op: OpCode) -> Self {
        Self { op: op.wire(), done: false, error: -1 }
    }

    /// In front of the result of an operation that was done.
    pub const fn result(op: OpCode) -> Self {
        Self { op: op.wire(), done: false, error: 0 }
    }
}

/// An operation of a multi. Encodes with its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiOp<'a> {
    /// `create`, `create2` or `createContainer`, as the code says.
    Create(OpCode, CreateRequest<'a>),
    /// `createTTL`.
    CreateTtl(CreateTtlRequest<'a>),
    /// `delete`.
    Delete(DeleteRequest<'a>),
    /// `setData`.
    SetData(SetDataRequest<'a>),
    /// `check`.
    Check(CheckRequest<'a>),
    /// `getData`, of a multiRead.
    GetData(PathWatchRequest<'a>),
    /// `getChildren`, of a multiRead.
    GetChildren(PathWatchRequest<'a>),
}

impl<'a> MultiOp<'a> {
    /// Its code.
    pub const fn op(&self) -> OpCode {
        match self {
            Self::Create(op, _) => *op,
            Self::CreateTtl(_) => OpCode::CreateTtl,
            Self::Delete(_) => OpCode::Delete,
            Self::SetData(_) => OpCode::SetData,
            Self::Check(_) => OpCode::Check,
            Self::GetData(_) => OpCode::GetData,
            Self::GetChildren(_) => OpCode::GetChildren,
        }
    }

    /// The node it is about.
    pub fn path(&self) -> &str {
        match self {
            Self::Create(_, create) => &create.path,
            Self::CreateTtl(create) => &create.path,
            Self::Delete(delete) => &delete.path,
            Self::SetData(set) => &set.path,
            Self::Check(check) => &check.path,
            Self::GetData(get) | Self::GetChildren(get) => &get.path,
        }
    }

    fn decode_body(op: OpCode, input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(match op {
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => {
                let create = CreateRequest::decode(input)?;
                check_options(&create)?;
                Self::Create(op, create)
            }
            OpCode::CreateTtl => Self::CreateTtl(CreateTtlRequest::decode(input)?),
            OpCode::Delete => Self::Delete(DeleteRequest::decode(input)?),
            OpCode::SetData => Self::SetData(SetDataRequest::decode(input)?),
            OpCode::Check => Self::Check(CheckRequest::decode(input)?),
            OpCode::GetData => Self::GetData(PathWatchRequest::decode(input)?),
            OpCode::GetChildren => Self::GetChildren(PathWatchRequest::decode(input)?),
            _ => return Err(illegal(op.wire())),
        })
    }
}

impl Encode for MultiOp<'_> {
    fn encode(&self, out: &mut BytesMut) {
        MultiHeader::request(self.op()).encode(out);
        match self {
            Self::Create(_, create) => create.encode(out),
            Self::CreateTtl(create) => create.encode(out),
            Self::Delete(delete) => delete.encode(out),
            Self::SetData(set) => set.encode(out),
            Self::Check(check) => check.encode(out),
            Self::GetData(get) | Self::GetChildren(get) => get.encode(out),
        }
    }
}

/// `Compat:` inside a multi these spoil the whole request, in this order: flags that mean nothing,
/// a null ACL, and a time to live that this record has no field for (`CreateOptions.Builder`).
/// A create of its own is refused as any other, and so is `createTTL` in a multi.
fn check_options(create: &CreateRequest<'_>) -> Result<(), DecodeError> {
    let flags = create.flags;
    let bad_flags = DecodeError::BadValue { field: "flags", value: i64::from(flags) };
    match CreateMode::from_flags(flags) {
        None => Err(bad_flags),
        Some(_) if create.acl.raw().is_none() => Err(DecodeError::Null { field: "acl" }),
        Some(mode) if mode.has_ttl() => Err(bad_flags),
        Some(_) => Ok(()),
    }
}

/// Whether `op` may stand in a request of `kind`: writes in a multi, reads in a multiRead.
const fn may_stand_in(kind: OpCode, op: OpCode) -> bool {
    match op {
        OpCode::Create
        | OpCode::Create2
        | OpCode::CreateContainer
        | OpCode::CreateTtl
        | OpCode::Delete
        | OpCode::SetData
        | OpCode::Check => matches!(kind, OpCode::Multi),
        OpCode::GetData | OpCode::GetChildren => matches!(kind, OpCode::MultiRead),
        _ => false,
    }
}

const fn illegal(op: i32) -> DecodeError {
    DecodeError::BadValue { field: "op in multi", value: op as i64 }
}

/// The operations of a multi or multiRead in order. Any error makes the whole request one that
/// cannot be decoded, so walk through all before acting on any. The first error is the last item,
/// except [`DecodeError::Null`]: what is behind that can be read.
#[derive(Debug, Clone)]
pub struct MultiOps<'a> {
    kind: OpCode,
    run: Run<'a>,
}

impl<'a> MultiOps<'a> {
    /// The operations in the body of a request of `kind`, which is [`OpCode::Multi`] or
    /// [`OpCode::MultiRead`]; nothing may stand in any other.
    pub fn new(kind: OpCode, body: &'a [u8]) -> Self {
        Self { kind, run: Run::new(body) }
    }
}

impl<'a> Iterator for MultiOps<'a> {
    type Item = Result<MultiOp<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let kind = self.kind;
        self.run.next_with(|header, input| match OpCode::from_wire(header.op) {
            Some(op) if may_stand_in(kind, op) => MultiOp::decode_body(op, input),
            _ => Err(illegal(header.op)),
        })
    }
}

impl FusedIterator for MultiOps<'_> {}

/// The result of an operation of a multi. Encodes with its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiResult<'a> {
    /// `create` was done.
    Create(CreateResponse<'a>),
    /// `create2`, `createContainer` or `createTTL` was done.
    Create2(Create2Response<'a>),
    /// `delete` was done.
    Delete,
    /// `setData` was done.
    SetData(Stat),
    /// `check` held.
    Check,
    /// `getData` was done.
    GetData(GetDataResponse<'a>),
    /// `getChildren` was done.
    GetChildren(ChildrenResponse<'a>),
    /// Not done: an [`ErrorCode`](crate::ErrorCode)'s number. `Compat:` in a failed multi every
    /// result is of this kind, with 0 for the operations ahead of the one that failed.
    Error(i32),
}

impl Encode for MultiResult<'_> {
    fn encode(&self, out: &mut BytesMut) {
        let done = |op| MultiHeader::result(op);
        match self {
            Self::Create(create) => {
                done(OpCode::Create).encode(out);
                create.encode(out);
            }
            Self::Create2(create) => {
                done(OpCode::Create2).encode(out);
                create.encode(out);
            }
            Self::Delete => done(OpCode::Delete).encode(out),
            Self::SetData(stat) => {
                done(OpCode::SetData).encode(out);
                stat.encode(out);
            }
            Self::Check => done(OpCode::Check).encode(out),
            Self::GetData(data) => {
                done(OpCode::GetData).encode(out);
                data.encode(out);
            }
            Self::GetChildren(children) => {
                done(OpCode::GetChildren).encode(out);
                children.encode(out);
            }
            Self::Error(error) => {
                MultiHeader { op: OpCode::Error.wire(), done: false, error: *error }.encode(out);
                out.put_int(*error);
            }
        }
    }
}

/// The results in the reply to a multi or multiRead, in the order of its operations. Errors are as
/// in [`MultiOps`].
#[derive(Debug, Clone)]
pub struct MultiResults<'a> {
    run: Run<'a>,
}

impl<'a> MultiResults<'a> {
    /// The results in the body of a reply.
    pub fn new(body: &'a [u8]) -> Self {
        Self { run: Run::new(body) }
    }
}

impl<'a> Iterator for MultiResults<'a> {
    type Item = Result<MultiResult<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.run.next_with(|header, input| {
            Ok(match OpCode::from_wire(header.op) {
                Some(OpCode::Create) => MultiResult::Create(CreateResponse::decode(input)?),
                Some(OpCode::Create2) => MultiResult::Create2(Create2Response::decode(input)?),
                Some(OpCode::Delete) => MultiResult::Delete,
                Some(OpCode::SetData) => MultiResult::SetData(Stat::decode(input)?),
                Some(OpCode::Check) => MultiResult::Check,
                Some(OpCode::GetData) => MultiResult::GetData(GetDataResponse::decode(input)?),
                Some(OpCode::GetChildren) => {
                    MultiResult::GetChildren(ChildrenResponse::decode(input)?)
                }
                Some(OpCode::Error) => MultiResult::Error(input.int()?),
                _ => return Err(illegal(header.op)),
            })
        })
    }
}

impl FusedIterator for MultiResults<'_> {}

/// Headers with something behind each, up to the one that ends them.
#[derive(Debug, Clone)]
struct Run<'a> {
    input: Decoder<'a>,
    ended: bool,
}

impl<'a> Run<'a> {
    fn new(body: &'a [u8]) -> Self {
        Self { input: Decoder::new(body), ended: false }
    }

    fn next_with<T>(
        &mut self,
        decode: impl FnOnce(MultiHeader, &mut Decoder<'a>) -> Result<T, DecodeError>,
    ) -> Option<Result<T, DecodeError>> {
        if self.ended {
            return None;
        }
        let item = match MultiHeader::decode(&mut self.input) {
            Ok(header) if header.done => None,
            Ok(header) => Some(decode(header, &mut self.input)),
            Err(error) => Some(Err(error)),
        };
        self.ended = !matches!(item, Some(Ok(_) | Err(DecodeError::Null { .. })));
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::AclList;

    /// A null ACL.
    fn null() -> AclList<'static> {
        AclList::from_bytes(&[0xff; 4]).unwrap()
    }

    fn create(acl: AclList<'_>) -> CreateRequest<'_> {
        CreateRequest { path: "/a".into(), data: None, acl, flags: 0 }
    }

    fn encoded(ops: &[MultiOp<'_>]) -> BytesMut {
        let mut out = BytesMut::new();
        for op in ops {
            op.encode(&mut out);
        }
        MultiHeader::END.encode(&mut out);
        out
    }

    fn decoded(kind: OpCode, body: &[u8]) -> Result<Vec<MultiOp<'_>>, DecodeError> {
        MultiOps::new(kind, body).collect()
    }

    #[test]
    fn writes_stand_in_multi_and_reads_in_multi_read() {
        let path = || "/a".into();
        let writes = [
            MultiOp::Create(OpCode::Create, create(AclList::open())),
            MultiOp::Create(OpCode::Create2, create(AclList::open())),
            MultiOp::Create(OpCode::CreateContainer, create(AclList::open())),
            MultiOp::CreateTtl(CreateTtlRequest {
                path: path(),
                data: Some(b""),
                acl: AclList::open(),
                flags: 5,
                ttl: 9,
            }),
            MultiOp::Delete(DeleteRequest { path: path(), version: -1 }),
            MultiOp::SetData(SetDataRequest { path: path(), data: None, version: 3 }),
            MultiOp::Check(CheckRequest { path: path(), version: 0 }),
        ];
        let reads = [
            MultiOp::GetData(PathWatchRequest { path: path(), watch: false }),
            MultiOp::GetChildren(PathWatchRequest { path: path(), watch: true }),
        ];
        assert_eq!(decoded(OpCode::Multi, &encoded(&writes)), Ok(writes.to_vec()));
        assert_eq!(decoded(OpCode::MultiRead, &encoded(&reads)), Ok(reads.to_vec()));
        for op in writes {
            assert_eq!(
                decoded(OpCode::MultiRead, &encoded(std::slice::from_ref(&op))),
                Err(illegal(op.op().wire()))
            );
        }
        for op in reads {
            assert_eq!(
                decoded(OpCode::Multi, &encoded(std::slice::from_ref(&op))),
                Err(illegal(op.op().wire()))
            );
        }
    }

    #[test]
    fn nothing_else_stands_in_either() {
        for number in [-1, 0, 6, 7, 12, 14, 16, 20, 22, 888] {
            let mut body = MultiHeader { op: number, done: false, error: -1 }.to_bytes();
            MultiHeader::END.encode(&mut body);
            for kind in [OpCode::Multi, OpCode::MultiRead] {
                assert_eq!(decoded(kind, &body), Err(illegal(number)));
            }
        }
    }

    #[test]
    fn a_multi_may_be_empty_and_must_end() {
        assert_eq!(decoded(OpCode::Multi, &encoded(&[])), Ok(vec![]));
        let body = encoded(&[MultiOp::Delete(DeleteRequest { path: "/a".into(), version: 0 })]);
        for cut in 0..body.len() {
            assert!(decoded(OpCode::Multi, &body[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn an_error_is_the_last_item_unless_it_is_a_null() {
        let delete = |path: &'static str| {
            MultiOp::Delete(DeleteRequest { path: path.into(), version: 0 }).to_bytes()
        };
        let null_path = [&MultiHeader::request(OpCode::Delete).to_bytes()[..], &[0xff; 8]].concat();
        let null_acl = MultiOp::Create(OpCode::Create, create(null())).to_bytes();
        let no_op = MultiHeader { op: 0, done: false, error: -1 }.to_bytes();
        let end = MultiHeader::END.to_bytes();
        let body = [&delete("/a")[..], &null_path, &null_acl, &delete("/b"), &no_op, &end].concat();
        let items: Vec<_> = MultiOps::new(OpCode::Multi, &body).collect();
        let errors: Vec<_> = items.iter().map(|item| item.as_ref().err()).collect();
        let (path, acl) = (DecodeError::Null { field: "path" }, DecodeError::Null { field: "acl" });
        assert_eq!(errors, [None, Some(&path), Some(&acl), None, Some(&illegal(0))]);
    }

    #[test]
    fn a_null_is_complained_of_only_when_the_rest_can_be_read() {
        let request = DeleteRequest::from_bytes(&[0xff; 8]);
        assert_eq!(request, Err(DecodeError::Null { field: "path" }));
        let cut = DeleteRequest::from_bytes(&[0xff; 7]);
        assert_eq!(cut, Err(DecodeError::Truncated { offset: 4, needed: 1 }));
    }

    /// What ZooKeeper 3.9.5 answers with -5 as a whole, and what it leaves to the operation.
    #[test]
    fn options_of_creates_are_checked_but_not_those_of_create_ttl() {
        let outcome = |flags, acl| {
            let create = CreateRequest { flags, ..create(acl) };
            let body = encoded(&[MultiOp::Create(OpCode::Create2, create)]);
            decoded(OpCode::Multi, &body).map(|_| ())
        };
        let bad_flags = |flags| Err(DecodeError::BadValue { field: "flags", value: flags });
        let null_acl = Err(DecodeError::Null { field: "acl" });
        for flags in 0..=4 {
            assert_eq!(outcome(flags, AclList::open()), Ok(()), "{flags}");
            assert_eq!(outcome(flags, null()), null_acl, "{flags}");
        }
        for flags in [5, 6] {
            assert_eq!(outcome(flags, AclList::open()), bad_flags(flags.into()));
            assert_eq!(outcome(flags, null()), null_acl, "{flags}");
        }
        for flags in [-1, 7] {
            assert_eq!(outcome(flags, AclList::open()), bad_flags(flags.into()));
            assert_eq!(outcome(flags, null()), bad_flags(flags.into()));
        }
        let create_ttl = MultiOp::CreateTtl(CreateTtlRequest {
            path: "/a".into(),
            data: None,
            acl: null(),
            flags: 9,
            ttl: 1,
        });
        assert!(decoded(OpCode::Multi, &encoded(&[create_ttl])).is_ok());
    }

    #[test]
    fn an_error_result_carries_its_code_twice() {
        let bytes = MultiResult::Error(-110).to_bytes();
        assert_eq!(bytes[..], [255, 255, 255, 255, 0, 255, 255, 255, 146, 255, 255, 255, 146]);
    }
}
