//! The pages for people, in the binary: the demo page and the dashboard, written by hand, without a framework. `assets/` holds what
//! browsers get, byte for byte.

use serde_json::json;

use super::config::GatewayConfig;

/// Bytes of all files together: they are in every copy of the binary.
#[cfg(test)]
const BYTES_MAX: usize = 200_000;

/// A file for browsers.
#[derive(Debug)]
pub(super) struct Asset {
    path: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: &'static [u8],
    /// Another one for every other body.
    hash: u64,
}

impl Asset {
    const fn new(path: &'static str, body: &'static [u8]) -> Self {
        Self {
            path,
            content_type: content_type(path),
            body,
            hash: hash(body),
        }
    }

    /// Its entity tag (RFC 9110 section 8.8.3).
    pub(super) fn tag(&self) -> String {
        format!("\"{:016x}\"", self.hash)
    }
}

/// By what the path ends with; a page's path has no dot.
const fn content_type(path: &str) -> &'static str {
    match path.as_bytes() {
        [.., b'.', b'j', b's'] => "text/javascript; charset=utf-8",
        [.., b'.', b'c', b's', b's'] => "text/css; charset=utf-8",
        [.., b'.', b's', b'v', b'g'] => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    }
}

/// FNV-1a, 64 bits: told apart by the compiler, and not by anybody who wants them to be alike.
const fn hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}

macro_rules! assets {
    ($($file:literal)*) => {
        [$(Asset::new(concat!("/pages/", $file), include_bytes!(concat!("assets/", $file)))),*]
    };
}

/// The demo page, wherever the gateway protocol is spoken.
pub(super) const DEMO: &Asset = &Asset::new("/", include_bytes!("assets/demo.html"));
const DASHBOARD: &Asset = &Asset::new("/dashboard", include_bytes!("assets/dashboard.html"));
const FILES: &[Asset] = &assets!(
    "icon.svg" "tokens.css" "base.css" "theme.js" "dom.js" "format.js" "backoff.js"
    "demo.css" "demo.js" "demo-link.js" "demo-log.js" "demo-words.js" "demo-people.js"
    "dashboard.css" "dashboard.js" "dashboard-live.js" "dashboard-series.js" "dashboard-plot.js" "dashboard-tables.js"
    "dashboard-actions.js"
);

/// The file at a path.
pub(super) fn at(path: &str) -> Option<&'static Asset> {
    if path == DASHBOARD.path {
        return Some(DASHBOARD);
    }
    FILES.iter().find(|file| file.path == path)
}

/// Where the demo page asks what there is here.
pub(super) const DEMO_FACTS_PATH: &str = "/pages/demo.json";

/// What the demo page has to know: where it can connect, and with what.
pub(super) fn demo_facts(config: &GatewayConfig) -> Vec<u8> {
    let routes: Vec<_> = config
        .table()
        .map(|route| json!({ "path": route.path, "endpoint": route.endpoint.name() }))
        .collect();
    let facts = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "routes": routes,
        "messageBytesMax": config.codec.message_bytes_max,
        "subprotocols": config.subprotocols,
        "tokens": config.tokens.is_some(),
        "tokenRequired": config.tokens.is_some() && config.is_auth_required,
        "clientsBroadcast": config.may_clients_broadcast,
    });
    facts.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of one file.
    const LINES_MAX: usize = 550;

    #[test]
    fn the_pages_are_small() {
        let all = FILES.iter().chain([DEMO, DASHBOARD]);
        let bytes: usize = all.clone().map(|asset| asset.body.len()).sum();
        assert!(bytes <= BYTES_MAX, "{bytes} bytes");
        for asset in all {
            let lines = asset.body.iter().filter(|byte| **byte == b'\n').count();
            assert!(lines <= LINES_MAX, "{}: {lines} lines", asset.path);
        }
    }

    #[test]
    fn every_file_is_asked_for_and_every_file_that_is_asked_for_is_there() {
        let text = |asset: &Asset| String::from_utf8(asset.body.to_vec()).expect("UTF-8");
        let all: String = FILES.iter().chain([DEMO, DASHBOARD]).map(text).collect();
        for asset in FILES {
            let name = asset.path.trim_start_matches("/pages/");
            let is_asked_for = all.contains(&format!("\"{}\"", asset.path))
                || all.contains(&format!("'./{name}'"));
            assert!(is_asked_for, "{name}");
        }
        let absolute = all.split("\"/pages/").skip(1).map(|rest| rest.split('"'));
        let relative = all.split("from './").skip(1).map(|rest| rest.split('\''));
        let names = absolute.filter_map(|mut rest| rest.next());
        let names: Vec<_> = names
            .chain(relative.filter_map(|mut rest| rest.next()))
            .collect();
        assert!(names.len() > FILES.len());
        for name in names {
            let path = format!("/pages/{name}");
            assert!(at(&path).is_some() || path == DEMO_FACTS_PATH, "{path}");
        }
    }

    /// What the Content-Security-Policy forbids would do nothing, and what makes HTML of texts is not wanted at all.
    #[test]
    fn the_pages_hold_nothing_that_their_policy_forbids() {
        for asset in FILES.iter().chain([DEMO, DASHBOARD]) {
            let text = String::from_utf8(asset.body.to_vec()).expect("UTF-8");
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "style=\"",
                "onclick=",
                "javascript:",
                "<style",
                "https://",
            ] {
                assert!(!text.contains(forbidden), "{}: {forbidden}", asset.path);
            }
            let inline = text.matches("<script").count()
                - text.matches("<script src=").count()
                - text.matches("<script type=\"module\" src=").count();
            assert_eq!(inline, 0, "{}", asset.path);
        }
    }

    #[test]
    fn tags_and_types_are_those_of_the_files() {
        let script = at("/pages/dom.js").expect("a file");
        assert_eq!(script.content_type, "text/javascript; charset=utf-8");
        assert_eq!(
            at("/dashboard").expect("a page").content_type,
            DEMO.content_type
        );
        assert_eq!(Asset::new("/x", b"").tag(), "\"cbf29ce484222325\"");
        assert_eq!(Asset::new("/x", b"a").tag(), "\"af63dc4c8601ec8c\"");
        for path in [
            "/",
            "/pages/",
            "/pages/demo.html",
            "/dashboard/",
            "/pages/../x",
        ] {
            assert!(at(path).is_none(), "{path}");
        }
    }
}
