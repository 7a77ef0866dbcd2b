//! Opens the data folders and says how that went.

use std::{io, sync::Arc, time::Duration};

use anyhow::Context;
use tracing::{error, info, warn};

use crate::{
    config::{SessionPassword, Settings},
    session::Passwords,
    storage::{
        fs::{self, Fs},
        layout::Layout,
        log,
        recovery::{self, Extent, Recovered, Report},
        reserve::Reserve,
    },
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
    let recovered = recovery::open(
        &fs,
        &recovery::Settings {
            layout: layout.clone(),
            log: log::Options { segment_bytes: storage.segment_bytes },
            database,
            tree_seed: seed,
            replay: match settings.ensemble {
                // What is behind the last known commit is not committed until a leader says so.
                Some(_) => Extent::Committed,
                None => Extent::All,
            },
        },
    )?;
    say_how_it_went(&recovered.report);
    let passwords = match &settings.sessions.password {
        SessionPassword::Given(passwords) => passwords.clone(),
        SessionPassword::Keyed => Passwords::keyed(&secret(&*fs, &layout, &random[16..])?),
    };
    let reserve = Reserve::new(fs, layout.reserve(), reserve_bytes);
    if let Err(error) = reserve.take() {
        warn!(%error, "no room is kept for the case that the disk is full");
    }
    Ok(Data { recovered, reserve, passwords, seed })
}

fn say_how_it_went(report: &Report) {
    if report.is_new {
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
