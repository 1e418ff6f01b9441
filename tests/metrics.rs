//! `/metrics`: every figure rises by what was done, and only those see it who may.

mod common;

use std::time::Duration;

use common::client::{Client, Response};
use common::frame::{self, TEXT, frame};
use common::gateway::{API_KEY, Member, builder, call, look};
use common::metrics::{Samples, expect_risen, expect_value, scrape};
use common::nginx::Nginx;
use common::redis::Redis;
use common::server::Server;
use common::{DEADLINE, eventually};
use rustix::process::Signal;
use serde_json::json;

fn ask(client: &mut Client, method: &str, headers: &[(&str, &str)]) -> Response {
    client.request(method, "/metrics", headers);
    if method == "HEAD" {
        return client.read_response_to_head();
    }
    client.read_response()
}

#[test]
fn messages_are_counted_one_by_one_and_for_each_receiver() {
    let server = builder(2).start();
    let before = Samples::of(&server);
    let mut echo = server.websocket("/ws");
    for message in ["a", "b", "c"] {
        echo.expect_echo(message);
    }
    // Control frames are no messages; fragments are one.
    echo.send_bytes(&frame(true, frame::PING, b"x"));
    echo.expect_frame(frame::PONG, b"x");
    echo.send_bytes(&frame(false, TEXT, b"d"));
    echo.send_bytes(&frame(true, frame::CONTINUATION, b"e"));
    echo.expect_frame(TEXT, b"de");
    let mut listeners: Vec<_> = (0..3).map(|_| server.websocket("/broadcast")).collect();
    // The two in one turn leave as one piece, and are two messages.
    listeners[0].send_bytes(&[frame::text("f"), frame::text("g")].concat());
    for listener in &mut listeners {
        listener.expect_frame(TEXT, b"f");
        listener.expect_frame(TEXT, b"g");
    }
    let mut ann = Member::of(&server, "ann");
    let mut bob = Member::of(&server, "bob");
    for member in [&mut ann, &mut bob] {
        member.join("harbour");
    }
    ann.send(&json!({ "type": "publish", "room": "harbour", "event": "e" }));
    assert_eq!(bob.read()["event"], "e");
    let (status, _) = call(
        &mut server.connect(),
        "/api/publish",
        &json!({ "room": "harbour", "event": "f" }),
    );
    assert_eq!(status, 200);
    for member in [&mut ann, &mut bob] {
        assert_eq!(member.read()["event"], "f");
    }
    expect_risen(
        &server,
        &before,
        &[
            ("socket_connections_total", 6.0),
            ("socket_handshakes_total{status=\"101\"}", 6.0),
            // 4 echoed, 2 to all, and 5 of the gateway protocol.
            ("socket_messages_received_total", 11.0),
            // 4 echoed, 2 to each of three, 4 answers, 1 published by a client, 1 to each of two by the API.
            ("socket_messages_sent_total", 17.0),
            (
                "tidegate_http_requests_total{path=\"/api/publish\",status=\"2xx\"}",
                1.0,
            ),
        ],
    );
    let now = Samples::of(&server);
    for (name, value) in [
        ("socket_connections_active", 6.0),
        ("tidegate_websockets{endpoint=\"echo\"}", 1.0),
        ("tidegate_websockets{endpoint=\"broadcast\"}", 3.0),
        ("tidegate_websockets{endpoint=\"gateway\"}", 2.0),
        ("tidegate_users", 2.0),
        ("tidegate_rooms", 1.0),
        ("tidegate_workers", 2.0),
        ("socket_send_queue_bytes", 0.0),
        ("tidegate_draining", 0.0),
    ] {
        assert_eq!(now.get(name), value, "{name}");
    }
    drop((echo, listeners, ann, bob));
    expect_value(&server, "socket_connections_active", 0.0);
}

