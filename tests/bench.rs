//! `tidegate bench` as a process: against the real server, against bare sockets, and against servers that are odd.

mod common;

#[path = "bench/fake.rs"]
mod fake;
#[path = "bench/run.rs"]
mod run;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use common::DEADLINE;
use common::frame;
use common::server::Server;
use run::{BRIEF, bench, fails, measured, number, refused};

/// Bytes of a message of the default size, as a client sends it.
const FRAME_BYTES: usize = 136;

/// Everything that all commands with a window tell.
fn check_window(value: &Value, command: &str, unit: &str, pid: u32) {
    assert_eq!(
        (&value["command"], &value["unit"]),
        (&command.into(), &unit.into())
    );
    assert!(number(&value["seconds"]) >= 0.3);
    assert!(number(&value["count_in_all"]) >= number(&value["count"]));
    let latency = &value["latency_us"];
    let names = ["min", "p50", "p90", "p99", "p99_9", "p99_99", "max"];
    let rising: Vec<f64> = names.iter().map(|name| number(&latency[name])).collect();
    assert!(rising[0] > 0.0 && rising.is_sorted(), "{latency}");
    assert!(number(&latency["mean"]) <= number(&latency["max"]));
    let server = &value["server"];
    assert_eq!(server["pids"], serde_json::json!([pid]));
    for name in ["cpu_us_each", "cpu_share", "rss_bytes", "pss_bytes"] {
        assert!(number(&server[name]) > 0.0, "{name}: {server}");
    }
    assert!(number(&server["wait_share"]) >= 0.0);
    for name in ["cpu_us_each", "cpu_share"] {
        assert!(number(&value["load"][name]) > 0.0, "{value}");
    }
}

#[test]
fn echo_tells_everything() {
    let server = Server::start();
    let (url, pid) = (server.ws_url("/ws"), server.id().to_string());
    let value = measured(&[
        "echo", &url, "-c", "5", "--depth", "3", "--idle", "4", "--pid", &pid,
    ]);
    check_window(&value, "echo", "message", server.id());
    assert_eq!(value["url"], url);
    assert_eq!(value["connections"], 5);
    assert_eq!(
        (&value["depth"], &value["idle"], &value["size"]),
        (&3.into(), &4.into(), &128.into())
    );
    // A masked header and an unmasked one.
    assert_eq!(
        value["wire_bytes"],
        serde_json::json!({ "sent": 136, "received": 132 })
    );
}

#[test]
fn echo_takes_messages_of_all_kinds() {
    let server = Server::start();
    let url = server.ws_url("/ws");
    for more in [
        &["--size", "0"][..],
        &["--size", "1", "--depth", "100"],
        &["--size", "300000", "--binary", "--depth", "2", "-c", "2"],
        &["--size", "70000", "--write-bytes-max", "1000", "-c", "1"],
        &["--payload", "json", "--no-verify"],
        &["--header", "X-Key: a", "--origin", "https://example.com"],
    ] {
        measured(&[&["echo", &url], more].concat());
    }
    let value = measured(&[
        "echo",
        &url,
        "--compress",
        "--payload",
        "json",
        "--size",
        "5000",
    ]);
    let wire = &value["wire_bytes"];
    assert!(
        number(&wire["sent"]) < 4000.0 && number(&wire["received"]) < 4000.0,
        "{wire}"
    );
}

#[test]
fn echo_ends_after_so_many_messages() {
    let server = Server::start();
    let line = [
        "echo",
        &server.ws_url("/ws"),
        "-c",
        "1",
        "--messages",
        "50",
        "--warm-up",
        "0",
    ];
    let (status, output, errors) = bench(&[&line[..], &["--json", "--seconds", "60"]].concat());
    assert_eq!(status, Some(0), "{errors}");
    let value: Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(value["count_in_all"], 50);
}

