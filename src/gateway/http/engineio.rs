//! Requests of Engine.IO: the ones that open a session, wait for its packets, bring it some, or give it a WebSocket.

use std::sync::Arc;

use super::answer::{Answer, TEXT};
use super::call::{self, Form, Pending, allowed_origin, push_origin};
use super::upgrade::{client_of, enter_forwarded, only_origin, refuse_handshake};
use super::{Outcome, RETRY_AFTER, address_sentence, say};
use crate::gateway::api;
use crate::gateway::bearer;
use crate::gateway::config::EndpointKind;
use crate::gateway::metrics::Asked;
use crate::gateway::session::{Entry, GatewaySession};
use crate::gateway::shard::Shard;
use crate::gateway::socketio::{
    Backing, Full, Opening, Place, PostState, Session, route as route_name,
};
use crate::gateway::websocket::WebSocketStage;
use crate::http::body::{BodyDecoder, BodyFraming};
use crate::http::head::RequestHead;
use crate::http::response::CONTINUE;
use crate::id::ConnKey;
use crate::limits::HAND_OVERS_MAX;
use crate::reactor::Context;
use crate::socketio::engine::handshake::{Refusal, Request, Transport};
use crate::websocket::handshake;
use crate::websocket::protocol::{Input, Protocol, Role};

/// What a proxy tells that has chosen this node by it, so that requests for the session come here too.
const ROUTE_HEADER: &str = "x-tidegate-route";
/// The packet that says nothing.
const NOOP: &[u8] = b"6";
const METHODS: &str = "GET, POST, OPTIONS";

/// A GET that waits for packets.
#[derive(Debug)]
pub(super) struct Poll {
    session: ConnKey,
    form: Form,
}

/// A POST that is not done with.
#[derive(Debug)]
pub(super) struct Post {
    session: ConnKey,
    decoder: BodyDecoder,
    body: Vec<u8>,
    /// Of the body, so many bytes are read.
    done: usize,
    form: Form,
}

/// Answers one request for an Engine.IO endpoint.
pub(super) fn answer(
    request: &RequestHead<'_>,
    kind: EndpointKind,
    framing: BodyFraming,
    has_body_begun: bool,
    entry: &mut Entry,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    let is_upgrade = handshake::is_upgrade(request);
    let form = Form {
        // What nobody reads must not be taken for requests.
        keep_alive: request.keep_alive() && framing == BodyFraming::None && !is_upgrade,
        head_only: request.method == "HEAD",
        content_type: TEXT,
        asked: asked(request),
        origin: allowed_origin(request, cx),
    };
    if request.method == "OPTIONS" {
        return preflight(&form, cx);
    }
    let wanted = match Request::read(request.method, request.query().unwrap_or(""), is_upgrade) {
        Ok(wanted) => wanted,
        Err(refusal) => return refuse_request(refusal, &form, cx),
    };
    // A browser sends no Origin with a GET of a page of the same origin, and with every other one to read the answer.
    let may_lack_origin = request.method == "GET" && !is_upgrade;
    let has_origin = request.header("origin").is_some();
    let is_judged = has_origin || !may_lack_origin;
    if is_judged && !cx.shard.config.origins.allows(only_origin(request)) {
        return refuse_request(Refusal::Forbidden, &form, cx);
    }
    let (Request::Poll(sid) | Request::Post(sid) | Request::Upgrade(sid)) = &wanted else {
        return open(request, kind, is_upgrade, form, entry, cx);
    };
    let session = match Session::find(cx.shard, sid) {
        Place::Here(session) => session,
        Place::At(worker) if entry.hand_overs < HAND_OVERS_MAX => {
            entry.hand_overs += 1;
            return Outcome::Move(worker);
        }
        Place::At(_) => return busy(&form, cx),
        Place::Parted(sid) => {
            let is_last_poll =
                matches!(wanted, Request::Poll(_)) && Session::last_poll(cx.shard, &sid);
            return if is_last_poll {
                write(200, TEXT, NOOP, &form, cx)
            } else {
                refuse_request(Refusal::UnknownSession, &form, cx)
            };
        }
        Place::Nowhere => return refuse_request(Refusal::UnknownSession, &form, cx),
    };
    entry.hand_overs = 0;
    match wanted {
        Request::Poll(_) => match Session::poll(cx.shard, session, cx.key) {
            Ok(true) => wait(session, form, cx),
            Ok(false) => write(200, TEXT, NOOP, &form, cx),
            Err(refusal) => refuse_request(refusal, &form, cx),
        },
        Request::Post(_) => begin_post(request, session, framing, has_body_begun, form, cx),
        Request::Upgrade(_) | Request::Open(_) => {
            give_websocket(request, session, entry, &form, cx)
        }
    }
}

