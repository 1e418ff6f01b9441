//! A connection through its stages: HTTP until an upgrade, WebSocket after it.

use std::net::IpAddr;
use std::sync::Arc;

use super::admission::Verdict;
use super::answering;
use super::ask::{Act, Described, Gathered, Question};
use super::backend::{self, Departure};
use super::client::ClientAddress;
use super::config::GatewayConfig;
use super::dashboard::Telling;
use super::delivery;
use super::http::HttpStage;
use super::shard::Shard;
use super::socketio::{self, Errand, Told};
use super::tally::Limit;
use super::websocket::WebSocketStage;
use crate::backend::{Answer, Failure};
use crate::hub::{Encoding, Publication};
use crate::id::ConnKey;
use crate::reactor::{CloseReason, Context, Engine, Session, Tick, Transport};
use crate::socketio::engine::Frames;
use crate::websocket::protocol::Input;

/// What workers tell each other, and what the server tells them.
#[derive(Debug)]
pub enum Mail {
    /// A message for the members of a group.
    Publish(Arc<Publication>),
    /// What there is for a Socket.IO client that has come back.
    Recovery(Box<Told>),
    /// A Socket.IO server wants something.
    Errand(Arc<Errand>),
    /// Another worker wants to know something.
    Ask {
        /// Its number.
        from: usize,
        /// What it calls the question.
        number: u32,
        /// The question.
        question: Question,
    },
    /// Another node wants to know something.
    AskForNode {
        /// Its number.
        origin: u64,
        /// What it knows the question by.
        ticket: u64,
        /// The question.
        question: Question,
    },
    /// A worker's part of the answer to a question of this one.
    Answer {
        /// What this worker calls the question.
        number: u32,
        /// What there is at the other.
        part: Box<Gathered>,
    },
    /// The back end has answered a call of this worker, or never will.
    Answered {
        /// What this worker calls the call.
        number: u32,
        /// The answer.
        answer: Box<Result<Answer, Failure>>,
    },
    /// Users have left this node, and the others are to be asked whether they have them.
    Departed(Vec<Departure>),
    /// All metrics, for a connection that has asked for them.
    Metrics {
        /// Which.
        connection: ConnKey,
        /// The body of the answer.
        text: String,
    },
    /// All of the last hour, for a dashboard that has come.
    Dashboard {
        /// Which.
        connection: ConnKey,
        /// A text message.
        text: String,
    },
    /// What is now, for every dashboard of this worker.
    Dashboards(Arc<str>),
    /// Other settings from now on.
    Configure(Arc<GatewayConfig>),
}

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// HTTP requests, one after the other.
    Http(HttpStage),
    /// After the opening handshake.
    WebSocket(WebSocketStage),
}

/// What every session knows of its connection.
#[derive(Debug)]
pub(super) struct Entry {
    /// Where the client is: the peer, or whom a trusted proxy speaks for.
    pub(super) client: ClientAddress,
    /// How the connection came in.
    pub(super) verdict: Verdict,
    /// The address that this connection is counted under.
    pub(super) counted: Option<IpAddr>,
    /// How often it was handed over for a request that is not answered.
    pub(super) hand_overs: u8,
}

/// A connection, as the gateway sees it.
#[derive(Debug)]
pub struct GatewaySession {
    entry: Entry,
    stage: Stage,
}

impl GatewaySession {
    /// A connection from `client` that was let in, or not, by `verdict`, and counted under `counted`.
    pub fn new(client: ClientAddress, verdict: Verdict, counted: Option<IpAddr>) -> Self {
        Self {
            entry: Entry {
                client,
                verdict,
                counted,
                hand_overs: 0,
            },
            stage: Stage::Http(HttpStage::default()),
        }
    }
}

