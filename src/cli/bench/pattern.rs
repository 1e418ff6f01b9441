//! What goes to and fro when one message is echoed again and again: bytes that repeat, and are compared instead of decoded.

use std::time::{Duration, Instant};

use mio::{Events, Poll};

use super::failure::{Failure, Result};
use super::link::{self, Got, Link};
use super::message::Content;
use super::target::Scheme;
use super::work::{EVENTS_MAX, SILENCE_MAX, wait};
use crate::websocket::codec::Codec;
use crate::websocket::protocol::{Input, MessageKind};

/// Bytes of messages prepared for one write; more take several.
const WRITE_BYTES_MAX: usize = 16 << 20;
/// Bytes read at once.
pub(super) const READ_BYTES_MAX: usize = 128 * 1024;

/// Both directions as they repeat.
#[derive(Debug)]
pub(super) struct Pattern {
    /// What is sent, many times over.
    pub(super) sent: Vec<u8>,
    /// Bytes of a message as it is sent.
    pub(super) sent_period: usize,
    /// What comes back, many times over.
    pub(super) echoed: Vec<u8>,
    /// Bytes of a message as it comes back.
    pub(super) echoed_period: usize,
    pub(super) content: Content,
}

impl Pattern {
    /// Sends the message once over `link` and learns from the answer, decoded and checked, how its echo is written. Up to
    /// `depth` messages will be sent in one write.
    pub(super) fn learn(
        poll: &mut Poll,
        link: &mut Link,
        scheme: Scheme,
        content: Content,
        depth: usize,
    ) -> Result<Self> {
        let mut codec = link::codec();
        let mut frame = Vec::new();
        link::encode(
            content.kind,
            content.sent(),
            link.deflate,
            &mut codec,
            &mut frame,
        );
        // A ping in between makes the answer useless as a pattern, but not wrong.
        let echoed = loop {
            if let Some(echoed) = exchange(poll, link, &frame, &content, &mut codec)? {
                break echoed;
            }
        };
        if scheme == Scheme::Bare && echoed != frame {
            return Err(Failure::run(
                "a bare server sends back the bytes that it was sent, and this one does not",
            ));
        }
        let repeated = |frame: &[u8], bytes: usize| frame.repeat(bytes.div_ceil(frame.len()) + 1);
        let at_once = depth.min(WRITE_BYTES_MAX / frame.len()).max(1);
        Ok(Self {
            // One more, because a write may begin within the first.
            sent: frame.repeat(at_once + 1),
            sent_period: frame.len(),
            echoed: repeated(&echoed, READ_BYTES_MAX),
            echoed_period: echoed.len(),
            content,
        })
    }
}

/// Refuses what came back where it is not what has to.
pub(super) fn check(content: &Content, kind: MessageKind, payload: &[u8]) -> Result<()> {
    if kind == content.kind && payload == content.heard() {
        return Ok(());
    }
    Err(Failure::run(format!(
        "the server sent something else than what it was sent: {} bytes that begin with {:?}",
        payload.len(),
        String::from_utf8_lossy(&payload[..payload.len().min(40)])
    )))
}

/// Sends one frame, and gives the bytes of the answer; `None` where they are mixed with those of a control frame.
fn exchange(
    poll: &mut Poll,
    link: &mut Link,
    frame: &[u8],
    content: &Content,
    codec: &mut Codec,
) -> Result<Option<Vec<u8>>> {
    let mut out = frame.to_vec();
    let mut answer = std::mem::take(&mut link.early);
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut buffer = vec![0; READ_BYTES_MAX];
    let deadline = Instant::now() + SILENCE_MAX;
    let mut fresh = answer.clone();
    let mut messages = 0;
    loop {
        let mut input = Input::new(&mut fresh);
        let accept = |kind: MessageKind, payload: &[u8]| check(content, kind, payload);
        while link.decoder.next(&mut input, codec, accept)?.is_some() {
            messages += 1;
        }
        out.append(&mut link.decoder.replies);
        link::flush(&mut link.stream, &mut out)?;
        if messages > 0 && link.decoder.is_between_messages() {
            break;
        }
        match link::read(&mut link.stream, &mut buffer)? {
            Got::Bytes(read) => {
                fresh = buffer[..read].to_vec();
                answer.extend_from_slice(&fresh);
            }
            Got::Nothing if Instant::now() < deadline => {
                fresh.clear();
                wait(poll, &mut events, Duration::from_millis(100))?;
            }
            Got::Nothing => {
                return Err(Failure::run(format!(
                    "the server is silent: it has not answered a message for {} s",
                    SILENCE_MAX.as_secs()
                )));
            }
        }
    }
    if messages > 1 {
        return Err(Failure::run("the server answered one message by several"));
    }
    Ok((!link.decoder.take_mixed()).then_some(answer))
}
