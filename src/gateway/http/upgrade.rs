//! The opening handshake on a route: 101, or the refusal.

use super::answer::Answer;
use super::{Outcome, RETRY_AFTER, address_refused, connecting, say};
use crate::gateway::address::AddressRefusal;
use crate::gateway::admission::Verdict;
use crate::gateway::bearer;
use crate::gateway::client::ClientAddress;
use crate::gateway::config::EndpointKind;
use crate::gateway::metrics::Asked;
use crate::gateway::session::{Entry, GatewaySession};
use crate::gateway::websocket::{Opened, WebSocketStage};
use crate::http::forwarded::TrustedProxies;
use crate::http::head::RequestHead;
use crate::reactor::Context;
use crate::websocket::handshake::{self, Accepted, HandshakeError};
use crate::websocket::protocol::Protocol;

/// Checks everything that may refuse a WebSocket and answers 101, or the refusal.
pub(super) fn upgrade(
    request: &RequestHead<'_>,
    route: usize,
    entry: &mut Entry,
    cx: &mut Context<'_, GatewaySession>,
) -> Result<WebSocketStage, Outcome> {
    let config = std::sync::Arc::clone(&cx.shard.config);
    let accepted = match handshake::accept(request, &config.subprotocols, config.deflate) {
        Ok(accepted) => accepted,
        Err(error) => return Err(refuse_handshake(error, request, cx)),
    };
    // Whoever opens a dashboard has to show the API key first of all, wherever its page is from, and no token.
    let is_dashboard = config.routes[route].endpoint == EndpointKind::Dashboard;
    if !is_dashboard && !config.origins.allows(only_origin(request)) {
        let refusal = Answer::refusal(403, "Pages of this origin may not connect.\n");
        return Err(refuse(refusal, cx));
    }
    let shown = if is_dashboard {
        Ok(None)
    } else {
        bearer::of_handshake(request, &config, cx.now)
    };
    let bearer = match shown {
        Ok(bearer) => bearer,
        Err(unauthorized) => {
            let sentence = format!("{}\n", unauthorized.sentence());
            let refusal = Answer::refusal(401, &sentence);
            let refusal = refusal.with_headers(&[("WWW-Authenticate", "Bearer")]);
            return Err(refuse(refusal, cx));
        }
    };
    if cx.shard.node.is_draining() {
        let refusal = Answer::refusal(503, "The server is going away.\n");
        return Err(refuse(refusal.with_headers(&[RETRY_AFTER]), cx));
    }
    if let Err(refusal) = enter_forwarded(request, entry, cx) {
        return Err(refuse(address_refused(refusal), cx));
    }
    let node = std::sync::Arc::clone(&cx.shard.node);
    if let Some(behind) = node.behind()
        && behind.admits(config.routes[route].endpoint)
    {
        return Err(connecting::ask(
            request, accepted, route, bearer, behind, entry, cx,
        ));
    }
    let opened = Opened {
        bearer,
        user: None,
        memory: None,
    };
    Ok(switch(&accepted, route, opened, entry, cx))
}

/// Answers 101: from here on it is a WebSocket.
pub(super) fn switch(
    accepted: &Accepted<'_>,
    route: usize,
    opened: Opened<'_>,
    entry: &Entry,
    cx: &mut Context<'_, GatewaySession>,
) -> WebSocketStage {
    accepted.write(cx.out.cork());
    cx.shard.meters.count_answer(Asked::Handshake, 101);
    let row = &cx.shard.config.routes[route];
    log::info!(
        "{} opened: address={} path={}",
        cx.shard.id(cx.key),
        entry.client,
        row.path
    );
    let protocol = Protocol::new(crate::websocket::protocol::Role::Server, accepted.deflate);
    WebSocketStage::open(protocol, route, opened, cx)
}

/// The `Origin` header; several are no origin.
pub(super) fn only_origin<'b>(request: &RequestHead<'b>) -> Option<&'b [u8]> {
    let first = request.header("origin")?;
    (request.headers("origin").count() == 1).then_some(first)
}

pub(super) fn refuse_handshake(
    error: HandshakeError,
    request: &RequestHead<'_>,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    let mut refusal =
        Answer::refusal(error.status(), error.sentence()).with_headers(error.headers());
    refusal.head_only = request.method == "HEAD";
    refuse(refusal, cx)
}

pub(super) fn refuse(refusal: Answer<'_>, cx: &mut Context<'_, GatewaySession>) -> Outcome {
    say(&refusal.to(Asked::Handshake), cx)
}

/// The peer, or whom a trusted proxy speaks for.
pub(super) fn client_of(
    request: &RequestHead<'_>,
    peer: ClientAddress,
    proxies: &TrustedProxies,
) -> ClientAddress {
    if !proxies.contains(peer.ip) {
        return peer;
    }
    let values: Vec<_> = request.headers("x-forwarded-for").collect();
    let ip = proxies.client_address(peer.ip, values.into_iter());
    if ip == peer.ip {
        return peer;
    }
    ClientAddress { ip, port: 0 }
}

/// Behind a trusted proxy the client's own address is believed, and counted.
pub(super) fn enter_forwarded(
    request: &RequestHead<'_>,
    entry: &mut Entry,
    cx: &Context<'_, GatewaySession>,
) -> Result<(), AddressRefusal> {
    let proxies = &cx.shard.config.proxies;
    if !proxies.contains(entry.client.ip) {
        return Ok(());
    }
    entry.client = client_of(request, entry.client, proxies);
    let client = entry.client.ip;
    let node = &cx.shard.node;
    if entry.counted.is_some() || !node.admission.counts_addresses() {
        return Ok(());
    }
    if let Err(refusal) = node.admission.enter_address(client, cx.now) {
        if let Some(limit) = Verdict::from(refusal).limit() {
            node.tally.reached(limit, 1, cx.now, &client);
        }
        return Err(refusal);
    }
    entry.counted = Some(client);
    Ok(())
}
