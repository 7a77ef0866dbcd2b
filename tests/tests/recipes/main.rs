//! The client's recipes: against Quorate and ZooKeeper, with a fault at each request, and together with
//! Apache Curator and kazoo.

mod coordination;
mod curator;
mod faults;
mod kazoo;
mod nodes;
mod program;
mod queues;

use std::time::Duration;

use quorate_client::{Client, ClientBuilder, SessionTicket, Status};
use quorate_tests::{Server, Subject, wait::PATIENCE};
use tokio::time::timeout;

/// Runs a test against a server of each kind.
fn with_each<F: Future<Output = ()>>(test: impl Fn(Server) -> F) {
    for subject in Subject::available() {
        let server = Server::start(subject, &[]);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(test(server));
    }
}

fn builder_at(hosts: &str) -> ClientBuilder {
    Client::builder(hosts).session_timeout(Duration::from_secs(10))
}

fn builder(server: &Server) -> ClientBuilder {
    builder_at(&server.addr().to_string())
}

async fn connect(server: &Server) -> Client {
    builder(server).connect().await.expect("the server opens a session")
}

/// Has the session of a client expire: somebody else takes it and ends it. Returns when the client has another.
async fn expire(server: &Server, client: &Client) {
    let SessionTicket { id, password, .. } = client.session().expect("it is connected");
    let number = client.status().borrow().session_number;
    // Both may take the session from each other for a while.
    within("the end of the session", async {
        loop {
            let thief = builder(server).session(id, password).new_sessions(false).connect().await;
            match thief {
                Ok(thief) if thief.close().await.is_err() => {}
                _ => return,
            }
        }
    })
    .await;
    let mut status = client.status();
    let is_new = |status: &Status| status.session_number > number && status.state.is_connected();
    within("another session", status.wait_for(is_new)).await.expect("the client lives");
}

/// Fails when it takes too long.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

/// Asks again and again until the answer is yes.
async fn eventually(what: &str, probe: impl AsyncFn() -> bool) {
    within(what, until(probe)).await;
}

/// The same without a limit. The pause is between two looks at a server: nothing is hoped for to have
/// happened in it.
async fn until(probe: impl AsyncFn() -> bool) {
    while !probe().await {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The names of a node's children; none when it is not there.
async fn children(client: &Client, path: &str) -> Vec<String> {
    match client.children(path).linearizable().await {
        Ok(children) => {
            let mut names = children.names;
            names.sort_unstable();
            names
        }
        Err(error) if error.is_no_node() => Vec::new(),
        Err(error) => panic!("{error}"),
    }
}
