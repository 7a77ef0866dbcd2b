//! The ensemble's membership.

use bytes::BytesMut;
use quorate_protocol::{
    Encode, ErrorCode, OpCode,
    record::{PathWatchRequest, ReconfigRequest},
};

use super::{Get, Node};
use crate::{
    call::{Call, Exchange, Request},
    client::View,
    error::ErrorKind,
    queue::Reply,
    watch::OneShot,
};

/// The node that holds the configuration.
const CONFIG_NODE: &str = "/zookeeper/config";

/// See [`Client::config`](crate::Client::config).
#[derive(Debug)]
pub struct GetConfig;

/// See [`Client::reconfig`](crate::Client::reconfig).
#[derive(Debug, Default)]
pub struct Reconfig<'a> {
    joining: Option<&'a str>,
    leaving: Option<&'a str>,
    members: Option<&'a str>,
    version: Option<i64>,
}

impl<'a> Call<'_, Reconfig<'a>> {
    /// Adds servers, or changes them: `server.N=host:quorumPort:electionPort;clientPort`,
    /// separated by commas.
    pub fn joining(mut self, servers: &'a str) -> Self {
        self.request.joining = Some(servers);
        self
    }

    /// Removes servers: their numbers, separated by commas.
    pub fn leaving(mut self, servers: &'a str) -> Self {
        self.request.leaving = Some(servers);
        self
    }

    /// The whole new membership, instead of the two above.
    pub fn members(mut self, servers: &'a str) -> Self {
        self.request.members = Some(servers);
        self
    }

    /// Only if the configuration has this version (the zxid it was made by).
    pub fn version(mut self, version: i64) -> Self {
        self.request.version = Some(version);
        self
    }
}

impl Request for GetConfig {
    type Answer = Node;
}

impl Exchange for GetConfig {
    fn op(&self) -> OpCode {
        OpCode::GetData
    }

    fn path(&self) -> Option<&str> {
        Some(CONFIG_NODE)
    }

    fn encode(&self, _: &View, out: &mut BytesMut) {
        PathWatchRequest { path: CONFIG_NODE.into(), watch: false }.encode(out);
    }

    fn is_read(&self) -> bool {
        true
    }

    fn finish(
        reply: Result<Reply, ErrorCode>,
        view: &View,
        watch: Option<OneShot>,
    ) -> Result<Node, ErrorKind> {
        Get::finish(reply, view, watch)
    }
}

impl Request for Reconfig<'_> {
    /// The new configuration.
    type Answer = Node;
}

impl Exchange for Reconfig<'_> {
    fn op(&self) -> OpCode {
        OpCode::Reconfig
    }

    fn path(&self) -> Option<&str> {
        None
    }

    fn encode(&self, _: &View, out: &mut BytesMut) {
        ReconfigRequest {
            joining: self.joining.map(Into::into),
            leaving: self.leaving.map(Into::into),
            new_members: self.members.map(Into::into),
            config_id: self.version.unwrap_or(-1),
        }
        .encode(out);
    }

    fn is_read(&self) -> bool {
        false
    }

    fn finish(
        reply: Result<Reply, ErrorCode>,
        view: &View,
        watch: Option<OneShot>,
    ) -> Result<Node, ErrorKind> {
        Get::finish(reply, view, watch)
    }
}
