//! The WebSocket stage of a connection: messages to the endpoint, heartbeat, close handshake.

use super::channel::Encoding;
use super::session::GatewaySession;
use super::shard::Shard;
use crate::id::ConnKey;
use crate::limits::{CONTROL_PAYLOAD_BYTES_MAX, MESSAGE_AGE_MAX};
use crate::reactor::{CloseReason, Context, Tick};
use crate::websocket::close::{CloseCode, Violation};
use crate::websocket::protocol::{Event, Input, MessageKind, Place, Protocol, Whole};

const HEARTBEAT_PAYLOAD: &[u8] = b"tidegate";

/// Where a session listens.
#[derive(Debug, Clone, Copy)]
struct Membership {
    channel: u16,
    encoding: Encoding,
}

/// The last ping that could not be answered yet; an older one is forgotten (RFC 6455 section 5.5.3).
#[derive(Debug)]
struct WaitingPong {
    len: u8,
    payload: [u8; CONTROL_PAYLOAD_BYTES_MAX],
}

/// What the heartbeat waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// For silence.
    Quiet,
    /// For a sign of life since the ping of this tick.
    Pinged(Tick),
    /// For the peer's Close.
    Closing(CloseReason),
}

/// An open WebSocket.
#[derive(Debug)]
pub(super) struct WebSocketStage {
    protocol: Protocol,
    membership: Option<Membership>,
    watch: Watch,
    message_since: Option<Tick>,
    waiting_pong: Option<Box<WaitingPong>>,
}

impl WebSocketStage {
    /// The connection was upgraded; with a channel it listens there from now on.
    pub(super) fn open(
        protocol: Protocol,
        channel: Option<usize>,
        cx: &mut Context<'_, GatewaySession>,
    ) -> Self {
        let shared_window = cx.shard.shared_window_bits();
        let encoding = match protocol.shared_window_bits() {
            Some(window) if window >= shared_window => Encoding::Deflated,
            _ => Encoding::Plain,
        };
        let membership = channel.map(|channel| {
            cx.shard.join(channel, cx.key, encoding);
            Membership {
                channel: channel as u16,
                encoding,
            }
        });
        let stage = Self {
            protocol,
            membership,
            watch: Watch::Quiet,
            message_since: None,
            waiting_pong: None,
        };
        stage.watch_silence(cx);
        stage
    }

