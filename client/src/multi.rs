//! Several writes that are done together or not at all.

use bytes::BytesMut;
use quorate_protocol::{
    Encode, ErrorCode, Stat,
    acl::Acl,
    record::{
        CheckRequest, CreateMode, DeleteRequest, MultiHeader, MultiOp, MultiResult, MultiResults,
        SetDataRequest,
    },
};

use crate::{Created, error::Error};

/// Writes to do together, in order: each sees those before it.
#[derive(Debug, Clone, Default)]
pub struct Multi {
    body: BytesMut,
    wrong: Option<Error>,
}

impl Multi {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a node.
    #[must_use]
    pub fn create(mut self, path: &str, data: &[u8], mode: CreateMode, acl: &[Acl]) -> Self {
        let acl = acl.to_bytes();
        match crate::create_request(path, data, mode, &acl) {
            Ok(create) => self.push(&MultiOp::Create(crate::create_op(mode), create)),
            Err(error) => self.wrong = Some(error),
        }
        self
    }

    /// Replaces a node's data if it has this version.
    #[must_use]
    pub fn set(mut self, path: &str, data: &[u8], version: i32) -> Self {
        let data = Some(data);
        self.push(&MultiOp::SetData(SetDataRequest { path: path.into(), data, version }));
        self
    }

    /// Deletes a node if it has this version.
    #[must_use]
    pub fn delete(mut self, path: &str, version: i32) -> Self {
        self.push(&MultiOp::Delete(DeleteRequest { path: path.into(), version }));
        self
    }

    /// Does nothing, but only if a node has this version.
    #[must_use]
    pub fn check(mut self, path: &str, version: i32) -> Self {
        self.push(&MultiOp::Check(CheckRequest { path: path.into(), version }));
        self
    }

    fn push(&mut self, op: &MultiOp<'_>) {
        op.encode(&mut self.body);
    }

    pub(crate) fn into_body(mut self) -> Result<BytesMut, Error> {
        MultiHeader::END.encode(&mut self.body);
        self.wrong.map_or(Ok(self.body), Err)
    }
}

/// What came of a write of a multi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiOutcome {
    /// Of [`Multi::create`].
    Created(Created),
    /// Of [`Multi::set`].
    Set(Stat),
    /// Of [`Multi::delete`].
    Deleted,
    /// Of [`Multi::check`].
    Checked,
}

pub(crate) fn outcomes(body: &[u8]) -> Result<Vec<MultiOutcome>, Error> {
    let results = MultiResults::new(body).collect::<Result<Vec<_>, _>>()?;
    // In a failed multi the operations before the one that failed carry the error 0.
    let failure = results.iter().enumerate().find_map(|(index, result)| match result {
        MultiResult::Error(error) if *error != 0 => Some((index, *error)),
        _ => None,
    });
    if let Some((index, error)) = failure {
        return Err(ErrorCode::from_wire(error)
            .map_or(Error::RefusedUnknown(error), |code| Error::MultiFailed { index, code }));
    }
    results.into_iter().map(outcome).collect()
}

fn outcome(result: MultiResult<'_>) -> Result<MultiOutcome, Error> {
    Ok(match result {
        MultiResult::Create2(created) => {
            MultiOutcome::Created(Created { path: created.path.into_owned(), stat: created.stat })
        }
        MultiResult::SetData(stat) => MultiOutcome::Set(stat),
        MultiResult::Delete => MultiOutcome::Deleted,
        MultiResult::Check => MultiOutcome::Checked,
        MultiResult::Create(_)
        | MultiResult::GetData(_)
        | MultiResult::GetChildren(_)
        | MultiResult::Error(_) => return Err(Error::Unexpected("result in a multi")),
    })
}
