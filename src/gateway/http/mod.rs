//! The HTTP stage of a connection: requests one after the other, kept alive and pipelined, until one upgrades.

mod answer;
mod call;
mod connecting;
mod engineio;
mod metrics;
mod pages;
mod upgrade;

use std::ops::ControlFlow;

use super::address::AddressRefusal;
use super::admission::Verdict;
use super::api;
use super::metrics::Asked;
use super::session::{Entry, GatewaySession};
use super::shard::Shard;
use super::websocket::WebSocketStage;
use crate::http::body::BodyFraming;
use crate::http::error::HttpError;
use crate::http::head::{HeadRoom, HeadScanner, RequestHead};
use crate::id::ConnKey;
use crate::limits::HEAD_BYTES_MAX;
use crate::reactor::{CloseReason, Context};
use crate::websocket::close::CloseCode;
use crate::websocket::handshake;
use crate::websocket::protocol::Input;
use answer::Answer;
use call::Pending;
use upgrade::upgrade;

/// Seconds after which a refused client may try again.
const RETRY_AFTER: (&str, &str) = ("Retry-After", "5");

/// Waits for request heads.
#[derive(Debug, Default)]
pub(super) struct HttpStage {
    scanner: HeadScanner,
    /// The beginning of a head that has not arrived whole.
    partial: Vec<u8>,
    /// The last request, where its answer takes time.
    pending: Option<Box<Pending>>,
    /// The next request is for another worker, which gets the connection.
    is_leaving: bool,
}

/// What a request came to.
enum Outcome {
    /// Answered; the next one may follow.
    Next,
    /// Answered, and it was the last.
    Last(CloseReason),
    /// To be answered later; the next one waits.
    Pending(Box<Pending>),
    /// Switches protocols.
    Upgrade(WebSocketStage),
    /// It is for another worker.
    Move(usize),
}

impl HttpStage {
    /// Answers every whole request in `input`; the stage that follows where one upgrades.
    pub(super) fn on_input(
        &mut self,
        input: &mut Input<'_>,
        entry: &mut Entry,
        cx: &mut Context<'_, GatewaySession>,
    ) -> Option<WebSocketStage> {
        while !input.is_empty() && !cx.out.is_congested() && !self.is_leaving {
            let outcome = match self.pending.take().map(|pending| *pending) {
                None => self.next_outcome(input, entry, cx)?,
                Some(reading @ Pending::Reading(_)) if cx.shard.is_congested() => {
                    // It may publish: back ends wait as clients do, so that nothing piles up between the workers.
                    self.pending = Some(Box::new(reading));
                    cx.shard.paused.push(cx.key);
                    return None;
                }
                Some(Pending::Reading(reading)) => reading.receive(input, cx),
                Some(Pending::Posting(post)) if !post.is_complete() => post.receive(input, cx),
                Some(waiting) => {
                    if let Pending::Polling(poll) = &waiting {
                        poll.hurry(cx.shard);
                    }
                    self.pending = Some(Box::new(waiting));
                    return None;
                }
            };
            if let Outcome::Upgrade(websocket) = outcome {
                return Some(websocket);
            }
            if self.go_on(outcome, cx).is_break() {
                return None;
            }
        }
        None
    }

