//! Opens the data folders and says how that went.

use std::{collections::BTreeSet, io, sync::Arc, time::Duration};

use anyhow::Context;
use quorate_protocol::SessionId;
use tracing::{error, info, warn};

use crate::{
    config::{EnsembleSettings, SessionPassword, Settings},
    migrate::{MigrateError, Source, history, import},
    session::Passwords,
    storage::{
        fs::{self, Fs},
        layout::Layout,
        log,
        origin::Origin,
        recovery::{self, Beside, Extent, OnLoss, Recovered, RecoveryError, Report},
        reserve::Reserve,
    },
    tree::Tree,
};

/// Bytes of the secret that session passwords are made with.
const SECRET_BYTES: usize = 32;

/// Everything that is on disk, ready to go on.
pub(super) struct Data {
    pub(super) recovered: Recovered,
    pub(super) reserve: Reserve,
    pub(super) passwords: Passwords,
    /// Keeps clients from choosing names that collide in hash tables.
    pub(super) seed: u64,
}

/// Recovers what the data folders hold, or makes new ones.
///
/// # Errors
/// When acknowledged writes may be missing, another server is there, or the disk fails. The
/// message names the file and says what to do.
pub(super) fn open(
    settings: &Settings,
    fs: Arc<dyn Fs>,
    random: &[u8; 48],
    reserve_bytes: u64,
) -> anyhow::Result<Data> {
    let storage = &settings.storage;
    let layout = Layout::new(&storage.data_dir, &storage.log_dir);
    for dir in [&storage.data_dir, &storage.log_dir] {
        if !storage.create_dirs && !dir.is_dir() {
            anyhow::bail!(
                "the folder {} is not there, and zookeeper.datadir.autocreate=false forbids to \
                 make it",
                dir.display()
            );
        }
    }
    let [database, seed] =
        [0, 8].map(|at| u64::from_le_bytes(random[at..at + 8].try_into().expect("eight bytes")));
    let log = log::Options { segment_bytes: storage.segment_bytes };
    import_at_first_start(settings, &fs, &layout, log, [database, seed])?;
    let recovered = recovery::open(
        &fs,
        &recovery::Settings {
            layout: layout.clone(),
            log,
            database,
            tree_seed: seed,
            replay: match settings.ensemble {
                // What is behind the last known commit is not committed until a leader says so.
                Some(_) => Extent::Committed,
                None => Extent::All,
            },
            on_loss: match &settings.ensemble {
                Some(ensemble) if can_do_without(ensemble) => OnLoss::SetAside,
                _ => OnLoss::Refuse,
            },
        },
    )?;
    say_how_it_went(&recovered.report, &layout);
    if recovered.log.promises().incomplete {
        warn!(
            "this server has lost something that others may count on: it does not vote until it \
             has got everything from a leader"
        );
    }
    let passwords = match &settings.sessions.password {
        SessionPassword::Given(passwords) => passwords.clone(),
        SessionPassword::Keyed => Passwords::keyed(&secret(&*fs, &layout, &random[16..])?),
    };
    let passwords = passwords.inheriting(inherited(&*fs, &layout, &recovered.tree)?);
    let reserve = Reserve::new(fs, layout.reserve(), reserve_bytes);
    if let Err(error) = reserve.take() {
        warn!(%error, "no room is kept for the case that the disk is full");
    }
    Ok(Data { recovered, reserve, passwords, seed })
}

/// Takes over the data of a ZooKeeper server that was here before.
fn import_at_first_start(
    settings: &Settings,
    fs: &Arc<dyn Fs>,
    layout: &Layout,
    log: log::Options,
    [database, seed]: [u64; 2],
) -> anyhow::Result<()> {
    let Beside::ZooKeepers { was_begun } = recovery::look_beside(&**fs, layout)? else {
        return Ok(());
    };
    let [snapshots, logs] = layout.zookeeper();
    if was_begun {
        warn!("an import of ZooKeeper's data was interrupted: it begins anew");
    }
    let history = history::Settings { accept_loss: false, seed };
    let import = import::Settings { layout: layout.clone(), log, database, history };
    let source = Source { snapshots: snapshots.clone(), logs: logs.clone() };
    match import::import(fs, &source, &import) {
        Ok(report) => say_what_was_imported(&report, layout),
        // An empty file of a server that never came up, say.
        Err(MigrateError::Nothing { .. }) => {
            return Err(RecoveryError::ZooKeeperData { folder: snapshots }.into());
        }
        Err(error) => {
            let advice = match &settings.ensemble {
                Some(ensemble) if can_do_without(ensemble) => {
                    "move version-2 away and let this server join its ensemble with empty folders"
                }
                _ => {
                    "restore it from a copy, or take what is whole with \
                     quorate-server import --accept-loss"
                }
            };
            anyhow::bail!(
                "ZooKeeper's data cannot be imported: {error}. Nothing was changed; {advice}"
            );
        }
    }
    Ok(())
}

