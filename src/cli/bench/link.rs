//! One open connection: its socket, and the decoder for what cannot simply be compared with bytes that are known.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

use super::failure::{Failure, Result};
use super::message::Dialect;
use super::target::Scheme;
use crate::limits::CONTROL_PAYLOAD_BYTES_MAX;
use crate::websocket::close::Violation;
use crate::websocket::codec::{Codec, Config};
use crate::websocket::extension::DeflateParams;
use crate::websocket::protocol::{Event, Input, MessageKind, Protocol, Role};

/// Bytes of a message that a server may send.
const MESSAGE_BYTES_MAX: usize = 1 << 30;
/// Engine.IO 4: ping, pong, noop.
const ENGINE_PING: &[u8] = b"2";
const ENGINE_PONG: &[u8] = b"3";
const ENGINE_NOOP: &[u8] = b"6";
/// How the events begin by which a server tells what it was shown, and who registered.
const AUTH: &[u8] = b"42[\"auth\",";
const REGISTERED: &[u8] = b"42[\"registered\",";

/// Appends a message as a client with this compression sends it.
pub(super) fn encode(
    kind: MessageKind,
    payload: &[u8],
    deflate: Option<DeflateParams>,
    codec: &mut Codec,
    out: &mut Vec<u8>,
) {
    Protocol::new(Role::Client, deflate).send_message(kind, payload, codec, out);
}

/// A codec in the client role that compresses whatever may be compressed.
pub(super) fn codec() -> Codec {
    let config = Config {
        message_bytes_max: MESSAGE_BYTES_MAX,
        compression_bytes_min: 0,
        compression_level: 1,
    };
    Codec::with_mask_seed(config, rand::random())
}

/// A connection after its handshake.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) stream: TcpStream,
    pub(super) decoder: Decoder,
    /// The compression that was agreed.
    pub(super) deflate: Option<DeflateParams>,
    /// What came together with the end of the handshake.
    pub(super) early: Vec<u8>,
}

/// What one read gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Got {
    Bytes(usize),
    Nothing,
}

/// Reads once.
///
/// # Errors
/// The end of the stream too: no server may end it without a Close frame.
#[inline]
pub(super) fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<Got> {
    loop {
        return match stream.read(buffer) {
            Ok(0) => Err(Failure::run(
                "the server ended the connection without a Close frame",
            )),
            Ok(read) => Ok(Got::Bytes(read)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Got::Nothing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(went_away(&error)),
        };
    }
}

/// Writes once; 0 where the socket takes nothing now.
#[inline]
pub(super) fn write(stream: &mut TcpStream, bytes: &[u8]) -> Result<usize> {
    loop {
        return match stream.write(bytes) {
            Ok(written) => Ok(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(went_away(&error)),
        };
    }
}

/// Writes what is in `out`, and takes out of it what was written.
pub(super) fn flush(stream: &mut TcpStream, out: &mut Vec<u8>) -> Result<()> {
    while !out.is_empty() {
        let written = write(stream, out)?;
        out.drain(..written);
        if written == 0 {
            break;
        }
    }
    Ok(())
}

#[cold]
fn went_away(error: &io::Error) -> Failure {
    Failure::run(match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("nobody listens there: {error}"),
        _ => format!("the server went away: {error}"),
    })
}

/// Whether a packet of Socket.IO is nothing that was asked for, and nothing wrong.
fn is_by_the_way(packet: &[u8]) -> bool {
    packet == ENGINE_NOOP
        || [AUTH, REGISTERED]
            .iter()
            .any(|begin| packet.starts_with(begin))
}

/// Reads frames by the protocol's rules, and answers what has to be answered.
#[derive(Debug)]
pub(super) struct Decoder {
    protocol: Protocol,
    dialect: Dialect,
    /// Whether something else than a message came since this was last asked.
    is_mixed: bool,
    /// Pongs that are to be sent.
    pub(super) replies: Vec<u8>,
}

impl Decoder {
    pub(super) fn new(scheme: Scheme, deflate: Option<DeflateParams>, dialect: Dialect) -> Self {
        // A bare server gives back what a client has sent: masked frames.
        let role = match scheme {
            Scheme::WebSocket => Role::Client,
            Scheme::Bare => Role::Server,
        };
        Self {
            protocol: Protocol::new(role, deflate),
            dialect,
            is_mixed: false,
            replies: Vec::new(),
        }
    }

    /// Goes on to the next message in `input` and gives what `accept` makes of it; `None` when all is consumed.
    ///
    /// # Errors
    /// A broken rule, a Close frame, and what `accept` refuses.
    pub(super) fn next<T>(
        &mut self,
        input: &mut Input<'_>,
        codec: &mut Codec,
        accept: impl FnOnce(MessageKind, &[u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        loop {
            let mut pong = [0; CONTROL_PAYLOAD_BYTES_MAX];
            let received = self.protocol.receive(input, codec);
            let pong = match received.map_err(broken)? {
                None => return Ok(None),
                Some(Event::Message(message)) => match (self.dialect, &*message.payload) {
                    (Dialect::Socketio, ENGINE_PING) => None,
                    (Dialect::Socketio, packet) if is_by_the_way(packet) => {
                        self.is_mixed = true;
                        continue;
                    }
                    (_, payload) => return accept(message.kind, payload).map(Some),
                },
                Some(Event::Ping(payload)) => {
                    let pong = &mut pong[..payload.len()];
                    pong.copy_from_slice(payload);
                    Some(&*pong)
                }
                Some(Event::Pong(_)) => {
                    self.is_mixed = true;
                    continue;
                }
                Some(Event::Close { code, reason }) => {
                    let code = code.0;
                    return Err(Failure::run(match reason {
                        "" => format!("the server closed the connection ({code})"),
                        _ => format!("the server closed the connection ({code}: {reason})"),
                    }));
                }
            };
            self.is_mixed = true;
            match pong {
                Some(payload) => self.protocol.send_pong(payload, codec, &mut self.replies),
                None => self.protocol.send_message(
                    MessageKind::Text,
                    ENGINE_PONG,
                    codec,
                    &mut self.replies,
                ),
            }
        }
    }

    /// Whether nothing has begun that has not ended.
    pub(super) fn is_between_messages(&self) -> bool {
        !self.protocol.is_mid_message()
    }

    /// Whether anything else than messages came since the last call.
    pub(super) fn take_mixed(&mut self) -> bool {
        std::mem::take(&mut self.is_mixed)
    }

    /// Whether the peer's Close is in `input`; messages are let pass.
    ///
    /// # Errors
    /// A broken rule.
    pub(super) fn has_close(&mut self, input: &mut Input<'_>, codec: &mut Codec) -> Result<bool> {
        let mut is_closed = false;
        loop {
            match self.protocol.receive(input, codec) {
                Ok(None) => return Ok(is_closed),
                Ok(Some(event)) => is_closed |= matches!(event, Event::Close { .. }),
                Err(violation) => return Err(broken(violation)),
            }
        }
    }
}

#[cold]
fn broken(violation: Violation) -> Failure {
    Failure::run(format!(
        "the server broke the protocol: {}",
        violation.sentence()
    ))
}
