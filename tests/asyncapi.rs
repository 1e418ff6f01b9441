//! The document of the gateway protocol (`asyncapi.json`) says what the sources say, and refuses what the server refuses.
//! That what the server sends is as it says, every test of the gateway sees: `Member::read` looks. That it is good AsyncAPI,
//! `tests/peers.rs` asks the parser.

mod common;
#[path = "asyncapi/literals.rs"]
mod literals;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use common::asyncapi::{PATH, Protocol};
use common::gateway::{Member, builder};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Map, Value, json};

/// Codes of errors that tell that a message is not one of the protocol, whoever sends it.
const NOT_A_MESSAGE: [&str; 5] = [
    "bad-json",
    "bad-id",
    "unknown-type",
    "missing-field",
    "bad-field",
];

const SECRET: &str = "a secret of the tests";

fn source(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/gateway")
        .join(path)
}

/// What stands as `type` in the messages of that side; one message may have any.
fn types(side: &str) -> BTreeSet<String> {
    let messages = Protocol::get().messages().iter();
    messages
        .filter(|(name, _)| name.starts_with(side))
        .filter_map(|(_, message)| message["payload"]["properties"]["type"]["const"].as_str())
        .map(str::to_owned)
        .collect()
}

fn texts(value: &Value) -> BTreeSet<String> {
    let values = value.as_array().expect("an array").iter();
    values
        .map(|value| value.as_str().expect("a text").to_owned())
        .collect()
}

/// The names at the ends of a list of references.
fn referred(list: &Value) -> impl Iterator<Item = String> {
    let references = list.as_array().into_iter().flatten();
    references.map(|reference| {
        let path = reference["$ref"].as_str().expect("a reference");
        path.rsplit('/').next().expect("a name").to_owned()
    })
}

#[test]
fn every_type_of_a_client_is_described_and_no_other() {
    let body = literals::body_of(literals::tokens(&source("json/request.rs")), "request");
    let read = literals::of_arms(body.expect("fn request"), true);
    assert!(read.contains("register"), "{read:?}");
    assert_eq!(types("client."), read, "{PATH} and json/request.rs");
}

#[test]
fn every_type_of_the_server_is_described_and_no_other() {
    let functions: [&[&str]; 3] = [&["Object", ":", ":", "new"], &["publish_object"], &["send"]];
    let said: BTreeSet<_> = literals::sources(&source(""))
        .iter()
        .flat_map(|path| literals::of_calls(literals::tokens(path), &functions))
        .collect();
    assert!(
        said.contains("ack") && said.contains("broadcast"),
        "{said:?}"
    );
    assert_eq!(types("server."), said, "{PATH} and the calls that write");
}

#[test]
fn every_code_of_an_error_is_described_and_no_other() {
    let body = literals::body_of(literals::tokens(&source("json/refusal.rs")), "code");
    let codes = literals::of_arms(body.expect("fn code"), false);
    assert!(codes.contains("bad-json"), "{codes:?}");
    let described = &Protocol::get().document["components"]["schemas"]["ErrorCode"]["enum"];
    assert_eq!(texts(described), codes, "{PATH} and json/refusal.rs");
    let told = include_str!("../docs/protocol.md");
    for code in codes {
        assert!(
            told.contains(&format!("`{code}`")),
            "{code} in docs/protocol.md"
        );
    }
}

#[test]
fn every_message_is_in_the_channel_and_in_an_operation() {
    let document = &Protocol::get().document;
    let all: BTreeSet<_> = Protocol::get().messages().keys().cloned().collect();
    let channel = document["channels"]["gateway"]["messages"].as_object();
    let in_channel: BTreeSet<_> = channel.expect("messages").keys().cloned().collect();
    assert_eq!(in_channel, all, "the messages of the channel");
    let operations = document["operations"].as_object().expect("operations");
    let mut used = BTreeSet::new();
    for (name, operation) in operations {
        let is_received = operation["action"] == "receive";
        let side = if is_received { "client." } else { "server." };
        for message in referred(&operation["messages"]) {
            assert!(message.starts_with(side), "{message} in {name}");
            used.insert(message);
        }
        let replies: Vec<_> = referred(&operation["reply"]["messages"]).collect();
        assert_eq!(
            replies.contains(&"server.error".to_owned()),
            is_received,
            "{name}"
        );
        used.extend(replies);
    }
    assert_eq!(used, all, "the messages of the operations");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_example_is_of_its_message_and_of_no_other() {
    for (name, message) in Protocol::get().messages() {
        let examples = message["examples"].as_array().expect("examples");
        assert!(!examples.is_empty(), "{name}");
        for example in examples {
            let (side, _) = name.split_once('.').expect("a side");
            let names = Protocol::get().named(&format!("{side}."), &example["payload"]);
            assert_eq!(names, [name.as_str()], "{example}");
        }
        let is_strict = message["payload"]["additionalProperties"] == false;
        assert_eq!(is_strict, name.starts_with("server."), "{name}");
    }
}

#[test]
fn the_server_answers_the_document() {
    let server = builder(1).start();
    let answer = server.connect().get("/api/asyncapi.json");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let told: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(&told, &Protocol::get().document);
}

/// An example of a message with one of its fields, or one more, left out or made something else.
fn variations(example: &Map<String, Value>, properties: &Value) -> Vec<Value> {
    let odd = [
        json!(null),
        json!(""),
        json!("a\u{7}"),
        json!("a\u{9f}"),
        json!("ü"),
        json!(-1.5),
        json!(true),
        json!(["a"]),
        json!({}),
    ];
    let names = properties.as_object().expect("properties").keys();
    let mut found = vec![Value::Object(example.clone())];
    for name in names.map(String::as_str).chain(["more"]) {
        let mut without = example.clone();
        without.remove(name);
        found.push(Value::Object(without));
        for value in &odd {
            let mut other = example.clone();
            other.insert(name.to_owned(), value.clone());
            found.push(Value::Object(other));
        }
    }
    found
}

/// Whether the server takes a message for one of the protocol; whether it does what it asks for is another question.
fn is_taken(member: &mut Member, message: &Value) -> bool {
    member.send(message);
    member.send(&json!({ "type": "ping", "id": "the end" }));
    let mut is_taken = true;
    loop {
        let told = member.read();
        if told["id"] == "the end" {
            return is_taken;
        }
        let code = told["code"].as_str().unwrap_or_default();
        is_taken &= !NOT_A_MESSAGE.contains(&code);
    }
}

#[test]
fn the_server_takes_what_the_document_allows_and_nothing_else() {
    // With a token nobody has to say a name, which is all that the document allows.
    let server = builder(1).env("JWT_SECRET", SECRET).start();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let claims = json!({ "sub": "ann", "exp": now.as_secs() + 600 });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = encode(&Header::default(), &claims, &key).expect("a token");
    let mut client = server.connect();
    client.upgrade(&format!("/?token={token}"));
    let mut ann = Member { client };
    let mut taken = 0;
    for (name, message) in Protocol::get().messages() {
        if !name.starts_with("client.") {
            continue;
        }
        let payload = &message["payload"];
        for example in message["examples"].as_array().expect("examples") {
            let example = example["payload"].as_object().expect("an object");
            for variation in variations(example, &payload["properties"]) {
                let is_described = !Protocol::get().named("client.", &variation).is_empty();
                assert_eq!(
                    is_taken(&mut ann, &variation),
                    is_described,
                    "{variation}: whether the server takes it, and whether {PATH} allows it"
                );
                taken += usize::from(is_described);
            }
        }
    }
    assert!(taken > 100, "{taken} messages");
}