#[test]
fn ends_are_counted_by_who_ended_and_the_code() {
    let server = builder(2).start();
    let before = Samples::of(&server);
    for code in [1000, 1001, 3000, 3999, 4000, 4401] {
        let mut client = server.websocket("/ws");
        client.send_bytes(&frame::close(code, ""));
        client.expect_close(code);
    }
    let mut wordless = server.websocket("/ws");
    wordless.send_bytes(&frame(true, frame::CLOSE, b""));
    let mut violator = server.websocket("/ws");
    violator.send_bytes(&frame(true, 0x3, b"an opcode that nobody knows"));
    violator.expect_close(1002);
    let mut garbled = server.websocket("/ws");
    garbled.send_bytes(&frame(true, TEXT, b"\xff"));
    garbled.expect_close(1007);
    server.websocket("/ws").reset();
    let mut leaver = Member::of(&server, "leaver");
    let close = json!({ "userId": "leaver", "code": 4000 });
    assert_eq!(
        call(&mut server.connect(), "/api/disconnect", &close).0,
        200
    );
    leaver.client.expect_close(4000);
    leaver.client.send_bytes(&frame::close(4000, ""));
    expect_risen(
        &server,
        &before,
        &[
            ("socket_connections_total", 11.0),
            ("socket_handshakes_total{status=\"101\"}", 11.0),
            ("socket_messages_received_total", 1.0),
            ("socket_messages_sent_total", 1.0),
            ("socket_closes_total{initiator=\"peer\",code=\"1000\"}", 1.0),
            ("socket_closes_total{initiator=\"peer\",code=\"1001\"}", 1.0),
            ("socket_closes_total{initiator=\"peer\",code=\"1005\"}", 1.0),
            ("socket_closes_total{initiator=\"peer\",code=\"3xxx\"}", 2.0),
            ("socket_closes_total{initiator=\"peer\",code=\"4xxx\"}", 1.0),
            ("socket_closes_total{initiator=\"peer\",code=\"4401\"}", 1.0),
            (
                "socket_closes_total{initiator=\"server\",code=\"1002\"}",
                1.0,
            ),
            (
                "socket_closes_total{initiator=\"server\",code=\"1007\"}",
                1.0,
            ),
            (
                "socket_closes_total{initiator=\"server\",code=\"4xxx\"}",
                1.0,
            ),
            (
                "socket_closes_total{initiator=\"transport\",code=\"1006\"}",
                1.0,
            ),
            ("socket_errors_total", 3.0),
            (
                "tidegate_http_requests_total{path=\"/api/disconnect\",status=\"2xx\"}",
                1.0,
            ),
        ],
    );
}

#[test]
fn refusals_are_counted_by_their_status_and_never_by_what_was_asked_for() {
    let server = builder(1)
        .env("ALLOWED_ORIGINS", "https://example.com")
        .env("MAX_ROOMS_PER_CONNECTION", 0)
        .start();
    let before = Samples::of(&server);
    let origin = ("Origin", "https://evil.example");
    assert_eq!(
        server.connect().handshake("/ws", &[origin]).status,
        403,
        "a foreign page"
    );
    assert_eq!(server.connect().get("/ws").status, 426);
    assert_eq!(server.connect().handshake("/nowhere", &[]).status, 404);
    assert_eq!(server.connect().handshake("/metrics", &[]).status, 404);
    for path in ["/nothing", "/api/nothing", "/other\"} 1"] {
        let encoded = path.replace(['"', '}', ' '], "%20");
        let mut client = server.connect();
        client.request("GET", &encoded, &[("X-API-Key", API_KEY)]);
        assert_eq!(client.read_response().status, 404, "{path}");
    }
    assert_eq!(server.connect().get("/api/status").status, 401);
    assert_eq!(server.connect().get("/health").status, 200);
    assert_eq!(look(&mut server.connect(), "/api/users/a%20b").0, 200);
    server.connect().send_bytes(b"no HTTP at all\r\n\r\n");
    let mut client = server.connect();
    client.upgrade_with("/", &[("Origin", "https://example.com")]);
    let mut member = Member::over(client, "ann");
    let told = member.ask(&json!({ "type": "join", "room": "r" }));
    assert_eq!(told["type"], "error");
    expect_risen(
        &server,
        &before,
        &[
            ("socket_connections_total", 1.0),
            ("socket_handshakes_total{status=\"101\"}", 1.0),
            ("socket_handshakes_total{status=\"403\"}", 1.0),
            ("socket_handshakes_total{status=\"404\"}", 2.0),
            ("socket_handshakes_total{status=\"426\"}", 1.0),
            ("socket_messages_received_total", 2.0),
            ("socket_messages_sent_total", 2.0),
            (
                "tidegate_limits_reached_total{limit=\"roomsOfConnection\"}",
                1.0,
            ),
            (
                "tidegate_http_requests_total{path=\"/health\",status=\"2xx\"}",
                1.0,
            ),
            (
                "tidegate_http_requests_total{path=\"/api/status\",status=\"4xx\"}",
                1.0,
            ),
            (
                "tidegate_http_requests_total{path=\"/api/users/{id}\",status=\"2xx\"}",
                1.0,
            ),
            (
                "tidegate_http_requests_total{path=\"other\",status=\"4xx\"}",
                4.0,
            ),
        ],
    );
}

