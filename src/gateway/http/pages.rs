//! The pages for people, and what they are made of.

use super::answer::Answer;
use super::{Outcome, say};
use crate::gateway::config::{EndpointKind, GatewayConfig};
use crate::gateway::metrics::Asked;
use crate::gateway::pages::{self, Asset};
use crate::gateway::session::GatewaySession;
use crate::http::head::RequestHead;
use crate::reactor::Context;
use crate::websocket::handshake;

/// Scripts, styles and connections of this server and of no other; nothing that stands in the page itself, and no text becomes HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// Something for browsers.
pub(super) enum Page {
    /// A file.
    Asset(&'static Asset),
    /// What the demo page has to know of this server.
    Demo(Vec<u8>),
}

/// What a request is for, where it is for a page. A handshake that lost its `Upgrade` on the way to a route is none.
pub(super) fn find(
    request: &RequestHead<'_>,
    route: Option<usize>,
    config: &GatewayConfig,
) -> Option<Page> {
    if handshake::is_upgrade(request) {
        return None;
    }
    let path = request.path();
    match route {
        Some(route) => {
            let is_gateway = config.routes[route].endpoint == EndpointKind::Gateway;
            let is_read = matches!(request.method, "GET" | "HEAD");
            let is_handshake = request.header("sec-websocket-key").is_some();
            let is_page = is_gateway && is_read && !is_handshake && config.has_demo_page;
            is_page.then_some(Page::Asset(pages::DEMO))
        }
        None if path == pages::DEMO_FACTS_PATH => {
            let is_there = config.has_demo_page;
            is_there.then(|| Page::Demo(pages::demo_facts(config)))
        }
        None => pages::at(path).map(Page::Asset),
    }
}

/// Answers a request for a page.
pub(super) fn answer(
    request: &RequestHead<'_>,
    page: &Page,
    keep_alive: bool,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    let tag;
    let mut headers = vec![
        ("Cache-Control", "no-cache"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Content-Security-Policy", POLICY),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    ];
    let mut answer = match page {
        _ if !matches!(request.method, "GET" | "HEAD") => {
            headers = vec![("Allow", "GET, HEAD")];
            Answer::refusal(405, "Only GET and HEAD are answered here.\n")
        }
        Page::Asset(asset) => {
            tag = asset.tag();
            headers.push(("ETag", &tag));
            let is_known = is_listed(request, &tag);
            Answer {
                content_type: if is_known { "" } else { asset.content_type },
                body: asset.body,
                ..Answer::refusal(if is_known { 304 } else { 200 }, "")
            }
        }
        Page::Demo(facts) => Answer {
            content_type: crate::gateway::api::JSON,
            body: facts,
            ..Answer::refusal(200, "")
        },
    };
    answer.headers = &headers;
    answer.keep_alive = keep_alive;
    answer.head_only = request.method == "HEAD";
    say(&answer.to(Asked::OTHER), cx)
}

/// Whether the client has what that tag stands for (RFC 9110 section 13.1.2). A proxy that compresses makes the tag a weak one.
fn is_listed(request: &RequestHead<'_>, tag: &str) -> bool {
    let values = request.headers("if-none-match");
    let mut tags = values.flat_map(|value| value.split(|byte| *byte == b','));
    tags.any(|one| {
        let one = one.trim_ascii();
        one == b"*" || one.strip_prefix(b"W/").unwrap_or(one) == tag.as_bytes()
    })
}
