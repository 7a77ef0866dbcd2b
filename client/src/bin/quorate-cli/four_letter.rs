//! Asks servers by four-letter words, which need no session.

use std::{collections::BTreeMap, io, time::Duration};

use quorate_client::{Tls, Transport};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a server gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("does not answer within 3 s")]
    Silent,
    #[error("does not serve now: it has no quorum, or is starting")]
    NotServing,
    #[error("does not allow {0} (add it to 4lw.commands.whitelist in its zoo.cfg)")]
    NotAllowed(String),
}

/// Asks a server, encrypted or not, and gives its answer.
pub(crate) async fn ask(tls: Option<&Tls>, address: &str, word: &str) -> Result<String, NoAnswer> {
    let answer = async {
        let stream = TcpStream::connect(address).await?;
        match tls {
            None => exchange(stream, word).await,
            Some(tls) => exchange(tls.encrypt(host(address), stream).await?, word).await,
        }
    };
    let answer = timeout(PATIENCE, answer).await.map_err(|_| NoAnswer::Silent)?;
    let answer = answer.map_err(|error| NoAnswer::Unreachable(error.to_string()))?;
    if answer.contains("is not executed because it is not in the whitelist") {
        return Err(NoAnswer::NotAllowed(word.to_owned()));
    }
    if answer.contains("This ZooKeeper instance is not currently serving requests") {
        return Err(NoAnswer::NotServing);
    }
    if answer.is_empty() {
        return Err(NoAnswer::Unreachable("it closed the connection without an answer".into()));
    }
    Ok(answer)
}

/// The host of `host:port`, an IPv6 address without its brackets.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

async fn exchange(mut stream: impl Transport, word: &str) -> io::Result<String> {
    stream.write_all(word.as_bytes()).await?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer).await {
        Ok(_) => {}
        // ZooKeeper may reset the connection behind its answer.
        Err(_) if !answer.is_empty() => {}
        Err(error) => return Err(error),
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The lines of `srvr`, by their keys.
pub(crate) fn colon_lines(answer: &str) -> BTreeMap<&str, &str> {
    answer.lines().filter_map(|line| line.split_once(": ")).collect()
}

/// The lines of `mntr`, by their keys.
pub(crate) fn tab_lines(answer: &str) -> BTreeMap<&str, &str> {
    answer.lines().filter_map(|line| line.split_once('\t')).collect()
}

/// A connection as `cons` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    /// The client's address.
    pub(crate) address: String,
    /// What the server says of it: `sid` (the session), `recved`, `sent` and more.
    pub(crate) facts: BTreeMap<String, String>,
}

/// The lines of `cons`: ` /127.0.0.1:4[1](queued=0,recved=5,sent=5,sid=0x1,...)`.
pub(crate) fn connections(answer: &str) -> Vec<Connection> {
    let connection = |line: &str| {
        let (address, rest) = line.trim().strip_prefix('/')?.split_once("](")?;
        // The interest bits stand behind the address.
        let (address, _) = address.rsplit_once('[')?;
        let facts = rest.strip_suffix(')')?.split(',').filter_map(|fact| fact.split_once('='));
        let facts = facts.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Some(Connection { address: address.to_owned(), facts })
    };
    answer.lines().filter_map(connection).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_of_certificates() {
        assert_eq!(host("zk1:2281"), "zk1");
        assert_eq!(host("[::1]:2281"), "::1");
    }

    #[test]
    fn answers_are_taken_apart() {
        let srvr = "Zookeeper version: 3.9.5\nLatency min/avg/max: 0/0.5/3\nMode: leader\n";
        assert_eq!(colon_lines(srvr)["Latency min/avg/max"], "0/0.5/3");
        assert_eq!(tab_lines("zk_a\t1\nzk_b\tx y\n")["zk_b"], "x y");
        let cons = " /127.0.0.1:41[1](queued=0,recved=5,sent=5,sid=0x100,lop=PING)\n\
                    \x20/[0:0:0:0:0:0:0:1]:9[0](queued=0,recved=1,sent=0)\n\n";
        let found = connections(cons);
        assert_eq!(found.len(), 2);
        assert_eq!((&*found[0].address, &*found[0].facts["sid"]), ("127.0.0.1:41", "0x100"));
        assert_eq!(found[1].address, "[0:0:0:0:0:0:0:1]:9");
    }
}
