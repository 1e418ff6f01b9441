//! The token of a connection: where a client may show it, and how long it lasts.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::value::RawValue;

use super::config::GatewayConfig;
use super::name::check_name;
use crate::auth::token::{Grant, TokenError, TokenPolicy};
use crate::http::head::RequestHead;
use crate::reactor::Tick;
use crate::timestamp;

/// How long the wall clock is left alone: it may be set, and a far end is beyond a tick.
const LOOK_AGAIN: Duration = Duration::from_secs(3_600);
/// The subprotocol that carries a token, with that behind it. It is never agreed on: what is agreed on is told.
const SUBPROTOCOL_PREFIX: &str = "bearer.";

/// What a connection has shown.
#[derive(Debug)]
pub(super) struct Bearer {
    grant: Grant,
    /// When its end has to be looked at.
    look_at: Tick,
}

impl Bearer {
    pub(super) fn new(grant: Grant, now: Tick) -> Self {
        let mut bearer = Self {
            grant,
            look_at: now,
        };
        bearer.is_over(now);
        bearer
    }

    /// Whether a subprotocol of a handshake is a token.
    pub(super) fn is_shown_by(subprotocol: &str) -> bool {
        subprotocol.starts_with(SUBPROTOCOL_PREFIX)
    }

    pub(super) fn grant(&self) -> &Grant {
        &self.grant
    }

    pub(super) fn look_at(&self) -> Tick {
        self.look_at
    }

    /// Whether its time is over; where not, `look_at` is later than `now`.
    pub(super) fn is_over(&mut self, now: Tick) -> bool {
        let expires_at = self.grant.expires_at;
        let left = expires_at.saturating_sub(timestamp::since_1970());
        self.look_at = now.after(left.min(LOOK_AGAIN));
        left.is_zero()
    }
}

/// Why a handshake is refused for its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unauthorized {
    Missing,
    Wrong(TokenError),
}

impl Unauthorized {
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::Missing => {
                "A token is wanted: as Authorization: Bearer, as ?token=, or as the subprotocol bearer.TOKEN."
            }
            Self::Wrong(error) => error.sentence(),
        }
    }
}

/// What the token of a handshake grants; `None` where it has none and needs none.
pub(super) fn of_handshake(
    request: &RequestHead<'_>,
    config: &GatewayConfig,
    now: Tick,
) -> Result<Option<Box<Bearer>>, Unauthorized> {
    match of_request(request, config, now) {
        Ok(None) if config.tokens.is_some() && config.is_auth_required => {
            Err(Unauthorized::Missing)
        }
        bearer => bearer.map_err(Unauthorized::Wrong),
    }
}

/// The same for a request that needs none, because another may come later.
pub(super) fn of_request(
    request: &RequestHead<'_>,
    config: &GatewayConfig,
    now: Tick,
) -> Result<Option<Box<Bearer>>, TokenError> {
    let Some(tokens) = &config.tokens else {
        return Ok(None);
    };
    let Some(token) = token_of(request) else {
        return Ok(None);
    };
    let grant = grant_of(&token, tokens, config)?;
    Ok(Some(Box::new(Bearer::new(grant, now))))
}

/// What the token of a handshake claims, as it was written; only of one that was believed.
pub(super) fn claims_of(request: &RequestHead<'_>) -> Option<Box<RawValue>> {
    claims_in(&token_of(request)?)
}

/// The same of a token that came by another way.
pub(super) fn claims_in(token: &str) -> Option<Box<RawValue>> {
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    RawValue::from_string(String::from_utf8(claims).ok()?).ok()
}

/// What a token grants to a user whom others can name.
pub(super) fn grant_of(
    token: &str,
    tokens: &TokenPolicy,
    config: &GatewayConfig,
) -> Result<Grant, TokenError> {
    let grant = tokens.verify(token, timestamp::since_1970())?;
    match check_name(&grant.user, config.name_chars_max) {
        Ok(()) => Ok(grant),
        Err(_) => Err(TokenError::Subject),
    }
}

/// The first token of a request; one that is not text is a wrong one.
fn token_of(request: &RequestHead<'_>) -> Option<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if let Some(value) = request.header("authorization")
        && let Some((scheme, token)) = value.split_at_checked(7)
        && scheme.eq_ignore_ascii_case(b"bearer ")
    {
        return Some(text(token.trim_ascii()));
    }
    let query = request.query().unwrap_or("");
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    if let Some((_, token)) = pairs.find(|(name, _)| name == "token") {
        return Some(token.into_owned());
    }
    let lists = request.headers("sec-websocket-protocol");
    let mut names = lists.flat_map(|list| list.split(|&byte| byte == b','));
    names.find_map(|name| {
        let name = text(name.trim_ascii());
        name.strip_prefix(SUBPROTOCOL_PREFIX).map(str::to_owned)
    })
}