impl GatewaySession {
    /// A client's question who is in a room has been answered.
    pub(super) fn on_presence(
        &mut self,
        room: &str,
        id: Option<&str>,
        gathered: &Gathered,
        cx: &mut Context<'_, Self>,
    ) {
        if let Stage::WebSocket(websocket) = &mut self.stage {
            websocket.on_presence(room, id, gathered, cx);
        }
    }

    /// It is known to how many connections a client's message goes.
    pub(super) fn on_delivered(
        &mut self,
        id: &str,
        gathered: &Gathered,
        cx: &mut Context<'_, Self>,
    ) {
        if let Stage::WebSocket(websocket) = &mut self.stage {
            websocket.on_delivered(id, gathered, cx);
        }
    }

    /// What a client was to be told may be told now.
    pub(super) fn on_reply(&mut self, reply: Vec<u8>, cx: &mut Context<'_, Self>) {
        if let Stage::WebSocket(websocket) = &mut self.stage {
            websocket.on_reply(reply, cx);
        }
    }

    /// A request that others had to answer has its answer.
    pub(super) fn on_told(&mut self, body: &[u8], cx: &mut Context<'_, Self>) {
        if let Stage::Http(http) = &mut self.stage {
            http.on_told(body, cx);
        }
    }

    /// A GET of a session has its answer.
    pub(super) fn on_polled(&mut self, body: &[u8], cx: &mut Context<'_, Self>) {
        if let Stage::Http(http) = &mut self.stage {
            http.on_polled(body, cx);
        }
    }

    /// There is time for further messages of a POST.
    pub(super) fn on_post_goes_on(&mut self, cx: &mut Context<'_, Self>) {
        if let Stage::Http(http) = &mut self.stage {
            http.on_post_goes_on(cx);
        }
    }

    /// The session that this WebSocket carries says something.
    pub(super) fn on_frames(&mut self, frames: &Frames, cx: &mut Context<'_, Self>) {
        if let Stage::WebSocket(websocket) = &mut self.stage {
            websocket.on_frames(frames, cx);
        }
    }

    /// This WebSocket carries no session any more.
    pub(super) fn on_carried_no_more(&mut self, cx: &mut Context<'_, Self>) {
        if let Stage::WebSocket(websocket) = &mut self.stage {
            websocket.on_carried_no_more(cx);
        }
    }

    /// The back end has said whether the client may connect; whether it has.
    pub(super) fn on_admitted(
        &mut self,
        answer: &Result<Answer, Failure>,
        cx: &mut Context<'_, Self>,
    ) -> bool {
        if let Stage::Http(http) = &mut self.stage
            && let Some(upgraded) = http.on_admitted(answer, &self.entry, cx)
        {
            self.stage = Stage::WebSocket(upgraded);
            return true;
        }
        false
    }

    /// The back end has said what is to be done about a message.
    pub(super) fn on_answered(
        &mut self,
        id: Option<&str>,
        answer: Result<Answer, Failure>,
        cx: &mut Context<'_, Self>,
    ) {
        if let Stage::WebSocket(websocket) = &mut self.stage {
            websocket.on_answered(id, answer, cx);
        }
    }

    /// Does what the API asks for; whether that concerned this connection.
    pub(super) fn obey(&mut self, act: &Act, cx: &mut Context<'_, Self>) -> bool {
        match &mut self.stage {
            Stage::Http(_) => false,
            Stage::WebSocket(websocket) => websocket.obey(act, cx),
        }
    }

    /// The connection, as the API tells it.
    pub(super) fn described(&self, cx: &Context<'_, Self>) -> Option<Described> {
        let Stage::WebSocket(websocket) = &self.stage else {
            return None;
        };
        Some(Described {
            connection_id: cx.shard.node.shown(cx.shard.id(cx.key)),
            address: self.entry.client.to_string(),
            rooms: websocket.rooms(cx.shard),
        })
    }

    /// A dashboard is told something. Where it has not read the last thing it is not told the next: only the latest is of use.
    fn on_dashboard(&mut self, telling: Telling, text: &str, cx: &mut Context<'_, Self>) {
        if let Stage::WebSocket(websocket) = &mut self.stage
            && (telling == Telling::History || cx.out.backlog() == 0)
        {
            websocket.on_dashboard(telling, text, cx);
        }
    }