fn say_what_was_imported(report: &history::Report, layout: &Layout) {
    let history::Report { snapshot, logs, replayed, nodes, sessions, ephemerals, .. } = report;
    for damage in &report.skipped {
        warn!(%damage, "a snapshot of ZooKeeper is passed over: an older one and the logs have all");
    }
    for (file, offset) in &report.torn {
        info!(file = %file.display(), offset, "this log ends with a write that was interrupted");
    }
    for note in &report.notes {
        warn!("{note}");
    }
    info!(
        snapshot = %snapshot.as_deref().map_or_else(|| "none".into(), |path| path.display().to_string()),
        logs,
        replayed,
        nodes,
        sessions,
        ephemerals,
        zxid = %report.last_zxid,
        digest = %format_args!("{:#x}", report.digest),
        data = %layout.data().display(),
        log = %layout.log().display(),
        "the data of ZooKeeper is imported; its files are as they were, and not needed any more"
    );
}

/// Whether the other servers of the ensemble can elect a leader among themselves. They hold
/// everything then, and this server can get it from them.
fn can_do_without(ensemble: &EnsembleSettings) -> bool {
    let others = ensemble.configuration.voters().filter(|&voter| voter != ensemble.me);
    ensemble.configuration.is_quorum(&others.collect())
}

/// The sessions that clients have from ZooKeeper's servers.
fn inherited(fs: &dyn Fs, layout: &Layout, tree: &Tree) -> anyhow::Result<BTreeSet<SessionId>> {
    let sessions = Origin::read(fs, layout)?.map_or_else(Vec::new, |origin| origin.sessions);
    let is_alive = |session: &SessionId| tree.sessions().contains_key(session);
    Ok(sessions.into_iter().filter(is_alive).collect())
}

fn say_how_it_went(report: &Report, layout: &Layout) {
    if let Some(lost) = &report.lost {
        error!(
            lost,
            log = %layout.damaged_log().display(),
            "data of this server was lost: what is left is set aside, the log in that folder and \
             checkpoints as *.damaged in {}, and everything is taken from the ensemble's leader. \
             Look for the cause",
            layout.data().display()
        );
    } else if report.is_new {
        info!("the data folder was empty: a new one is begun");
    } else {
        info!(checkpoint = %report.checkpoint_zxid, replayed = report.replayed, "data recovered");
    }
    if let Some(what) = &report.damaged_checkpoint {
        warn!(%what, "the checkpoint could not be used; everything was taken from the log instead");
    }
    if let Some(zxid) = report.digest_mismatch {
        error!(%zxid, "from this transaction on the tree is not what its digest says");
    }
}

/// The secret kept with the data; made at the first start.
fn secret(fs: &dyn Fs, layout: &Layout, random: &[u8]) -> anyhow::Result<Vec<u8>> {
    let path = layout.secret();
    if let Some(secret) = fs::read_file(fs, &path)? {
        if secret.len() == SECRET_BYTES {
            return Ok(secret);
        }
        let error = io::Error::new(io::ErrorKind::InvalidData, "it is not 32 bytes long");
        return Err(error).with_context(|| {
            format!(
                "read {} (remove it to have a new one made; clients then get new sessions)",
                path.display()
            )
        });
    }
    let secret = random[..SECRET_BYTES].to_vec();
    fs::replace_file(fs, &path, &secret)?;
    Ok(secret)
}

/// A duration for people: whole milliseconds.
pub(super) fn rounded(duration: Duration) -> humantime::FormattedDuration {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    humantime::format_duration(Duration::from_millis(millis))
}
