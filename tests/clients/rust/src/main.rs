//! Goes through what the `zookeeper-client` crate can do, at the server given as HOST:PORT.

use std::{env, future::Future, io, time::Duration};

use tokio::time::timeout;
use zookeeper_client::{
    Acl, Acls, AddWatchMode, AuthId, Client, CreateMode, CreateOptions, Error, EventType,
    MultiWriteError, Permission, SessionState,
};

const PATIENCE: Duration = Duration::from_secs(30);
const OPEN: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());
const EPHEMERAL: CreateOptions<'static> = CreateMode::Ephemeral.with_acls(Acls::anyone_all());

type Result<T> = std::result::Result<T, Error>;

async fn connect(address: &str) -> Client {
    let connector = Client::connector().with_session_timeout(Duration::from_secs(20));
    connector.connect(address).await.expect("a session")
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited for {what}"))
}

async fn nodes(zk: &Client) -> Result<()> {
    let (stat, _) = zk.create("/n", b"data", &OPEN).await?;
    assert_eq!(zk.check_stat("/n").await?, Some(stat));
    assert_eq!(zk.create("/n", b"", &OPEN).await.unwrap_err(), Error::NodeExists);
    assert_eq!(zk.create("/x/y", b"", &OPEN).await.unwrap_err(), Error::NoNode);
    assert_eq!(zk.get_data("/n").await?, (b"data".to_vec(), stat));
    assert_eq!(zk.set_data("/n", b"more", Some(0)).await?.version, 1);
    assert_eq!(zk.set_data("/n", b"late", Some(0)).await.unwrap_err(), Error::BadVersion);
    assert_eq!(zk.check_stat("/missing").await?, None);
    zk.create("/n/a", b"", &OPEN).await?;
    assert_eq!(zk.list_children("/n").await?, ["a"]);
    let (children, stat) = zk.get_children("/n").await?;
    assert_eq!((children.len(), stat.num_children, stat.cversion), (1, 1, 1));
    assert_eq!(zk.count_descendants_number("/n").await?, 1);
    assert_eq!(zk.delete("/n", None).await.unwrap_err(), Error::NotEmpty);
    assert_eq!(zk.delete("/n/a", Some(7)).await.unwrap_err(), Error::BadVersion);
    zk.delete("/n/a", Some(0)).await?;
    zk.delete("/n", None).await?;
    zk.sync("/").await?;
    assert_eq!(zk.get_data("/n").await.unwrap_err(), Error::NoNode);
    assert_eq!(zk.list_auth_users().await?[0].scheme(), "ip");
    Ok(())
}

async fn kinds_of_nodes(zk: &Client, address: &str) -> Result<()> {
    zk.create("/k", b"", &OPEN).await?;
    let sequential = CreateMode::PersistentSequential.with_acls(Acls::anyone_all());
    let (_, number) = zk.create("/k/s-", b"", &sequential).await?;
    assert_eq!(number.into_i64(), 0);
    let (stat, _) = zk.create("/k/e", b"", &EPHEMERAL).await?;
    assert_eq!(stat.ephemeral_owner, zk.session_id().0);
    let child = zk.create("/k/e/x", b"", &OPEN).await;
    assert_eq!(child.unwrap_err(), Error::NoChildrenForEphemerals);
    let ephemeral = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
    let (_, number) = zk.create("/k/s-", b"", &ephemeral).await?;
    assert_eq!(number.into_i64(), 2);
    let mut mine = zk.list_ephemerals("/k").await?;
    mine.sort();
    assert_eq!(mine, ["/k/e", "/k/s-0000000002"]);

    let container = CreateMode::Container.with_acls(Acls::anyone_all());
    let (stat, _) = zk.create("/k/c", b"", &container).await?;
    assert_eq!(stat.ephemeral_owner, 0);
    let (_, gone) = zk.check_and_watch_stat("/k/c").await?;
    zk.create("/k/c/x", b"", &OPEN).await?;
    zk.delete("/k/c/x", None).await?;
    let event = soon("the container to go", gone.changed()).await;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeDeleted, "/k/c"));
    zk.create("/k/t", b"", &OPEN.clone().with_ttl(Duration::from_millis(50))).await?;
    let (stat, gone) = zk.check_and_watch_stat("/k/t").await?;
    if stat.is_some() {
        let event = soon("the TTL node to go", gone.changed()).await;
        assert_eq!(event.event_type, EventType::NodeDeleted);
    }
    let other = connect(address).await;
    other.create("/k/theirs", b"", &EPHEMERAL).await?;
    let (_, gone) = zk.check_and_watch_stat("/k/theirs").await?;
    drop(other);
    let event = soon("an ephemeral node to go", gone.changed()).await;
    assert_eq!(event.event_type, EventType::NodeDeleted);
    Ok(())
}

async fn watches(zk: &Client) -> Result<()> {
    let (_, created) = zk.check_and_watch_stat("/w").await?;
    zk.create("/w", b"", &OPEN).await?;
    assert_eq!(soon("creation", created.changed()).await.event_type, EventType::NodeCreated);
    let (_, _, data) = zk.get_and_watch_data("/w").await?;
    let (_, children) = zk.list_and_watch_children("/w").await?;
    zk.set_data("/w", b"1", None).await?;
    assert_eq!(soon("data", data.changed()).await.event_type, EventType::NodeDataChanged);
    zk.create("/w/a", b"", &OPEN).await?;
    let event = soon("children", children.changed()).await;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeChildrenChanged, "/w"));

    let mut persistent = zk.watch("/w", AddWatchMode::Persistent).await?;
    let mut recursive = zk.watch("/w", AddWatchMode::PersistentRecursive).await?;
    for _ in 0..2 {
        zk.set_data("/w", b"2", None).await?;
        zk.create("/w/b", b"", &OPEN).await?;
        zk.delete("/w/b", None).await?;
        for wanted in [
            EventType::NodeDataChanged,
            EventType::NodeChildrenChanged,
            EventType::NodeChildrenChanged,
        ] {
            let event = soon("a persistent watch", persistent.changed()).await;
            assert_eq!((event.event_type, event.path.as_str()), (wanted, "/w"));
        }
        for (wanted, path) in [
            (EventType::NodeDataChanged, "/w"),
            (EventType::NodeCreated, "/w/b"),
            (EventType::NodeDeleted, "/w/b"),
        ] {
            let event = soon("a recursive watch", recursive.changed()).await;
            assert_eq!((event.event_type, event.path.as_str()), (wanted, path));
        }
    }
    Ok(())
}

