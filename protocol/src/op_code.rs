//! The numbers of requests and transactions.

use std::fmt;

macro_rules! op_codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// What a request asks for, or what a transaction does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i32)]
        pub enum OpCode {
            $($(#[$doc])* $variant = $number,)*
        }

        impl OpCode {
            /// All codes, in the order of this table.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code with this number on the wire, if there is one.
            pub const fn from_wire(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Its name in ZooKeeper's documentation.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

op_codes! {
    /// Opens a session; only the server makes such transactions.
    CreateSession = -10, "createSession";
    /// Ends the session and removes its ephemeral nodes.
    CloseSession = -11, "closeSession";
    /// A transaction that failed and only used up its zxid.
    Error = -1, "error";
    /// Creates a node and answers its path.
    Create = 1, "create";
    /// Deletes a node without children.
    Delete = 2, "delete";
    /// Answers a node's `Stat`, and can watch a node that is not there.
    Exists = 3, "exists";
    /// Answers a node's data and `Stat`.
    GetData = 4, "getData";
    /// Replaces a node's data.
    SetData = 5, "setData";
    /// Answers a node's ACL and `Stat`.
    GetAcl = 6, "getACL";
    /// Replaces a node's ACL.
    SetAcl = 7, "setACL";
    /// Answers the names of a node's children.
    GetChildren = 8, "getChildren";
    /// Waits until this server has seen all that was written before.
    Sync = 9, "sync";
    /// Keeps the session alive.
    Ping = 11, "ping";
    /// As `getChildren`, with the node's `Stat`.
    GetChildren2 = 12, "getChildren2";
    /// Compares a node's version; only inside a multi.
    Check = 13, "check";
    /// Several writes, all or none.
    Multi = 14, "multi";
    /// As `create`, and answers the `Stat` too.
    Create2 = 15, "create2";
    /// Changes the ensemble's membership.
    Reconfig = 16, "reconfig";
    /// Asks whether a watch is set.
    CheckWatches = 17, "checkWatches";
    /// Removes watches.
    RemoveWatches = 18, "removeWatches";
    /// Creates a node that goes when its last child has gone.
    CreateContainer = 19, "createContainer";
    /// Removes an empty container or an outdated TTL node; only the server makes such requests.
    DeleteContainer = 20, "deleteContainer";
    /// Creates a node that goes when it has not been written to for a time.
    CreateTtl = 21, "createTTL";
    /// Several reads, each with its own outcome.
    MultiRead = 22, "multiRead";
    /// Adds an identity to the connection.
    Auth = 100, "auth";
    /// Sets one-shot watches again after a reconnect.
    SetWatches = 101, "setWatches";
    /// A step of a SASL handshake.
    Sasl = 102, "sasl";
    /// Answers the session's ephemeral nodes.
    GetEphemerals = 103, "getEphemerals";
    /// Answers the number of a node's descendants.
    GetAllChildrenNumber = 104, "getAllChildrenNumber";
    /// As `setWatches`, with persistent watches.
    SetWatches2 = 105, "setWatches2";
    /// Sets a persistent watch.
    AddWatch = 106, "addWatch";
    /// Answers the connection's identities.
    WhoAmI = 107, "whoAmI";
}

impl OpCode {
    /// The number on the wire.
    pub const fn wire(self) -> i32 {
        self as i32
    }

    /// Whether it becomes a transaction: it takes a zxid, is logged and is ordered with all others.
    pub const fn is_write(self) -> bool {
        matches!(
            self,
            Self::CreateSession
                | Self::CloseSession
                | Self::Create
                | Self::Delete
                | Self::SetData
                | Self::SetAcl
                | Self::Multi
                | Self::Create2
                | Self::Reconfig
                | Self::CreateContainer
                | Self::DeleteContainer
                | Self::CreateTtl
        )
    }

    /// Whether a client may send it as a request of its own. `Compat:` ZooKeeper lets clients
    /// send `createSession` and `deleteContainer` too, without checking any right.
    pub const fn is_request(self) -> bool {
        !matches!(self, Self::CreateSession | Self::Error | Self::Check | Self::DeleteContainer)
    }
}

impl fmt::Display for OpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_wire() {
        for &op in OpCode::ALL {
            assert_eq!(OpCode::from_wire(op.wire()), Some(op));
        }
        assert_eq!(OpCode::from_wire(888), None);
    }
}
