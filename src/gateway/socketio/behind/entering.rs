//! Who asks for a namespace, and what the back end says about it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::{RawValue, to_raw_value};

use crate::backend::{Answer, ConnectAnswer, Failure};
use crate::gateway::backend::{Opening, Purpose, following};
use crate::gateway::bearer;
use crate::gateway::json::Refusal;
use crate::gateway::shard::Shard;
use crate::gateway::socketio::connect::{self, Refused};
use crate::gateway::socketio::messages::{Outbox, on_message};
use crate::gateway::socketio::recovery;
use crate::gateway::socketio::session::Session;
use crate::gateway::socketio::sessions::with;
use crate::id::ConnKey;
use crate::reactor::Tick;
use crate::socketio::packet::MAIN_NAMESPACE;

/// Status of whoever is refused because the back end does not say that it may come in.
const AWAY: u16 = 503;

/// What no back end is shown: a token where tokens are believed, and what a client comes back with.
const KEPT: [&str; 3] = ["token", "pid", "offset"];

/// A client that the back end is asked about.
#[derive(Debug)]
pub(in crate::gateway) struct Entering {
    namespace: Box<str>,
    /// Tells this time in the namespace from others.
    stay: u16,
    /// The user of its token.
    pub(in crate::gateway) user: Option<Arc<str>>,
}

/// Asks the back end whether a client may be in a namespace. Its answer is told by and by, and what the client says there meanwhile
/// waits.
///
/// # Errors
/// Why it is not asked.
pub(in crate::gateway::socketio) fn ask_whether_in(
    session: &mut Session,
    key: ConnKey,
    shard: &mut Shard,
    namespace: &str,
    auth: Option<&str>,
) -> Result<(), Refused> {
    let (Some(stay), Some(backing)) = (session.stay(namespace), &mut session.backing) else {
        return Ok(());
    };
    let kept: &[&str] = match (shard.config.tokens.is_some(), shard.recovery.is_some()) {
        (false, false) => &[],
        (true, false) => &KEPT[..1],
        (false, true) => &KEPT[1..],
        (true, true) => &KEPT,
    };
    let shown = auth.and_then(|auth| read_auth(auth, kept));
    if let Some(token) = shown.as_ref().and_then(|shown| shown.token.as_deref()) {
        backing.asked.claims = bearer::claims_in(token);
    }
    let connection = shard.node.shown(shard.id(key));
    let user = session.bearer.as_ref();
    let user = user.map(|bearer| Arc::clone(&bearer.grant().user));
    let opening = Opening {
        event: "connect",
        connection_id: &connection,
        user_id: user.as_deref(),
        address: session.client.ip.to_string(),
        path: &backing.path,
        query: backing.asked.query.as_deref(),
        headers: &backing.asked.headers,
        subprotocols: &[],
        claims: backing.asked.claims.as_deref(),
        namespace: Some(namespace),
        auth: shown.as_ref().map(|shown| &*shown.rest),
    };
    let purpose = Purpose::Enter(Entering {
        namespace: namespace.into(),
        stay,
        user: user.clone(),
    });
    shard
        .call(key, purpose, &opening)
        .map_err(|refused| Refused::by_back_end(&refused.into(), AWAY))?;
    backing.waiting.begin(namespace, stay, auth.unwrap_or("{}"));
    Ok(())
}

/// What a client shows.
struct Shown {
    /// One that is believed.
    token: Option<String>,
    /// Without that.
    rest: Box<RawValue>,
}

/// Reads what a client shows, a JSON object. What `kept` names stays here.
fn read_auth(auth: &str, kept: &[&str]) -> Option<Shown> {
    if kept.is_empty() {
        let rest = RawValue::from_string(auth.to_owned()).ok()?;
        return Some(Shown { token: None, rest });
    }
    let mut fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(auth).ok()?;
    let mut token = None;
    for name in kept {
        let field = fields.remove(*name);
        token = token.or(field.filter(|_| *name == KEPT[0]));
    }
    Some(Shown {
        token: token.and_then(|token| serde_json::from_str(token.get()).ok()),
        rest: to_raw_value(&fields).ok()?,
    })
}

