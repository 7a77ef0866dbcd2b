//! Several operations in one request.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use quorate_protocol::{
    Encode, ErrorCode, OpCode, Stat,
    record::{
        CheckRequest, DeleteRequest, MultiHeader, MultiOp, MultiResult, MultiResults,
        PathWatchRequest, SetDataRequest,
    },
};

use super::{
    read::Node,
    write::{Create, Created, Delete, Set},
};
use crate::{
    call::{Call, Exchange, Request},
    client::View,
    error::{ErrorKind, refusal},
    payload::Payload,
    queue::Reply,
    watch::OneShot,
};

/// See [`Client::multi`](crate::Client::multi).
#[derive(Debug, Default)]
pub struct Multi {
    parts: Parts,
}

/// The operations of a request, encoded.
#[derive(Debug, Default)]
struct Parts {
    body: BytesMut,
    /// What was wrong with the first that was wrong.
    wrong: Option<ErrorKind>,
}

impl Parts {
    /// The server's path of the operation that is added next.
    fn path_in<'p>(&mut self, view: &View, path: &'p str) -> Cow<'p, str> {
        if let Err(error) = quorate_protocol::path::validate(path) {
            self.wrong.get_or_insert(error.into());
        }
        view.path_in(path)
    }

    fn check(&self) -> Result<(), ErrorKind> {
        self.wrong.clone().map_or(Ok(()), Err)
    }

    fn encode(&self, out: &mut BytesMut) {
        out.extend_from_slice(&self.body);
        MultiHeader::END.encode(out);
    }
}

/// What came of a write of a multi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiOutcome {
    /// Of a create.
    Created(Created),
    /// Of a set.
    Set(Stat),
    /// Of a delete.
    Deleted,
    /// Of a check.
    Checked,
}

impl MultiOutcome {
    /// The node created, if this is of a create.
    pub fn created(self) -> Option<Created> {
        if let Self::Created(created) = self { Some(created) } else { None }
    }

    /// The new `Stat`, if this is of a set.
    pub fn set(self) -> Option<Stat> {
        if let Self::Set(stat) = self { Some(stat) } else { None }
    }
}

/// A call that can be a part of a multi: a create, set or delete.
pub trait MultiPart: sealed::Part {}

mod sealed {
    use bytes::BytesMut;

    use crate::error::ErrorKind;

    pub trait Part {
        /// Appends the operation with its header.
        fn append(self, out: &mut BytesMut) -> Result<(), ErrorKind>;
    }
}

impl MultiPart for Call<'_, Create<'_>> {}
impl MultiPart for Call<'_, Set<'_>> {}
impl MultiPart for Call<'_, Delete<'_>> {}

impl sealed::Part for Call<'_, Create<'_>> {
    fn append(self, out: &mut BytesMut) -> Result<(), ErrorKind> {
        self.request.checked()?;
        MultiHeader::request(self.request.op_of()).encode(out);
        self.request.encode_to(self.view, out);
        Ok(())
    }
}

impl sealed::Part for Call<'_, Set<'_>> {
    fn append(self, out: &mut BytesMut) -> Result<(), ErrorKind> {
        self.request.check()?;
        let Set { path, data, version } = self.request;
        let path = self.view.path_in(path);
        MultiOp::SetData(SetDataRequest { path, data: data.bytes(), version }).encode(out);
        Ok(())
    }
}

impl sealed::Part for Call<'_, Delete<'_>> {
    fn append(self, out: &mut BytesMut) -> Result<(), ErrorKind> {
        self.request.check()?;
        let Delete { path, version } = self.request;
        MultiOp::Delete(DeleteRequest { path: self.view.path_in(path), version }).encode(out);
        Ok(())
    }
}

impl Call<'_, Multi> {
    /// Adds a create, set or delete. Only what it asks for counts, not how it was to be made
    /// (timeout, repeatable).
    #[expect(clippy::should_implement_trait, reason = "it adds to a list, not two numbers")]
    pub fn add(mut self, part: impl MultiPart) -> Self {
        if let Err(kind) = part.append(&mut self.request.parts.body) {
            self.request.parts.wrong.get_or_insert(kind);
        }
        self
    }

    /// Adds the creation of a persistent node.
    pub fn create<'p>(self, path: &'p str, data: impl Into<Payload<'p>>) -> Self {
        let view = self.view;
        self.add(Call::new(view, Create::new(path, data.into())))
    }

    /// Adds the replacement of a node's data, if it has this version; -1 for any.
    pub fn set<'p>(self, path: &'p str, data: impl Into<Payload<'p>>, version: i32) -> Self {
        let view = self.view;
        self.add(Call::new(view, Set { path, data: data.into(), version }))
    }

    /// Adds the deletion of a node, if it has this version; -1 for any.
    pub fn delete(self, path: &str, version: i32) -> Self {
        let view = self.view;
        self.add(Call::new(view, Delete { path, version }))
    }

    /// Adds the condition that a node is there and has this version; -1 for any.
    pub fn check(mut self, path: &str, version: i32) -> Self {
        let path = self.request.parts.path_in(self.view, path);
        MultiOp::Check(CheckRequest { path, version }).encode(&mut self.request.parts.body);
        self
    }
}

