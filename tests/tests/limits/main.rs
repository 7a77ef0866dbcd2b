//! What one client may cause, and what a client that means harm does not.

mod admission;
mod load;
mod memory;

use quorate_tests::{Connection, Server, Session};

/// The value of a metric in `mntr`.
fn metric(server: &Server, name: &str) -> i64 {
    let answer = server.word("mntr");
    let value = answer.lines().find_map(|line| line.strip_prefix(&format!("zk_{name}\t")));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {answer}"))
}

/// A client with a session that lasts.
fn client(server: &Server) -> Connection {
    Connection::with_new_session(server.addr(), 4000).expect("connect")
}

/// Whether the server answers a connect record.
fn gets_a_session(server: &Server) -> bool {
    let mut client = Connection::open(server.addr()).expect("connect");
    client.attach(&Session::new(4000), 0).is_ok()
}