    /// Other settings are in force.
    fn on_configured(&mut self, cx: &mut Context<'_, Self>) {
        if let Stage::WebSocket(websocket) = &mut self.stage {
            websocket.on_configured(cx);
        }
    }
}

impl Session for GatewaySession {
    type Shard = Shard;
    type Mail = Mail;

    fn on_open(&mut self, cx: &mut Context<'_, Self>) {
        cx.set_deadline(cx.shard.config.handshake_timeout);
    }

    fn on_input(&mut self, input: &mut Input<'_>, cx: &mut Context<'_, Self>) {
        if let Stage::Http(http) = &mut self.stage {
            let Some(upgraded) = http.on_input(input, &mut self.entry, cx) else {
                return;
            };
            self.stage = Stage::WebSocket(upgraded);
        }
        if let Stage::WebSocket(websocket) = &mut self.stage
            && !input.is_empty()
        {
            websocket.on_input(input, cx);
        }
    }

    #[inline]
    fn read_space<'s>(&'s mut self, shard: &'s mut Shard) -> Option<&'s mut [u8]> {
        match &mut self.stage {
            Stage::Http(_) => None,
            Stage::WebSocket(websocket) => websocket.read_space(shard),
        }
    }

    fn on_space_filled(&mut self, count: usize, cx: &mut Context<'_, Self>) {
        if let Stage::WebSocket(websocket) = &mut self.stage {
            websocket.on_space_filled(count, cx);
        }
    }

    fn on_end(&mut self, cx: &mut Context<'_, Self>) {
        match &mut self.stage {
            Stage::Http(http) => http.on_end(cx),
            Stage::WebSocket(websocket) => websocket.on_end(cx),
        }
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Self>) {
        match &mut self.stage {
            Stage::Http(http) => http.on_deadline(cx),
            Stage::WebSocket(websocket) => websocket.on_deadline(cx),
        }
    }

    fn on_drained(&mut self, cx: &mut Context<'_, Self>) {
        if let Stage::WebSocket(websocket) = &mut self.stage {
            websocket.on_drained(cx);
        }
    }

    fn on_drain(&mut self, cx: &mut Context<'_, Self>) {
        match &mut self.stage {
            Stage::Http(http) => http.on_drain(cx),
            Stage::WebSocket(websocket) => websocket.on_drain(cx),
        }
    }

    fn on_close(&mut self, reason: CloseReason, cx: &mut Context<'_, Self>) {
        let id = cx.shard.id(cx.key);
        let CloseReason {
            initiator,
            code,
            detail,
        } = reason;
        match &mut self.stage {
            Stage::Http(http) => {
                http.on_close(cx);
                log::debug!("{id} closed by {initiator}: {detail}");
            }
            Stage::WebSocket(websocket) => {
                websocket.on_close(cx);
                cx.shard.meters.count_closed(reason);
                if [CloseReason::SLOW_CONSUMER, CloseReason::SEND_QUEUES_FULL].contains(&reason) {
                    let tally = &cx.shard.node.tally;
                    tally.reached(Limit::SendQueue, 1, cx.now, &id);
                }
                let client = self.entry.client;
                log::info!(
                    "{id} closed by {initiator}: address={client} code={} {detail}",
                    code.0
                );
            }
        }
    }

    fn on_detach(&mut self, key: ConnKey, shard: &mut Shard) -> Vec<u8> {
        shard.node.admission.unassign(shard.worker);
        match &mut self.stage {
            Stage::Http(http) => http.on_detach(key, shard),
            Stage::WebSocket(websocket) => {
                websocket.on_detach(shard);
                Vec::new()
            }
        }
    }