async fn transactions(zk: &Client) -> Result<()> {
    let mut writer = zk.new_multi_writer();
    writer.add_create("/t", b"1", &OPEN)?;
    writer.add_set_data("/t", b"2", Some(0))?;
    writer.add_check_version("/t", 1)?;
    writer.add_create("/t/x", b"", &OPEN)?;
    writer.add_delete("/t/x", Some(0))?;
    assert_eq!(writer.commit().await.expect("all of it").len(), 5);
    let mut failing = zk.new_multi_writer();
    failing.add_create("/t/y", b"", &OPEN)?;
    failing.add_check_version("/t", 9)?;
    let error = failing.commit().await.expect_err("the version is 1");
    assert_eq!(error, MultiWriteError::OperationFailed { index: 1, source: Error::BadVersion });
    assert_eq!(zk.check_stat("/t/y").await?, None);
    let mut reader = zk.new_multi_reader();
    reader.add_get_data("/t")?;
    reader.add_get_children("/t")?;
    reader.add_get_data("/missing")?;
    assert_eq!(reader.commit().await?.len(), 3);
    Ok(())
}

async fn acls(zk: &Client, address: &str) -> Result<()> {
    let owner = Client::connector().with_auth("digest", b"user:password").connect(address).await?;
    let mine = CreateMode::Persistent.with_acls(Acls::creator_all());
    owner.create("/acl", b"secret", &mine).await?;
    assert_eq!(zk.get_data("/acl").await.unwrap_err(), Error::NoAuth);
    assert_eq!(zk.set_data("/acl", b"", None).await.unwrap_err(), Error::NoAuth);
    assert_eq!(zk.create("/b", b"", &mine).await.unwrap_err(), Error::InvalidAcl);
    let unknown = [Acl::new(Permission::ALL, AuthId::new("nope", "x"))];
    let unknown = CreateMode::Persistent.with_acls(Acls::new(&unknown));
    assert_eq!(zk.create("/b", b"", &unknown).await.unwrap_err(), Error::InvalidAcl);
    let (acl, stat) = owner.get_acl("/acl").await?;
    assert_eq!(acl[0].id(), "user:tpUq/4Pn5A64fVZyQ0gOJ8ZWqkY=");
    let shared = [acl[0].clone(), Acl::new(Permission::READ, AuthId::anyone())];
    let stat = owner.set_acl("/acl", &shared, Some(stat.aversion)).await?;
    assert_eq!(stat.aversion, 1);
    assert_eq!(zk.get_data("/acl").await?.0, b"secret");
    let root = connect(address).await;
    root.auth("digest", b"super:test").await?;
    root.set_data("/acl", b"by super", None).await?;
    assert_eq!(root.auth("nope", b"x").await.unwrap_err(), Error::AuthFailed);
    Ok(())
}

async fn reconnect(zk: &Client) -> Result<()> {
    let session = zk.session_id();
    let mut states = zk.state_watcher();
    zk.create("/stays", b"here", &EPHEMERAL).await?;
    let (_, _, watcher) = zk.get_and_watch_data("/stays").await?;
    println!("restart");
    io::stdin().read_line(&mut String::new()).expect("the harness answers");
    while soon("the connection to come back", states.changed()).await != SessionState::SyncConnected
    {
    }
    assert_eq!(zk.session_id(), session);
    let (_, stat) = zk.get_data("/stays").await?;
    assert_eq!(stat.ephemeral_owner, session.0);
    // The client has set its watch again.
    zk.set_data("/stays", b"still", None).await?;
    let event = soon("a watch set again", watcher.changed()).await;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeDataChanged, "/stays"));
    Ok(())
}

async fn expiry(zk: &Client, address: &str) -> Result<()> {
    let short = Client::connector().with_session_timeout(Duration::from_secs(1)).with_detached();
    let short = short.connect(address).await?;
    short.create("/short", b"", &EPHEMERAL).await?;
    let (_, gone) = zk.check_and_watch_stat("/short").await?;
    // Detached: the session is left alone, not closed.
    let session = short.into_session();
    let event = soon("the session to expire", gone.changed()).await;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeDeleted, "/short"));
    let again = Client::connector().with_session(session).connect(address).await;
    assert_eq!(again.map(|_| ()).unwrap_err(), Error::SessionExpired);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let address = env::args().nth(1).expect("HOST:PORT");
    let zk = connect(&address).await;
    println!("nodes");
    nodes(&zk).await?;
    println!("kinds of nodes");
    kinds_of_nodes(&zk, &address).await?;
    println!("watches");
    watches(&zk).await?;
    println!("transactions");
    transactions(&zk).await?;
    println!("ACLs");
    acls(&zk, &address).await?;
    println!("reconnect");
    reconnect(&zk).await?;
    println!("expiry");
    expiry(&zk, &address).await
}