#[test]
fn bytes_are_those_that_passed() {
    const BYTES: usize = 900_000;
    for server in [builder(2).start(), builder(2).tls().start()] {
        let mut client = server.websocket("/ws");
        let before = Samples::of(&server);
        let message = vec![7; BYTES];
        for _ in 0..3 {
            client.send_bytes(&frame::binary(&message));
            client.expect_frame(frame::BINARY, &message);
        }
        // The scrapes themselves are some kilobytes.
        let sent = 3.0 * BYTES as f64..3.0 * BYTES as f64 + 100_000.0;
        for name in ["socket_received_bytes_total", "socket_sent_bytes_total"] {
            eventually(name, || {
                sent.contains(&(Samples::of(&server).get(name) - before.get(name)))
            });
        }
    }
}

#[test]
fn who_reads_too_slowly_is_seen_waiting_and_then_dropped() {
    let server = builder(1)
        // One limit, which a message reaches, and no time.
        .env("SEND_QUEUE_SOFT", "2MiB")
        .env("SEND_QUEUE_HARD", "2MiB")
        .start();
    let mut stalled = Client::tcp_narrow(server.address());
    stalled.upgrade("/broadcast");
    let mut speaker = server.websocket("/broadcast");
    let before = Samples::of(&server);
    let message = vec![b'x'; 64 * 1024];
    let mut waited = 0.0_f64;
    let mut sent = 0;
    while Samples::of(&server).get("socket_slow_consumers_total") == 0.0 {
        speaker.send_bytes(&frame(true, TEXT, &message));
        speaker.expect_frame(TEXT, &message);
        sent += 1;
        assert!(sent < 1_000, "never dropped");
        waited = waited.max(Samples::of(&server).get("socket_send_queue_bytes"));
    }
    assert!(waited > 1024.0 * 1024.0, "{waited}");
    let sent = f64::from(sent);
    expect_risen(
        &server,
        &before,
        &[
            ("socket_messages_received_total", sent),
            ("socket_messages_sent_total", 2.0 * sent),
            ("socket_slow_consumers_total", 1.0),
            ("socket_errors_total", 1.0),
            (
                "socket_closes_total{initiator=\"server\",code=\"1013\"}",
                1.0,
            ),
            ("tidegate_limits_reached_total{limit=\"sendQueue\"}", 1.0),
        ],
    );
    expect_value(&server, "socket_send_queue_bytes", 0.0);
}