    fn on_attach(&mut self, key: ConnKey, shard: &mut Shard) {
        if let Stage::WebSocket(websocket) = &mut self.stage {
            websocket.on_attach(key, shard);
        }
        shard.node.admission.assign_to(shard.worker);
    }

    fn released(self, shard: &mut Shard) {
        if let Some(address) = self.entry.counted {
            shard.node.admission.leave_address(address);
        }
        shard.node.admission.leave(self.entry.verdict);
        shard.node.connection_gone(shard.worker);
    }

    fn on_mail<T: Transport>(engine: &mut Engine<Self, T>, mail: Mail) {
        match mail {
            Mail::Publish(publication) => engine.shard().hub.publish(publication, None),
            Mail::Recovery(told) => {
                let now = engine.now();
                socketio::told(engine.shard(), *told, now);
            }
            Mail::Errand(errand) => socketio::run(engine, &errand),
            Mail::Ask {
                from,
                number,
                question,
            } => {
                answering::answer(engine, from, number, &question);
            }
            Mail::AskForNode {
                origin,
                ticket,
                question,
            } => answering::ask_for_node(engine, origin, ticket, &question),
            Mail::Answer { number, part } => answering::take(engine, number, *part),
            Mail::Answered { number, answer } => backend::settle(engine, number, *answer),
            Mail::Departed(users) => answering::ask_of_departures(engine, users),
            Mail::Metrics { connection, text } => {
                engine.visit(connection, |session, cx| {
                    session.on_told(text.as_bytes(), cx);
                });
                engine.resume(connection);
            }
            Mail::Dashboard { connection, text } => {
                engine.visit(connection, |session, cx| {
                    session.on_dashboard(Telling::History, &text, cx);
                });
            }
            Mail::Dashboards(text) => {
                for key in engine.shard().watchers.clone() {
                    engine.visit(key, |session, cx| {
                        session.on_dashboard(Telling::Now, &text, cx);
                    });
                }
            }
            Mail::Configure(config) => {
                engine.shard().configure(config);
                for key in engine.open_keys() {
                    engine.visit(key, Self::on_configured);
                }
            }
        }
    }

    fn on_turn_end<T: Transport>(engine: &mut Engine<Self, T>) {
        socketio::pump(engine);
        engine.shard().pass_time();
        let window_bits = engine.shard().shared_window_bits();
        loop {
            let Shard { hub, codec, .. } = engine.shard();
            let Some(round) = hub.next_round(codec, window_bits) else {
                break;
            };
            if let Some(lossy) = round.lossy() {
                delivery::send_lossy(engine, &round, lossy);
            } else if round.is_alone() {
                for run in round.runs() {
                    if run.encoding == Encoding::SocketIo {
                        socketio::deliver(engine, &run, false);
                        continue;
                    }
                    let reached = run.members.iter();
                    let reached =
                        reached.filter(|member| engine.send_shared(member.key, run.frames));
                    let sent = reached.count() as u64 * u64::from(run.messages);
                    engine.shard().meters.messages_sent.add(sent);
                }
            } else {
                delivery::hold(engine, &round);
            }
            engine.shard().hub.end_round(round);
        }
        engine.send_held();
        socketio::finish(engine);
        let shard = engine.shard();
        shard.hub.end_turn();
        shard.post_again();
        if shard.paused.is_empty() {
            if shard.has_outbox() {
                engine.turn_again_in(Tick(1));
            }
            return;
        }
        if shard.is_congested() {
            return engine.turn_again_in(Tick(1));
        }
        for key in std::mem::take(&mut shard.paused) {
            engine.resume(key);
        }
    }

    fn on_stop<T: Transport>(engine: &mut Engine<Self, T>) {
        socketio::stop(engine);
    }

    fn wants_turn(shard: &Shard) -> bool {
        shard.socketio.wants_turn(shard.is_congested())
    }

    fn recycle(shard: &mut Shard, buffer: Vec<u8>) {
        shard.codec.recycle(buffer);
    }
}
