//! The HTTP stage of a connection: requests one after the other, kept alive and pipelined, until one upgrades.

use super::admission::Verdict;
use super::config::EndpointKind;
use super::session::{Entry, GatewaySession};
use super::shard::Shard;
use super::websocket::WebSocketStage;
use crate::http::body::BodyFraming;
use crate::http::error::HttpError;
use crate::http::head::{HeadRoom, HeadScanner, RequestHead};
use crate::http::response::Response;
use crate::limits::HEAD_BYTES_MAX;
use crate::reactor::{CloseReason, Context, Tick};
use crate::websocket::close::CloseCode;
use crate::websocket::handshake::{self, HandshakeError};
use crate::websocket::protocol::{Input, Protocol};

/// Seconds after which a refused client may try again.
const RETRY_AFTER: (&str, &str) = ("Retry-After", "5");
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// Waits for request heads.
#[derive(Debug, Default)]
pub(super) struct HttpStage {
    scanner: HeadScanner,
    /// The beginning of a head that has not arrived whole.
    partial: Vec<u8>,
}

/// What a request came to.
enum Outcome {
    /// Answered; the next one may follow.
    Next,
    /// Answered, and it was the last.
    Last(CloseReason),
    /// Switches protocols.
    Upgrade(WebSocketStage),
}

/// An answer that needs no more than itself.
struct Answer<'a> {
    status: u16,
    content_type: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a str,
    keep_alive: bool,
    head_only: bool,
}

impl<'a> Answer<'a> {
    /// Refuses with a plain sentence; the connection ends after it.
    fn refusal(status: u16, sentence: &'a str) -> Self {
        Self {
            status,
            content_type: TEXT,
            headers: &[],
            body: sentence,
            keep_alive: false,
            head_only: false,
        }
    }

    fn with_headers(mut self, headers: &'a [(&'a str, &'a str)]) -> Self {
        self.headers = headers;
        self
    }

    fn write(&self, out: &mut Vec<u8>, shard: &mut Shard, now: Tick) {
        Response {
            status: self.status,
            content_type: self.content_type,
            headers: self.headers,
            body: self.body.as_bytes(),
            keep_alive: self.keep_alive,
            head_only: self.head_only,
            date: shard.date(now),
        }
        .write(out);
    }
}

impl HttpStage {
    /// Answers every whole request in `input`; the stage that follows where one upgrades.
    pub(super) fn on_input(
        &mut self,
        input: &mut Input<'_>,
        entry: &mut Entry,
        cx: &mut Context<'_, GatewaySession>,
    ) -> Option<WebSocketStage> {
        while !input.is_empty() && !cx.out.is_congested() {
            let outcome = if self.partial.is_empty() {
                match self.scanner.scan(input.remaining()) {
                    Ok(Some(len)) => {
                        let outcome = answer(&input.remaining()[..len], entry, cx);
                        input.advance(len);
                        outcome
                    }
                    Ok(None) => {
                        self.partial.extend_from_slice(input.remaining());
                        input.advance(input.remaining().len());
                        return None;
                    }
                    Err(error) => refuse_head(error, cx),
                }
            } else {
                let before = self.partial.len();
                let room = HEAD_BYTES_MAX.saturating_sub(before) + 1;
                let taken = room.min(input.remaining().len());
                self.partial.extend_from_slice(&input.remaining()[..taken]);
                match self.scanner.scan(&self.partial) {
                    Ok(Some(len)) => {
                        input.advance(len - before);
                        answer(&self.partial[..len], entry, cx)
                    }
                    Ok(None) => {
                        input.advance(taken);
                        continue;
                    }
                    Err(error) => refuse_head(error, cx),
                }
            };
            self.scanner = HeadScanner::default();
            self.partial = Vec::new();
            match outcome {
                Outcome::Next => cx.set_deadline(cx.shard.config.handshake_timeout),
                Outcome::Upgrade(websocket) => return Some(websocket),
                Outcome::Last(reason) => {
                    cx.close(reason);
                    return None;
                }
            }
        }
        None
    }

    pub(super) fn on_end(&self, cx: &mut Context<'_, GatewaySession>) {
        cx.close(CloseReason::peer(
            CloseCode::NO_STATUS,
            "the peer ended the connection",
        ));
    }

    pub(super) fn on_deadline(&mut self, cx: &mut Context<'_, GatewaySession>) {
        let detail = "no complete request arrived in time";
        if !self.partial.is_empty() {
            Answer::refusal(408, "No complete request arrived in time.\n").write(
                cx.out.cork(),
                cx.shard,
                cx.now,
            );
        }
        cx.close(CloseReason::server(CloseCode::NO_STATUS, detail));
    }

    /// A connection that is between two requests goes at once; one whose request is under way gets its answer first.
    pub(super) fn on_drain(&mut self, cx: &mut Context<'_, GatewaySession>) {
        if self.partial.is_empty() {
            cx.close(CloseReason::server(
                CloseCode::NO_STATUS,
                "the server is going away",
            ));
        }
    }
}

fn refuse_head(error: HttpError, cx: &mut Context<'_, GatewaySession>) -> Outcome {
    log::debug!(
        "{} refused: {} {}",
        cx.shard.id(cx.key),
        error.status(),
        error.sentence()
    );
    Answer::refusal(error.status(), error.sentence()).write(cx.out.cork(), cx.shard, cx.now);
    Outcome::Last(CloseReason::server(CloseCode::NO_STATUS, error.sentence()))
}

