//! The examples of the documents, run: what stands behind `>` is sent, and what stands behind `<` must come.

mod common;

use std::collections::HashMap;

use common::asyncapi::{PATH, Protocol};
use common::client::Client;
use common::example::{is_like, json};
use common::gateway::{API_KEY, Member, json_of, post};
use common::server::Server;
use serde_json::Value;

/// `WHO> WHAT` or `WHO< WHAT`.
#[derive(Debug)]
struct Line {
    who: String,
    is_sent: bool,
    what: String,
}

fn examples(document: &str) -> Vec<Vec<Line>> {
    let mut found = Vec::new();
    let mut example: Option<Vec<Line>> = None;
    for text in document.lines() {
        match (text, &mut example) {
            ("```gateway", None) => example = Some(Vec::new()),
            ("```", Some(_)) => found.extend(example.take()),
            (text, Some(lines)) => match text.split_once(['>', '<']) {
                Some((who, what)) if !text.starts_with(' ') => lines.push(Line {
                    who: who.to_owned(),
                    is_sent: text.as_bytes()[who.len()] == b'>',
                    what: what.trim().to_owned(),
                }),
                _ => lines.last_mut().expect("a line before").what += text.trim(),
            },
            _ => {}
        }
    }
    found
}

fn call(server: &Server, what: &str) -> (u16, Value) {
    let mut client: Client = server.connect();
    let key = ("X-API-Key", API_KEY);
    let response = match what.split_once(' ').expect("a method and more") {
        ("GET", path) => {
            client.request("GET", path, &[key]);
            client.read_response()
        }
        ("POST", rest) => {
            let (path, body) = rest.split_once(' ').expect("a path and a body");
            post(&mut client, path, &[key], body)
        }
        (method, _) => panic!("{method} in an example"),
    };
    (response.status, json_of(&response))
}

/// What a client says is in `asyncapi.json`, or the example shows that it is refused.
fn assert_described(message: &Value, who: &str, rest: &[Line]) {
    let answer = rest.iter().find(|line| line.who == who && !line.is_sent);
    let is_refused = answer.is_some_and(|line| json(&line.what)["type"] == "error");
    let names = Protocol::get().named("client.", message);
    assert!(
        names.len() == 1 || is_refused,
        "{message} is {names:?} in {PATH}"
    );
}

fn run(example: &[Line]) {
    let server = Server::builder()
        .env("API_KEY", API_KEY)
        .env("CLIENT_BROADCAST", "on")
        .env("WORKERS", 2)
        .start();
    let mut members: HashMap<&str, Member> = HashMap::new();
    let mut answer = None;
    for (index, line) in example.iter().enumerate() {
        if line.who == "api" {
            if line.is_sent {
                answer = Some(call(&server, &line.what));
                continue;
            }
            let (status, body) = answer.take().expect("a call before its answer");
            let (expected, expected_body) = line.what.split_once(' ').expect("a status and a body");
            assert_eq!(status.to_string(), expected, "{body}");
            assert!(
                is_like(&body, &json(expected_body)),
                "{body} is not {expected_body}"
            );
            continue;
        }
        let member = members
            .entry(&line.who)
            .or_insert_with(|| Member::connect(&server));
        if line.is_sent {
            let message = json(&line.what);
            assert_described(&message, &line.who, &example[index + 1..]);
            member.send(&message);
        } else {
            let told = member.read();
            assert!(
                is_like(&told, &json(&line.what)),
                "{told} is not {}",
                line.what
            );
        }
    }
    for (who, member) in &mut members {
        if !example
            .iter()
            .any(|line| line.what.contains("/api/disconnect"))
        {
            let told = member.ask(&serde_json::json!({ "type": "ping" }));
            assert_eq!(
                told["type"], "pong",
                "{who} was sent more than the example says"
            );
        }
    }
}

fn run_all(document: &str, at_least: usize) {
    let examples = examples(document);
    assert!(examples.len() >= at_least, "{} examples", examples.len());
    for example in examples {
        run(&example);
    }
}

#[test]
fn the_examples_of_the_gateway_protocol_are_true() {
    run_all(include_str!("../docs/protocol.md"), 6);
}

#[test]
fn the_examples_of_the_http_api_are_true() {
    run_all(include_str!("../docs/http-api.md"), 4);
}
