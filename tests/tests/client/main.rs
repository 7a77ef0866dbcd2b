//! The client crate against real servers: Quorate, and ZooKeeper where it is installed.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod blocking;
mod calls;
mod locks;
mod old;
mod sasl;
mod secure;
mod tls;
mod watches;

use std::time::Duration;

use quorate_client::{Client, ClientBuilder};
use quorate_tests::{Server, Subject};

/// Runs a test against a server of each kind.
fn with_each<F: Future<Output = ()>>(settings: &[&str], test: impl Fn(Server) -> F) {
    for subject in Subject::available() {
        let server = Server::start(subject, settings);
        runtime().block_on(test(server));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

fn builder(server: &Server) -> ClientBuilder {
    Client::builder(&server.addr().to_string()).session_timeout(Duration::from_secs(4))
}

async fn connect(server: &Server) -> Client {
    builder(server).connect().await.expect("the server opens a session")
}
