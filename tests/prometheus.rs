//! What Prometheus makes of the metrics: its promtool finds no fault, it scrapes two nodes, and everything that `deploy/` and
//! `docs/metrics.md` say of metrics is about ones that there are.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use common::eventually;
use common::gateway::builder;
use common::metrics::{expect_value, scrape};
use common::prometheus::{Prometheus, deployed, promtool};
use common::redis::Redis;
use common::server::Server;
use serde_json::Value;

/// A server with everything that can be counted.
fn whole_server(redis: &Redis) -> Server {
    let server = builder(2)
        .env("REDIS_ENABLED", "on")
        .env("REDIS_URL", redis.url())
        // Nobody connects there, so nothing is ever sent.
        .env("BACKEND_URL", "http://127.0.0.1:9/")
        .env("BACKEND_ENDPOINTS", "broadcast")
        .env("SOCKETIO_REDIS_ADAPTER", "on")
        .env("SOCKETIO_RECOVERY", "1m")
        .start();
    expect_value(&server, "tidegate_redis_link_up{link=\"publisher\"}", 1.0);
    server
}

/// What a server with everything tells.
fn whole_text() -> String {
    let redis = Redis::start();
    let server = whole_server(&redis);
    scrape(&mut server.connect()).text().to_owned()
}

/// Names of the samples in a text.
fn sample_names(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.split(['{', ' ']).next().expect("a name"))
        .collect()
}

/// Names in a query that look like metrics of ours, or of the process.
fn named_in(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    words.filter(|word| {
        let prefixes = ["socket_", "tidegate_", "process_"];
        prefixes.iter().any(|prefix| word.starts_with(prefix))
    })
}

fn read(path: &str) -> String {
    fs::read_to_string(deployed(path)).expect("a committed file")
}

/// Every query of the dashboard: those of its panels, of its variables and of its annotations.
fn dashboard_queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("grafana/tidegate.json")).expect("JSON");
    let mut queries = Vec::new();
    let mut left = vec![&dashboard];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(list) => left.extend(list),
            Value::Object(object) => {
                let texts = ["expr", "definition"]
                    .iter()
                    .filter_map(|name| object.get(*name));
                queries.extend(texts.filter_map(Value::as_str).map(str::to_owned));
                left.extend(object.values());
            }
            _ => {}
        }
    }
    queries
}

/// The condition of each alert, by its name.
fn alerts(prometheus: &Prometheus) -> BTreeMap<String, Value> {
    let data = prometheus.api("rules");
    let rules = data["groups"][0]["rules"].as_array().expect("rules");
    let name = |rule: &Value| rule["name"].as_str().expect("a name").to_owned();
    rules
        .iter()
        .map(|rule| (name(rule), rule.clone()))
        .collect()
}

#[test]
fn promtool_finds_no_fault() {
    let here = deployed("prometheus");
    let (good, told) = promtool(&["check", "metrics"], &here, &whole_text());
    assert!(good && told.is_empty(), "{told}");
    // It does find some.
    let (good, told) = promtool(&["check", "metrics"], &here, "# TYPE a counter\na 1\n");
    assert!(!good && told.contains("counter"), "{told}");
    for arguments in [
        &["check", "rules", "alerts.yml"][..],
        &["test", "rules", "alerts_test.yml"],
        &["check", "config", "--syntax-only", "prometheus.yml"],
    ] {
        let (good, told) = promtool(arguments, &here, "");
        assert!(good, "{told}");
    }
}

