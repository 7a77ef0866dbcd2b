//! Several writes, all or none.
//!
//! Each operation sees those before it. When one is refused, the projection is as if none had
//! been looked at, but the transaction is logged all the same: it tells which operation failed.

use bytes::BytesMut;
use quorate_protocol::{
    DecodeError, Encode, ErrorCode, OpCode,
    record::{CreateMode, MultiOp, MultiOps},
};

use super::{
    create::Create,
    prepare::{Context, Preparer, Refusal, Sink},
};
use crate::txn::{MultiWriter, Txn};

impl Preparer {
    pub(super) fn multi(
        &mut self,
        context: &Context<'_>,
        body: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), Refusal> {
        check_whole(body)?;
        context.header.encode(out);
        let mut writer = MultiWriter::begin(out);
        let mut failed = false;
        self.outstanding.begin();
        for op in MultiOps::new(OpCode::Multi, body).map_while(Result::ok) {
            let result = if failed {
                Err(ErrorCode::RuntimeInconsistency)
            } else {
                self.operation(context, &op, &mut Sink::Multi(out, &mut writer))
            };
            if let Err(code) = result {
                // `Compat:` an exception that is no `KeeperException` spoils the whole request.
                if code == ErrorCode::MarshallingError {
                    self.outstanding.roll_back();
                    return Err(code.into());
                }
                failed = true;
                writer.push(out, OpCode::Error, &Txn::Error { code: code.wire() });
            }
        }
        if failed {
            self.outstanding.roll_back();
        } else {
            self.outstanding.commit();
        }
        writer.finish(out);
        Ok(())
    }

    fn operation(
        &mut self,
        context: &Context<'_>,
        op: &MultiOp<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), ErrorCode> {
        match op {
            MultiOp::Create(op, request) => {
                // `Compat:` here the flag of a container makes one (`Op.Create`).
                let op = match CreateMode::from_flags(request.flags) {
                    Some(CreateMode::Container) => OpCode::CreateContainer,
                    _ => *op,
                };
                self.create(context, &Create::new(op, request), sink)
            }
            MultiOp::CreateTtl(request) => {
                let has_ttl =
                    CreateMode::from_flags(request.flags).is_some_and(CreateMode::has_ttl);
                let create =
                    if has_ttl { Create::with_ttl(request) } else { Create::without_ttl(request) };
                self.create(context, &create, sink)
            }
            MultiOp::Delete(request) => self.delete(context, request, sink),
            MultiOp::SetData(request) => self.set_data(context, request, sink),
            MultiOp::Check(request) => self.check(context, request, sink),
            MultiOp::GetData(_) | MultiOp::GetChildren(_) => {
                unreachable!("MultiOps lets no read into a multi")
            }
        }
    }
}

/// Refuses a multi that cannot be read, before anything is done: then not even its operations can
/// be answered one by one.
///
/// `Compat:` `MultiOperationRecord` stumbles over a null ACL too early to use up a zxid, and over
/// what else it cannot read just after that. A null path it lets pass; that is found only when the
/// whole was read.
fn check_whole(body: &[u8]) -> Result<(), Refusal> {
    let mut outcome = Ok(());
    for op in MultiOps::new(OpCode::Multi, body) {
        match op {
            Ok(_) => {}
            Err(DecodeError::Null { field: "acl" }) => {
                return Err(Refusal::Unlogged(ErrorCode::MarshallingError));
            }
            Err(DecodeError::Null { .. }) => {
                outcome = Err(Refusal::Logged(ErrorCode::MarshallingError));
            }
            Err(_) => return Err(Refusal::Logged(ErrorCode::MarshallingError)),
        }
    }
    outcome
}
