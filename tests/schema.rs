//! The HTTP API against the OpenAPI document that it serves, by Schemathesis: it makes calls that the document allows and calls that
//! it forbids, and checks that the server answers each as the document says.

mod common;

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::client::{Client, Response};
use common::gateway::{API_KEY, builder, call, look};
use common::peer::{peer_file, schemathesis};
use common::server::{Server, run_to_end};
use common::{DEADLINE, eventually, frame};
use serde_json::{Value, json};

/// `TIDEGATE_SEED` is taken instead; the report tells which it was.
const SEED: u64 = 6455;
/// Calls that the generator may make of each operation in each phase.
const EXAMPLES_MAX: &str = "200";
/// Some 40 seconds on an idle machine of two cores.
const RUN_DEADLINE: Duration = Duration::from_secs(360);
/// Event that ends whoever listens.
const END: &str = "the end of the test";

/// `st run` over a document, with every check and every phase.
fn run(document: &str, directory: &Path) -> Command {
    let seed = env::var("TIDEGATE_SEED").unwrap_or_else(|_| SEED.to_string());
    let mut command = schemathesis("st");
    command
        // It leaves notes about what failed where it runs.
        .current_dir(directory)
        .arg("--config-file")
        .arg(peer_file("schemathesis/schemathesis.toml"))
        .args(["--no-color", "run", document])
        .args(["--header", &format!("X-API-Key: {API_KEY}")])
        .args(["--checks", "all", "--mode", "all"])
        .args(["--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--seed", &seed, "--max-examples", EXAMPLES_MAX])
        // What other runs found has no part in this one.
        .args(["--generation-database", "none"])
        .args(["--request-timeout", "20", "--continue-on-failure"])
        .args(["--output-sanitize", "false", "--output-truncate", "false"]);
    command
}

/// What a client heard until the end.
struct Heard {
    messages: usize,
    /// Close codes that sent it away, each of which it came back after.
    closes: Vec<u16>,
}

/// A client of the gateway protocol that reads whatever comes and comes back whenever it is sent away, until [`END`].
fn listen(
    address: SocketAddr,
    user: &'static str,
    room: Option<&'static str>,
) -> JoinHandle<Heard> {
    thread::spawn(move || {
        let mut heard = Heard {
            messages: 0,
            closes: Vec::new(),
        };
        loop {
            let mut client = Client::tcp(address);
            client.upgrade("/");
            let register = json!({ "type": "register", "userId": user });
            client.send_bytes(&frame::text(&register.to_string()));
            if let Some(room) = room {
                let join = json!({ "type": "join", "room": room });
                client.send_bytes(&frame::text(&join.to_string()));
            }
            match listen_on(&mut client, &mut heard) {
                None => return heard,
                Some(code) => heard.closes.push(code),
            }
        }
    })
}

/// Listens on one connection; the code that closed it, `None` at [`END`].
fn listen_on(client: &mut Client, heard: &mut Heard) -> Option<u16> {
    loop {
        // The server pings, so that something always comes in time.
        let frame = client.read_frame();
        match frame.opcode {
            frame::TEXT => {
                let message: Value = serde_json::from_slice(&frame.payload).expect("JSON");
                assert!(message["type"].is_string(), "{message}");
                assert_ne!(message["type"], "error", "{message}");
                if message["event"] == END {
                    return None;
                }
                heard.messages += 1;
            }
            frame::PING => {
                client.send_bytes(&frame::frame(true, frame::PONG, &frame.payload));
            }
            frame::CLOSE => {
                let (code, reason) = frame.payload.split_first_chunk::<2>().expect("a code");
                str::from_utf8(reason).expect("a reason of UTF-8");
                client.send_bytes(&frame::frame(true, frame::CLOSE, &frame.payload));
                client.expect_eof();
                return Some(u16::from_be_bytes(*code));
            }
            opcode => panic!("a frame of opcode {opcode}: {frame:?}"),
        }
    }
}

