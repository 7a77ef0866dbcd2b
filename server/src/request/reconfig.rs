//! What configuration a `reconfig` request asks for.

use std::{borrow::Cow, collections::BTreeSet};

use quorate_protocol::{ErrorCode, Perms, record::ReconfigRequest};

use super::{
    Preparer,
    prepare::{Context, Refusal, Sink},
};
use crate::{
    tree::CONFIG,
    txn::{SetDataTxn, Txn},
    zab::{Configs, Configuration, Server, ServerId},
};

/// The ensemble as `reconfig` finds it.
#[derive(Debug)]
pub struct Ensemble<'a> {
    /// The configurations.
    pub configs: &'a Configs,
    /// A new configuration is prepared that those do not know of yet.
    pub is_prepared: bool,
    /// This server, and the followers that have everything but what is under way.
    pub synced: BTreeSet<ServerId>,
    /// Whether an ensemble must not shrink to one server that votes (`standaloneEnabled`).
    pub standalone_enabled: bool,
    /// Whether servers may have several addresses (`multiAddress.enabled`).
    pub multi_address: bool,
}

impl Preparer {
    /// Refusals come in ZooKeeper's order.
    pub(super) fn reconfig(
        &mut self,
        context: &Context<'_>,
        request: &ReconfigRequest<'_>,
        ensemble: Option<&Ensemble<'_>>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        if !self.settings.reconfig {
            return Err(ErrorCode::ReconfigDisabled.into());
        }
        self.sessions.check(context.header.client_id, context.is_local)?;
        let Some(ensemble) = ensemble else { return Err(ErrorCode::Unimplemented.into()) };
        let configs = ensemble.configs;
        if ensemble.is_prepared || configs.last_seen().is_some() {
            return Err(ErrorCode::ReconfigInProgress.into());
        }
        let current = configs.in_force();
        if request.config_id != -1 && request.config_id != current.version {
            return Err(ErrorCode::BadVersion.into());
        }
        let mut next = asked_for(request, current)?;
        next.version = context.header.zxid.0;
        check(&next, ensemble)?;
        if !next.is_quorum(&ensemble.synced) {
            return Err(ErrorCode::NewConfigNoQuorum.into());
        }
        let mut found = self.outstanding.find(context.tree, CONFIG);
        let node = found.existing()?;
        context.allow(CONFIG, node, Perms::WRITE)?;
        let text = next.to_string();
        let header = context.header;
        node.set_data(CONFIG, Some(text.as_bytes()), VERSION, header.zxid, header.time_ms);
        self.outstanding.put(CONFIG, found, header.zxid);
        let data = Some(text.as_bytes());
        let txn = SetDataTxn { path: CONFIG.into(), data, version: VERSION };
        sink.put(context, header.kind, &Txn::Reconfig(txn));
        self.reconfigured = Some(next);
        Ok(())
    }
}

/// Compat: the node's version stays as it is from the beginning.
const VERSION: i32 = -1;

fn asked_for(
    request: &ReconfigRequest<'_>,
    current: &Configuration,
) -> Result<Configuration, ErrorCode> {
    let text = |field: &Option<Cow<'_, str>>| field.as_deref().unwrap_or("").to_owned();
    let members = text(&request.new_members);
    if !members.is_empty() {
        return whole(&members);
    }
    if current.servers.values().any(|server| server.group.is_some()) {
        return Err(ErrorCode::BadArguments);
    }
    let mut next = current.clone();
    for leaving in items(&text(&request.leaving)) {
        next.servers.remove(&server_id(leaving)?);
    }
    for joining in items(&text(&request.joining)) {
        let (id, server) = joiner(joining)?;
        next.servers.insert(id, server);
    }
    Ok(next)
}

/// All members, in lines or with commas between.
fn whole(members: &str) -> Result<Configuration, ErrorCode> {
    let lines = members.replace(',', "\n");
    let keys = lines.lines().filter_map(|line| line.trim().strip_prefix("server."));
    for key in keys {
        server_id(key.split(['=', ':', ' ']).next().unwrap_or_default())?;
    }
    Configuration::parse(&lines).map_err(|_| ErrorCode::BadArguments)
}

/// `server.N=host:port:port[:role];[host:]port`.
fn joiner(text: &str) -> Result<(ServerId, Server), ErrorCode> {
    let parts: Vec<&str> = text.split('=').map(str::trim).filter(|part| !part.is_empty()).collect();
    let [key, value] = parts[..] else { return Err(ErrorCode::BadArguments) };
    let id = server_id(key.rsplit('.').next().unwrap_or_default())?;
    let server: Server = value.parse().map_err(|_| ErrorCode::BadArguments)?;
    if server.client.is_none() {
        return Err(ErrorCode::BadArguments);
    }
    Ok((id, server))
}

/// What is between commas; empty items are none.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Compat: what is no number fails in ZooKeeper as what cannot be read does.
fn server_id(text: &str) -> Result<ServerId, ErrorCode> {
    let id: i64 = text.parse().map_err(|_| ErrorCode::MarshallingError)?;
    if (0..i64::MAX).contains(&id) { Ok(ServerId(id)) } else { Err(ErrorCode::BadArguments) }
}

fn check(next: &Configuration, ensemble: &Ensemble<'_>) -> Result<(), ErrorCode> {
    let has_several = |server: &Server| server.quorum.len() > 1;
    let several = !ensemble.multi_address && next.servers.values().any(has_several);
    let least = if ensemble.standalone_enabled { 2 } else { 1 };
    if several || !next.shared_addresses().is_empty() || next.voters().count() < least {
        return Err(ErrorCode::BadArguments);
    }
    Ok(())
}