impl Request for Multi {
    type Answer = Vec<MultiOutcome>;
}

impl Exchange for Multi {
    fn op(&self) -> OpCode {
        OpCode::Multi
    }

    fn path(&self) -> Option<&str> {
        None
    }

    fn check(&self) -> Result<(), ErrorKind> {
        self.parts.check()
    }

    fn encode(&self, _: &View, out: &mut BytesMut) {
        self.parts.encode(out);
    }

    fn is_read(&self) -> bool {
        false
    }

    fn finish(
        reply: Result<Reply, ErrorCode>,
        view: &View,
        _: Option<OneShot>,
    ) -> Result<Vec<MultiOutcome>, ErrorKind> {
        let body = reply.map_err(ErrorKind::Refused)?.body;
        let results = MultiResults::new(&body).collect::<Result<Vec<_>, _>>()?;
        // In a failed multi the operations before the one that failed carry the error 0.
        let failure = results.iter().enumerate().find_map(|(index, result)| match result {
            MultiResult::Error(error) if *error != 0 => Some((index, *error)),
            _ => None,
        });
        if let Some((index, error)) = failure {
            return Err(match refusal(error) {
                ErrorKind::Refused(code) => ErrorKind::MultiFailed { index, code },
                unknown => unknown,
            });
        }
        results.into_iter().map(|result| outcome(result, view)).collect()
    }
}

fn outcome(result: MultiResult<'_>, view: &View) -> Result<MultiOutcome, ErrorKind> {
    Ok(match result {
        MultiResult::Create2(created) => {
            let path = view.path_out(&created.path).to_owned();
            MultiOutcome::Created(Created { path, stat: created.stat })
        }
        MultiResult::SetData(stat) => MultiOutcome::Set(stat),
        MultiResult::Delete => MultiOutcome::Deleted,
        MultiResult::Check => MultiOutcome::Checked,
        MultiResult::Create(_)
        | MultiResult::GetData(_)
        | MultiResult::GetChildren(_)
        | MultiResult::Error(_) => return Err(ErrorKind::Unexpected("result in a multi")),
    })
}

/// See [`Client::multi_read`](crate::Client::multi_read).
#[derive(Debug, Default)]
pub struct MultiRead {
    parts: Parts,
}

/// What came of a read of a multi-read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Of a get.
    Node(Node),
    /// Of a list of children: their names, in no particular order.
    Children(Vec<String>),
    /// It was refused.
    Refused(ErrorCode),
}

impl Call<'_, MultiRead> {
    /// Adds a read of a node's data.
    pub fn get(self, path: &str) -> Self {
        self.push(path, |read, out| MultiOp::GetData(read).encode(out))
    }

    /// Adds a read of the names of a node's children.
    pub fn children(self, path: &str) -> Self {
        self.push(path, |read, out| MultiOp::GetChildren(read).encode(out))
    }

    /// Shows everything committed anywhere before the call was made, as with a single read.
    pub fn linearizable(mut self) -> Self {
        self.manner.linearizable = true;
        self
    }

    fn push(
        mut self,
        path: &str,
        encode: impl FnOnce(PathWatchRequest<'_>, &mut BytesMut),
    ) -> Self {
        let path = self.request.parts.path_in(self.view, path);
        encode(PathWatchRequest { path, watch: false }, &mut self.request.parts.body);
        self
    }
}

impl Request for MultiRead {
    type Answer = Vec<ReadOutcome>;
}

impl Exchange for MultiRead {
    fn op(&self) -> OpCode {
        OpCode::MultiRead
    }

    fn path(&self) -> Option<&str> {
        None
    }

    fn check(&self) -> Result<(), ErrorKind> {
        self.parts.check()
    }

    fn encode(&self, _: &View, out: &mut BytesMut) {
        self.parts.encode(out);
    }

    fn is_read(&self) -> bool {
        true
    }

    fn finish(
        reply: Result<Reply, ErrorCode>,
        _: &View,
        _: Option<OneShot>,
    ) -> Result<Vec<ReadOutcome>, ErrorKind> {
        let body = reply.map_err(ErrorKind::Refused)?.body;
        MultiResults::new(&body).map(|result| read_outcome(result?, &body)).collect()
    }
}

fn read_outcome(result: MultiResult<'_>, body: &Bytes) -> Result<ReadOutcome, ErrorKind> {
    Ok(match result {
        MultiResult::GetData(node) => ReadOutcome::Node(Node {
            data: node.data.map(|data| body.slice_ref(data)).unwrap_or_default(),
            is_null: node.data.is_none(),
            stat: node.stat,
        }),
        MultiResult::GetChildren(children) => {
            ReadOutcome::Children(children.children.into_iter().map(Cow::into_owned).collect())
        }
        MultiResult::Error(number) => match refusal(number) {
            ErrorKind::Refused(code) => ReadOutcome::Refused(code),
            unknown => return Err(unknown),
        },
        _ => return Err(ErrorKind::Unexpected("result in a multi-read")),
    })
}
