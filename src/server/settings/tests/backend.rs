//! What is said of the back end.

use std::time::Duration;

use super::*;
use crate::backend::{Kind, Mode, QueuePolicy};

pub(super) const SECRET: &str = "whsec_c2VjcmV0IG9mIHR3ZW50eS1mb3VyIGJ5dGVz";
const URL: &str = "http://127.0.0.1:1/";

#[test]
fn without_a_url_there_is_none() {
    assert!(World::new().load().settings.backend.is_none());
}

#[test]
fn values_reach_their_fields() {
    let two = format!("{SECRET},whsec_YW5vdGhlciBvbmUgb2YgdHdlbnR5LWZvdXIgYnl0ZXM=");
    let settings = World::new()
        .environment("BACKEND_URL", "https://app.example/events")
        .environment("BACKEND_SECRET", &two)
        .environment("BACKEND_TLS_CA", "/ca.pem")
        .environment("BACKEND_EVENTS", "disconnect,connect")
        .environment("BACKEND_ENDPOINTS", "gateway,echo")
        .environment("BACKEND_HEADERS", "Cookie, X-Forwarded-Proto")
        .environment("BACKEND_FORMAT", "structured")
        .environment("BACKEND_TIMEOUT", "2s")
        .environment("BACKEND_RETRIES", "0")
        .environment("BACKEND_CONCURRENCY", "3")
        .environment("BACKEND_QUEUE", "5")
        .environment("BACKEND_QUEUE_SIZE", "1MiB")
        .environment("BACKEND_QUEUE_POLICY", "drop-oldest")
        .environment("BACKEND_DISCONNECT_DELAY", "0s")
        .load()
        .settings
        .backend
        .expect("a back end");
    assert_eq!(format!("{:?}", settings.secrets), "Secrets(2)");
    assert_eq!(settings.roots, Some("/ca.pem".into()));
    assert_eq!(settings.events, [Kind::Disconnect, Kind::Connect]);
    let endpoints = [EndpointKind::Gateway, EndpointKind::Echo];
    assert_eq!(settings.endpoints, endpoints);
    assert_eq!(settings.headers, ["cookie", "x-forwarded-proto"]);
    assert_eq!(settings.mode, Mode::Structured);
    assert_eq!(settings.queue.time_limit, Duration::from_secs(2));
    assert_eq!((settings.queue.retries, settings.concurrency), (0, 3));
    assert_eq!(settings.queue.events_max, 5);
    assert_eq!(settings.queue.bytes_max, 1 << 20);
    assert_eq!(settings.queue.policy, QueuePolicy::DropOldest);
    assert_eq!(settings.disconnect_delay, Duration::ZERO);
}

#[test]
fn what_cannot_be_is_refused() {
    let many = vec!["a"; 33].join(",");
    for (name, value, problem) in [
        (
            "BACKEND_URL",
            "app.example",
            "BACKEND_URL = (hidden) (environment): must begin with http:// or https://",
        ),
        (
            "BACKEND_SECRET",
            "secret",
            "BACKEND_SECRET = (hidden) (environment): a secret begins with whsec_",
        ),
        (
            "BACKEND_EVENTS",
            "connects",
            "BACKEND_EVENTS = \"connects\" (environment): \"connects\" must be connect, message or disconnect",
        ),
        (
            "BACKEND_ENDPOINTS",
            "dashboard",
            "BACKEND_ENDPOINTS = \"dashboard\" (environment): \"dashboard\" must be gateway, echo, broadcast or socketio",
        ),
        (
            "BACKEND_ENDPOINTS",
            "gateway,engineio-echo",
            "BACKEND_ENDPOINTS = \"gateway,engineio-echo\" (environment): \"engineio-echo\" must be gateway, echo, broadcast or socketio",
        ),
        (
            "BACKEND_HEADERS",
            "a b",
            "BACKEND_HEADERS = \"a b\" (environment): \"a b\" must be the name of a header field",
        ),
    ] {
        let mut world = World::new().environment("BACKEND_URL", URL);
        world = world.environment(name, value);
        assert_eq!(world.error(), problem);
    }
    let world = World::new().environment("BACKEND_HEADERS", &many);
    assert!(world.error().contains("must name 32 header fields at most"));
}

#[test]
fn what_nobody_would_use_is_refused() {
    let problem = "must come with BACKEND_URL, which is not set";
    for (name, value) in [("BACKEND_SECRET", SECRET), ("BACKEND_TLS_CA", "/x")] {
        let error = World::new().environment(name, value).error();
        assert!(error.contains(problem), "{error}");
    }
}
