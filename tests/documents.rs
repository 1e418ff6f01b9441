//! The examples of the documents, run: what stands behind `>` is sent, and what stands behind `<` must come.

mod common;

use std::collections::HashMap;

use common::client::Client;
use common::gateway::{API_KEY, Member, json_of, post};
use common::server::Server;
use serde_json::Value;

/// Stands for any value.
const ANY: &str = "…";

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

fn is_like(told: &Value, expected: &Value) -> bool {
    match (told, expected) {
        (_, Value::String(any)) if any == ANY => true,
        (Value::Object(told), Value::Object(expected)) => {
            told.len() == expected.len()
                && told.iter().all(|(name, value)| {
                    expected
                        .get(name)
                        .is_some_and(|wanted| is_like(value, wanted))
                })
        }
        (Value::Array(told), Value::Array(expected)) => {
            told.len() == expected.len()
                && told
                    .iter()
                    .zip(expected)
                    .all(|(told, expected)| is_like(told, expected))
        }
        _ => told == expected,
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
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

fn run(example: &[Line]) {
    let server = Server::builder()
        .env("API_KEY", API_KEY)
        .env("CLIENT_BROADCAST", "on")
        .env("WORKERS", 2)
        .start();
    let mut members: HashMap<&str, Member> = HashMap::new();
    let mut answer = None;
    for line in example {
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
            member.send(&json(&line.what));
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
