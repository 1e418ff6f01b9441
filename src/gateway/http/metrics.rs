//! `GET /metrics`: who may see them, and in which form.

use super::answer::Answer;
use super::call::{Form, Pending, key_of};
use super::{Outcome, RETRY_AFTER, say};
use crate::gateway::client::ClientAddress;
use crate::gateway::metrics::{Asked, Format, Scrape};
use crate::gateway::session::{Entry, GatewaySession};
use crate::http::head::RequestHead;
use crate::reactor::Context;

/// Where they are.
pub(super) const PATH: &str = "/metrics";

/// Answers a request for them, once the thread that knows them has.
pub(super) fn answer(
    request: &RequestHead<'_>,
    keep_alive: bool,
    entry: &Entry,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    let format = Format::accepted(request.headers("accept"));
    let form = Form {
        keep_alive,
        head_only: request.method == "HEAD",
        content_type: format.content_type(),
        asked: Asked::plain(PATH),
        origin: None,
    };
    if let Err(mut refusal) = admit(request, &entry.client, cx) {
        refusal.keep_alive = form.keep_alive;
        refusal.head_only = form.head_only;
        return say(&refusal.to(form.asked), cx);
    }
    let scrape = Scrape {
        worker: cx.shard.worker,
        connection: cx.key,
        format,
    };
    if !cx.shard.node.scrape(scrape) {
        let refusal = Answer::refusal(503, "Too many requests for metrics wait already.\n");
        return say(&refusal.with_headers(&[RETRY_AFTER]).to(form.asked), cx);
    }
    cx.clear_deadline();
    Outcome::Pending(Box::new(Pending::Waiting(form)))
}

/// Whether that client may see them: who shows the API key; and without such a key whoever is on this machine, and does not speak
/// for somebody else.
fn admit(
    request: &RequestHead<'_>,
    client: &ClientAddress,
    cx: &Context<'_, GatewaySession>,
) -> Result<(), Answer<'static>> {
    if !matches!(request.method, "GET" | "HEAD") {
        let refusal = Answer::refusal(405, "Only GET and HEAD are answered here.\n");
        return Err(refusal.with_headers(&[("Allow", "GET, HEAD")]));
    }
    let unauthorized =
        |sentence| Answer::refusal(401, sentence).with_headers(&[("WWW-Authenticate", "Bearer")]);
    if let Some(expected) = &cx.shard.config.api_key {
        return match key_of(request) {
            Some(given) if expected.is(given) => Ok(()),
            Some(_) => Err(unauthorized("The API key is wrong.\n")),
            None => Err(unauthorized(
                "An API key is wanted, in X-API-Key or as a Bearer token.\n",
            )),
        };
    }
    let is_proxy = ["x-forwarded-for", "forwarded", "via"]
        .iter()
        .any(|name| request.header(name).is_some());
    if client.ip.is_loopback() && !is_proxy {
        return Ok(());
    }
    Err(Answer::refusal(
        403,
        "No API key is set on this server (API_KEY), so that only its own machine may see the metrics.\n",
    ))
}
