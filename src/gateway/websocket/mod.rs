//! The WebSocket stage of a connection: frames in and out, messages to the endpoint, close handshake.

mod answered;
mod endpoint;
mod throttle;
mod watch;

use serde_json::value::RawValue;

use super::bearer::Bearer;
use super::session::GatewaySession;
use super::shard::Shard;
use super::socketio::{Carrier, Session};
use super::tally::Limit;
use crate::hub::Encoding;
use crate::limits::CONTROL_PAYLOAD_BYTES_MAX;
use crate::reactor::{CloseReason, Context, Tick};
use crate::socketio::engine::{Frame, Frames};
use crate::websocket::close::{CloseCode, Violation};
use crate::websocket::protocol::{Event, Input, MessageKind, Place, Protocol, Whole};
use endpoint::Endpoint;
use throttle::{Pace, Throttle};
use watch::Watch;

/// The last ping that could not be answered yet; an older one is forgotten (RFC 6455 section 5.5.3).
#[derive(Debug)]
struct WaitingPong {
    len: u8,
    payload: [u8; CONTROL_PAYLOAD_BYTES_MAX],
}

/// An open WebSocket.
#[derive(Debug)]
pub(super) struct WebSocketStage {
    protocol: Protocol,
    endpoint: Endpoint,
    watch: Watch,
    message_since: Option<Tick>,
    waiting_pong: Option<Box<WaitingPong>>,
    /// What it may send, where that is limited.
    throttle: Option<Box<Throttle>>,
    /// The token that was shown.
    bearer: Option<Box<Bearer>>,
    /// What the back end wants remembered, where it has let the connection in.
    memory: Option<Box<Memory>>,
}

/// Who comes in, besides where from.
#[derive(Debug, Default)]
pub(super) struct Opened<'o> {
    /// The token that was shown.
    pub(super) bearer: Option<Box<Bearer>>,
    /// The user that the back end has named.
    pub(super) user: Option<&'o str>,
    /// What the back end wants remembered, where it was asked.
    pub(super) memory: Option<Box<Memory>>,
}

/// What the back end wants remembered.
#[derive(Debug)]
pub(super) struct Memory {
    /// A JSON object.
    pub(super) metadata: Option<Box<RawValue>>,
}

impl WebSocketStage {
    /// The connection was upgraded, to be served by the endpoint of that route.
    pub(super) fn open(
        protocol: Protocol,
        route: usize,
        opened: Opened<'_>,
        cx: &mut Context<'_, GatewaySession>,
    ) -> Self {
        let Opened {
            bearer,
            user,
            memory,
        } = opened;
        let granted = bearer.as_ref().map(|bearer| &*bearer.grant().user);
        let (endpoint, is_allowed) = Endpoint::open(&protocol, route, granted.or(user), cx);
        let kind = cx.shard.config.routes[route].endpoint;
        cx.shard.node.opened(kind);
        cx.shard.meters.count_opened(kind);
        let mut stage = Self {
            protocol,
            endpoint,
            watch: Watch::Quiet,
            message_since: None,
            waiting_pong: None,
            throttle: Throttle::new(cx),
            bearer,
            // Who has too many connections has others: the user has not gone.
            memory: memory.filter(|_| is_allowed),
        };
        if is_allowed {
            stage.watch_silence(cx);
        } else {
            let id = cx.shard.id(cx.key);
            let tally = &cx.shard.node.tally;
            tally.reached(Limit::UserConnections, 1, cx.now, &id);
            let detail = "the user has all the connections it may have";
            let reason = CloseReason::server(CloseCode::POLICY_VIOLATION, detail);
            stage.say_goodbye(reason, detail, cx);
        }
        stage
    }