#[test]
fn redis_is_seen_going_and_coming_back() {
    let mut redis = Redis::start();
    let node = || {
        builder(1)
            .env("REDIS_ENABLED", "on")
            .env("REDIS_URL", redis.url())
            .start()
    };
    let (server, other) = (node(), node());
    let links =
        ["publisher", "listener"].map(|link| format!("tidegate_redis_link_up{{link=\"{link}\"}}"));
    for link in &links {
        expect_value(&server, link, 1.0);
        expect_value(&other, link, 1.0);
    }
    let mut member = Member::of(&server, "ann");
    let before = Samples::of(&server);
    let (status, told) = call(
        &mut other.connect(),
        "/api/message",
        &json!({ "userId": "ann", "event": "e" }),
    );
    assert_eq!((status, &told["delivered"]), (200, &json!(1)), "{told}");
    assert_eq!(member.read()["event"], "e");
    // What came, and the answer to it.
    expect_risen(
        &server,
        &before,
        &[
            ("socket_messages_sent_total", 1.0),
            ("tidegate_redis_received_total", 1.0),
            ("tidegate_redis_published_total", 1.0),
        ],
    );
    assert!(Samples::of(&server).get("tidegate_redis_round_trip_seconds") > 0.0);
    redis.kill();
    for link in &links {
        expect_value(&server, link, 0.0);
    }
    let before = Samples::of(&server);
    let told = call(
        &mut server.connect(),
        "/api/broadcast",
        &json!({ "event": "f" }),
    );
    assert_eq!(told.1["unsent"], true, "{}", told.1);
    assert_eq!(member.read()["event"], "f");
    assert_eq!(
        Samples::of(&server).risen_since(&before)["tidegate_redis_dropped_total"],
        1.0
    );
    redis.restart();
    for link in &links {
        expect_value(&server, link, 1.0);
    }
    assert_eq!(member.read(), json!({ "type": "gap" }));
    expect_value(
        &server,
        "tidegate_gap_messages_total{cause=\"cluster\"}",
        1.0,
    );
}

#[test]
fn the_key_opens_them_where_there_is_one() {
    let server = builder(2).start();
    let mut client = server.connect();
    let wrong = "The API key is wrong.\n";
    let missing = "An API key is wanted, in X-API-Key or as a Bearer token.\n";
    let bearer = format!("Bearer {API_KEY}");
    for (headers, sentence) in [
        (&[][..], missing),
        (&[("X-API-Key", "no")], wrong),
        (&[("Authorization", "Bearer no")], wrong),
        (&[("Authorization", "Basic YTpi")], missing),
    ] {
        let refusal = ask(&mut client, "GET", headers);
        assert_eq!((refusal.status, refusal.text()), (401, sentence));
        assert_eq!(refusal.header("www-authenticate"), Some("Bearer"));
    }
    // Through a proxy too: whoever has the key may.
    for headers in [
        &[("X-API-Key", API_KEY)][..],
        &[
            ("Authorization", bearer.as_str()),
            ("X-Forwarded-For", "10.0.0.1"),
        ],
    ] {
        assert_eq!(ask(&mut client, "GET", headers).status, 200);
    }
}

#[test]
fn without_a_key_they_are_for_this_machine_alone() {
    let server = Server::start();
    let mut client = server.connect();
    assert_eq!(client.get("/metrics").status, 200);
    for header in ["X-Forwarded-For", "Forwarded", "Via"] {
        let refusal = ask(&mut client, "GET", &[(header, "for=127.0.0.1")]);
        assert_eq!(refusal.status, 403, "{header}");
        assert_eq!(
            refusal.text(),
            "No API key is set on this server (API_KEY), so that only its own machine may see the metrics.\n"
        );
    }
    // The committed configuration of nginx does not even ask, however the path is written.
    let nginx = Nginx::start(server.address());
    for path in [
        "/metrics",
        "/metrics?x=1",
        "//metrics",
        "/%6detrics",
        "/ws/../metrics",
    ] {
        let refusal = nginx.connect().get(path);
        assert_eq!(refusal.status, 404, "{path}");
        assert_eq!(refusal.text(), "There is nothing at this path.\n");
    }
    let answered = "tidegate_http_requests_total{path=\"/metrics\",status=\"4xx\"}";
    assert_eq!(Samples::of(&server).get(answered), 3.0);
}

