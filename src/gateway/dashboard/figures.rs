//! What a dashboard is told once a second.

use std::time::Duration;

use serde_json::{Value, json};

use super::history::{History, Row, Totals};
use crate::gateway::backend::Behind;
use crate::gateway::cluster::Cluster;
use crate::gateway::config::EndpointKind;
use crate::gateway::metrics::ProcessFigures;
use crate::gateway::node::Node;
use crate::hub::Kind;

/// Rooms, and users, that are named.
const NAMED_MAX: usize = 20;

/// What there is now, and was done since `earlier`.
pub(super) fn told(
    node: &Node,
    history: &History,
    [earlier, now]: [&Totals; 2],
    [process_earlier, process]: [&ProcessFigures; 2],
) -> Value {
    let seconds = now.at.duration_since(earlier.at).as_secs_f64().max(1e-3);
    let share = |earlier: Duration, now: Duration| {
        let share = now.saturating_sub(earlier).as_secs_f64() / seconds;
        (share * 1_000.0).round() / 1_000.0
    };
    let busy = earlier.busy.iter().zip(&now.busy).enumerate();
    let workers: Vec<_> = busy
        .map(|(worker, (earlier, now))| {
            json!({
                "connections": node.admission.assigned(worker),
                "busy": share(*earlier, *now),
            })
        })
        .collect();
    let endpoints: serde_json::Map<_, _> = EndpointKind::ALL
        .into_iter()
        .map(|kind| (kind.name().to_owned(), json!(node.open_at(kind))))
        .collect();
    let (closes, limits) = history.told_ends(node);
    json!({
        "type": "now",
        "row": Row::between(earlier, now, node).told(),
        "node": {
            "name": node.name(),
            "version": env!("CARGO_PKG_VERSION"),
            "uptime": node.uptime().as_secs(),
            "draining": node.is_draining(),
            "connections": node.admission.admitted(),
            "connectionsMax": node.admission.connections_max(),
        },
        "process": {
            "cpu": share(process_earlier.cpu, process.cpu),
            "residentBytes": process.resident_bytes,
            "descriptors": process.descriptors,
            "descriptorsMax": process.descriptors_max,
        },
        "workers": workers,
        "endpoints": endpoints,
        "closes": closes,
        "limits": limits,
        "redis": node.cluster().map(told_redis),
        "backend": node.behind().map(|behind| told_backend(behind, [earlier, now], seconds)),
    })
}

/// How the way to the back end is: requests a second, and the time within which 99 of 100 of them ended.
fn told_backend(behind: &Behind, [earlier, now]: [&Totals; 2], seconds: f64) -> Value {
    let mut told = behind.told();
    if let (Some(earlier), Some(now)) = (&earlier.backend, &now.backend) {
        let mut since = now.clone();
        // What was earlier is part of it, and so fits.
        let _ = since.subtract(earlier);
        let rate = since.len() as f64 / seconds;
        told["requestsPerSecond"] = json!((rate * 10.0).round() / 10.0);
        let p99 = (!since.is_empty()).then(|| since.value_at_quantile(0.99));
        told["p99Microseconds"] = json!(p99);
    }
    told
}

fn told_redis(cluster: &Cluster) -> Value {
    let health = cluster.health();
    json!({
        "publishing": health.is_publishing,
        "listening": health.is_listening,
        "roundTripMicroseconds": health.round_trip_us,
        "queued": health.queued,
        "published": health.published,
        "received": health.received,
        "dropped": health.dropped,
    })
}

/// The rooms with the most members at this node, and the users with the most connections.
pub(super) fn told_largest(node: &Node) -> [Value; 2] {
    [Kind::Room, Kind::User].map(|kind| {
        let largest = node.directory().largest(kind, NAMED_MAX).into_iter();
        let largest = largest.map(|group| json!([&*group.name, group.members]));
        largest.collect()
    })
}
