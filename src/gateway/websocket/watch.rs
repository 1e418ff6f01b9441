//! What a WebSocket waits for: signs of life, the end of a message, the end of its token, the peer's Close.

use super::WebSocketStage;
use super::endpoint::Endpoint;
use crate::gateway::dashboard::Dashboard;
use crate::gateway::session::GatewaySession;
use crate::limits::MESSAGE_AGE_MAX;
use crate::reactor::{CloseReason, Context, Tick};
use crate::websocket::close::CloseCode;

const HEARTBEAT_PAYLOAD: &[u8] = b"tidegate";
/// The token of the connection is over, and it has not shown another.
const TOKEN_EXPIRED: CloseCode = CloseCode(4401);

/// What the heartbeat waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// For silence.
    Quiet,
    /// For a sign of life since the ping of this tick.
    Pinged(Tick),
    /// For the peer's Close.
    Closing(CloseReason),
}

impl WebSocketStage {
    /// The heartbeat may have been turned on, or quickened.
    pub(in crate::gateway) fn on_configured(&mut self, cx: &mut Context<'_, GatewaySession>) {
        if let Watch::Closing(_) = self.watch {
            return;
        }
        if let Endpoint::Dashboard(_) = self.endpoint {
            return self.dismiss(Dashboard::RELOADED, cx);
        }
        self.throttle_anew(cx);
        if self.watch == Watch::Quiet {
            self.watch_silence(cx);
        }
    }

    pub(in crate::gateway) fn on_deadline(&mut self, cx: &mut Context<'_, GatewaySession>) {
        if let Watch::Closing(reason) = self.watch {
            return cx.close(reason);
        }
        if let Some(bearer) = &mut self.bearer
            && bearer.look_at().is_reached(cx.now)
            && bearer.is_over(cx.now)
        {
            let detail = "the token has expired";
            return self.end(CloseReason::server(TOKEN_EXPIRED, detail), cx);
        }
        if self.is_pausing(cx) {
            self.watch = Watch::Quiet;
            return self.watch_silence(cx);
        }
        if self
            .message_since
            .is_some_and(|since| since.after(MESSAGE_AGE_MAX).is_reached(cx.now))
        {
            let detail = "the message took too long to arrive";
            return self.end(CloseReason::server(CloseCode::POLICY_VIOLATION, detail), cx);
        }
        if self.key_due(cx).is_some_and(|due| due.is_reached(cx.now)) {
            return self.dismiss(Dashboard::LATE, cx);
        }
        let timeout = cx.shard.config.heartbeat_timeout;
        match (self.watch, cx.shard.config.heartbeat_interval) {
            (Watch::Pinged(at), _) if cx.last_activity.ticks_since(at) == 0 => {
                if at.after(timeout).is_reached(cx.now) {
                    let detail = "no answer to a ping in time";
                    return self.end(CloseReason::server(CloseCode::INTERNAL_ERROR, detail), cx);
                }
                return cx.set_deadline_at(self.not_after_token(at.after(timeout)));
            }
            (_, Some(interval)) if self.silent_since(cx).after(interval).is_reached(cx.now) => {
                self.watch = Watch::Pinged(cx.now);
                self.protocol
                    .send_ping(HEARTBEAT_PAYLOAD, &mut cx.shard.codec, cx.out.cork());
                // Not the timeout alone: where that is the longer one, the next ping would wait for it.
                let next = cx.now.after(timeout.min(interval));
                return cx.set_deadline_at(self.not_after_token(next));
            }
            _ => self.watch = Watch::Quiet,
        }
        self.watch_silence(cx);
    }

    /// Asks to be called when the peer has been silent for a heartbeat interval, or a message has taken too long.
    pub(super) fn watch_silence(&self, cx: &mut Context<'_, GatewaySession>) {
        let silence = cx
            .shard
            .config
            .heartbeat_interval
            .map(|after| self.silent_since(cx).after(after));
        let age = self.message_since.map(|since| since.after(MESSAGE_AGE_MAX));
        let token = self.bearer.as_ref().map(|bearer| bearer.look_at());
        let pause = self.throttle.as_ref().and_then(|throttle| throttle.pause);
        let all = match pause {
            // Silence is ours while nothing is read.
            Some(pause) => [Some(pause.until), None, token, None],
            None => [silence, age, token, self.key_due(cx)],
        };
        match all.into_iter().flatten().reduce(Tick::earlier) {
            Some(deadline) => cx.set_deadline_at(deadline),
            None => cx.clear_deadline(),
        }
    }

    /// When a dashboard has to have shown the key, where it has not.
    fn key_due(&self, cx: &Context<'_, GatewaySession>) -> Option<Tick> {
        match &self.endpoint {
            Endpoint::Dashboard(dashboard) => dashboard.due(&cx.shard.config),
            _ => None,
        }
    }

    /// A deadline, or the earlier time at which the token's end has to be looked at.
    fn not_after_token(&self, deadline: Tick) -> Tick {
        let token = self.bearer.as_ref().map(|bearer| bearer.look_at());
        token.map_or(deadline, |token| deadline.earlier(token))
    }

    /// Keeps the time at which an unfinished message began: of the one that is unfinished now, where others have ended
    /// before it in the same bytes.
    #[inline]
    pub(super) fn watch_message(
        &mut self,
        has_ended_message: bool,
        cx: &mut Context<'_, GatewaySession>,
    ) {
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

    /// The peer is alive.
    #[inline]
    pub(super) fn hear(&mut self) {
        if let Watch::Pinged(_) = self.watch {
            self.watch = Watch::Quiet;
        }
    }
}