/// What requests at an Engine.IO endpoint are counted under.
pub(super) fn asked(request: &RequestHead<'_>) -> Asked {
    if handshake::is_upgrade(request) {
        Asked::Handshake
    } else {
        Asked::SOCKETIO
    }
}

/// Opens a session.
fn open(
    request: &RequestHead<'_>,
    kind: EndpointKind,
    is_upgrade: bool,
    form: Form,
    entry: &mut Entry,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    let config = Arc::clone(&cx.shard.config);
    let bearer = match bearer::of_request(request, &config, cx.now) {
        Ok(bearer) => bearer,
        Err(error) => {
            cx.shard.meters.count_refused(Refusal::Forbidden);
            let body = Refusal::Forbidden.body_saying(error.sentence());
            return write(Refusal::Forbidden.status(), api::JSON, &body, &form, cx);
        }
    };
    if cx.shard.node.is_draining() {
        return busy(&form, cx);
    }
    let peer = entry.client;
    let client = client_of(request, peer, &config.proxies);
    let is_proxied = config.proxies.contains(peer.ip);
    let route = request.header(ROUTE_HEADER).filter(|_| is_proxied);
    let opening = Opening {
        transport: if is_upgrade {
            Transport::WebSocket
        } else {
            Transport::Polling
        },
        connection: cx.key,
        kind,
        client,
        bearer,
        backing: Backing::of(request, kind, cx.shard),
        route: route.and_then(route_name),
    };
    if !is_upgrade {
        return match Session::open(cx.shard, opening, cx.now) {
            Ok(carrier) => wait(carrier.session, form, cx),
            Err(full) => refuse_full(full, &form, cx),
        };
    }
    let accepted = match handshake::accept(request, &config.subprotocols, config.deflate) {
        Ok(accepted) => accepted,
        Err(error) => return refuse_handshake(error, request, cx),
    };
    if let Err(refusal) = enter_forwarded(request, entry, cx) {
        return refuse_full(Full::Address(refusal), &form, cx);
    }
    match Session::open(cx.shard, opening, cx.now) {
        Ok(carrier) => {
            accepted.write(cx.out.cork());
            cx.shard.meters.count_answer(Asked::Handshake, 101);
            let protocol = Protocol::new(Role::Server, accepted.deflate);
            Outcome::Upgrade(WebSocketStage::carry(protocol, Some(carrier), cx))
        }
        Err(full) => refuse_full(full, &form, cx),
    }
}

/// The request gets its answer once the session has something to say.
fn wait(session: ConnKey, form: Form, cx: &mut Context<'_, GatewaySession>) -> Outcome {
    cx.clear_deadline();
    Outcome::Pending(Box::new(Pending::Polling(Poll { session, form })))
}

