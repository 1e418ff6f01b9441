//! What sessions want done, done: at the end of each turn of the loop, and once it is due.

use std::time::Duration;

use super::messages::{Outbox, fail};
use super::session::{Session, Upper, transport_name};
use super::sessions::with;
use super::{connect, questions, recovery, reply};
use crate::gateway::ask::{Act, Described, Gathered, Purpose};
use crate::gateway::json::Refusal;
use crate::gateway::session::GatewaySession;
use crate::gateway::shard::Shard;
use crate::gateway::tally::Limit;
use crate::id::ConnKey;
use crate::reactor::{Engine, Tick, Transport};
use crate::socketio::Moment;
use crate::socketio::engine::{End, Output};

/// Does what is due and what is wanted. Comes before what goes out to many: some of it may.
pub(in crate::gateway) fn pump<T: Transport>(engine: &mut Engine<GatewaySession, T>) {
    let now = engine.now();
    let shard = engine.shard();
    if shard.socketio.is_idle() {
        return;
    }
    let at = shard.moment();
    while let Some(key) = shard.socketio.next_due(at) {
        with(shard, key, |session, shard| {
            session.pass_time(key, shard, at, now);
        });
    }
    if !shard.is_congested() {
        for connection in shard.socketio.take_busy(at) {
            engine.visit(connection, GatewaySession::on_post_goes_on);
            engine.resume(connection);
        }
    }
    do_what_is_wanted(engine);
}

/// Does what is wanted since then, and has the next turn come in time. Comes after what goes out to many.
pub(in crate::gateway) fn finish<T: Transport>(engine: &mut Engine<GatewaySession, T>) {
    do_what_is_wanted(engine);
    ask_for_turn(engine);
}

/// The sessions that are left end: nobody comes for them any more.
pub(in crate::gateway) fn stop<T: Transport>(engine: &mut Engine<GatewaySession, T>) {
    let shard = engine.shard();
    for key in shard.socketio.keys() {
        with(shard, key, |session, _| session.engine.abort());
    }
    do_what_is_wanted(engine);
}

fn do_what_is_wanted<T: Transport>(engine: &mut Engine<GatewaySession, T>) {
    while let Some(key) = engine.shard().socketio.next_dirty() {
        while let Some(output) = next_output(engine.shard(), key) {
            act(engine, key, output);
        }
    }
}

fn next_output(shard: &mut Shard, key: ConnKey) -> Option<Output> {
    with(shard, key, |session, _| session.engine.poll_output()).flatten()
}

fn act<T: Transport>(engine: &mut Engine<GatewaySession, T>, key: ConnKey, output: Output) {
    match output {
        Output::Poll(body) => {
            let polled = with(engine.shard(), key, |session, _| {
                session.has_last_poll = session.engine.end().is_some();
                session.poll.take()
            });
            if let Some(connection) = polled.flatten() {
                engine.visit(connection, |session, cx| session.on_polled(&body, cx));
                // Further requests may lie behind the one that is answered.
                engine.resume(connection);
            }
        }
        Output::Send(websocket, frames) => {
            let session = engine.shard().socketio.get(key);
            let connection = session.and_then(|session| session.connection_of(websocket));
            if let Some(connection) = connection {
                engine.visit(connection, |session, cx| session.on_frames(&frames, cx));
            }
        }
        Output::Close(websocket) => {
            let connection = with(engine.shard(), key, |session, _| {
                let connection = session.connection_of(websocket);
                session.carriers.retain(|(id, _)| *id != websocket);
                connection
            });
            if let Some(connection) = connection.flatten() {
                engine.visit(connection, GatewaySession::on_carried_no_more);
            }
        }
        Output::Ended(end) => {
            let now = engine.now();
            let shard = engine.shard();
            let id = shard.id(key);
            if end == End::QueueFull {
                shard.node.tally.reached(Limit::SendQueue, 1, now, &id);
            }
            recovery::on_end(shard, key, end);
            if let Some(session) = shard.socketio.remove(key) {
                let transport = transport_name(session.engine.transport());
                let client = session.client;
                if session.owes_last_poll() {
                    let at = shard.moment();
                    shard.socketio.part(session.secret, at);
                }
                log::info!("{id} closed: address={client} transport={transport} {end}");
                session.bury(key, shard);
            }
        }
    }
}

