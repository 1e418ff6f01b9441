//! nginx: whether what it passes to the server can stay a WebSocket, and for how long.

mod parse;
mod passes;

use std::path::Path;
use std::thread;
use std::time::Duration;

use super::finding::Finding;
use crate::server::settings::Settings;
use parse::Directive;
use passes::Pass;

const ABOUT: &str = "nginx";
/// Where Debian, Red Hat and the packages of nginx itself have it; then Homebrew and FreeBSD.
const USUAL: [&str; 2] = ["/etc/nginx/nginx.conf", "/usr/local/etc/nginx/nginx.conf"];
/// Connections of a worker of nginx where nobody says how many.
const WORKER_CONNECTIONS: u64 = 512;
/// What `deploy/nginx` has that is right.
const EXAMPLE: &str = "deploy/nginx/tidegate.conf has it right";

/// What the settings say that nginx has to fit.
#[derive(Debug, Clone)]
struct Wanted {
    /// Ports and paths of Unix sockets that the server listens on.
    places: Vec<String>,
    heartbeat_interval: Duration,
    heartbeat_timeout: Duration,
    connections: u64,
}

pub(super) fn look(settings: &Settings, given: Option<&Path>) -> Vec<Finding> {
    let wanted = Wanted {
        places: settings.listen.iter().filter_map(passes::place).collect(),
        heartbeat_interval: settings.heartbeat_interval,
        heartbeat_timeout: settings.heartbeat_timeout,
        connections: settings.connections_max as u64,
    };
    if wanted.places.is_empty() {
        return vec![Finding::ok(
            ABOUT,
            "the server has no port of its own that nginx could know",
        )];
    }
    let mut usual = USUAL.iter().map(Path::new);
    let Some(path) = given.or_else(|| usual.find(|path| path.exists())) else {
        return vec![Finding::ok(
            ABOUT,
            "no configuration at the usual places (--nginx FILE)",
        )];
    };
    match parse::read(path) {
        Ok(directives) => judge(path, &directives, &wanted, given.is_some()),
        Err(why) => {
            let advice = "Let nginx say what it thinks of it: nginx -t";
            // One that nobody has asked about may be another's, and not for this user to read.
            let finding = if given.is_some() {
                Finding::problem(ABOUT, why, advice)
            } else {
                Finding::warning(ABOUT, why, advice)
            };
            vec![finding]
        }
    }
}

fn judge(path: &Path, directives: &[Directive], wanted: &Wanted, is_given: bool) -> Vec<Finding> {
    let passes = passes::find(directives, &wanted.places);
    if passes.is_empty() {
        let places = wanted.places.join(", ");
        let found = format!("{} passes nothing to {places}", path.display());
        return vec![if is_given {
            let advice =
                format!("Point proxy_pass, or the server of its upstream, there; {EXAMPLE}.");
            Finding::problem(ABOUT, found, advice)
        } else {
            Finding::ok(ABOUT, found)
        }];
    }
    let mut findings: Vec<_> = passes
        .iter()
        .flat_map(|pass| judge_pass(pass, wanted))
        .collect();
    findings.extend(capacity(directives, wanted));
    if findings.is_empty() {
        let found = format!(
            "{} passes WebSockets on as they need it ({} locations)",
            path.display(),
            passes.len()
        );
        findings.push(Finding::ok(ABOUT, found));
    }
    findings
}