    /// The connection was upgraded for a session. Where that does not take it, it is closed.
    pub(super) fn carry(
        protocol: Protocol,
        carrier: Option<Carrier>,
        cx: &mut Context<'_, GatewaySession>,
    ) -> Self {
        let mut stage = Self {
            protocol,
            endpoint: carrier.map_or(Endpoint::Gone, Endpoint::Carrier),
            watch: Watch::Quiet,
            message_since: None,
            waiting_pong: None,
            throttle: Throttle::new(cx),
            bearer: None,
            memory: None,
        };
        if let Some(carrier) = carrier {
            if endpoint::encoding(&stage.protocol, cx.shard) == Encoding::Deflated {
                Session::take_deflated(cx.shard, carrier);
            }
            stage.watch_silence(cx);
        } else {
            stage.on_carried_no_more(cx);
        }
        stage
    }

    /// The session that it carries says something.
    pub(super) fn on_frames(&mut self, frames: &Frames, cx: &mut Context<'_, GatewaySession>) {
        for frame in frames.iter() {
            let (kind, payload) = match frame {
                Frame::Text(text) => (MessageKind::Text, text),
                Frame::Binary(bytes) => (MessageKind::Binary, bytes),
            };
            let codec = &mut cx.shard.codec;
            self.protocol
                .send_message(kind, payload, codec, cx.out.cork());
        }
    }

    /// It carries no session any more.
    pub(super) fn on_carried_no_more(&mut self, cx: &mut Context<'_, GatewaySession>) {
        let reason = CloseReason::server(CloseCode::NORMAL, "it carries no session");
        self.say_goodbye(reason, "", cx);
    }

    pub(super) fn on_input(&mut self, input: &mut Input<'_>, cx: &mut Context<'_, GatewaySession>) {
        self.hear();
        let mut has_ended_message = false;
        let mut counted = input.position();
        let mut is_spent = false;
        // Until `receive` has nothing more to give, also where no input is left: with that it returns what it borrowed.
        while !cx.out.is_congested() {
            if self.publishes() && cx.shard.is_congested() {
                cx.shard.paused.push(cx.key);
                break;
            }
            if self.throttle.is_some() {
                let consumed = input.position() - counted;
                counted = input.position();
                match self.pace(consumed, !input.is_empty(), cx) {
                    Pace::Free => {}
                    Pace::Paused => break,
                    Pace::Spent if self.protocol.is_mid_message() => {
                        return self.close_for_haste(cx);
                    }
                    Pace::Spent => is_spent = true,
                }
            }
            match self.echo_whole(is_spent, input, cx) {
                Ok(true) => {
                    self.count_message();
                    has_ended_message = true;
                    if input.is_empty() {
                        break;
                    }
                    continue;
                }
                Ok(false) => {}
                Err(violation) => return self.fail(violation, cx),
            }
            match self.protocol.receive(input, &mut cx.shard.codec) {
                Ok(Some(Event::Message(_) | Event::Ping(_) | Event::Pong(_))) if is_spent => {
                    return self.close_for_haste(cx);
                }
                Ok(Some(Event::Message(message))) => {
                    let (kind, place) = (message.kind, message.place);
                    self.count_message();
                    has_ended_message = true;
                    self.on_message(kind, place, input, cx);
                }
                Ok(Some(Event::Ping(payload))) => {
                    let mut waiting = WaitingPong {
                        len: payload.len() as u8,
                        payload: [0; CONTROL_PAYLOAD_BYTES_MAX],
                    };
                    waiting.payload[..payload.len()].copy_from_slice(payload);
                    self.count_message();
                    self.answer_ping(waiting, cx);
                }
                Ok(Some(Event::Pong(_))) => self.count_message(),
                Ok(Some(Event::Close { code, .. })) => return self.on_peer_close(code, input, cx),
                Ok(None) => break,
                Err(violation) => return self.fail(violation, cx),
            }
        }
        self.count_bytes(input.position() - counted);
        self.watch_message(has_ended_message, cx);
    }

    /// The usual message on the endpoint that echoes, and nothing else: it goes back from where it lies. False where the next
    /// one is another.
    #[inline(always)]
    fn echo_whole(
        &mut self,
        is_spent: bool,
        input: &mut Input<'_>,
        cx: &mut Context<'_, GatewaySession>,
    ) -> Result<bool, Violation> {
        if is_spent || !matches!(self.endpoint, Endpoint::Echo) {
            return Ok(false);
        }
        let codec = &mut cx.shard.codec;
        let Some(Whole { kind, start, len }) = self.protocol.receive_whole(input, codec)? else {
            return Ok(false);
        };
        if self.protocol.deflates(len, codec) {
            self.echo(kind, Place::Input { start, len }, input, cx);
        } else {
            self.echo_in_place(kind, start, len, input, cx);
        }
        cx.shard.meters.count_echo();
        Ok(true)
    }