/// A WebSocket for a session. One that the session does not take is closed after its opening handshake: clients know the
/// difference from one that was refused.
fn give_websocket(
    request: &RequestHead<'_>,
    session: ConnKey,
    entry: &mut Entry,
    form: &Form,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    let config = Arc::clone(&cx.shard.config);
    let accepted = match handshake::accept(request, &config.subprotocols, config.deflate) {
        Ok(accepted) => accepted,
        Err(error) => return refuse_handshake(error, request, cx),
    };
    if let Err(refusal) = enter_forwarded(request, entry, cx) {
        return refuse_full(Full::Address(refusal), form, cx);
    }
    let carrier = match Session::upgrade(cx.shard, session, cx.key) {
        Ok(carrier) => Some(carrier),
        Err(Refusal::UnknownSession) => {
            return refuse_request(Refusal::UnknownSession, form, cx);
        }
        Err(refusal) => {
            cx.shard.meters.count_refused(refusal);
            None
        }
    };
    accepted.write(cx.out.cork());
    cx.shard.meters.count_answer(Asked::Handshake, 101);
    let protocol = Protocol::new(Role::Server, accepted.deflate);
    Outcome::Upgrade(WebSocketStage::carry(protocol, carrier, cx))
}

fn begin_post(
    request: &RequestHead<'_>,
    session: ConnKey,
    framing: BodyFraming,
    has_body_begun: bool,
    mut form: Form,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    let content_type = request.header("content-type").unwrap_or(b"");
    let is_binary = content_type.eq_ignore_ascii_case(b"application/octet-stream");
    if let Err(refusal) = Session::begin_post(cx.shard, session, is_binary) {
        return refuse_request(refusal, &form, cx);
    }
    let bytes_max = cx.shard.config.socketio.engine.payload_bytes_max as u64;
    let expects = request.expects_continue();
    let decoder = match (BodyDecoder::new(framing, bytes_max), expects) {
        (Ok(decoder), Ok(expects)) => {
            if expects && !has_body_begun && !decoder.is_complete() {
                cx.out.cork().extend_from_slice(CONTINUE);
            }
            decoder
        }
        (Err(error), _) | (_, Err(error)) => {
            Session::drop_post(cx.shard, session, false);
            return refuse_body(error.status(), error.sentence(), &form, cx);
        }
    };
    form.keep_alive = request.keep_alive();
    let is_complete = decoder.is_complete();
    let post = Post {
        session,
        decoder,
        body: Vec::new(),
        done: 0,
        form,
    };
    if is_complete {
        return post.go_on(cx);
    }
    Outcome::Pending(Box::new(Pending::Posting(post)))
}

impl Post {
    /// Takes what there is of the body, and reads it once it is complete. What follows waits until then.
    pub(super) fn receive(
        mut self,
        input: &mut Input<'_>,
        cx: &mut Context<'_, GatewaySession>,
    ) -> Outcome {
        match self.decoder.receive(input.remaining(), &mut self.body) {
            Ok((used, is_complete)) => {
                input.advance(used);
                if is_complete {
                    return self.go_on(cx);
                }
                Outcome::Pending(Box::new(Pending::Posting(self)))
            }
            Err(error) => {
                self.form.keep_alive = false;
                Session::drop_post(cx.shard, self.session, error.status() != 413);
                refuse_body(error.status(), error.sentence(), &self.form, cx)
            }
        }
    }

    /// Whether the body is there, and messages of it wait for their turn.
    pub(super) fn is_complete(&self) -> bool {
        self.decoder.is_complete()
    }

    /// Reads as many of its messages as there is time for.
    pub(super) fn go_on(mut self, cx: &mut Context<'_, GatewaySession>) -> Outcome {
        let Self {
            session,
            body,
            done,
            form,
            ..
        } = &mut self;
        match Session::post(cx.shard, *session, body, done, cx.now) {
            Ok(PostState::Done) => write(200, "text/html", b"ok", form, cx),
            Ok(PostState::Later(at)) => {
                cx.clear_deadline();
                cx.shard.socketio.go_on_at(cx.key, at);
                Outcome::Pending(Box::new(Pending::Posting(self)))
            }
            Err(refusal) => refuse_request(refusal, form, cx),
        }
    }

    /// The rest of the body did not come in time.
    pub(super) fn refuse_late(mut self, cx: &mut Context<'_, GatewaySession>) -> Outcome {
        self.form.keep_alive = false;
        Session::drop_post(cx.shard, self.session, true);
        refuse_body(408, "The body did not arrive in time.", &self.form, cx)
    }

