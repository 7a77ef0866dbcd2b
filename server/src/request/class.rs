//! Where a request goes, by its op code alone.

use quorate_protocol::OpCode;

/// Who handles a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// [`super::read::execute`]: whatever changes nothing in the tree, `ping` included.
    Read(OpCode),
    /// The pipeline: whatever takes a zxid. Nothing behind a `closeSession` is executed.
    Write(OpCode),
    /// [`super::auth::authenticate`], on the connection itself.
    Auth,
    /// [`super::auth::put_sasl_reply`], on the connection itself.
    Sasl,
    /// Nobody: [`super::auth::put_unknown_reply`], then the connection is closed.
    Unknown,
}

/// The class of a request with this op code.
///
/// Compat: `check` is known inside a multi only. `createSession` and `deleteContainer` are the
/// server's own; ZooKeeper takes the latter from clients, without any ACL check, which nobody
/// should rely on.
pub fn classify(op: i32) -> Class {
    let Some(op) = OpCode::from_wire(op) else { return Class::Unknown };
    match op {
        OpCode::Exists
        | OpCode::GetData
        | OpCode::GetAcl
        | OpCode::GetChildren
        | OpCode::GetChildren2
        | OpCode::GetAllChildrenNumber
        | OpCode::GetEphemerals
        | OpCode::CheckWatches
        | OpCode::RemoveWatches
        | OpCode::AddWatch
        | OpCode::SetWatches
        | OpCode::SetWatches2
        | OpCode::MultiRead
        | OpCode::WhoAmI
        | OpCode::Sync
        | OpCode::Ping => Class::Read(op),
        OpCode::Create
        | OpCode::Create2
        | OpCode::CreateContainer
        | OpCode::CreateTtl
        | OpCode::Delete
        | OpCode::SetData
        | OpCode::SetAcl
        | OpCode::Multi
        | OpCode::Reconfig
        | OpCode::CloseSession => Class::Write(op),
        OpCode::Auth => Class::Auth,
        OpCode::Sasl => Class::Sasl,
        OpCode::Check | OpCode::CreateSession | OpCode::DeleteContainer | OpCode::Error => {
            Class::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_class() {
        for unknown in [888, 0, 10, -1, -2, 13, 20, -10, i32::MIN, i32::MAX] {
            assert_eq!(classify(unknown), Class::Unknown, "{unknown}");
        }
        for read in [3, 4, 6, 8, 9, 11, 12, 17, 18, 22, 101, 103, 104, 105, 106, 107] {
            assert!(matches!(classify(read), Class::Read(op) if op.wire() == read), "{read}");
        }
        for write in [1, 2, 5, 7, 14, 15, 16, 19, 21, -11] {
            assert!(matches!(classify(write), Class::Write(op) if op.wire() == write), "{write}");
        }
        assert_eq!((classify(100), classify(102)), (Class::Auth, Class::Sasl));
    }
}
