//! Who is let into which namespace.

use serde::Deserialize;

use super::behind;
use super::messages::Outbox;
use super::recovery;
use super::session::{Session, Upper};
use super::sessions::with;
use crate::gateway::bearer::{Bearer, Unauthorized, grant_of};
use crate::gateway::json::{JsonEndpoint, Refusal};
use crate::gateway::shard::Shard;
use crate::hub::{Encoding, Kind};
use crate::id::ConnKey;
use crate::reactor::Tick;
use crate::socketio::packet::MAIN_NAMESPACE;

/// What a client shows to be let in. Whatever else is there is not looked at.
#[derive(Deserialize)]
struct Auth {
    token: Option<String>,
}

/// Why a client is not let in: a code for programs, a sentence for people.
pub(super) struct Refused {
    code: Option<&'static str>,
    /// Where the back end is why: its own, or what stands for its silence.
    status: Option<u16>,
    sentence: String,
}

impl Refused {
    /// What the back end says, or says not, and the status that a handshake would be refused with.
    pub(super) fn by_back_end(refusal: &Refusal, status: u16) -> Self {
        Self {
            code: Some(refusal.code()),
            status: Some(status),
            sentence: refusal.to_string(),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: Some(refusal.code()),
            status: None,
            sentence: refusal.to_string(),
        }
    }
}

/// The client asks for a namespace.
pub(super) fn on_connect(
    session: &mut Session,
    key: ConnKey,
    shard: &mut Shard,
    now: Tick,
    namespace: &str,
    auth: Option<&str>,
    out: &mut Outbox,
) {
    let shown = auth.unwrap_or("{}");
    let entered = match judge(session, shard, now, namespace, auth) {
        Ok(()) if session.backing.is_some() => {
            match behind::ask_whether_in(session, key, shard, namespace, auth) {
                Ok(()) => return,
                refused => refused,
            }
        }
        Ok(()) if namespace == MAIN_NAMESPACE => become_member(session, key, shard, now, None),
        judged => judged,
    };
    let is_in = namespace == MAIN_NAMESPACE && entered.is_ok();
    if !is_in || !recovery::begin(session, key, shard, shown) {
        conclude(session, key, shard, namespace, shown, entered, out);
    }
}

/// Tells the client whether it is in.
pub(super) fn conclude(
    session: &mut Session,
    key: ConnKey,
    shard: &mut Shard,
    namespace: &str,
    shown: &str,
    entered: Result<(), Refused>,
    out: &mut Outbox,
) {
    let name = session.socket_name(namespace, key, shard);
    let is_main = namespace == MAIN_NAMESPACE && entered.is_ok();
    let pid = name
        .as_deref()
        .filter(|_| is_main)
        .and_then(|name| recovery::settle(session, key, name, shard));
    let (Some(name), Upper::Sockets(sockets)) = (name, &mut session.upper) else {
        return;
    };
    match entered {
        Ok(()) => {
            out.text(|to| {
                sockets.accept(namespace, &name, pid.as_deref(), to);
            });
            log::debug!("{} is in namespace {namespace:?}", shard.id(key));
            if shard.config.socketio.is_conformance {
                session.greet_later(namespace, shown, shard.moment());
            }
        }
        Err(Refused {
            code,
            status,
            sentence,
        }) => {
            let status = status.map_or_else(String::new, |status| format!(",\"status\":{status}"));
            let data = code.map(|code| format!("{{\"code\":\"{code}\"{status}}}"));
            out.text(|to| {
                sockets.refuse(namespace, &sentence, data.as_deref(), to);
            });
        }
    }
}

