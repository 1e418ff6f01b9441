//! The HTTP API of a back end: who may call it, which call a request is for, what it does. Sockets and requests that are not
//! complete are the business of `gateway::http`.

mod asyncapi;
mod calls;
mod idempotency;
mod openapi;
mod problem;
mod read;
mod route;
mod sending;

pub(super) use calls::{Caller, Done};
pub(super) use idempotency::{Claim, Idempotency, Kept};
pub(super) use problem::Problem;
pub(super) use read::told;
pub(super) use route::{Call, find, is_api, methods};

/// Of the server, and of what it offers here.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Content type of answers, and of what calls take.
pub(super) const JSON: &str = "application/json";
/// Content type of refusals (RFC 9457).
pub(super) const PROBLEM: &str = "application/problem+json";
/// Bytes of a call's body beyond the message that it may carry.
pub(super) const BODY_SLACK_BYTES: u64 = 64 * 1024;