    #[inline]
    fn echo_in_place(
        &mut self,
        kind: MessageKind,
        start: usize,
        len: usize,
        input: &mut Input<'_>,
        cx: &mut Context<'_, GatewaySession>,
    ) {
        let from = self.protocol.put_header(kind, input.buffer(), start, len);
        cx.out.in_place(from, start + len);
        input.keep_until(start + len);
    }

    /// Where the rest of a large message is read to without a detour; `None` for everything else.
    #[inline]
    pub(super) fn read_space<'s>(&'s mut self, shard: &'s mut Shard) -> Option<&'s mut [u8]> {
        if self.message_since.is_none() || (self.publishes() && shard.is_congested()) {
            return None;
        }
        self.protocol.payload_space(&mut shard.codec)
    }

    /// So many bytes of that have been read.
    pub(super) fn on_space_filled(&mut self, count: usize, cx: &mut Context<'_, GatewaySession>) {
        self.hear();
        let message = match self.protocol.payload_filled(count, &mut cx.shard.codec) {
            Ok(Some(Event::Message(message))) => Some((message.kind, message.place)),
            Ok(_) => None,
            Err(violation) => return self.fail(violation, cx),
        };
        if let Some((kind, place)) = message {
            self.count_message();
            self.on_message(kind, place, &mut Input::new(&mut []), cx);
            self.count_bytes(count);
            self.on_input(&mut Input::new(&mut []), cx);
        } else if self.throttle.is_some()
            && let Pace::Spent = self.pace(count, true, cx)
        {
            self.close_for_haste(cx);
        }
    }

    fn on_message(
        &mut self,
        kind: MessageKind,
        place: Place,
        input: &mut Input<'_>,
        cx: &mut Context<'_, GatewaySession>,
    ) {
        if let Endpoint::Echo = self.endpoint {
            cx.shard.meters.count_echo();
            return self.echo(kind, place, input, cx);
        }
        // A session counts its own, whichever way they come.
        if !matches!(self.endpoint, Endpoint::Dashboard(_) | Endpoint::Carrier(_)) {
            cx.shard.meters.messages_received.add(1);
        }
        match place {
            Place::Input { start, len } => {
                self.hand_on(kind, &input.buffer()[start..start + len], cx);
            }
            Place::Assembled => {
                let (buffer, from) = self.protocol.take_assembled();
                self.hand_on(kind, &buffer[from..], cx);
                cx.shard.codec.recycle(buffer);
            }
            Place::Scratch => {
                let scratch = cx.shard.codec.take_scratch();
                self.count_bytes(scratch.len());
                self.hand_on(kind, &scratch, cx);
                cx.shard.codec.give_scratch(scratch);
            }
        }
    }

    /// Sends a message back from where it lies, unless it is to be deflated.
    fn echo(
        &mut self,
        kind: MessageKind,
        place: Place,
        input: &mut Input<'_>,
        cx: &mut Context<'_, GatewaySession>,
    ) {
        let protocol = &mut self.protocol;
        let codec = &mut cx.shard.codec;
        match place {
            Place::Input { start, len } if protocol.deflates(len, codec) => {
                let payload = &input.buffer()[start..start + len];
                protocol.send_message(kind, payload, codec, cx.out.cork());
            }
            Place::Input { start, len } => self.echo_in_place(kind, start, len, input, cx),
            Place::Assembled => {
                let (mut buffer, from) = protocol.take_assembled();
                let len = buffer.len() - from;
                if protocol.deflates(len, codec) {
                    protocol.send_message(kind, &buffer[from..], codec, cx.out.cork());
                    codec.recycle(buffer);
                } else {
                    let begin = protocol.put_header(kind, &mut buffer, from, len);
                    cx.out.owned(buffer, begin);
                }
            }
            Place::Scratch => {
                let scratch = codec.take_scratch();
                if let Some(throttle) = &mut self.throttle {
                    throttle.count_bytes(scratch.len());
                }
                protocol.send_message(kind, &scratch, codec, cx.out.cork());
                codec.give_scratch(scratch);
            }
        }
    }

