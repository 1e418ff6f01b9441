//! Broadcasts: events for the sockets of a namespace, whatever node these are at.

use std::borrow::Cow;

use super::list::read_names;
use super::msgpack::{self, Reader, Token};
use super::{AdapterError, EventData, check_size};
use crate::socketio::packet::MAIN_NAMESPACE;

/// The types of packets with an event in them; the second is of old writers, where there is binary data.
const EVENT: u64 = 2;
const BINARY_EVENT: u64 = 5;

/// Whom a message or a request is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Sockets that are in any of these rooms; all sockets where there is none.
    pub rooms: Vec<String>,
    /// But those that are in any of these.
    pub except: Vec<String>,
}

impl Selection {
    /// Whether it selects a socket, which tells of which rooms it is in. One of them has its own name. Each name is asked for, so
    /// where there are many sockets it is better to go from the rooms to those in them.
    pub fn selects(&self, is_in: impl Fn(&str) -> bool) -> bool {
        let is_in_any = |rooms: &[String]| rooms.iter().any(|room| is_in(room));
        (self.rooms.is_empty() || is_in_any(&self.rooms)) && !is_in_any(&self.except)
    }
}

/// How a broadcast is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// Who is not ready to take it need not get it.
    pub volatile: bool,
    /// Whether it is to be compressed; where nothing is said, that is left to whoever sends it.
    pub compress: Option<bool>,
    /// How long clients have for their answers, milliseconds.
    pub timeout_ms: Option<u32>,
    /// Only one client is meant, and its answer is not to be put into a list.
    pub expect_single_response: bool,
}

/// An event for the sockets of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast<'a> {
    /// The name of the node that says it: its own are nothing new to it.
    pub uid: Cow<'a, str>,
    /// Where it belongs. A channel alone does not tell: that of `/a#b` looks like a room of `/a`.
    pub namespace: Cow<'a, str>,
    /// What is said.
    pub data: EventData<'a>,
    /// To whom.
    pub selection: Selection,
    /// And how.
    pub flags: Flags,
}

impl<'a> Broadcast<'a> {
    /// Reads what was published on a channel for broadcasts.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, AdapterError> {
        check_size(bytes)?;
        let mut reader = Reader::new(bytes);
        let others = reader.array_of(3)?;
        let uid = reader.text_name()?;
        let (namespace, data) = read_packet(&mut reader)?;
        let (selection, flags) = read_options(&mut reader)?;
        for _ in 0..others {
            reader.skip()?;
        }
        reader.end()?;
        Ok(Self {
            uid,
            namespace,
            data,
            selection,
            flags,
        })
    }

    /// Appends what is to be published on [`Channels::of`](super::Channels::of) the selection.
    pub fn encode(&self, out: &mut Vec<u8>) {
        msgpack::put_array(3, out);
        msgpack::put_text(&self.uid, out);
        put_packet(&self.namespace, &self.data, out);
        put_options(&self.selection, &self.flags, out);
    }
}

/// Reads `{type, data, nsp}`.
pub(super) fn read_packet<'a>(
    reader: &mut Reader<'a>,
) -> Result<(Cow<'a, str>, EventData<'a>), AdapterError> {
    let (mut kind, mut namespace, mut data) = (None, None, None);
    for _ in 0..reader.map_of_any()? {
        match reader.key()? {
            b"type" => kind = Some(reader.next()?),
            b"data" => data = Some(EventData::read(reader)?),
            b"nsp" => namespace = Some(reader.text_name()?),
            _ => reader.skip()?,
        }
    }
    match kind {
        Some(Token::Unsigned(EVENT | BINARY_EVENT)) => {}
        Some(_) => return Err(AdapterError::Type),
        None => return Err(AdapterError::Field),
    }
    let namespace = namespace.unwrap_or(Cow::Borrowed(MAIN_NAMESPACE));
    Ok((namespace, data.ok_or(AdapterError::Field)?))
}

