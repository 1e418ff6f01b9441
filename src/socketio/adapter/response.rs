//! Responses: what a node answers another.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::list::{List, Name, check_name};
use super::msgpack::{self, Reader, Token};
use super::request::SERVER_SIDE_EMIT;
use super::{AdapterError, Json, Value, decode, fields_of};

const BROADCAST_CLIENT_COUNT: u64 = 8;
const BROADCAST_ACK: u64 = 9;

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<'a> {
    /// The id of the request.
    pub id: String,
    /// What is answered.
    pub answer: Answer<'a>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<'a> {
    /// It is done.
    Done,
    /// The names of sockets. An empty list is read as this, also where it answers [`Ask::Fetch`](super::Ask::Fetch).
    Names(Vec<String>),
    /// All there is to tell of sockets.
    Sockets(Vec<Socket<'a>>),
    /// Rooms; the names of sockets are among them.
    Rooms(Vec<String>),
    /// The answer to an event for a program.
    Emitted(Json<'a>),
    /// So many clients were sent the broadcast.
    ClientCount(u64),
    /// One of them answers.
    ClientAck(Value<'a>),
}

/// A socket, as nodes tell each other of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket<'a> {
    /// Its name.
    pub id: String,
    /// A JSON object: how it came. Node has `headers` (an object), `time`, `address`, `xdomain`, `secure`, `issued` (milliseconds), `url`,
    /// `query` (an object) and `auth` (an object) there.
    pub handshake: Json<'a>,
    /// The rooms that it is in, its own name among them.
    pub rooms: Vec<String>,
    /// JSON: what the program keeps with it; `{}` where that is nothing.
    pub data: Json<'a>,
}

/// The fields of a response in JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    request_id: String,
    r#type: Option<u64>,
    #[serde(borrow)]
    sockets: Option<&'a RawValue>,
    rooms: Option<List<Name>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    client_count: Option<u64>,
}

#[derive(Deserialize)]
struct SocketFields<'a> {
    id: String,
    #[serde(borrow)]
    handshake: Option<&'a RawValue>,
    rooms: Option<List<Name>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// The same, to be written.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<u64>,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sockets: Option<WrittenSockets<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_count: Option<u64>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WrittenSockets<'a> {
    Names(&'a [String]),
    Sockets(Vec<WrittenSocket<'a>>),
}

#[derive(Serialize)]
struct WrittenSocket<'a> {
    id: &'a str,
    handshake: &'a RawValue,
    rooms: &'a [String],
    data: &'a RawValue,
}

impl<'a> Response<'a> {
    /// Reads what was published on a channel of responses.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, AdapterError> {
        decode(bytes, Self::of_fields, Self::read)
    }

    fn of_fields(fields: Fields<'a>) -> Result<Self, AdapterError> {
        let answer = match (fields.r#type, fields.sockets, fields.rooms) {
            (Some(SERVER_SIDE_EMIT), _, _) => {
                // Node leaves out what is `undefined`.
                Answer::Emitted(json_or(fields.data, "null"))
            }
            (Some(BROADCAST_CLIENT_COUNT), _, _) => {
                Answer::ClientCount(fields.client_count.ok_or(AdapterError::Field)?)
            }
            (Some(_), _, _) => return Err(AdapterError::Type),
            (None, Some(sockets), None) => sockets_of(sockets.get())?,
            (None, None, Some(rooms)) => Answer::Rooms(rooms.names()?),
            (None, None, None) => Answer::Done,
            (None, Some(_), Some(_)) => return Err(AdapterError::Field),
        };
        Ok(Self {
            id: check_name(fields.request_id)?,
            answer,
        })
    }

    /// Reads MessagePack.
    fn read(bytes: &'a [u8]) -> Result<Self, AdapterError> {
        let mut reader = Reader::new(bytes);
        let (mut id, mut kind, mut packet) = (None, None, None);
        for _ in 0..reader.map_of_any()? {
            match reader.key()? {
                b"requestId" => id = Some(reader.text_name()?.into_owned()),
                b"type" => kind = Some(reader.next()?),
                b"packet" => packet = Some(Value::read(&mut reader)?),
                _ => reader.skip()?,
            }
        }
        reader.end()?;
        match kind {
            Some(Token::Unsigned(BROADCAST_ACK)) => {}
            Some(_) => return Err(AdapterError::Type),
            None => return Err(AdapterError::Field),
        }
        Ok(Self {
            id: id.ok_or(AdapterError::Field)?,
            answer: Answer::ClientAck(packet.ok_or(AdapterError::Field)?),
        })
    }

    /// What is to be published on a channel of responses.
    pub fn encode(&self) -> Vec<u8> {
        let written = Written {
            request_id: &self.id,
            ..Written::default()
        };
        let fields = match &self.answer {
            Answer::Done => written,
            Answer::Names(names) => Written {
                sockets: Some(WrittenSockets::Names(names)),
                ..written
            },
            Answer::Sockets(sockets) => Written {
                sockets: Some(WrittenSockets::Sockets(
                    sockets.iter().map(WrittenSocket::of).collect(),
                )),
                ..written
            },
            Answer::Rooms(rooms) => Written {
                rooms: Some(rooms),
                ..written
            },
            Answer::Emitted(data) => Written {
                r#type: Some(SERVER_SIDE_EMIT),
                data: Some(data.raw()),
                ..written
            },
            Answer::ClientCount(count) => Written {
                r#type: Some(BROADCAST_CLIENT_COUNT),
                client_count: Some(*count),
                ..written
            },
            Answer::ClientAck(value) => return self.put(value),
        };
        serde_json::to_vec(&fields).expect("texts and numbers, into memory")
    }

    fn put(&self, value: &Value<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        msgpack::put_small_map(3, &mut out);
        msgpack::put_text("type", &mut out);
        msgpack::put_unsigned(BROADCAST_ACK, &mut out);
        msgpack::put_text("requestId", &mut out);
        msgpack::put_text(&self.id, &mut out);
        msgpack::put_text("packet", &mut out);
        value.put(&mut out);
        out
    }
}

impl<'a> WrittenSocket<'a> {
    fn of(socket: &'a Socket<'_>) -> Self {
        Self {
            id: &socket.id,
            handshake: socket.handshake.raw(),
            rooms: &socket.rooms,
            data: socket.data.raw(),
        }
    }
}

/// Names, or objects that tell more.
fn sockets_of(list: &str) -> Result<Answer<'_>, AdapterError> {
    if let Ok(names) = fields_of::<List<Name>>(list) {
        return Ok(Answer::Names(names.names()?));
    }
    let sockets = fields_of::<List<SocketFields<'_>>>(list)?.whole()?;
    let sockets = sockets.into_iter().map(Socket::of_fields);
    Ok(Answer::Sockets(sockets.collect::<Result<_, _>>()?))
}

impl<'a> Socket<'a> {
    fn of_fields(fields: SocketFields<'a>) -> Result<Self, AdapterError> {
        Ok(Self {
            id: check_name(fields.id)?,
            handshake: json_or(fields.handshake, "{}"),
            rooms: fields.rooms.map_or_else(|| Ok(Vec::new()), List::names)?,
            data: json_or(fields.data, "{}"),
        })
    }
}

fn json_or<'a>(part: Option<&'a RawValue>, otherwise: &'static str) -> Json<'a> {
    part.map_or(Json::constant(otherwise), Json::part)
}
