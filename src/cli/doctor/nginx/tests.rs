use super::super::finding::State;
use super::*;

const GOOD: &str = "
    map $http_upgrade $up { default ''; websocket upgrade; }
    upstream back { server 127.0.0.1:3000; keepalive 8; }
    server {
        listen 80;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $up;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_read_timeout 90s;
        proxy_buffering off;
        location / { proxy_pass http://back; }
        location /other/ { proxy_pass http://127.0.0.1:8081/x; }
    }";

fn wanted() -> Wanted {
    Wanted {
        places: vec!["3000".to_owned(), "unix:/run/t.sock".to_owned()],
        heartbeat_interval: Duration::from_secs(30),
        heartbeat_timeout: Duration::from_secs(10),
        connections: 1_000,
    }
}

fn findings(text: &str, wanted: &Wanted, is_given: bool) -> Vec<Finding> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("nginx.conf");
    std::fs::write(&path, text).expect("written");
    let directives = parse::read(&path).expect("parsed");
    judge(&path, &directives, wanted, is_given)
}

/// What is not as it should be: how bad, and a word of it.
fn trouble(text: &str) -> Vec<(State, String)> {
    let findings = findings(text, &wanted(), true);
    let trouble = findings.into_iter().filter(|one| one.state != State::Ok);
    trouble.map(|one| (one.state, one.found)).collect()
}

#[test]
fn what_is_right_is_one_line() {
    let found = findings(GOOD, &wanted(), true);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].state, State::Ok);
    assert!(found[0].found.ends_with("(1 locations)"), "{found:?}");
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (from, to, state, says) in [
        (
            "proxy_http_version 1.1;",
            "",
            State::Problem,
            "proxy_http_version is not 1.1",
        ),
        (
            "proxy_set_header Upgrade $http_upgrade;",
            "",
            State::Problem,
            "Upgrade is not passed on",
        ),
        (
            "proxy_set_header Upgrade $http_upgrade;",
            "proxy_set_header upgrade '';",
            State::Problem,
            "Upgrade is not passed on",
        ),
        (
            "Connection $up",
            "Connection close",
            State::Problem,
            "Connection does not say upgrade",
        ),
        (
            "90s",
            "30s",
            State::Problem,
            "nginx cuts every silent connection",
        ),
        ("90s", "40s", State::Warning, "may cut before"),
        ("90s", "soon", State::Problem, "is no time"),
        (
            "X-Forwarded-For",
            "X-Other",
            State::Warning,
            "X-Forwarded-For is not set",
        ),
        (
            "proxy_buffering off;",
            "",
            State::Warning,
            "proxy_buffering is on",
        ),
    ] {
        let text = GOOD.replacen(from, to, 1);
        let found = trouble(&text);
        let [(told, what)] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(*told, state, "{what}");
        assert!(what.contains(says), "{what}");
        assert!(what.starts_with("location / ("), "{what}");
        assert!(what.contains("nginx.conf:12)"), "{what}");
    }
    // 60 seconds where nobody says; and nobody pings.
    assert_eq!(trouble(&GOOD.replace("proxy_read_timeout 90s;", "")), []);
    let mut silent = wanted();
    silent.heartbeat_interval = Duration::ZERO;
    let found = findings(GOOD, &silent, true);
    assert_eq!(found[0].state, State::Warning);
    assert!(
        found[0].found.contains("HEARTBEAT_INTERVAL is off"),
        "{found:?}"
    );
}

#[test]
fn headers_of_a_block_replace_those_around_it() {
    let text = GOOD.replace(
        "proxy_pass http://back;",
        "proxy_set_header Host $host; proxy_pass http://back;",
    );
    let found = trouble(&text);
    let lost = ["Upgrade", "Connection", "X-Forwarded-For"];
    assert_eq!(found.len(), lost.len(), "{found:?}");
    for ((_, what), name) in found.iter().zip(lost) {
        assert!(what.contains(name), "{what}");
    }
    // Other directives go on.
    let text = GOOD.replace(
        "proxy_pass http://back;",
        "proxy_read_timeout 1h; proxy_pass http://back;",
    );
    assert_eq!(trouble(&text), []);
}

#[test]
fn the_server_is_known_by_its_port_its_socket_and_its_upstream() {
    let passes = |url: &str| {
        let text = GOOD.replace("http://back;", &format!("{url};"));
        findings(&text, &wanted(), true)[0].state
    };
    for url in [
        "http://back",
        "http://back/x",
        "http://localhost:3000",
        "https://[::1]:3000/",
        "http://unix:/run/t.sock",
        "http://unix:/run/t.sock:/x/",
    ] {
        assert_eq!(passes(url), State::Ok, "{url}");
    }
    for url in [
        "http://other",
        "http://localhost:3001",
        "http://unix:/run/3000",
        "$target",
    ] {
        assert_eq!(passes(url), State::Problem, "{url}");
    }
    // The usual configuration of a machine may be about something else.
    let found = findings("http { server { listen 80; } }", &wanted(), false);
    assert_eq!(found[0].state, State::Ok);
    assert!(
        found[0]
            .found
            .contains("passes nothing to 3000, unix:/run/t.sock"),
        "{found:?}"
    );
}

#[test]
fn nginx_needs_two_connections_for_each() {
    let whole = |main: &str| {
        let text = format!("{main} http {{ {GOOD} }}");
        findings(&text, &wanted(), true)
    };
    for (main, state) in [
        (
            "events { worker_connections 1000; } worker_processes 2;",
            State::Ok,
        ),
        ("events { worker_connections 1999; }", State::Warning),
        ("events { } worker_processes 3;", State::Warning),
        ("events { } worker_processes 4;", State::Ok),
        (
            "events { worker_connections 2000; } worker_processes auto;",
            State::Ok,
        ),
    ] {
        assert_eq!(whole(main)[0].state, state, "{main}");
    }
    let found = &whole("events { worker_connections 512; }")[0];
    assert!(
        found.found.starts_with("room for 256 WebSockets"),
        "{found:?}"
    );
    assert!(
        found.advice.starts_with("worker_connections 3000,"),
        "{found:?}"
    );
}

#[test]
fn times() {
    for (text, seconds) in [
        ("90", Some(90.0)),
        ("90s", Some(90.0)),
        ("1m30s", Some(90.0)),
        ("1h", Some(3600.0)),
        ("500ms", Some(0.5)),
        ("1M", Some(2_592_000.0)),
        ("", None),
        ("s", None),
        ("1x", None),
        ("-1", None),
        ("99999999999999999999s", None),
        ("18446744073709551615y", None),
    ] {
        let told = passes::time(text).map(|time| time.as_secs_f64());
        assert_eq!(told, seconds, "{text}");
    }
}
