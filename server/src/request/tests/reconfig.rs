//! `reconfig` in an ensemble: what it asks for, and the order of refusals.

use std::collections::BTreeSet;

use bytes::BytesMut;
use quorate_protocol::{Decode, ErrorCode, Id, OpCode, SessionId, record::ReconfigRequest};

use super::{all_on, request};
use crate::{
    request::{Ensemble, Prepared, Preparer, Request, Settings},
    tree::Tree,
    txn::{Txn, TxnRecord},
    zab::{Configs, Configuration, ServerId},
};

const THREE: &str = "server.1=a:1:2:participant;9\nserver.2=b:1:2:participant;9\n\
                     server.3=c:1:2:observer;9\nversion=100000000";

/// A leader with one session, of whom these servers are in sync.
struct Leader {
    preparer: Preparer,
    tree: Tree,
    session: SessionId,
    configs: Configs,
    synced: BTreeSet<ServerId>,
    standalone_enabled: bool,
    is_prepared: bool,
}

impl Leader {
    fn new() -> Self {
        let tree = Tree::new(0);
        let settings = Settings { in_ensemble: true, ..all_on() };
        let mut preparer = Preparer::new(settings, &tree, 0);
        let session = SessionId(7);
        let open = Request::create_session(session, crate::watch::ConnId(1), 1000);
        preparer.prepare(&tree, 0, &open, &mut BytesMut::new());
        Self {
            preparer,
            tree,
            session,
            configs: Configs::new(Configuration::parse(THREE).unwrap(), true),
            synced: [1, 2].map(ServerId).into(),
            standalone_enabled: false,
            is_prepared: false,
        }
    }

    /// The text that the transaction brings, or why there is none.
    fn ask(&mut self, [joining, leaving, whole]: [&str; 3], id: i64) -> Result<String, ErrorCode> {
        self.ask_as(&[Id::new("super", "")], [joining, leaving, whole], id)
    }

    fn ask_as(&mut self, ids: &[Id], texts: [&str; 3], id: i64) -> Result<String, ErrorCode> {
        let [joining, leaving, new_members] = texts.map(|text| Some(text.into()));
        let body = ReconfigRequest { joining, leaving, new_members, config_id: id };
        let auth = ids.into();
        let request = Request { auth, ..request(self.session, OpCode::Reconfig, &body) };
        let ensemble = Ensemble {
            configs: &self.configs,
            is_prepared: self.is_prepared,
            synced: self.synced.clone(),
            standalone_enabled: self.standalone_enabled,
            multi_address: false,
        };
        let mut out = BytesMut::new();
        let prepared = self.preparer.prepare_in(Some(&ensemble), &self.tree, 0, &request, &mut out);
        let Prepared::Logged(zxid) = prepared else { panic!("{prepared:?}") };
        let made = self.preparer.take_reconfigured();
        match TxnRecord::from_bytes(&out).unwrap().txn {
            Txn::Error { code } => {
                assert_eq!(made, None);
                Err(ErrorCode::from_wire(code).unwrap())
            }
            Txn::Reconfig(set) => {
                let text = String::from_utf8(set.data.unwrap().to_vec()).unwrap();
                assert_eq!((&*set.path, set.version), ("/zookeeper/config", -1));
                let made = made.unwrap();
                assert_eq!((made.to_string(), made.version), (text.clone(), zxid.0));
                Ok(text.rsplit_once('\n').unwrap().0.to_owned())
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn servers_join_and_leave() {
    let mut leader = Leader::new();
    let joins = leader.ask(["server.4=d:1:2;9, server.3=c:1:2:participant;9", "2", ""], 1 << 32);
    leader.synced.extend([3, 4].map(ServerId));
    assert_eq!(joins, Err(ErrorCode::NewConfigNoQuorum), "one of three is in sync");
    let joins = leader.ask(["server.4=d:1:2;9, server.3=c:1:2:participant;9", "2", ""], 1 << 32);
    assert_eq!(
        joins.unwrap(),
        "server.1=a:1:2:participant;0.0.0.0:9\nserver.3=c:1:2:participant;0.0.0.0:9\n\
         server.4=d:1:2:participant;0.0.0.0:9"
    );
    let whole = leader.ask(["", "", "server.2=b:1:2,server.1=a:1:2:observer"], -1);
    assert_eq!(whole.unwrap(), "server.1=a:1:2:observer\nserver.2=b:1:2:participant");
    assert_eq!(leader.ask(["", "2,2,9", ""], -1).unwrap().lines().count(), 2);
}

#[test]
fn the_first_reason_counts() {
    let mut leader = Leader::new();
    let nobody: &[Id] = &[];
    let bad = ["some thing", "", ""];
    leader.is_prepared = true;
    assert_eq!(leader.ask(bad, 7), Err(ErrorCode::ReconfigInProgress));
    leader.is_prepared = false;
    assert_eq!(leader.ask_as(nobody, bad, 7), Err(ErrorCode::BadVersion));
    assert_eq!(leader.ask_as(nobody, bad, -1), Err(ErrorCode::BadArguments));
    for (texts, code) in [
        (["server.x=d:1:2;9", "", ""], ErrorCode::MarshallingError),
        (["", "x", ""], ErrorCode::MarshallingError),
        (["", "", "server.x=d:1:2"], ErrorCode::MarshallingError),
        (["server.4=d:1:2", "", ""], ErrorCode::BadArguments),
        (["server.4=d:1:2:leader;9", "", ""], ErrorCode::BadArguments),
        (["server.4=a:1:7;9", "", ""], ErrorCode::BadArguments),
        (["", "1,2", ""], ErrorCode::BadArguments),
        (["", "", "server.1=a:1:2\nweight=3"], ErrorCode::BadArguments),
        (["", "", "server.1=a:1:2|b:1:2"], ErrorCode::BadArguments),
    ] {
        assert_eq!(leader.ask_as(nobody, texts, -1), Err(code), "{texts:?}");
    }
    let most = ["server.4=d:1:2;9,server.5=e:1:2;9", "", ""];
    assert_eq!(leader.ask_as(nobody, most, -1), Err(ErrorCode::NewConfigNoQuorum));
    assert_eq!(leader.ask_as(nobody, ["", "2", ""], -1), Err(ErrorCode::NoAuth));
    leader.standalone_enabled = true;
    assert_eq!(leader.ask(["", "2", ""], -1), Err(ErrorCode::BadArguments));
    leader.session = SessionId(8);
    assert_eq!(leader.ask(bad, 7), Err(ErrorCode::SessionExpired));
    leader.preparer.settings.reconfig = false;
    assert_eq!(leader.ask(bad, 7), Err(ErrorCode::ReconfigDisabled));
}

#[test]
fn groups_change_as_a_whole_only() {
    let mut leader = Leader::new();
    let groups = "server.1=a:1:2,server.2=b:1:2,group.1=1:2,weight.1=1,weight.2=0";
    let made = leader.ask(["", "", groups], -1).unwrap();
    assert!(made.ends_with("group.1=1:2\nweight.1=1\nweight.2=0"), "{made}");
    leader.configs = Configs::new(Configuration::parse(&made).unwrap(), true);
    assert_eq!(leader.ask(["", "2", ""], -1), Err(ErrorCode::BadArguments));
    assert!(leader.ask(["", "", "server.1=a:1:2"], -1).is_ok());
}