    /// Its connection was lost.
    pub(super) fn lost(self, shard: &mut Shard) {
        Session::drop_post(shard, self.session, true);
    }
}

impl Poll {
    /// Another request has come behind it on its connection (RFC 9112 section 9.3.2). Answers keep the order of requests, so that one
    /// would wait as long as this one does, for packets that it may be itself the reason of.
    pub(super) fn hurry(&self, shard: &mut Shard) {
        Session::hurry_poll(shard, self.session);
    }

    /// What was waited for.
    pub(super) fn answer(self, body: &[u8], cx: &mut Context<'_, GatewaySession>) -> Outcome {
        write(200, self.form.content_type, body, &self.form, cx)
    }

    /// Its connection was lost.
    pub(super) fn lost(self, connection: ConnKey, shard: &mut Shard) {
        Session::poll_lost(shard, self.session, connection);
    }

    /// The server goes away.
    pub(super) fn leave(&self, cx: &mut Context<'_, GatewaySession>) {
        Session::leave(cx.shard, self.session);
    }
}

fn refuse_request(refusal: Refusal, form: &Form, cx: &mut Context<'_, GatewaySession>) -> Outcome {
    cx.shard.meters.count_refused(refusal);
    write(refusal.status(), api::JSON, &refusal.body(), form, cx)
}

/// What is wrong with a body is told as `BadRequest`, with a sentence.
fn refuse_body(
    status: u16,
    sentence: &str,
    form: &Form,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    cx.shard.meters.count_refused(Refusal::BadRequest);
    let body = Refusal::BadRequest.body_saying(sentence);
    write(status, api::JSON, &body, form, cx)
}

fn refuse_full(full: Full, form: &Form, cx: &mut Context<'_, GatewaySession>) -> Outcome {
    match full {
        Full::Process => busy(form, cx),
        Full::Address(refusal) => {
            let sentence = address_sentence(refusal);
            write_with(429, TEXT, &[RETRY_AFTER], sentence.as_bytes(), form, cx)
        }
    }
}

/// There is no room for the request, or no time left.
fn busy(form: &Form, cx: &mut Context<'_, GatewaySession>) -> Outcome {
    let sentence = "The server takes no further session now.\n";
    write_with(503, TEXT, &[RETRY_AFTER], sentence.as_bytes(), form, cx)
}

fn write(
    status: u16,
    content_type: &str,
    body: &[u8],
    form: &Form,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    write_with(status, content_type, &[], body, form, cx)
}

fn write_with(
    status: u16,
    content_type: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    form: &Form,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    let mut all = headers.to_vec();
    push_credentials(&mut all, form);
    call::write(status, content_type, &all, body, form, cx)
}

/// Scripts of a named origin may send cookies along.
fn push_credentials(headers: &mut Vec<(&str, &str)>, form: &Form) {
    if form.origin.as_deref().is_some_and(|origin| origin != "*") {
        headers.push(("Access-Control-Allow-Credentials", "true"));
    }
}

/// An OPTIONS: what scripts of other origins may do (Fetch section 3.2.2).
fn preflight(form: &Form, cx: &mut Context<'_, GatewaySession>) -> Outcome {
    let mut headers = vec![("Allow", METHODS)];
    push_origin(&mut headers, form);
    push_credentials(&mut headers, form);
    if form.origin.is_some() {
        headers.extend([
            ("Access-Control-Allow-Methods", METHODS),
            (
                "Access-Control-Allow-Headers",
                "Authorization, Content-Type",
            ),
            ("Access-Control-Max-Age", "86400"),
        ]);
    }
    let answer = Answer {
        status: 204,
        content_type: "",
        headers: &headers,
        body: b"",
        keep_alive: form.keep_alive,
        head_only: false,
        asked: form.asked,
    };
    say(&answer, cx)
}