#[test]
fn prometheus_scrapes_two_nodes_and_knows_the_dashboard_and_the_alerts() {
    let redis = Redis::start();
    let servers = [whole_server(&redis), whole_server(&redis)];
    let addresses = servers.each_ref().map(Server::address);
    let prometheus = Prometheus::start(&addresses);
    let _open: Vec<_> = [&servers[0], &servers[1], &servers[1]]
        .iter()
        .map(|server| server.websocket("/ws"))
        .collect();
    eventually("both are up", || {
        let up = prometheus.query("up{job=\"tidegate\"} == 1");
        up.len() == 2
    });
    for (address, count) in addresses.iter().zip([1.0, 2.0]) {
        let query = format!("socket_connections_active{{instance=\"{address}\"}}");
        eventually("the connections", || {
            prometheus.query(&query).first().map(|(_, value)| *value) == Some(count)
        });
    }
    // It has asked for OpenMetrics, and took every family from it.
    let known = prometheus.api("targets/metadata?match_target={job=%22tidegate%22}");
    let known: BTreeSet<_> = known
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["metric"].as_str().expect("a name").to_owned())
        .collect();
    let text = scrape(&mut servers[0].connect()).text().to_owned();
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for family in families.filter_map(|line| line.split(' ').next()) {
        let name = family.strip_suffix("_total").unwrap_or(family);
        assert!(known.contains(name), "{name} in {known:?}");
    }
    for query in dashboard_queries() {
        if query.starts_with("label_values(") {
            continue;
        }
        let query = query
            .replace("$__rate_interval", "1m")
            .replace("$job", "tidegate")
            .replace("$instance", ".*");
        // That it can be read; what it finds takes longer than a test has.
        prometheus.query(&query);
    }
    let rules = alerts(&prometheus);
    assert!(rules.len() > 10, "{rules:?}");
    let names = sample_names(&text);
    for (alert, rule) in &rules {
        assert_ne!(rule["health"], "err", "{rule}");
        assert_ne!(rule["state"], "firing", "{rule}");
        let query = rule["query"].as_str().expect("a query");
        for name in named_in(query) {
            assert!(names.contains(name), "{alert} asks for {name}");
        }
    }
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let text = whole_text();
    let names = sample_names(&text);
    let queries = dashboard_queries();
    assert!(queries.len() > 30, "{queries:?}");
    let mut asked = BTreeSet::new();
    for query in &queries {
        for name in named_in(query) {
            assert!(names.contains(name), "{query} asks for {name}");
            asked.insert(name);
        }
    }
    let of_socketio = names
        .iter()
        .filter(|name| name.starts_with("tidegate_socketio_"));
    let unseen: Vec<_> = of_socketio.filter(|name| !asked.contains(*name)).collect();
    assert!(
        unseen.is_empty(),
        "the dashboard shows nothing of {unseen:?}"
    );
    // And shows nearly all of it.
    let shown = names.iter().filter(|name| asked.contains(*name)).count();
    assert!(shown * 4 > names.len() * 3, "{shown} of {}", names.len());
}

/// The table of all metrics.
fn table(text: &str) -> String {
    let mut table = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    let mut meaning = "";
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            meaning = help.split_once(' ').expect("a name and a meaning").1;
        }
        let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|line| line.split_once(' '))
        else {
            continue;
        };
        let sample = lines.peek().expect("a sample");
        let labels = sample.split_once('{').map_or("", |(_, labels)| labels);
        let labels = labels.split(',').filter_map(|label| label.split_once('='));
        let labels: Vec<_> = labels.map(|(label, _)| format!("`{label}`")).collect();
        writeln!(
            table,
            "| `{name}` | {kind} | {} | {meaning} |",
            labels.join(", ")
        )
        .expect("a string");
    }
    table
}

#[test]
fn the_document_has_every_metric_and_every_alert() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let document = fs::read_to_string(&path).expect("the document");
    let table = table(&whole_text());
    let from = document.find("| metric | type |").expect("a table");
    let length = document[from..].find("\n\n").expect("text behind it") + 1;
    let written = &document[from..from + length];
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let document = document.replacen(written, &table, 1);
        return fs::write(&path, document).expect("written");
    }
    assert_eq!(written, table, "UPDATE_DOCS=1 writes it");
    let rules = read("prometheus/alerts.yml");
    let alerts = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let alerts: BTreeSet<_> = alerts.collect();
    let rows = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `Tidegate"));
    let rows: BTreeSet<_> = rows
        .map(|row| row.split('`').next().expect("a name"))
        .collect();
    let named: BTreeSet<_> = alerts
        .iter()
        .map(|alert| alert.strip_prefix("Tidegate").expect("our prefix"))
        .collect();
    assert_eq!(rows, named, "what to do at each alert");
}