/// Judges who asks.
fn judge(
    session: &mut Session,
    shard: &mut Shard,
    now: Tick,
    namespace: &str,
    auth: Option<&str>,
) -> Result<(), Refused> {
    let config = std::sync::Arc::clone(&shard.config);
    let mut further = config.socketio.further_namespaces();
    let is_further = further.any(|one| one == namespace);
    if namespace != MAIN_NAMESPACE && !is_further {
        return Err(Refused {
            // As other servers say it.
            code: None,
            status: None,
            sentence: "Invalid namespace".to_owned(),
        });
    }
    if let Some(tokens) = &config.tokens {
        let token = auth.and_then(|auth| serde_json::from_str::<Auth>(auth).ok()?.token);
        if let Some(token) = token {
            let grant = grant_of(&token, tokens, &config).map_err(Refusal::Token)?;
            let earlier = session.bearer.as_ref().map(|bearer| bearer.grant());
            if earlier.is_some_and(|earlier| earlier.user != grant.user) {
                return Err(Refusal::AlreadyRegistered.into());
            }
            let at = shard.moment();
            session.show(Box::new(Bearer::new(grant, now)), at, now);
        } else if session.bearer.is_none() && config.is_auth_required {
            return Err(Refused {
                code: Some(Refusal::NotAuthenticated.code()),
                status: None,
                sentence: Unauthorized::Missing.sentence().to_owned(),
            });
        }
    }
    Ok(())
}

/// Enters the hub: from now on what is for everyone, for the user and for rooms reaches the session. Its user is that of its token, or
/// else `named`.
pub(super) fn become_member(
    session: &mut Session,
    key: ConnKey,
    shard: &mut Shard,
    now: Tick,
    named: Option<&str>,
) -> Result<(), Refused> {
    let granted = session.bearer.as_ref().map(|bearer| &*bearer.grant().user);
    let user = granted.or(named);
    let (json, is_allowed) = JsonEndpoint::open(key, Encoding::SocketIo, user, shard);
    if !is_allowed {
        shard.hub.remove(json.peer());
        let refusal = Refusal::TooManyConnections(shard.config.connections_per_user_max);
        if let Some(limit) = refusal.limit() {
            let id = shard.id(key);
            shard.node.tally.reached(limit, 1, now, &id);
        }
        return Err(refusal.into());
    }
    session.json = Some(json);
    Ok(())
}

/// The client has left a namespace.
pub(super) fn on_disconnect(session: &mut Session, shard: &mut Shard, namespace: &str) {
    if namespace == MAIN_NAMESPACE {
        behind::forget(session, shard);
        if let Some(json) = session.json.take() {
            recovery::leave(shard, json.peer());
            shard.hub.remove(json.peer());
        }
    }
}

/// Puts the client out of every namespace; it is told so, and does not come back by itself.
pub(super) fn put_out(session: &mut Session, shard: &mut Shard, out: &mut Outbox) {
    if let Upper::Sockets(sockets) = &mut session.upper {
        let namespaces: Vec<String> = sockets.connected().map(str::to_owned).collect();
        for namespace in namespaces {
            out.text(|to| {
                sockets.disconnect(&namespace, to);
            });
        }
    }
    on_disconnect(session, shard, MAIN_NAMESPACE);
}

/// Puts a client out of one namespace, for a Socket.IO server.
pub(super) fn put_out_of(shard: &mut Shard, key: ConnKey, namespace: &str) {
    with(shard, key, |session, shard| {
        let mut out = Outbox::new(shard);
        if let Upper::Sockets(sockets) = &mut session.upper
            && sockets.is_connected(namespace)
        {
            out.text(|to| {
                sockets.disconnect(namespace, to);
            });
            on_disconnect(session, shard, namespace);
        }
        session.send(&mut out, shard);
        out.give_back(shard);
    });
}

/// The user of a session.
pub(super) fn user(session: &Session, shard: &Shard) -> Option<std::sync::Arc<str>> {
    let peer = session.json.as_ref()?.peer();
    let user = shard.hub.groups_of(peer, Kind::User).next()?;
    Some(std::sync::Arc::clone(user.name()))
}

/// The rooms and the user of a session are those of its place in the hub.
pub(super) fn rooms(session: &Session, shard: &Shard) -> Vec<std::sync::Arc<str>> {
    let Some(json) = &session.json else {
        return Vec::new();
    };
    let rooms = shard.hub.groups_of(json.peer(), Kind::Room);
    rooms
        .map(|room| std::sync::Arc::clone(room.name()))
        .collect()
}