/// The back end has said whether a client may be in a namespace, or nothing that is any good; whether it is in.
pub(in crate::gateway) fn on_admitted(
    shard: &mut Shard,
    key: ConnKey,
    entering: &Entering,
    answer: &Result<Answer, Failure>,
    now: Tick,
) -> bool {
    let Entering {
        namespace, stay, ..
    } = entering;
    let entered = with(shard, key, |session, shard| {
        // Whoever was sent away meanwhile asks no more.
        session.stay(namespace).filter(|now| now == stay)?;
        let backing = session.backing.as_mut()?;
        let shown = backing.waiting.end(namespace, *stay)?;
        let held = backing.waiting.release();
        let mut out = Outbox::new(shard);
        let entered = session.enter(key, shard, now, namespace, answer);
        let is_in = entered.is_ok();
        let is_main = &**namespace == MAIN_NAMESPACE;
        if is_in && is_main && recovery::begin(session, key, shard, &shown) {
            // The client is not told so yet, and what it says waits on.
            if let Some(backing) = &mut session.backing {
                backing.waiting.begin(namespace, *stay, &shown);
            }
        } else {
            connect::conclude(session, key, shard, namespace, &shown, entered, &mut out);
        }
        for held in held {
            on_message(session, key, shard, now, &held.message(), &mut out);
        }
        session.send(&mut out, shard);
        out.give_back(shard);
        Some(is_in)
    });
    entered.flatten().unwrap_or(false)
}

/// A client that was in the main namespace and not told so is told now: what it has said meanwhile is heard.
pub(in crate::gateway::socketio) fn go_on(
    session: &mut Session,
    key: ConnKey,
    shard: &mut Shard,
    now: Tick,
    out: &mut Outbox,
) {
    let stay = session.stay(MAIN_NAMESPACE);
    let Some((backing, stay)) = session.backing.as_mut().zip(stay) else {
        return;
    };
    if backing.waiting.end(MAIN_NAMESPACE, stay).is_none() {
        return;
    }
    for held in backing.waiting.release() {
        on_message(session, key, shard, now, &held.message(), out);
    }
}

impl Session {
    /// Does what the back end has answered, or says why not.
    fn enter(
        &mut self,
        key: ConnKey,
        shard: &mut Shard,
        now: Tick,
        namespace: &str,
        answer: &Result<Answer, Failure>,
    ) -> Result<(), Refused> {
        let id = shard.id(key);
        let answer = match answer {
            Ok(Answer::Connect(answer)) => answer,
            Ok(_) => return Err(Refused::by_back_end(&Refusal::Failed, AWAY)),
            Err(failure) => {
                log::debug!("{id} may not be in {namespace:?}: {failure}");
                let status = failure.client_status();
                return Err(Refused::by_back_end(&failure.clone().into(), status));
            }
        };
        let user = self.bearer.as_ref().map(|bearer| &*bearer.grant().user);
        if let Err(problem) = following::check_connect(answer, user, &shard.config) {
            log::warn!("{id} refused: the answer of the back end is no good: {problem}");
            return Err(Refused::by_back_end(&Refusal::Failed, AWAY));
        }
        if namespace == MAIN_NAMESPACE {
            self.enter_main(key, shard, now, answer)?;
        }
        if let Some(backing) = &mut self.backing {
            backing.owes_end = true;
        }
        Ok(())
    }

    /// Becomes whom the back end wants it to be, where it wants it.
    fn enter_main(
        &mut self,
        key: ConnKey,
        shard: &mut Shard,
        now: Tick,
        answer: &ConnectAnswer,
    ) -> Result<(), Refused> {
        connect::become_member(self, key, shard, now, answer.user_id.as_deref())?;
        if let Some(json) = &self.json {
            following::join(json, &answer.rooms, key, shard, now);
        }
        if let Some(backing) = &mut self.backing {
            backing.metadata.clone_from(&answer.metadata);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_believed_stays_here() {
        let shown = |auth, kept: &[&str]| {
            let shown = read_auth(auth, kept)?;
            Some((shown.token, shown.rest.get().to_owned()))
        };
        let auth = r#"{"token":"a.b.c","n": 1.50,"\u0061":{"token":1}}"#;
        assert_eq!(shown(auth, &[]), Some((None, auth.to_owned())));
        let rest = r#"{"a":{"token":1},"n":1.50}"#.to_owned();
        assert_eq!(
            shown(auth, &KEPT[..1]),
            Some((Some("a.b.c".to_owned()), rest))
        );
        assert_eq!(
            shown(r#"{"token":7}"#, &KEPT),
            Some((None, "{}".to_owned()))
        );
        // What cannot be read is not told in part.
        assert_eq!(shown(r#"{"\ud800":1}"#, &KEPT), None);
        let auth = r#"{"pid":"p","n":1,"offset":"o"}"#;
        assert_eq!(
            shown(auth, &KEPT[1..]),
            Some((None, "{\"n\":1}".to_owned()))
        );
    }
}