    pub(super) fn on_input(&mut self, input: &mut Input<'_>, cx: &mut Context<'_, GatewaySession>) {
        self.hear();
        let mut has_ended_message = false;
        // Until `receive` has nothing more to give, also where no input is left: with that it returns what it borrowed.
        while !cx.out.is_congested() {
            if self.membership.is_some() && cx.shard.is_congested() {
                cx.shard.paused.push(cx.key);
                break;
            }
            match self.echo_whole(input, cx) {
                Ok(true) => {
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
                Ok(Some(Event::Message(message))) => {
                    let (kind, place) = (message.kind, message.place);
                    has_ended_message = true;
                    self.on_message(kind, place, input, cx);
                }
                Ok(Some(Event::Ping(payload))) => {
                    let mut waiting = WaitingPong {
                        len: payload.len() as u8,
                        payload: [0; CONTROL_PAYLOAD_BYTES_MAX],
                    };
                    waiting.payload[..payload.len()].copy_from_slice(payload);
                    self.answer_ping(waiting, cx);
                }
                Ok(Some(Event::Pong(_))) => {}
                Ok(Some(Event::Close { code, .. })) => return self.on_peer_close(code, input, cx),
                Ok(None) => break,
                Err(violation) => return self.fail(violation, cx),
            }
        }
        self.watch_message(has_ended_message, cx);
    }

    /// The usual message on the endpoint that echoes, and nothing else: it goes back from where it lies. False where the next
    /// one is another.
    #[inline(always)]
    fn echo_whole(
        &mut self,
        input: &mut Input<'_>,
        cx: &mut Context<'_, GatewaySession>,
    ) -> Result<bool, Violation> {
        if self.membership.is_some() {
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

    /// The peer is alive.
    #[inline]
    fn hear(&mut self) {
        if let Watch::Pinged(_) = self.watch {
            self.watch = Watch::Quiet;
        }
    }

    /// Where the rest of a large message is read to without a detour; `None` for everything else.
    #[inline]
    pub(super) fn read_space<'s>(&'s mut self, shard: &'s mut Shard) -> Option<&'s mut [u8]> {
        if self.message_since.is_none() || (self.membership.is_some() && shard.is_congested()) {
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
            self.on_message(kind, place, &mut Input::new(&mut []), cx);
            self.on_input(&mut Input::new(&mut []), cx);
        }
    }

    fn on_message(
        &mut self,
        kind: MessageKind,
        place: Place,
        input: &mut Input<'_>,
        cx: &mut Context<'_, GatewaySession>,
    ) {
        match self.membership {
            None => self.echo(kind, place, input, cx),
            Some(Membership { channel, .. }) => {
                let channel = usize::from(channel);
                match place {
                    Place::Input { start, len } => {
                        cx.shard
                            .publish(channel, kind, &input.buffer()[start..start + len]);
                    }
                    Place::Assembled => {
                        let (buffer, from) = self.protocol.take_assembled();
                        cx.shard.publish(channel, kind, &buffer[from..]);
                        cx.shard.codec.recycle(buffer);
                    }
                    Place::Scratch => {
                        let scratch = cx.shard.codec.take_scratch();
                        cx.shard.publish(channel, kind, &scratch);
                        cx.shard.codec.give_scratch(scratch);
                    }
                }
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

    /// The heartbeat may have been turned on, or quickened.
    pub(super) fn on_configured(&self, cx: &mut Context<'_, GatewaySession>) {
        if self.watch == Watch::Quiet {
            self.watch_silence(cx);
        }
    }

    /// Says goodbye and waits for the peer's Close. Nothing may follow ours, so the channel is left at once.
    pub(super) fn on_drain(&mut self, cx: &mut Context<'_, GatewaySession>) {
        self.leave_channel(cx);
        let reason = CloseReason::server(CloseCode::GOING_AWAY, "the server is going away");
        self.protocol.send_close(
            reason.code,
            reason.detail,
            &mut cx.shard.codec,
            cx.out.cork(),
        );
        self.watch = Watch::Closing(reason);
        cx.set_deadline(cx.shard.config.close_timeout);
    }

    pub(super) fn on_close(&mut self, cx: &mut Context<'_, GatewaySession>) {
        self.leave_channel(cx);
        self.protocol.release(&mut cx.shard.codec);
    }

    /// The connection leaves this worker; what is published until it has arrived at the other one passes it by.
    pub(super) fn on_detach(&self, key: ConnKey, shard: &mut Shard) {
        if let Some(Membership { channel, encoding }) = self.membership {
            shard.leave(usize::from(channel), key, encoding);
            shard.sweep();
        }
    }

    pub(super) fn on_attach(&self, key: ConnKey, shard: &mut Shard) {
        if let Some(Membership { channel, encoding }) = self.membership {
            shard.join(usize::from(channel), key, encoding);
        }
    }

    fn leave_channel(&mut self, cx: &mut Context<'_, GatewaySession>) {
        if let Some(Membership { channel, encoding }) = self.membership.take() {
            cx.shard.leave(usize::from(channel), cx.key, encoding);
        }
    }

    pub(super) fn on_deadline(&mut self, cx: &mut Context<'_, GatewaySession>) {
        if let Watch::Closing(reason) = self.watch {
            return cx.close(reason);
        }
        if self
            .message_since
            .is_some_and(|since| since.after(MESSAGE_AGE_MAX).is_reached(cx.now))
        {
            let detail = "the message took too long to arrive";
            return self.end(CloseReason::server(CloseCode::POLICY_VIOLATION, detail), cx);
        }
        let timeout = cx.shard.config.heartbeat_timeout;
        match (self.watch, cx.shard.config.heartbeat_interval) {
            (Watch::Pinged(at), _) if cx.last_activity.ticks_since(at) == 0 => {
                if at.after(timeout).is_reached(cx.now) {
                    let detail = "no answer to a ping in time";
                    return self.end(CloseReason::server(CloseCode::INTERNAL_ERROR, detail), cx);
                }
                return cx.set_deadline_at(at.after(timeout));
            }
            (_, Some(interval)) if cx.last_activity.after(interval).is_reached(cx.now) => {
                self.watch = Watch::Pinged(cx.now);
                self.protocol
                    .send_ping(HEARTBEAT_PAYLOAD, &mut cx.shard.codec, cx.out.cork());
                // Not the timeout alone: where that is the longer one, the next ping would wait for it.
                return cx.set_deadline(timeout.min(interval));
            }
            _ => self.watch = Watch::Quiet,
        }
        self.watch_silence(cx);
    }

    /// Asks to be called when the peer has been silent for a heartbeat interval, or a message has taken too long.
    fn watch_silence(&self, cx: &mut Context<'_, GatewaySession>) {
        let silence = cx
            .shard
            .config
            .heartbeat_interval
            .map(|after| cx.last_activity.after(after));
        let age = self.message_since.map(|since| since.after(MESSAGE_AGE_MAX));
        let deadline = match (silence, age) {
            (Some(silence), Some(age)) => Some(silence.earlier(age)),
            (silence, age) => silence.or(age),
        };
        match deadline {
            Some(deadline) => cx.set_deadline_at(deadline),
            None => cx.clear_deadline(),
        }
    }

    /// Keeps the time at which an unfinished message began: of the one that is unfinished now, where others have ended
    /// before it in the same bytes.
    #[inline]
    fn watch_message(&mut self, has_ended_message: bool, cx: &mut Context<'_, GatewaySession>) {
        let is_mid_message = self.protocol.is_mid_message();
        let was_mid_message = self.message_since.is_some();
        if is_mid_message == was_mid_message {
            if is_mid_message && has_ended_message {
                // The deadline that stands is too early, and will see that.
                self.message_since = Some(cx.now);
            }
            return;
        }
        self.message_since = is_mid_message.then_some(cx.now);
        if is_mid_message && !matches!(self.watch, Watch::Closing(_)) {
            self.watch_silence(cx);
        }
    }
}