pub(super) fn put_packet(namespace: &str, data: &EventData<'_>, out: &mut Vec<u8>) {
    msgpack::put_small_map(3, out);
    msgpack::put_text("type", out);
    msgpack::put_unsigned(EVENT, out);
    msgpack::put_text("data", out);
    data.put(out);
    msgpack::put_text("nsp", out);
    msgpack::put_text(namespace, out);
}

/// Reads `{rooms, except, flags}`. A name that is none is not passed over: without it the message might be for everyone.
pub(super) fn read_options(reader: &mut Reader<'_>) -> Result<(Selection, Flags), AdapterError> {
    let (mut selection, mut flags) = (Selection::default(), Flags::default());
    for _ in 0..reader.map_of_any()? {
        match reader.key()? {
            b"rooms" => selection.rooms = read_names(reader)?,
            b"except" => selection.except = read_names(reader)?,
            b"flags" => flags = read_flags(reader)?,
            _ => reader.skip()?,
        }
    }
    Ok((selection, flags))
}

fn read_flags(reader: &mut Reader<'_>) -> Result<Flags, AdapterError> {
    let mut flags = Flags::default();
    let count = match reader.next()? {
        Token::Map(count) => count,
        Token::Nil => 0,
        _ => return Err(AdapterError::Field),
    };
    for _ in 0..count {
        match reader.key()? {
            b"volatile" => flags.volatile = read_flag(reader)?.unwrap_or_default(),
            b"compress" => flags.compress = read_flag(reader)?,
            b"timeout" => flags.timeout_ms = read_milliseconds(reader)?,
            b"expectSingleResponse" => {
                flags.expect_single_response = read_flag(reader)?.unwrap_or_default();
            }
            _ => reader.skip()?,
        }
    }
    Ok(flags)
}

fn read_flag(reader: &mut Reader<'_>) -> Result<Option<bool>, AdapterError> {
    match reader.next()? {
        Token::Bool(flag) => Ok(Some(flag)),
        Token::Nil => Ok(None),
        _ => Err(AdapterError::Field),
    }
}

/// A time, cut off where it is too long, and none where it is no time.
fn read_milliseconds(reader: &mut Reader<'_>) -> Result<Option<u32>, AdapterError> {
    match reader.next()? {
        Token::Unsigned(number) => Ok(Some(number.try_into().unwrap_or(u32::MAX))),
        // A conversion that saturates.
        Token::Float(number) => Ok((number >= 0.0).then_some(number as u32)),
        Token::Signed(_) | Token::Nil => Ok(None),
        _ => Err(AdapterError::Field),
    }
}

pub(super) fn put_options(selection: &Selection, flags: &Flags, out: &mut Vec<u8>) {
    msgpack::put_small_map(3, out);
    for (key, rooms) in [("rooms", &selection.rooms), ("except", &selection.except)] {
        msgpack::put_text(key, out);
        msgpack::put_array(rooms.len(), out);
        for room in rooms {
            msgpack::put_text(room, out);
        }
    }
    msgpack::put_text("flags", out);
    put_flags(flags, out);
}

fn put_flags(flags: &Flags, out: &mut Vec<u8>) {
    let switches = [
        ("volatile", flags.volatile.then_some(true)),
        ("compress", flags.compress),
        (
            "expectSingleResponse",
            flags.expect_single_response.then_some(true),
        ),
    ];
    let set = switches
        .iter()
        .filter(|(_, switch)| switch.is_some())
        .count();
    msgpack::put_small_map(set as u8 + u8::from(flags.timeout_ms.is_some()), out);
    for (key, switch) in switches {
        if let Some(switch) = switch {
            msgpack::put_text(key, out);
            msgpack::put_bool(switch, out);
        }
    }
    if let Some(timeout) = flags.timeout_ms {
        msgpack::put_text("timeout", out);
        msgpack::put_unsigned(timeout.into(), out);
    }
}