#[test]
fn people_get_a_table_and_a_plot() {
    let server = Server::start();
    let plot = server.directory().join("plot.svg");
    let path = plot.to_str().expect("a path of UTF-8");
    let pid = server.id().to_string();
    let line = ["echo", &server.ws_url("/ws"), "--plot", path, "--pid", &pid];
    let (status, output, errors) = bench(&[&line[..], &BRIEF].concat());
    assert_eq!(
        (status, errors.as_str()),
        (Some(0), ""),
        "no bar where stderr is no terminal"
    );
    for word in [
        "messages a second",
        "µs CPU a message",
        "MiB resident",
        "p99.99",
        "max",
    ] {
        assert!(output.contains(word), "{word}:\n{output}");
    }
    let drawing = fs::read_to_string(plot).expect("the plot");
    check_elements(&drawing);
    assert!(drawing.contains("<path class=\"curve\" d=\"M") && drawing.contains("99 %"));
    assert!(drawing.contains("latency") && drawing.contains("percentile"));
}

/// Every element of `text` is closed, in order.
fn check_elements(text: &str) {
    let mut open = Vec::new();
    for tag in text.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split_whitespace().next().expect("a name")),
        }
    }
    assert_eq!(open, Vec::<&str>::new());
}

#[test]
fn rate_keeps_its_rate() {
    let server = Server::start();
    let (url, pid) = (server.ws_url("/ws"), server.id().to_string());
    let value = measured(&["rate", &url, "-c", "7", "--rate", "500", "--pid", &pid]);
    check_window(&value, "rate", "message", server.id());
    assert_eq!(value["rate"], 500.0);
    let intended = number(&value["intended"]);
    assert!(
        (149.0..=151.0).contains(&intended),
        "500 a second for 0.3 s: {intended}"
    );
    assert!(value["generator_late"].is_boolean());
    assert!(number(&value["lateness_us"]["max"]) >= number(&value["lateness_us"]["p99"]));
}

#[test]
fn rate_counts_what_a_stall_kept_waiting() {
    const STALL: Duration = Duration::from_millis(300);
    // Once, within the window: the 300 messages that are due meanwhile wait as well.
    let has_stalled = Arc::new(AtomicBool::new(false));
    let address = fake::bare_echo(move |total| {
        if total >= 500 * FRAME_BYTES && !has_stalled.swap(true, Ordering::Relaxed) {
            thread::sleep(STALL);
        }
    });
    let line = [
        "rate",
        &format!("tcp://{address}"),
        "-c",
        "1",
        "--rate",
        "1000",
        "--json",
    ];
    let (status, output, errors) =
        bench(&[&line[..], &["--seconds", "2", "--warm-up", "0"]].concat());
    assert_eq!(status, Some(0), "{errors}");
    let value: Value = serde_json::from_str(&output).expect("JSON");
    let latency = &value["latency_us"];
    assert!(number(&latency["max"]) >= 290_000.0, "{value}");
    // 15 % of all were due in the stall; a third of those waited for 200 ms and more.
    assert!(number(&latency["p90"]) >= 80_000.0, "{value}");
    assert!(number(&latency["p99"]) >= 250_000.0, "{value}");
}