    /// Answers at once where nothing waits to be sent; else the last ping is answered once all has been.
    fn answer_ping(&mut self, ping: WaitingPong, cx: &mut Context<'_, GatewaySession>) {
        if cx.out.backlog() > 0 {
            self.waiting_pong = Some(Box::new(ping));
            return;
        }
        let payload = &ping.payload[..usize::from(ping.len)];
        self.protocol
            .send_pong(payload, &mut cx.shard.codec, cx.out.cork());
    }

    /// Both Close frames have passed: the server closes TCP first, and nothing may come from the peer any more (RFC 6455
    /// sections 7.1.1 and 5.5.1). One that has sent more all the same may go on with that, and is read to its end.
    fn on_peer_close(
        &mut self,
        code: CloseCode,
        input: &Input<'_>,
        cx: &mut Context<'_, GatewaySession>,
    ) {
        self.protocol
            .send_close(code, "", &mut cx.shard.codec, cx.out.cork());
        let reason = match self.watch {
            Watch::Closing(reason) => reason,
            _ => CloseReason::peer(code, "the peer closed"),
        };
        if input.is_empty() {
            cx.finish(reason);
        } else {
            cx.close(reason);
        }
    }

    fn fail(&mut self, violation: Violation, cx: &mut Context<'_, GatewaySession>) {
        self.end(
            CloseReason::server(violation.code(), violation.sentence()),
            cx,
        );
    }

    /// Sends a Close and ends without waiting for the peer's (RFC 6455 section 7.1.7).
    fn end(&mut self, reason: CloseReason, cx: &mut Context<'_, GatewaySession>) {
        self.protocol.send_close(
            reason.code,
            reason.detail,
            &mut cx.shard.codec,
            cx.out.cork(),
        );
        cx.close(reason);
    }

    pub(super) fn on_end(&self, cx: &mut Context<'_, GatewaySession>) {
        cx.close(match self.watch {
            Watch::Closing(reason) => reason,
            _ => CloseReason::transport("the peer ended TCP without a Close frame"),
        });
    }

    pub(super) fn on_drained(&mut self, cx: &mut Context<'_, GatewaySession>) {
        if let Some(pong) = self.waiting_pong.take() {
            let payload = &pong.payload[..usize::from(pong.len)];
            self.protocol
                .send_pong(payload, &mut cx.shard.codec, cx.out.cork());
        }
        // What was borrowed for a message could not be given back while its echo waited.
        self.on_input(&mut Input::new(&mut []), cx);
    }

    /// Says goodbye and waits for the peer's Close. Nothing may follow ours, so every group is left at once.
    pub(super) fn on_drain(&mut self, cx: &mut Context<'_, GatewaySession>) {
        let reason = CloseReason::server(CloseCode::GOING_AWAY, "the server is going away");
        if let Endpoint::Carrier(carrier) = self.endpoint {
            Session::leave(cx.shard, carrier.session);
        }
        self.say_goodbye(reason, reason.detail, cx);
    }

    fn say_goodbye(
        &mut self,
        reason: CloseReason,
        words: &str,
        cx: &mut Context<'_, GatewaySession>,
    ) {
        if let Watch::Closing(_) = self.watch {
            return;
        }
        self.tell_end(cx);
        self.leave_hub(cx.shard);
        let codec = &mut cx.shard.codec;
        self.protocol
            .send_close(reason.code, words, codec, cx.out.cork());
        self.watch = Watch::Closing(reason);
        self.stop_throttling(cx);
        cx.set_deadline(cx.shard.config.close_timeout);
    }

    pub(super) fn on_close(&mut self, cx: &mut Context<'_, GatewaySession>) {
        self.tell_end(cx);
        self.leave_hub(cx.shard);
        self.protocol.release(&mut cx.shard.codec);
    }
}