fn document_of(server: &Server) -> Response {
    let document = server.connect().get("/api/openapi.json");
    assert_eq!(document.status, 200);
    document
}

#[test]
fn the_server_answers_as_its_document_says() {
    let server = builder(2).env("HEARTBEAT_INTERVAL", "5s").start();
    let address = server.address();
    // The examples of the document are about ann and the harbour; nothing leads to the last one, who is in no room.
    let listeners = [
        listen(address, "ann", Some("harbour")),
        listen(address, "ann", Some("mole")),
        listen(address, "bob", Some("harbour")),
    ];
    let hidden = listen(address, "nobody asks for me", None);
    let all_are_there = || {
        let mut client = server.connect();
        eventually("all users are connected", || {
            let stats = look(&mut client, "/api/stats/connections").1;
            let users = look(&mut client, "/api/connections").1;
            stats["endpoints"]["gateway"] == 4 && users["users"] == 3
        });
    };
    all_are_there();

    let directory = tempfile::tempdir().expect("a temporary directory");
    let document = format!("http://{address}/api/openapi.json");
    let (status, report, errors) = run_to_end(run(&document, directory.path()), RUN_DEADLINE);
    assert!(status.success(), "{status}\n{report}{errors}");

    all_are_there();
    assert_eq!(server.connect().get("/health").status, 200);
    let end = json!({ "event": END });
    let (status, told) = call(&mut server.connect(), "/api/broadcast", &end);
    assert_eq!((status, &told["delivered"]), (200, &json!(4)), "{report}");
    let mut closes = 0;
    for listener in listeners {
        let heard = listener.join().expect("it heard nothing that is wrong");
        assert!(heard.messages > 100, "{}: {report}", heard.messages);
        let may_be_asked =
            |code: &u16| matches!(code, 1000 | 1001 | 1008 | 1011..=1013 | 3000..=4999);
        assert!(heard.closes.iter().all(may_be_asked), "{:?}", heard.closes);
        closes += heard.closes.len();
    }
    assert!(closes > 0, "nobody was ever sent away\n{report}");
    let hidden = hidden.join().expect("it heard nothing that is wrong");
    assert_eq!(hidden.closes, [0; 0], "nobody asked for it");
}

#[test]
fn the_document_is_one_of_openapi() {
    let server = builder(1).start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("openapi.json");
    fs::write(&file, document_of(&server).body).expect("written");
    let mut command = schemathesis("openapi-spec-validator");
    command.args(["--errors", "all"]).arg(file);
    let (status, output, errors) = run_to_end(command, DEADLINE * 3);
    assert!(status.success(), "{output}{errors}");
}

#[test]
fn a_document_that_lies_is_found_out() {
    let server = builder(1).start();
    let mut document: Value = serde_json::from_slice(&document_of(&server).body).expect("JSON");
    let health = &mut document["paths"]["/api/health"]["get"];
    health["security"] = json!([{ "apiKey": [] }]);
    health["responses"]["200"]["headers"]["X-Missing"] =
        json!({ "required": true, "schema": { "type": "string" } });
    document["components"]["schemas"]["Health"]["properties"]["maxConnections"] =
        json!({ "type": "string" });
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("openapi.json");
    fs::write(&file, document.to_string()).expect("written");
    let mut command = run(file.to_str().expect("UTF-8"), directory.path());
    command
        .args(["--url", &format!("http://{}", server.address())])
        .args(["--include-path", "/api/health"]);
    let (status, report, errors) = run_to_end(command, RUN_DEADLINE);
    assert_eq!(status.code(), Some(1), "{report}{errors}");
    for found in [
        "ST107 Missing required response headers",
        "ST108 Response violates schema",
        "ST401 API accepts requests without authentication",
    ] {
        assert!(report.contains(found), "{found} is not found:\n{report}");
    }
}
