//! A call of the API, as one request of a connection: its head, its body, the wait for what workers gather, its answer.

use super::answer::Answer;
use super::connecting::Connecting;
use super::engineio::{Poll, Post};
use super::{Outcome, say};
use crate::gateway::api::{self, Call, Caller, Claim, Done, Kept, Problem};
use crate::gateway::metrics::Asked;
use crate::gateway::session::GatewaySession;
use crate::http::body::{BodyDecoder, BodyFraming};
use crate::http::error::HttpError;
use crate::http::head::RequestHead;
use crate::http::response::CONTINUE;
use crate::reactor::Context;
use crate::websocket::protocol::Input;

/// How the answer has to look.
#[derive(Debug, Clone)]
pub(super) struct Form {
    pub(super) keep_alive: bool,
    pub(super) head_only: bool,
    /// Of a success.
    pub(super) content_type: &'static str,
    /// What the answer is counted under.
    pub(super) asked: Asked,
    /// `Access-Control-Allow-Origin`.
    pub(super) origin: Option<Box<str>>,
}

/// A request that is not answered yet.
#[derive(Debug)]
pub(super) enum Pending {
    /// Its body is coming.
    Reading(Reading),
    /// Others have been asked.
    Waiting(Form),
    /// A session has nothing to say yet.
    Polling(Poll),
    /// What it brings to a session is coming, or being read.
    Posting(Post),
    /// It is an opening handshake, and the back end has been asked.
    Connecting(Connecting),
}

/// A call whose body is coming.
#[derive(Debug)]
pub(super) struct Reading {
    call: Call,
    path: Box<str>,
    idempotency_key: Option<Box<[u8]>>,
    decoder: BodyDecoder,
    content: Vec<u8>,
    form: Form,
}

/// Refuses a call whose connection was not let in, or whose body nobody can find the end of; it is the connection's last.
pub(super) fn refuse_early(
    request: &RequestHead<'_>,
    status: u16,
    detail: &'static str,
    headers: &'static [(&'static str, &'static str)],
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    let form = Form {
        keep_alive: false,
        head_only: request.method == "HEAD",
        content_type: api::JSON,
        asked: Asked::plain(request.path()),
        origin: allowed_origin(request, cx),
    };
    let problem = Problem::new(status, detail).with_headers(headers);
    refuse(&problem, &form, cx)
}

/// Answers the head of a call, or goes on to its body, the beginning of which may lie behind it.
pub(super) fn begin(
    request: &RequestHead<'_>,
    framing: BodyFraming,
    has_body_begun: bool,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    let form = Form {
        // What nobody reads must not be taken for requests.
        keep_alive: request.keep_alive()
            && framing == BodyFraming::None
            && !cx.shard.node.is_draining(),
        head_only: request.method == "HEAD",
        content_type: api::JSON,
        asked: Asked::plain(request.path()),
        origin: allowed_origin(request, cx),
    };
    if request.method == "OPTIONS" {
        return preflight(request, &form, cx);
    }
    let call = match admit(request, cx) {
        Ok(call) => call,
        Err(problem) => return refuse(&problem, &form, cx),
    };
    if !call.acts() {
        let done = caller(cx, None).read(&call);
        return tell(done, form, cx);
    }
    match reading(request, call, framing, form.clone(), cx) {
        Ok((reading, true)) => reading.run(cx),
        Ok((reading, false)) => {
            match request.expects_continue() {
                Ok(true) if !has_body_begun => cx.out.cork().extend_from_slice(CONTINUE),
                Ok(_) => {}
                Err(error) => return refuse(&problem_of(error), &form, cx),
            }
            Outcome::Pending(Box::new(Pending::Reading(reading)))
        }
        Err(problem) => refuse(&problem, &form, cx),
    }
}

