//! Events as others read them: the packages `standardwebhooks` and `cloudevents` of npm, and TLS.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Map, Value, json};
use tidegate::backend::{BackendUrl, Failure, Kind, Mode, Secrets};

use super::common::peer::{Peer, webhooks};
use super::common::tls::TestCertificate;
use super::server::{Reply, Request, Server};
use super::told::{SECRET, Way, config};

/// The request that an event comes as.
fn request(kind: Kind, mode: Mode, secrets: &[&str]) -> Request {
    let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
    let its_seen = Arc::clone(&seen);
    let server = Server::start(move |request| {
        its_seen.lock().expect("no panic").push(request.clone());
        Reply::empty()
    });
    let way = Way::start(config(&server.url(), |config| {
        config.client.mode = mode;
        config.client.secrets = Secrets::parse(secrets.iter().copied()).expect("secrets");
    }));
    way.ask(kind, 3, 9).expect("an answer");
    let request = seen.lock().expect("no panic").remove(0);
    assert_eq!(request.line, "POST /events?a=b");
    request
}

/// What the packages say to requests, each with a secret.
fn judge(requests: &[(&Request, &str)]) -> Vec<Value> {
    let mut peer = Peer::start(webhooks("verify.cjs"));
    for (request, secret) in requests {
        let fields: Map<String, Value> = request
            .fields
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let body = STANDARD.encode(&request.body);
        let line = json!({"secret": secret, "headers": fields, "body": body});
        peer.type_line(&line.to_string());
    }
    peer.end_input();
    let verdicts = peer.facts();
    let verdicts = verdicts.as_array().expect("verdicts").clone();
    assert_eq!(verdicts.len(), requests.len());
    verdicts
}

#[test]
fn others_find_the_signatures_good_and_read_the_events() {
    let new = format!("whsec_{}", STANDARD.encode([9; 32]));
    let other = format!("whsec_{}", STANDARD.encode([8; 32]));
    let mut requests = Vec::new();
    for mode in [Mode::Binary, Mode::Structured] {
        for kind in [Kind::Connect, Kind::Message, Kind::Disconnect] {
            requests.push((kind, request(kind, mode, &[&new, SECRET])));
        }
    }
    let cases: Vec<(&Request, &str)> = requests
        .iter()
        .flat_map(|(_, request)| {
            [new.as_str(), SECRET, other.as_str()].map(|secret| (request, secret))
        })
        .collect();
    let verdicts = judge(&cases);
    for ((kind, request), verdicts) in requests.iter().zip(verdicts.chunks(3)) {
        let id = request.field("webhook-id");
        for verdict in &verdicts[..2] {
            assert_eq!(verdict["signature"], "good", "{verdict}");
            let event = &verdict["event"];
            assert_eq!(event["id"], id);
            assert_eq!(event["type"], kind.event_type());
            assert_eq!(event["source"], "/tidegate/test");
            assert_eq!(event["specversion"], "1.0");
            assert_eq!(event["subject"], "0-3.0");
            assert_eq!(event["sequence"], "9");
            assert_eq!(event["time"], "2026-11-21T22:26:40.123Z");
            assert_eq!(event["datacontenttype"], "application/json");
            assert_eq!(event["data"], json!({"key": 3, "ticket": 9}));
        }
        let verdict = &verdicts[2];
        assert_ne!(verdict["signature"], "good", "{verdict}");
    }
}

#[test]
fn a_request_that_was_changed_is_found_out() {
    let good = request(Kind::Message, Mode::Binary, &[SECRET]);
    let mut body = good.clone();
    body.body[2] ^= 1;
    let mut id = good.clone();
    let mut time = good.clone();
    let change = |request: &mut Request, name: &str, value: &str| {
        let field = request.fields.iter_mut().find(|(field, _)| field == name);
        value.clone_into(&mut field.expect("a field").1);
    };
    change(&mut id, "webhook-id", "msg_other");
    let stamp: u64 = good.field("webhook-timestamp").parse().expect("seconds");
    change(&mut time, "webhook-timestamp", &(stamp + 1).to_string());
    let verdicts = judge(&[
        (&good, SECRET),
        (&body, SECRET),
        (&id, SECRET),
        (&time, SECRET),
    ]);
    assert_eq!(verdicts[0]["signature"], "good");
    for verdict in &verdicts[1..] {
        assert_ne!(verdict["signature"], "good", "{verdict}");
    }
}

#[test]
fn over_tls_only_the_given_certificate_is_believed() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = TestCertificate::write_to(directory.path());
    let read = |path: &Path| fs::read(path).expect("a file");
    let (chain, key) = (read(&files.chain), read(&files.key));
    let key = PrivateKeyDer::from_pem_slice(&key).expect("a key");
    let certificate = CertificateDer::from_pem_slice(&chain).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate and its key");
    let server = Server::start_with(Some(Arc::new(tls)), |_| Reply::json("{}"));
    let way = |roots: Vec<u8>| {
        Way::start(config(&server.url(), |config| {
            config.concurrency = 1;
            config.queue.retries = 0;
            let url = BackendUrl::parse(&server.url()).expect("a URL");
            config.client.url = url.with_roots(roots);
        }))
    };
    let good = way(chain);
    for ticket in 0..3 {
        let outcome = good.ask(Kind::Message, 1, ticket);
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    assert_eq!(server.connections(), 1, "kept");
    let others = tempfile::tempdir().expect("a directory");
    let other = TestCertificate::write_to(others.path());
    let failure = way(read(&other.chain)).ask(Kind::Message, 1, 0);
    let failure = failure.expect_err("another certificate");
    let is_told = matches!(&failure, Failure::Unreachable(why) if why.contains("certificate"));
    assert!(is_told, "{failure}");
    assert_eq!(server.requests(), 3, "it was told nothing");
}

#[test]
fn without_a_secret_nothing_is_signed() {
    let request = request(Kind::Message, Mode::Binary, &[]);
    assert!(!request.has("webhook-signature"));
    assert!(request.has("webhook-id") && request.has("webhook-timestamp"));
    assert_eq!(request.text(), r#"{"key":3,"ticket":9}"#);
    assert_eq!(request.field("content-type"), "application/json");
    assert!(request.field("user-agent").starts_with("tidegate/"));
    assert!(!request.has("accept-encoding"), "nothing is packed");
}