#[test]
fn rate_counts_its_own_lateness() {
    const STALL: Duration = Duration::from_millis(300);
    let (sender, receiver) = mpsc::channel();
    let address = fake::bare_echo(move |total| {
        if total >= 200 * FRAME_BYTES {
            // Only the first time somebody listens.
            let _ = sender.send(());
        }
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .args(["bench", "rate", &format!("tcp://{address}"), "-c", "1"])
        .args(["--seconds", "1.5", "--warm-up", "0", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().expect("the binary runs");
    receiver.recv_timeout(DEADLINE).expect("200 messages");
    let id = Pid::from_child(&child);
    kill_process(id, Signal::STOP).expect("it is there");
    thread::sleep(STALL);
    kill_process(id, Signal::CONT).expect("it is there");
    let output = child.wait_with_output().expect("it ends");
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // A fifth of the messages were due meanwhile, half of those waited for 150 ms and more: sent late is no excuse.
    assert!(number(&value["latency_us"]["p90"]) >= 100_000.0, "{value}");
    assert!(number(&value["latency_us"]["max"]) >= 280_000.0, "{value}");
    assert!(number(&value["lateness_us"]["max"]) >= 280_000.0, "{value}");
    assert_eq!(value["generator_late"], true);
}

#[test]
fn a_generator_that_is_late_says_so() {
    let server = Server::start();
    let line = [
        "rate",
        &server.ws_url("/ws"),
        "-c",
        "1",
        "--rate",
        "1000000",
        "--json",
    ];
    let (status, output, errors) = bench(&[&line[..], &BRIEF].concat());
    assert_eq!(status, Some(0), "{errors}");
    let value: Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(value["generator_late"], true);
    assert!(errors.contains("could not keep the rate"), "{errors}");
}

#[test]
fn fanout_reaches_everybody() {
    let server = Server::start();
    let (url, pid) = (server.ws_url("/broadcast"), server.id().to_string());
    let value = measured(&["fanout", &url, "-c", "20", "--pid", &pid]);
    check_window(&value, "fanout", "delivery", server.id());
    assert_eq!(
        (&value["connections"], &value["window"]),
        (&20.into(), &1.into())
    );
    assert!(number(&value["publications_per_second"]) > 0.0);
    for more in [
        &["--window", "16"][..],
        &["--size", "200000", "--window", "3"],
        &["--compress", "--payload", "json", "--size", "4000"],
        &["--binary", "--size", "12"],
    ] {
        measured(&[&["fanout", &url, "-c", "5"], more].concat());
    }
}

#[test]
fn connect_opens_and_closes() {
    let server = Server::start();
    let (url, pid) = (server.ws_url("/ws"), server.id().to_string());
    let before = server.descriptors();
    let value = measured(&["connect", &url, "-c", "8", "--pid", &pid]);
    check_window(&value, "connect", "connection", server.id());
    assert!(number(&value["handshake_us"]["p50"]) > 0.0);
    server.wait_descriptors(before, DEADLINE);
    let reset = server.log().count("code=1006");
    assert!(reset <= 8, "only what was under way at the end: {reset}");
}

#[test]
fn idle_tells_the_memory_of_a_connection() {
    let server = Server::start();
    let (url, pid) = (server.ws_url("/ws"), server.id().to_string());
    let value = measured(&["idle", &url, "-c", "300", "--pid", &pid, "--hold", "0.1"]);
    assert_eq!(
        (&value["command"], &value["connections"]),
        (&"idle".into(), &300.into())
    );
    for name in ["before", "connected", "spoken"] {
        assert!(number(&value[name]["rss"]) > 0.0 && number(&value[name]["pss"]) > 0.0);
    }
    for name in ["each_connected", "each_spoken"] {
        assert!(value[name]["rss"].is_number() && value[name]["pss"].is_number());
    }
}

/// A server closes who does not answer its pings.
#[test]
fn silent_connections_answer_pings() {
    let server = Server::builder()
        .env("HEARTBEAT_INTERVAL", "100ms")
        .env("HEARTBEAT_TIMEOUT", "2s")
        .start();
    let (url, pid) = (server.ws_url("/ws"), server.id().to_string());
    let times = ["--seconds", "3", "--warm-up", "0"];
    for line in [
        &["echo", &url, "-c", "1", "--idle", "3"][..],
        &["idle", &url, "-c", "3", "--pid", &pid, "--hold", "3"],
    ] {
        let (status, _, errors) = bench(&[line, &times].concat());
        assert_eq!(status, Some(0), "{errors}");
    }
    assert_eq!(server.log().count("code=1011"), 0);
}

#[test]
fn bare_servers_are_the_floor() {
    let echo = format!("tcp://{}", fake::bare_echo(|_| ()));
    let value = measured(&["echo", &echo, "-c", "3", "--depth", "4"]);
    assert_eq!(
        value["wire_bytes"],
        serde_json::json!({ "sent": 136, "received": 136 })
    );
    measured(&["rate", &echo, "-c", "3"]);
    let fanout = format!("tcp://{}", fake::bare_fanout());
    measured(&["fanout", &fanout, "-c", "6", "--window", "4"]);
    let accept = fake::bare_accept("HTTP/1.1 101 Switching Protocols\r\n\r\n");
    measured(&["connect", &format!("tcp://{accept}"), "-c", "3"]);
}

const SOCKETIO: [&str; 2] = ["--dialect", "socketio"];

#[test]
fn socketio_is_spoken() {
    let url = format!("ws://{}", fake::socketio());
    let long_url = format!("{url}/socket.io/?EIO=4&transport=websocket");
    for line in [
        &["fanout", &url, "-c", "5", "--window", "2"][..],
        &["fanout", &long_url, "-c", "2", "--payload", "json"],
        &["echo", &url, "-c", "3", "--depth", "4"],
        &["echo", &long_url, "-c", "1", "--payload", "json"],
        &["rate", &url, "-c", "3"],
    ] {
        measured(&[line, &SOCKETIO].concat());
    }
}

#[test]
fn socketio_is_measured_at_the_server() {
    let server = Server::builder().env("SOCKETIO_CONFORMANCE", "on").start();
    let (url, pid) = (server.ws_url(""), server.id().to_string());
    let spoken = |line: &[&str]| measured(&[line, &SOCKETIO, &["--pid", &pid]].concat());
    let value = spoken(&["echo", &url, "-c", "7", "--size", "128"]);
    check_window(&value, "echo", "message", server.id());
    // The packets around 128 bytes, and the headers of their frames.
    let wire_bytes = json!({ "sent": 8 + 2 + 14 + 128, "received": 4 + 2 + 19 + 128 });
    assert_eq!(value["wire_bytes"], wire_bytes);
    let value = spoken(&["fanout", &url, "-c", "20", "--window", "3"]);
    check_window(&value, "fanout", "delivery", server.id());
    spoken(&["echo", &url, "-c", "2", "--compress", "--size", "4000"]);
    let line = ["idle", &url, "-c", "50", "--pid", &pid];
    let value = measured(&[&line[..], &SOCKETIO].concat());
    assert!(value["each_spoken"]["rss"].is_number());
}

#[test]
fn socketio_is_refused_where_it_cannot_be() {
    let server = Server::start();
    let url = server.ws_url("/ws");
    for (line, says) in [
        (&["fanout", "tcp://127.0.0.1:9"][..], "ws://"),
        (&["echo", "tcp://127.0.0.1:9"], "ws://"),
        (&["fanout", &url, "--binary"], "--binary"),
        (&["echo", &url, "--binary"], "--binary"),
        (&["connect", &url], "--dialect"),
    ] {
        let errors = refused(&[line, &SOCKETIO].concat(), 2);
        assert!(errors.contains(says), "{line:?}: {errors}");
    }
    // Without the conformance answers an echo is refused by the server.
    let url = server.ws_url("");
    fails(
        &[&["echo", &url, "-c", "1"][..], &SOCKETIO].concat(),
        "something else than what it was sent",
    );
}

/// What a server may do, and does not do often: pings between messages, fragments with a ping in between, bytes one by one.
#[test]
fn conforming_servers_are_measured_whatever_they_do() {
    let address = fake::serve_messages(|socket, number, message| {
        if message.is_pong() {
            return true;
        }
        let payload = message.into_data();
        let (first, second) = payload.split_at(payload.len() / 3);
        let piece = |fin, opcode, bytes| frame::raw(frame::first_byte(fin, 0, opcode), None, bytes);
        let ping = piece(true, frame::PING, b"tick");
        let whole = piece(true, frame::TEXT, &payload);
        let bytes = match number % 7 {
            2 => [&ping[..], &whole].concat(),
            4 => [
                piece(false, frame::TEXT, first),
                ping,
                piece(true, frame::CONTINUATION, second),
            ]
            .concat(),
            _ => whole,
        };
        let stream = socket.get_mut();
        // Some by single bytes at first, so that reads end everywhere in a header.
        let singly = if number % 7 == 5 {
            bytes.len().min(20)
        } else {
            0
        };
        let (head, rest) = bytes.split_at(singly);
        let mut sent = head.iter().try_for_each(|byte| stream.write_all(&[*byte]));
        sent = sent.and_then(|()| stream.write_all(rest));
        sent.is_ok()
    });
    let url = format!("ws://{address}");
    for more in [
        &["--depth", "1"][..],
        &["--depth", "9"],
        &["--depth", "3", "--size", "50000"],
    ] {
        measured(&[&["echo", &url, "-c", "3"], more].concat());
    }
    measured(&["rate", &url, "-c", "3"]);
    // One connection hears its own echo: a fan-out to one.
    measured(&["fanout", &url, "-c", "1", "--window", "5"]);
    measured(&[
        "fanout", &url, "-c", "1", "--size", "150000", "--window", "2",
    ]);
}