/// The call, where the caller may make it.
fn admit(request: &RequestHead<'_>, cx: &Context<'_, GatewaySession>) -> Result<Call, Problem> {
    let call = api::find(request.method, request.path(), request.query())?;
    if call.is_public() {
        return Ok(call);
    }
    let Some(expected) = &cx.shard.config.api_key else {
        let detail = "No API key is set on this server (API_KEY), so that nobody may do this.";
        return Err(Problem::new(403, detail));
    };
    match key_of(request) {
        Some(given) if expected.is(given) => Ok(call),
        Some(_) => Err(unauthorized("The API key is wrong.")),
        None => Err(unauthorized(
            "An API key is wanted, in X-API-Key or as a Bearer token.",
        )),
    }
}

fn unauthorized(detail: &'static str) -> Problem {
    Problem::new(401, detail).with_headers(&[("WWW-Authenticate", "Bearer")])
}

/// The API key that a request shows.
pub(super) fn key_of<'b>(request: &RequestHead<'b>) -> Option<&'b [u8]> {
    request.header("x-api-key").or_else(|| bearer(request))
}

fn bearer<'b>(request: &RequestHead<'b>) -> Option<&'b [u8]> {
    let value = request.header("authorization")?;
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// What the body is read into, and whether it is complete already.
fn reading(
    request: &RequestHead<'_>,
    call: Call,
    framing: BodyFraming,
    mut form: Form,
    cx: &Context<'_, GatewaySession>,
) -> Result<(Reading, bool), Problem> {
    let content_type = request.header("content-type").unwrap_or(b"");
    if !is_json(content_type) {
        return Err(Problem::new(415, "The body has to be application/json."));
    }
    let bytes_max = cx.shard.config.codec.message_bytes_max as u64 + api::BODY_SLACK_BYTES;
    let decoder = BodyDecoder::new(framing, bytes_max).map_err(problem_of)?;
    form.keep_alive = request.keep_alive() && !cx.shard.node.is_draining();
    let is_complete = decoder.is_complete();
    let reading = Reading {
        call,
        path: request.path().into(),
        idempotency_key: request.header("idempotency-key").map(Box::from),
        decoder,
        content: Vec::new(),
        form,
    };
    Ok((reading, is_complete))
}

/// `application/json`, with or without parameters.
fn is_json(content_type: &[u8]) -> bool {
    let end = content_type.iter().position(|&byte| byte == b';');
    let essence = content_type[..end.unwrap_or(content_type.len())].trim_ascii();
    essence.eq_ignore_ascii_case(api::JSON.as_bytes())
}

fn problem_of(error: HttpError) -> Problem {
    Problem::new(error.status(), error.sentence())
}

impl Reading {
    /// Takes what there is of the body; the outcome once it is complete.
    pub(super) fn receive(
        mut self,
        input: &mut Input<'_>,
        cx: &mut Context<'_, GatewaySession>,
    ) -> Outcome {
        match self.decoder.receive(input.remaining(), &mut self.content) {
            Ok((used, is_complete)) => {
                input.advance(used);
                if is_complete {
                    return self.run(cx);
                }
                Outcome::Pending(Box::new(Pending::Reading(self)))
            }
            Err(error) => {
                self.form.keep_alive = false;
                refuse(&problem_of(error), &self.form, cx)
            }
        }
    }

    /// The rest of the body did not come in time.
    pub(super) fn refuse_late(mut self, cx: &mut Context<'_, GatewaySession>) -> Outcome {
        self.form.keep_alive = false;
        let problem = Problem::new(408, "The body did not arrive in time.");
        refuse(&problem, &self.form, cx)
    }

    /// Everything is there.
    fn run(self, cx: &mut Context<'_, GatewaySession>) -> Outcome {
        let Self {
            call,
            path,
            idempotency_key,
            content,
            form,
            ..
        } = self;
        let claim = match idempotency_key {
            None => None,
            Some(key) => {
                let idempotency = &cx.shard.node.idempotency;
                match idempotency.begin(&key, &path, &content, cx.now) {
                    Ok(claim) => Some(claim),
                    Err(Ok(kept)) => return repeat(&kept, &form, cx),
                    Err(Err(problem)) => return refuse(&problem, &form, cx),
                }
            }
        };
        let mut caller = caller(cx, claim);
        let done = caller.run(&call, &content);
        let claim = caller.claim.take();
        let node = std::sync::Arc::clone(&cx.shard.node);
        match (done, claim) {
            (Ok(Done::Now(body)), claim) => {
                if let Some(claim) = claim {
                    node.idempotency.end(&claim, 200, &body);
                }
                tell(Done::Now(body), form, cx)
            }
            (Ok(Done::Asked), _) => tell(Done::Asked, form, cx),
            (Err(problem), claim) => {
                if let Some(claim) = claim {
                    node.idempotency.abandon(&claim);
                }
                refuse(&problem, &form, cx)
            }
        }
    }
}