/// Answers one request.
fn answer(head: &[u8], entry: &mut Entry, cx: &mut Context<'_, GatewaySession>) -> Outcome {
    let mut room = HeadRoom::new();
    let request = match RequestHead::parse(head, &mut room) {
        Ok(request) => request,
        Err(error) => return refuse_head(error, cx),
    };
    let framing = match request.body() {
        Ok(framing) => framing,
        Err(error) => return refuse_head(error, cx),
    };
    if let Some(refusal) = refuse_entry(entry.verdict) {
        return say(&refusal, cx);
    }
    let route = cx
        .shard
        .config
        .routes
        .iter()
        .position(|route| route.path == request.path());
    let Some(route) = route else {
        // A body that nobody reads, or a peer that goes on as if it had been upgraded, must not be taken for requests.
        // A server that is going away waits for no further request.
        let keep_alive = request.keep_alive()
            && !handshake::is_upgrade(&request)
            && framing == BodyFraming::None
            && !cx.shard.node.is_draining();
        return page(&request, keep_alive, cx);
    };
    match upgrade(&request, route, entry, cx) {
        Ok(websocket) => Outcome::Upgrade(websocket),
        Err(outcome) => outcome,
    }
}

/// The answer to a connection that was not let in.
fn refuse_entry(verdict: Verdict) -> Option<Answer<'static>> {
    match verdict {
        Verdict::Admitted => None,
        Verdict::AddressFull => Some(address_full()),
        Verdict::ProcessFull | Verdict::Dropped => {
            let sentence = "The server has all the connections it may have.\n";
            Some(Answer::refusal(503, sentence).with_headers(&[RETRY_AFTER]))
        }
    }
}

fn address_full() -> Answer<'static> {
    let sentence = "Your address has all the connections it may have.\n";
    Answer::refusal(429, sentence).with_headers(&[RETRY_AFTER])
}

/// Writes an answer; whether it is the last is for it to say.
fn say(answer: &Answer<'_>, cx: &mut Context<'_, GatewaySession>) -> Outcome {
    log::debug!("{} answered {}", cx.shard.id(cx.key), answer.status);
    answer.write(cx.out.cork(), cx.shard, cx.now);
    if answer.keep_alive {
        return Outcome::Next;
    }
    Outcome::Last(CloseReason::server(
        CloseCode::NO_STATUS,
        "the request was answered",
    ))
}

/// The plain pages.
fn page(
    request: &RequestHead<'_>,
    keep_alive: bool,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    let is_read = matches!(request.method, "GET" | "HEAD");
    let mut answer = match request.path() {
        "/health" if !is_read => Answer::refusal(405, "Only GET and HEAD are answered here.\n")
            .with_headers(&[("Allow", "GET, HEAD")]),
        "/health" if cx.shard.node.is_draining() => Answer {
            content_type: JSON,
            ..Answer::refusal(503, "{\"status\":\"draining\"}\n")
        },
        "/health" => Answer {
            content_type: JSON,
            ..Answer::refusal(200, "{\"status\":\"ok\"}\n")
        },
        _ => Answer::refusal(404, "There is nothing at this path.\n"),
    };
    answer.keep_alive = keep_alive;
    answer.head_only = request.method == "HEAD";
    say(&answer, cx)
}

/// Checks everything that may refuse a WebSocket and answers 101, or the refusal.
fn upgrade(
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
    if !config.origins.allows(only_origin(request)) {
        return Err(say(
            &Answer::refusal(403, "Pages of this origin may not connect.\n"),
            cx,
        ));
    }
    if cx.shard.node.is_draining() {
        let refusal = Answer::refusal(503, "The server is going away.\n");
        return Err(say(&refusal.with_headers(&[RETRY_AFTER]), cx));
    }
    if !enter_forwarded(request, entry, cx.shard) {
        return Err(say(&address_full(), cx));
    }
    accepted.write(cx.out.cork());
    let row = &config.routes[route];
    log::info!(
        "{} opened: address={} path={}",
        cx.shard.id(cx.key),
        entry.client,
        row.path
    );
    let protocol = Protocol::new(crate::websocket::protocol::Role::Server, accepted.deflate);
    let channel = match row.endpoint {
        EndpointKind::Echo => None,
        EndpointKind::Broadcast => Some(cx.shard.channel_of(route)),
    };
    Ok(WebSocketStage::open(protocol, channel, cx))
}

/// The `Origin` header; several are no origin.
fn only_origin<'b>(request: &RequestHead<'b>) -> Option<&'b [u8]> {
    let first = request.header("origin")?;
    (request.headers("origin").count() == 1).then_some(first)
}

fn refuse_handshake(
    error: HandshakeError,
    request: &RequestHead<'_>,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    let mut refusal =
        Answer::refusal(error.status(), error.sentence()).with_headers(error.headers());
    refusal.head_only = request.method == "HEAD";
    say(&refusal, cx)
}

/// Behind a trusted proxy the client's own address is believed, and counted; false where it has all it may have.
fn enter_forwarded(request: &RequestHead<'_>, entry: &mut Entry, shard: &Shard) -> bool {
    let peer = entry.client.ip;
    if !shard.config.proxies.contains(peer) {
        return true;
    }
    let values: Vec<_> = request.headers("x-forwarded-for").collect();
    let client = shard
        .config
        .proxies
        .client_address(peer, values.into_iter());
    if client != peer {
        entry.client.ip = client;
        entry.client.port = 0;
    }
    let admission = &shard.node.admission;
    if entry.counted.is_none() && admission.counts_addresses() {
        if !admission.enter_address(client) {
            return false;
        }
        entry.counted = Some(client);
    }
    true
}