#[test]
fn methods_and_forms() {
    let server = Server::start();
    let mut client = server.connect();
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refusal = ask(&mut client, method, &[]);
        assert_eq!(refusal.status, 405, "{method}");
        assert_eq!(refusal.header("allow"), Some("GET, HEAD"));
    }
    let head = ask(&mut client, "HEAD", &[]);
    assert_eq!(head.status, 200);
    assert_ne!(head.header("content-length"), Some("0"));
    assert_eq!(head.header("cache-control"), Some("no-store"));
    let classic = scrape(&mut client);
    assert_eq!(
        classic.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let accept = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5";
    let open = ask(&mut client, "GET", &[("Accept", accept)]);
    assert_eq!(
        open.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(open.text().ends_with("\n# EOF\n"));
    assert!(!classic.text().contains("# EOF") && !classic.text().contains("# UNIT"));
    // Both tell the same, in the same order.
    let names = |response: &Response| {
        let lines = response
            .text()
            .lines()
            .filter(|line| !line.starts_with('#'));
        let names = lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()));
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&open), names(&classic));
    // Several at once on one connection are answered in order.
    let request = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send_bytes(
        [request, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n", request]
            .concat()
            .as_bytes(),
    );
    let told: Vec<_> = (0..3).map(|_| client.read_response()).collect();
    assert!(told[0].text().contains("socket_connections_total "));
    assert_eq!(told[1].text(), "{\"status\":\"ok\"}\n");
    assert_eq!(names(&told[2]), names(&classic));
}

#[test]
fn a_scrape_is_cheap_and_the_figures_of_the_process_are_its_own() {
    const SCRAPES: u32 = 200;
    let server = Server::builder().env("WORKERS", 2).start();
    let connections: Vec<_> = (0..100).map(|_| server.websocket("/")).collect();
    let mut client = server.connect();
    let before = Samples::parse(scrape(&mut client).text());
    let begun = server.cpu_time();
    for _ in 0..SCRAPES {
        scrape(&mut client);
    }
    let each = (server.cpu_time() - begun) / SCRAPES;
    // A tenth of that in a release build.
    assert!(each < Duration::from_millis(10), "{each:?} of CPU each");
    let after = Samples::parse(scrape(&mut client).text());
    assert_eq!(after.get("process_open_fds"), server.descriptors() as f64);
    assert!(after.get("process_cpu_seconds_total") > before.get("process_cpu_seconds_total"));
    let resident = server.resident_bytes() as f64;
    let told = after.get("process_resident_memory_bytes");
    assert!((0.5..2.0).contains(&(told / resident)), "{told} {resident}");
    let turns = |samples: &Samples| samples.get("tidegate_loop_turn_seconds_count");
    assert!(turns(&after) - turns(&before) >= f64::from(SCRAPES));
    assert_eq!(
        after.get("tidegate_loop_turn_seconds_count"),
        after.get("tidegate_loop_turn_seconds_bucket{le=\"+Inf\"}")
    );
    let workers =
        [0, 1].map(|worker| format!("tidegate_worker_connections{{worker=\"{worker}\"}}"));
    let held: f64 = workers.iter().map(|name| after.get(name)).sum();
    assert_eq!(held, after.get("tidegate_connections"));
    assert_eq!(held, connections.len() as f64 + 1.0);
}

#[test]
fn a_server_that_goes_away_says_so() {
    let mut server = builder(1).env("DRAIN_PERIOD", "2s").start();
    let mut client = server.connect();
    let mut stayer = server.websocket("/ws");
    server.signal(Signal::TERM);
    server.wait_for_log("draining", DEADLINE);
    let told = Samples::parse(scrape(&mut client).text());
    assert_eq!(told.get("tidegate_draining"), 1.0);
    stayer.expect_close(1001);
    drop(stayer);
    assert!(server.wait_exit(DEADLINE).success());
}