fn caller<'c>(cx: &'c mut Context<'_, GatewaySession>, claim: Option<Claim>) -> Caller<'c> {
    Caller {
        shard: cx.shard,
        connection: cx.key,
        now: cx.now,
        claim,
    }
}

fn tell(done: Done, form: Form, cx: &mut Context<'_, GatewaySession>) -> Outcome {
    match done {
        Done::Now(body) => succeed(&body, &form, cx),
        Done::Asked => {
            cx.clear_deadline();
            Outcome::Pending(Box::new(Pending::Waiting(form)))
        }
    }
}

/// 200 with that body.
pub(super) fn succeed(body: &[u8], form: &Form, cx: &mut Context<'_, GatewaySession>) -> Outcome {
    write(200, form.content_type, &[], body, form, cx)
}

/// The first answer again.
fn repeat(kept: &Kept, form: &Form, cx: &mut Context<'_, GatewaySession>) -> Outcome {
    let headers = &[("Idempotency-Replayed", "true")];
    write(kept.status, api::JSON, headers, &kept.body, form, cx)
}

fn refuse(problem: &Problem, form: &Form, cx: &mut Context<'_, GatewaySession>) -> Outcome {
    let body = problem.body();
    write(
        problem.status,
        api::PROBLEM,
        problem.headers,
        &body,
        form,
        cx,
    )
}

pub(super) fn write(
    status: u16,
    content_type: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    form: &Form,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    let mut all = headers.to_vec();
    all.push(("Cache-Control", "no-store"));
    push_origin(&mut all, form);
    let answer = Answer {
        status,
        content_type,
        headers: &all,
        body,
        // The drain may have come while workers were asked.
        keep_alive: form.keep_alive && !cx.shard.node.is_draining(),
        head_only: form.head_only,
        asked: form.asked,
    };
    say(&answer, cx)
}

pub(super) fn push_origin<'h>(headers: &mut Vec<(&'h str, &'h str)>, form: &'h Form) {
    if let Some(origin) = &form.origin {
        headers.push(("Access-Control-Allow-Origin", origin));
        if **origin != *"*" {
            headers.push(("Vary", "Origin"));
        }
    }
}

/// The origin that the settings allow to read answers, where the request has one.
pub(super) fn allowed_origin(
    request: &RequestHead<'_>,
    cx: &Context<'_, GatewaySession>,
) -> Option<Box<str>> {
    let origin = super::upgrade::only_origin(request)?;
    let config = &cx.shard.config;
    if config.cors.is_any() {
        return Some("*".into());
    }
    let origin = config.cors.allows(Some(origin)).then_some(origin)?;
    // What the policy allows is visible ASCII.
    str::from_utf8(origin).ok().map(Box::from)
}

/// An OPTIONS: what may be done at the path, and by scripts of other origins (Fetch section 3.2.2).
fn preflight(
    request: &RequestHead<'_>,
    form: &Form,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    let Some(methods) = api::methods(request.path()) else {
        return refuse(
            &Problem::new(404, "The API has nothing at this path."),
            form,
            cx,
        );
    };
    let mut headers = vec![("Allow", methods)];
    push_origin(&mut headers, form);
    if form.origin.is_some() {
        headers.extend([
            ("Access-Control-Allow-Methods", methods),
            (
                "Access-Control-Allow-Headers",
                "Authorization, Content-Type, Idempotency-Key, X-API-Key",
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
