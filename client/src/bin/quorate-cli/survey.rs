//! What each server of an ensemble says of itself.

use quorate_client::Zxid;

use crate::{
    four_letter::{self, NoAnswer},
    session::Target,
};

/// A server, and its answer to `srvr`.
#[derive(Debug, Clone)]
pub(crate) struct Surveyed {
    /// `host:port`.
    pub(crate) address: String,
    pub(crate) answer: Result<Server, NoAnswer>,
}

/// A server by `srvr`, which every server answers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Server {
    pub(crate) version: String,
    /// `leader`, `follower`, `observer`, `standalone` or `read-only`.
    pub(crate) mode: String,
    pub(crate) zxid: Zxid,
    /// Least, average and most, in milliseconds.
    pub(crate) latency: String,
    pub(crate) connections: u64,
    pub(crate) outstanding: u64,
    pub(crate) nodes: u64,
}

/// Asks all servers at once.
pub(crate) async fn survey(target: &Target) -> anyhow::Result<Vec<Surveyed>> {
    let asked: Vec<_> = target
        .addresses()?
        .into_iter()
        .map(|address| {
            let tls = target.tls.clone();
            tokio::spawn(async move {
                let answer = four_letter::ask(tls.as_ref(), &address, "srvr").await;
                let answer = answer.and_then(|answer| parse(&answer));
                Surveyed { address, answer }
            })
        })
        .collect();
    let mut surveyed = Vec::with_capacity(asked.len());
    for task in asked {
        surveyed.push(task.await.expect("asking does not panic"));
    }
    Ok(surveyed)
}

fn parse(srvr: &str) -> Result<Server, NoAnswer> {
    let lines = four_letter::colon_lines(srvr);
    let parsed = || {
        let number = |key: &str| lines.get(key)?.trim().parse().ok();
        let zxid = lines.get("Zxid")?.trim().strip_prefix("0x")?;
        Some(Server {
            version: lines.get("Zookeeper version")?.split(',').next()?.to_owned(),
            mode: lines.get("Mode")?.trim().to_owned(),
            zxid: Zxid(u64::from_str_radix(zxid, 16).ok()?.cast_signed()),
            latency: (*lines.get("Latency min/avg/max")?).to_owned(),
            connections: number("Connections")?,
            outstanding: number("Outstanding")?,
            nodes: number("Node count")?,
        })
    };
    parsed().ok_or_else(|| NoAnswer::Unreachable("its answer is not one of ZooKeeper's".into()))
}

/// The leader, or the server that is alone.
pub(crate) fn leader(surveyed: &[Surveyed]) -> Option<&Server> {
    let servers = surveyed.iter().filter_map(|surveyed| surveyed.answer.as_ref().ok());
    servers.into_iter().find(|server| matches!(&*server.mode, "leader" | "standalone"))
}

/// How many transactions a server is behind another; none when they are of different epochs, or it
/// is ahead, having been asked later.
pub(crate) fn behind(server: &Server, leader: &Server) -> Option<u32> {
    let same = server.zxid.epoch() == leader.zxid.epoch();
    same.then(|| leader.zxid.counter().saturating_sub(server.zxid.counter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SRVR: &str = "Zookeeper version: 3.9.5-abc, built on 2025\n\
        Latency min/avg/max: 0/0.41/12\nReceived: 5\nSent: 4\nConnections: 2\nOutstanding: 1\n\
        Zxid: 0x20000000a\nMode: follower\nNode count: 7\n";

    #[test]
    fn answers_are_understood() {
        let server = parse(SRVR).unwrap();
        assert_eq!((&*server.version, &*server.mode), ("3.9.5-abc", "follower"));
        assert_eq!((server.zxid, server.nodes), (Zxid(0x2_0000_000a), 7));
        assert!(parse("HTTP/1.1 400 Bad Request\r\n").is_err());
    }

    #[test]
    fn how_far_behind_is_counted_within_an_epoch() {
        let server = parse(SRVR).unwrap();
        let at = |zxid| Server { zxid: Zxid(zxid), ..server.clone() };
        assert_eq!(behind(&server, &at(0x2_0000_0010)), Some(6));
        assert_eq!(behind(&server, &at(0x2_0000_0001)), Some(0));
        assert_eq!(behind(&server, &at(0x3_0000_0001)), None);
    }
}
