//! The numbers that say why a request was refused.

use std::fmt;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// The outcome of a request as a reply's header carries it. Not an error type: most of
        /// them are normal answers to a question.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i32)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant = $number,)*
        }

        impl ErrorCode {
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

error_codes! {
    /// Success.
    Ok = 0, "OK";
    /// An unexpected fault of the server.
    SystemError = -1, "SYSTEMERROR";
    /// An operation behind the failing one in a multi.
    RuntimeInconsistency = -2, "RUNTIMEINCONSISTENCY";
    /// Made by clients: the connection broke, the outcome is unknown.
    ConnectionLoss = -4, "CONNECTIONLOSS";
    /// The request's body cannot be decoded.
    MarshallingError = -5, "MARSHALLINGERROR";
    /// An operation this server does not know or has switched off.
    Unimplemented = -6, "UNIMPLEMENTED";
    /// Made by clients: no answer in time.
    OperationTimeout = -7, "OPERATIONTIMEOUT";
    /// A path, flag or value that is not allowed.
    BadArguments = -8, "BADARGUMENTS";
    /// A write from a session this standalone server does not know.
    UnknownSession = -12, "UNKNOWNSESSION";
    /// The new configuration has no synced quorum.
    NewConfigNoQuorum = -13, "NEWCONFIGNOQUORUM";
    /// Another reconfiguration is under way.
    ReconfigInProgress = -14, "RECONFIGINPROGRESS";
    /// The node, or the parent of a node to create, is not there.
    NoNode = -101, "NONODE";
    /// The ACL does not allow it.
    NoAuth = -102, "NOAUTH";
    /// The version expected is not the node's.
    BadVersion = -103, "BADVERSION";
    /// An ephemeral node cannot have children.
    NoChildrenForEphemerals = -108, "NOCHILDRENFOREPHEMERALS";
    /// The node is there already.
    NodeExists = -110, "NODEEXISTS";
    /// The node has children.
    NotEmpty = -111, "NOTEMPTY";
    /// The session has ended or is ending.
    SessionExpired = -112, "SESSIONEXPIRED";
    /// Never sent by servers.
    InvalidCallback = -113, "INVALIDCALLBACK";
    /// The ACL is empty or has an entry that is not valid.
    InvalidAcl = -114, "INVALIDACL";
    /// The identity was refused; the connection is closed.
    AuthFailed = -115, "AUTHFAILED";
    /// The session has moved to another server; never sent, the connection is closed instead.
    SessionMoved = -118, "SESSIONMOVED";
    /// A write on a read-only server.
    NotReadOnly = -119, "NOTREADONLY";
    /// An ephemeral node on a local session that cannot be upgraded.
    EphemeralOnLocalSession = -120, "EPHEMERALONLOCALSESSION";
    /// No such watch is set.
    NoWatcher = -121, "NOWATCHER";
    /// Made by clients: the request took too long.
    RequestTimeout = -122, "REQUESTTIMEOUT";
    /// Reconfiguration is switched off.
    ReconfigDisabled = -123, "RECONFIGDISABLED";
    /// The server requires authentication first; the connection is closed.
    SessionClosedRequireSaslAuth = -124, "SESSIONCLOSEDREQUIRESASLAUTH";
    /// A hard quota does not allow it.
    QuotaExceeded = -125, "QUOTAEXCEEDED";
    /// The request waited for too long.
    ThrottledOp = -127, "THROTTLEDOP";
}

impl ErrorCode {
    /// The number on the wire.
    pub const fn wire(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_wire() {
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_wire(code.wire()), Some(code));
        }
        assert_eq!(ErrorCode::from_wire(-9999), None);
    }
}