    /// Whether further requests are read.
    fn go_on(&mut self, outcome: Outcome, cx: &mut Context<'_, GatewaySession>) -> ControlFlow<()> {
        match outcome {
            Outcome::Next => cx.set_deadline(cx.shard.config.handshake_timeout),
            Outcome::Pending(pending) => self.pending = Some(pending),
            Outcome::Upgrade(_) => unreachable!("taken before"),
            Outcome::Move(worker) => {
                self.is_leaving = true;
                cx.hand_over(worker);
                return ControlFlow::Break(());
            }
            Outcome::Last(reason) => {
                cx.close(reason);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// What the workers were asked for has come.
    pub(super) fn on_told(&mut self, body: &[u8], cx: &mut Context<'_, GatewaySession>) {
        if let Some(Pending::Waiting(form)) = self.pending.take().map(|pending| *pending) {
            let outcome = call::succeed(body, &form, cx);
            let _ = self.go_on(outcome, cx);
        }
    }

    /// What a GET of a session waited for has come.
    pub(super) fn on_polled(&mut self, body: &[u8], cx: &mut Context<'_, GatewaySession>) {
        let is_poll = |pending: &mut Box<Pending>| matches!(**pending, Pending::Polling(_));
        if let Some(Pending::Polling(poll)) = self.pending.take_if(is_poll).map(|pending| *pending)
        {
            let outcome = poll.answer(body, cx);
            let _ = self.go_on(outcome, cx);
        }
    }

    /// There is time for further messages of a POST.
    pub(super) fn on_post_goes_on(&mut self, cx: &mut Context<'_, GatewaySession>) {
        let is_post = |pending: &mut Box<Pending>| matches!(**pending, Pending::Posting(_));
        if let Some(Pending::Posting(post)) = self.pending.take_if(is_post).map(|pending| *pending)
        {
            let outcome = post.go_on(cx);
            let _ = self.go_on(outcome, cx);
        }
    }

    /// The connection has gone: a session that has to do with it is told.
    pub(super) fn on_close(&mut self, cx: &mut Context<'_, GatewaySession>) {
        self.lose(cx.key, cx.shard);
    }

    /// The connection goes to another worker. Gives back the head of a request that is for that one; a session of this one that
    /// has to do with it loses it.
    pub(super) fn on_detach(&mut self, key: ConnKey, shard: &mut Shard) -> Vec<u8> {
        self.lose(key, shard);
        if !std::mem::take(&mut self.is_leaving) {
            return Vec::new();
        }
        self.scanner = HeadScanner::default();
        std::mem::take(&mut self.partial)
    }

    fn lose(&mut self, key: ConnKey, shard: &mut Shard) {
        match self.pending.take().map(|pending| *pending) {
            Some(Pending::Polling(poll)) => poll.lost(key, shard),
            Some(Pending::Posting(post)) => post.lost(shard),
            other => self.pending = other.map(Box::new),
        }
    }

    /// The back end has said whether the client may connect; the stage that follows where it may.
    pub(super) fn on_admitted(
        &mut self,
        answer: &Result<crate::backend::Answer, crate::backend::Failure>,
        entry: &Entry,
        cx: &mut Context<'_, GatewaySession>,
    ) -> Option<WebSocketStage> {
        let Some(Pending::Connecting(connecting)) = self.pending.take().map(|pending| *pending)
        else {
            return None;
        };
        match connecting.admit(answer, entry, cx) {
            Ok(websocket) => Some(websocket),
            Err(outcome) => {
                let _ = self.go_on(outcome, cx);
                None
            }
        }
    }

    /// What the next request came to; `None` where its head goes on in bytes that have not come.
    fn next_outcome(
        &mut self,
        input: &mut Input<'_>,
        entry: &mut Entry,
        cx: &mut Context<'_, GatewaySession>,
    ) -> Option<Outcome> {
        let outcome = if self.partial.is_empty() {
            let bytes = input.remaining();
            let mut room = HeadRoom::new();
            if let Some(request) = RequestHead::parse_whole(bytes, &mut room) {
                let (len, outcome) = (bytes.len(), answer(&request, false, entry, cx));
                // It is read again where it is answered.
                if !matches!(outcome, Outcome::Move(_)) {
                    input.advance(len);
                }
                return Some(outcome);
            }
            match self.scanner.scan(bytes) {
                Ok(Some(len)) => {
                    let outcome = read(&bytes[..len], len < bytes.len(), entry, cx);
                    if !matches!(outcome, Outcome::Move(_)) {
                        input.advance(len);
                    }
                    outcome
                }
                Ok(None) => {
                    self.partial.extend_from_slice(bytes);
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
                    self.partial.truncate(len);
                    let outcome = read(&self.partial, !input.is_empty(), entry, cx);
                    if matches!(outcome, Outcome::Move(_)) {
                        return Some(outcome);
                    }
                    outcome
                }
                Ok(None) => {
                    // All that came was taken: a head that fills the room would be refused.
                    input.advance(taken);
                    return None;
                }
                Err(error) => refuse_head(error, cx),
            }
        };
        self.scanner = HeadScanner::default();
        self.partial = Vec::new();
        Some(outcome)
    }

    pub(super) fn on_end(&mut self, cx: &mut Context<'_, GatewaySession>) {
        if let Some(Pending::Waiting(form)) = self.pending.as_deref_mut() {
            // It may still read what it has asked for.
            form.keep_alive = false;
            return;
        }
        // Who waits for a session's packets, or brings some, is lost to it: `on_close` says so.
        cx.close(CloseReason::peer(
            CloseCode::NO_STATUS,
            "the peer ended the connection",
        ));
    }

    pub(super) fn on_deadline(&mut self, cx: &mut Context<'_, GatewaySession>) {
        const DETAIL: &str = "no complete request arrived in time";
        let pending = self.pending.take().map(|pending| *pending);
        if let Some(Pending::Reading(reading)) = pending {
            // Closed below, whatever it comes to.
            let _ = reading.refuse_late(cx);
        } else if let Some(Pending::Posting(post)) = pending {
            let _ = post.refuse_late(cx);
        } else if !self.partial.is_empty() || pending.is_some() {
            let answer = Answer::refusal(408, "No complete request arrived in time.\n");
            answer.write(cx.out.cork(), cx.shard, cx.now);
        }
        cx.close(CloseReason::server(CloseCode::NO_STATUS, DETAIL));
    }

    /// A connection that is between two requests goes at once; one whose request is under way gets its answer first.
    pub(super) fn on_drain(&mut self, cx: &mut Context<'_, GatewaySession>) {
        if let Some(Pending::Polling(poll)) = self.pending.as_deref() {
            poll.leave(cx);
        }
        if self.partial.is_empty() && self.pending.is_none() {
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

/// Answers the request that has this head, behind which there may be more.
fn read(
    head: &[u8],
    has_more: bool,
    entry: &mut Entry,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    let mut room = HeadRoom::new();
    match RequestHead::parse(head, &mut room) {
        Ok(request) => answer(&request, has_more, entry, cx),
        Err(error) => refuse_head(error, cx),
    }
}

/// Answers one request.
fn answer(
    request: &RequestHead<'_>,
    has_more: bool,
    entry: &mut Entry,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    let route = cx
        .shard
        .config
        .routes
        .iter()
        .position(|route| route.path == request.path());
    let page = pages::find(request, route, &cx.shard.config);
    let route = route.filter(|_| page.is_none());
    let endpoint = route.map(|route| cx.shard.config.routes[route].endpoint);
    let engineio = endpoint.filter(|endpoint| endpoint.is_engineio());
    let is_handshake = route.is_some() || handshake::is_upgrade(request);
    let is_call = !is_handshake && api::is_api(request.path());
    let asked = if engineio.is_some() {
        engineio::asked(request)
    } else if is_handshake {
        Asked::Handshake
    } else {
        Asked::plain(request.path())
    };
    let framing = match request.body() {
        Ok(framing) => framing,
        Err(error) if is_call => {
            return call::refuse_early(request, error.status(), error.sentence(), &[], cx);
        }
        Err(error) => return refuse_head(error, cx),
    };
    if let Some((status, sentence)) = refuse_entry(entry.verdict) {
        if is_call {
            return call::refuse_early(request, status, sentence.trim_end(), &[RETRY_AFTER], cx);
        }
        let refusal = Answer::refusal(status, sentence).with_headers(&[RETRY_AFTER]);
        return say(&refusal.to(asked), cx);
    }
    let Some(route) = route else {
        if is_call {
            return call::begin(request, framing, has_more, cx);
        }
        // A body that nobody reads, or a peer that goes on as if it had been upgraded, must not be taken for requests.
        // A server that is going away waits for no further request.
        let keep_alive = request.keep_alive()
            && !is_handshake
            && framing == BodyFraming::None
            && !cx.shard.node.is_draining();
        if request.path() == metrics::PATH && !is_handshake {
            return metrics::answer(request, keep_alive, entry, cx);
        }
        if let Some(page) = page {
            return pages::answer(request, &page, keep_alive, cx);
        }
        return plain(request, keep_alive, asked, cx);
    };
    if let Some(kind) = engineio {
        return engineio::answer(request, kind, framing, has_more, entry, cx);
    }
    match upgrade(request, route, entry, cx) {
        Ok(websocket) => Outcome::Upgrade(websocket),
        Err(outcome) => outcome,
    }
}

/// Status and sentence for a connection that was not let in.
fn refuse_entry(verdict: Verdict) -> Option<(u16, &'static str)> {
    match verdict {
        Verdict::Admitted => None,
        Verdict::AddressFull => Some((429, address_sentence(AddressRefusal::Full))),
        Verdict::AddressTooOften => Some((429, address_sentence(AddressRefusal::TooOften))),
        Verdict::ProcessFull | Verdict::Dropped => {
            Some((503, "The server has all the connections it may have.\n"))
        }
    }
}

fn address_sentence(refusal: AddressRefusal) -> &'static str {
    match refusal {
        AddressRefusal::Full => "Your address has all the connections it may have.\n",
        AddressRefusal::TooOften => "Your address connects too often.\n",
    }
}

fn address_refused(refusal: AddressRefusal) -> Answer<'static> {
    Answer::refusal(429, address_sentence(refusal)).with_headers(&[RETRY_AFTER])
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

/// What is told in plain words.
fn plain(
    request: &RequestHead<'_>,
    keep_alive: bool,
    asked: Asked,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    let is_read = matches!(request.method, "GET" | "HEAD");
    let mut answer = match request.path() {
        "/health" if !is_read => Answer::refusal(405, "Only GET and HEAD are answered here.\n")
            .with_headers(&[("Allow", "GET, HEAD")]),
        "/health" if cx.shard.node.is_draining() => Answer {
            content_type: api::JSON,
            ..Answer::refusal(503, "{\"status\":\"draining\"}\n")
        },
        "/health" => Answer {
            content_type: api::JSON,
            ..Answer::refusal(200, "{\"status\":\"ok\"}\n")
        },
        _ => Answer::refusal(404, "There is nothing at this path.\n"),
    };
    answer.keep_alive = keep_alive;
    answer.head_only = request.method == "HEAD";
    say(&answer.to(asked), cx)
}