/// Has the next turn come in time for what is due.
fn ask_for_turn<T: Transport>(engine: &mut Engine<GatewaySession, T>) {
    let now = engine.now();
    let shard = engine.shard();
    let Some(due) = shard.socketio.due() else {
        return;
    };
    let left = due.0.saturating_sub(shard.moment().0);
    // The tick may be a moment early, never late by more than one: then the next is asked for.
    let at = now.after(Duration::from_millis(left.max(1)));
    let asked = shard
        .socketio
        .turn_at
        .filter(|asked| !asked.is_reached(now));
    if asked.is_none_or(|asked| !asked.is_reached(at)) {
        shard.socketio.turn_at = Some(at);
        engine.turn_again_in(Tick(at.0.wrapping_sub(now.0)));
    }
}

impl Session {
    /// Does what is due.
    fn pass_time(&mut self, key: ConnKey, shard: &mut Shard, at: Moment, now: Tick) {
        self.engine
            .handle_timeout(at, &shard.config.socketio.engine);
        if let Upper::Sockets(sockets) = &mut self.upper {
            while let Some(expired) = sockets.poll_expired(at) {
                questions::give_up(shard, expired.token);
            }
            if let Err(violation) = sockets.handle_timeout(at) {
                fail(self, key, shard, violation);
            }
        }
        if self.greetings.is_some() {
            let mut out = Outbox::new(shard);
            self.greet(at, &mut out);
            self.send(&mut out, shard);
            out.give_back(shard);
        }
        if self
            .token_at
            .is_some_and(|token_at| token_at.is_reached(at))
            && let Some(mut bearer) = self.bearer.take()
        {
            self.token_at = None;
            if bearer.is_over(now) {
                let mut out = Outbox::new(shard);
                reply::refused(
                    &Refusal::Token(crate::auth::token::TokenError::Expired),
                    &mut out,
                );
                self.dismiss(shard, out);
            } else {
                self.show(bearer, at, now);
            }
        }
    }

    /// Sends a client away for good, behind what is in `out`.
    pub(super) fn dismiss(&mut self, shard: &mut Shard, mut out: Outbox) {
        connect::put_out(self, shard, &mut out);
        self.send(&mut out, shard);
        out.give_back(shard);
        self.be_over(shard);
        self.engine.close(shard.moment());
    }

    /// Does what the API asks for; whether that concerned this session.
    fn obey(&mut self, key: ConnKey, act: &Act, shard: &mut Shard, now: Tick) -> bool {
        match (act, &self.json) {
            (Act::Join(room), Some(json)) => {
                let joined = json.join(room, shard);
                if let Some(limit) = joined.as_ref().err().and_then(Refusal::limit) {
                    let id = shard.id(key);
                    shard.node.tally.reached(limit, 1, now, &id);
                }
                joined.is_ok()
            }
            (Act::Leave(room), Some(json)) => {
                let peer = json.peer();
                shard.hub.leave(peer, crate::hub::Kind::Room, room)
            }
            (Act::Disconnect(..), _) if !matches!(self.upper, Upper::Over) => {
                let out = Outbox::new(shard);
                self.dismiss(shard, out);
                true
            }
            _ => false,
        }
    }
}

/// What a session asked for is known.
pub(in crate::gateway) fn tell(
    shard: &mut Shard,
    key: ConnKey,
    purpose: &Purpose,
    gathered: &Gathered,
    now: Tick,
) {
    if let Purpose::Recovered(number) = purpose {
        return recovery::heard(shard, key, *number, gathered, now);
    }
    with(shard, key, |session, shard| {
        let mut out = Outbox::new(shard);
        match purpose {
            Purpose::Presence { room, id } => {
                reply::presence(room, id.as_deref(), gathered, &mut out);
            }
            Purpose::Delivered { id } => reply::delivered(id, gathered, &mut out),
            Purpose::Reply(said) => reply::answer(said, &mut out),
            // What back ends ask for goes to the connection of their request.
            _ => {}
        }
        session.send(&mut out, shard);
        out.give_back(shard);
    });
}

/// Does what the API asks for; whether that concerned this session.
pub(in crate::gateway) fn obey(shard: &mut Shard, key: ConnKey, act: &Act, now: Tick) -> bool {
    let obeyed = with(shard, key, |session, shard| {
        let is_done = session.obey(key, act, shard, now);
        recovery::refresh(session, key, shard);
        is_done
    });
    obeyed.unwrap_or(false)
}

/// The session, as the API tells it.
pub(in crate::gateway) fn described(shard: &Shard, key: ConnKey) -> Option<Described> {
    let session = shard.socketio.get(key)?;
    Some(Described {
        connection_id: shard.node.shown(shard.id(key)),
        address: session.client.to_string(),
        rooms: connect::rooms(session, shard),
    })
}
