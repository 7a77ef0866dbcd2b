//! The answer to `mntr`: every metric, under ZooKeeper's name.
//!
//! Shows what is counted here and the gauges that dashboards expect. Metrics of stages that this
//! server does not have, as its pipeline is another, are left out rather than shown as zero.

use std::fmt::{self, Display, Write};

use super::environment::full_version;
use super::measure::{SummaryNumbers, Unit};
use super::view::{AdminView, Mode};

/// The quantiles ZooKeeper shows, with their names.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)];

/// Compat: dashboards and alerts expect these. What they count cannot happen here, so there is
/// none.
const ABSENT: [&str; 5] = [
    "outstanding_tls_handshake",
    "non_mtls_remote_conn_count",
    "non_mtls_local_conn_count",
    "stale_requests",
    "unrecoverable_error_count",
];

pub(super) fn write(out: &mut String, mode: Mode, view: &dyn AdminView) -> fmt::Result {
    metric(out, "version", full_version())?;
    metric(out, "server_state", mode.name())?;
    let activity = match mode {
        // Compat: a read-only server does not say what it is doing.
        Mode::Standalone | Mode::ReadOnly => None,
        Mode::Leader(_) => Some("leading"),
        Mode::Follower { .. } => Some("following"),
        Mode::Observer { .. } => Some("observing"),
    };
    // Compat: there are other phases than this one, but in them no server answers `mntr`.
    activity.map_or(Ok(()), |one| metric(out, "peer_state", format_args!("{one} - broadcast")))?;
    if !view.settings().metrics {
        return Ok(());
    }
    gauges(out, view)?;
    ensemble(out, mode, view)?;
    let stats = view.stats();
    for (name, count) in stats.counters() {
        metric(out, name, count)?;
    }
    let mut total = 0;
    for (name, count) in stats.operations() {
        total += count;
        metric(out, format_args!("op_count_{name}"), count)?;
    }
    metric(out, "op_count_total", total)?;
    for (name, unit, numbers) in stats.summaries() {
        summary(out, name, unit, &numbers)?;
    }
    for (name, histogram) in stats.histograms() {
        summary(out, name, Unit::Time, &histogram.numbers())?;
        let values = histogram.quantiles(QUANTILES.map(|(_, part)| part));
        for ((quantile, _), value) in QUANTILES.into_iter().zip(values) {
            metric(out, format_args!("{quantile}_{name}"), (value + 500) / 1000)?;
        }
    }
    Ok(())
}

fn gauges(out: &mut String, view: &dyn AdminView) -> fmt::Result {
    let (stats, tree) = (view.stats(), view.tree());
    let (latency, files) = (stats.latency(), view.open_files());
    metric(out, "avg_latency", format_args!("{:?}", average_ms(&latency)))?;
    metric(out, "max_latency", latency.max / 1000)?;
    metric(out, "min_latency", latency.min / 1000)?;
    metric(out, "packets_received", stats.packets_received())?;
    metric(out, "packets_sent", stats.packets_sent())?;
    metric(out, "num_alive_connections", view.connection_count())?;
    metric(out, "outstanding_requests", stats.outstanding())?;
    metric(out, "uptime", view.uptime_ms())?;
    metric(out, "znode_count", tree.nodes)?;
    metric(out, "watch_count", view.watches().watches)?;
    metric(out, "ephemerals_count", tree.ephemerals)?;
    metric(out, "approximate_data_size", tree.data_bytes)?;
    metric(out, "global_sessions", view.session_count())?;
    metric(out, "local_sessions", view.local_session_count())?;
    metric(out, "open_file_descriptor_count", files.open)?;
    metric(out, "max_file_descriptor_count", files.limit)?;
    let [last, min, max] = stats.response_sizes();
    metric(out, "last_client_response_size", last)?;
    metric(out, "min_client_response_size", min)?;
    metric(out, "max_client_response_size", max)?;
    metric(out, "auth_failed_count", stats.auth_failed_count.get())?;
    metric(out, "connection_drop_probability", "0.0")?;
    ABSENT.iter().try_for_each(|name| metric(out, *name, 0))
}

/// What a server of an ensemble adds, depending on what it is.
fn ensemble(out: &mut String, mode: Mode, view: &dyn AdminView) -> fmt::Result {
    if mode != Mode::ReadOnly
        && let Some(configuration) = view.configuration()
    {
        metric(out, "quorum_size", configuration.voters().count())?;
    }
    match mode {
        Mode::Standalone | Mode::Follower { observers: None, .. } | Mode::ReadOnly => Ok(()),
        Mode::Follower { observers: Some(observers), .. } => {
            metric(out, "synced_observers", observers)
        }
        Mode::Observer { leader } => metric(out, "observer_master_id", leader),
        Mode::Leader(leader) => {
            metric(out, "leader_uptime", leader.uptime_ms)?;
            metric(out, "learners", leader.learners)?;
            metric(out, "synced_followers", leader.synced_followers)?;
            metric(out, "synced_non_voting_followers", leader.synced_non_voting_followers)?;
            metric(out, "synced_observers", leader.synced_observers)?;
            metric(out, "pending_syncs", leader.pending_syncs)?;
            let [last, min, max] = view.stats().proposal_sizes.numbers();
            metric(out, "last_proposal_size", last)?;
            metric(out, "min_proposal_size", min)?;
            metric(out, "max_proposal_size", max)
        }
    }
}

fn summary(out: &mut String, name: &str, unit: Unit, numbers: &SummaryNumbers) -> fmt::Result {
    let (average, scale) = match unit {
        Unit::Time => (average_ms(numbers), 1000),
        Unit::Number => (average(numbers, 1.0), 1),
    };
    metric(out, format_args!("avg_{name}"), format_args!("{average:?}"))?;
    metric(out, format_args!("min_{name}"), numbers.min / scale)?;
    metric(out, format_args!("max_{name}"), numbers.max / scale)?;
    metric(out, format_args!("cnt_{name}"), numbers.count)?;
    metric(out, format_args!("sum_{name}"), numbers.sum / scale)
}

fn metric(out: &mut String, name: impl Display, value: impl Display) -> fmt::Result {
    writeln!(out, "zk_{name}\t{value}")
}

/// The average in milliseconds of values in microseconds. Shown by `{:?}`, it has a fraction
/// always, as in Java.
pub(super) fn average_ms(numbers: &SummaryNumbers) -> f64 {
    average(numbers, 1000.0)
}

/// Compat: four places behind the point.
#[expect(clippy::cast_precision_loss, reason = "four places are shown of an average")]
fn average(numbers: &SummaryNumbers, scale: f64) -> f64 {
    if numbers.count == 0 {
        return 0.0;
    }
    (numbers.sum as f64 / numbers.count as f64 / scale * 10_000.0).round() / 10_000.0
}