fn judge_pass(pass: &Pass, wanted: &Wanted) -> Vec<Finding> {
    let at = &pass.name;
    let mut findings = Vec::new();
    let mut problem = |found: &str, advice: &str| {
        findings.push(Finding::problem(
            ABOUT,
            format!("{at}: {found}"),
            format!("{advice}; {EXAMPLE}."),
        ));
    };
    let version = pass.value("proxy_http_version");
    if version != Some("1.1") {
        problem(
            "proxy_http_version is not 1.1, and HTTP/1.0 knows no upgrade",
            "proxy_http_version 1.1",
        );
    }
    let upgrade = pass.header("upgrade");
    if !upgrade.is_some_and(|value| value.contains('$') || value.eq_ignore_ascii_case("websocket"))
    {
        problem(
            "the header Upgrade is not passed on: no WebSocket opens",
            "proxy_set_header Upgrade $http_upgrade",
        );
    }
    let connection = pass.header("connection").map(str::to_ascii_lowercase);
    if !connection.is_some_and(|value| value.contains('$') || value.contains("upgrade")) {
        problem(
            "the header Connection does not say upgrade: no WebSocket opens",
            "proxy_set_header Connection $connection_upgrade, by a map of $http_upgrade",
        );
    }
    findings.extend(timeout(pass, wanted));
    if pass.header("x-forwarded-for").is_none() {
        findings.push(Finding::warning(
            ABOUT,
            format!("{at}: X-Forwarded-For is not set: limits and the log know the address of nginx alone"),
            "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for",
        ));
    }
    if pass.value("proxy_buffering") != Some("off") {
        findings.push(Finding::warning(
            ABOUT,
            format!("{at}: proxy_buffering is on: answers of long polls wait in nginx"),
            "proxy_buffering off",
        ));
    }
    findings
}

fn timeout(pass: &Pass, wanted: &Wanted) -> Option<Finding> {
    const DIRECTIVE: &str = "proxy_read_timeout";
    let at = &pass.name;
    let written = pass.value(DIRECTIVE).unwrap_or("60s");
    let Some(timeout) = passes::time(written) else {
        let found = format!("{at}: {DIRECTIVE} {written} is no time");
        return Some(Finding::problem(ABOUT, found, "proxy_read_timeout 90s"));
    };
    let interval = wanted.heartbeat_interval;
    if interval.is_zero() {
        let found = format!(
            "{at}: silent connections are cut after {written}, and HEARTBEAT_INTERVAL is off"
        );
        return Some(Finding::warning(
            ABOUT,
            found,
            "Set HEARTBEAT_INTERVAL below it.",
        ));
    }
    let patient = interval + wanted.heartbeat_timeout;
    let found = format!(
        "{at}: {DIRECTIVE} is {written}, HEARTBEAT_INTERVAL {} s and HEARTBEAT_TIMEOUT {} s",
        interval.as_secs_f64(),
        wanted.heartbeat_timeout.as_secs_f64()
    );
    let advice = format!("{DIRECTIVE} {}s", (patient * 2).as_secs().max(60));
    if timeout <= interval {
        let found = format!("{found}: nginx cuts every silent connection");
        return Some(Finding::problem(ABOUT, found, advice));
    }
    (timeout <= patient).then(|| {
        let found = format!("{found}: nginx may cut before the server has given a peer up");
        Finding::warning(ABOUT, found, advice)
    })
}

/// Whether nginx has room for the connections; nothing where its main file was not read.
fn capacity(directives: &[Directive], wanted: &Wanted) -> Option<Finding> {
    let find = |within: &[Directive], name: &str| {
        let mut all = within.iter();
        all.find(|one| one.name() == name).cloned()
    };
    let events = find(directives, "events")?;
    let each = find(events.block.as_deref()?, "worker_connections");
    let each = each.and_then(|one| one.value().parse().ok());
    let each: u64 = each.unwrap_or(WORKER_CONNECTIONS);
    let workers = match find(directives, "worker_processes") {
        None => 1,
        Some(one) => one.value().parse().unwrap_or_else(|_| {
            // `auto`: one for each core.
            thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
        }),
    };
    let room = each.saturating_mul(workers) / 2;
    (room < wanted.connections).then(|| {
        let found = format!(
            "room for {room} WebSockets (worker_connections {each}, {workers} workers, two for each), and MAX_CONNECTIONS is {}",
            wanted.connections
        );
        let advice = format!(
            "worker_connections {}, and worker_rlimit_nofile above it",
            (wanted.connections * 2).div_ceil(workers.max(1)) + 1_000
        );
        Finding::warning(ABOUT, found, advice)
    })
}

#[cfg(test)]
mod tests;
