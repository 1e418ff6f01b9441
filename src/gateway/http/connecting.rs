//! An opening handshake that the back end has to say something about: everything else about it has been found to be good.

use std::borrow::Cow;
use std::sync::Arc;

use super::answer::Answer as HttpAnswer;
use super::call::Pending;
use super::upgrade::{refuse, switch};
use super::{Outcome, RETRY_AFTER};
use crate::backend::{Answer, ConnectAnswer, Failure};
use crate::gateway::backend::{Asked, Behind, Opening, Purpose, following};
use crate::gateway::bearer::Bearer;
use crate::gateway::config::GatewayConfig;
use crate::gateway::session::{Entry, GatewaySession};
use crate::gateway::websocket::{Memory, Opened, WebSocketStage};
use crate::http::head::RequestHead;
use crate::reactor::Context;
use crate::websocket::handshake::{Accepted, offered_subprotocols};

/// What the client is told where the back end says nothing, or nothing that is any good.
const AWAY: &str = "The service behind this server does not answer.\n";

/// A handshake that waits.
#[derive(Debug)]
pub(super) struct Connecting {
    accepted: Accepted<'static>,
    offered: Vec<Box<str>>,
    route: usize,
    bearer: Option<Box<Bearer>>,
}

/// Asks the back end. It is answered within its time limits, so that no other is needed meanwhile.
pub(super) fn ask(
    request: &RequestHead<'_>,
    accepted: Accepted<'_>,
    route: usize,
    bearer: Option<Box<Bearer>>,
    behind: &Behind,
    entry: &Entry,
    cx: &mut Context<'_, GatewaySession>,
) -> Outcome {
    let offered: Vec<Box<str>> = offered_subprotocols(request)
        .filter(|name| !Bearer::is_shown_by(name))
        .map(Box::from)
        .collect();
    let shown = cx.shard.node.shown(cx.shard.id(cx.key));
    let asked = Asked::of(request, &cx.shard.config, behind);
    let opening = Opening {
        event: "connect",
        connection_id: &shown,
        user_id: bearer.as_ref().map(|bearer| &*bearer.grant().user),
        address: entry.client.ip.to_string(),
        path: request.path(),
        query: asked.query.as_deref(),
        headers: &asked.headers,
        subprotocols: &offered,
        claims: asked.claims.as_deref(),
        namespace: None,
        auth: None,
    };
    let shown_user = bearer
        .as_ref()
        .map(|bearer| Arc::clone(&bearer.grant().user));
    let purpose = Purpose::Connect { user: shown_user };
    if let Err(refused) = cx.shard.call(cx.key, purpose, &opening) {
        log::debug!("{shown} refused: {refused}");
        return refuse(away(), cx);
    }
    cx.clear_deadline();
    Outcome::Pending(Box::new(Pending::Connecting(Connecting {
        accepted: accepted.into_owned(),
        offered,
        route,
        bearer,
    })))
}

fn away() -> HttpAnswer<'static> {
    HttpAnswer::refusal(503, AWAY).with_headers(&[RETRY_AFTER])
}

impl Connecting {
    /// The back end has answered, or will not.
    pub(super) fn admit(
        mut self,
        answer: &Result<Answer, Failure>,
        entry: &Entry,
        cx: &mut Context<'_, GatewaySession>,
    ) -> Result<WebSocketStage, Outcome> {
        let id = cx.shard.id(cx.key);
        let answer = match answer {
            Ok(Answer::Connect(answer)) => answer,
            Ok(_) => return Err(refuse(away(), cx)),
            Err(Failure::Declined { status, sentence }) => {
                log::debug!("{id} refused by the back end with {status}");
                let sentence = match &**sentence {
                    "" => Cow::Borrowed("The service behind this server refuses the connection.\n"),
                    sentence => Cow::Owned(format!("{sentence}\n")),
                };
                return Err(refuse(HttpAnswer::refusal(*status, &sentence), cx));
            }
            Err(failure) => {
                log::warn!("{id} refused, since nobody says that it may connect: {failure}");
                return Err(refuse(away(), cx));
            }
        };
        if let Err(problem) = self.agree(answer, &cx.shard.config) {
            log::warn!("{id} refused: the answer of the back end is no good: {problem}");
            return Err(refuse(away(), cx));
        }
        if cx.shard.node.is_draining() {
            let refusal = HttpAnswer::refusal(503, "The server is going away.\n");
            return Err(refuse(refusal.with_headers(&[RETRY_AFTER]), cx));
        }
        let opened = Opened {
            bearer: self.bearer.take(),
            user: answer.user_id.as_deref(),
            memory: Some(Box::new(Memory {
                metadata: answer.metadata.clone(),
            })),
        };
        let mut websocket = switch(&self.accepted, self.route, opened, entry, cx);
        websocket.enter_rooms(&answer.rooms, cx);
        Ok(websocket)
    }

    /// Holds the answer against the request and the settings.
    fn agree(&mut self, answer: &ConnectAnswer, config: &GatewayConfig) -> Result<(), String> {
        let shown = self.bearer.as_ref().map(|bearer| &*bearer.grant().user);
        following::check_connect(answer, shown, config)?;
        if let Some(subprotocol) = &answer.subprotocol {
            if !self
                .offered
                .iter()
                .any(|offered| **offered == **subprotocol)
            {
                return Err("the client has not offered that subprotocol".to_owned());
            }
            self.accepted.agree_on(subprotocol);
        }
        Ok(())
    }
}
