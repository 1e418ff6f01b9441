//! Requests: what a node asks all others, or asks them to do.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::broadcast::{put_options, put_packet, read_options, read_packet};
use super::list::{List, Name, check_name};
use super::msgpack::{self, Reader, Token};
use super::{
    AdapterError, Answer, EventData, Flags, Json, Response, Selection, ServerEvent, decode,
};

const SOCKETS: u64 = 0;
const ALL_ROOMS: u64 = 1;
const REMOTE_JOIN: u64 = 2;
const REMOTE_LEAVE: u64 = 3;
const REMOTE_DISCONNECT: u64 = 4;
const REMOTE_FETCH: u64 = 5;
pub(super) const SERVER_SIDE_EMIT: u64 = 6;
const BROADCAST: u64 = 7;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// The node that asks; an emitter may not say.
    pub uid: Option<String>,
    /// What the answers have to name. Never missing where [`Ask`] wants answers.
    pub id: Option<String>,
    /// What is asked.
    pub ask: Ask<'a>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask<'a> {
    /// The names of sockets: [`Answer::Names`].
    Sockets {
        /// Those in any of these; all where there is none.
        rooms: Vec<String>,
    },
    /// The rooms that are not empty: [`Answer::Rooms`].
    Rooms,
    /// Sockets are to be put into rooms. Who did so answers [`Answer::Done`] where the request has an id: older nodes ask so
    /// for one socket.
    Join {
        /// Which sockets.
        selection: Selection,
        /// Into which.
        rooms: Vec<String>,
    },
    /// Sockets are to be put out of rooms; answered as [`Ask::Join`].
    Leave {
        /// Which sockets.
        selection: Selection,
        /// Out of which.
        rooms: Vec<String>,
    },
    /// Sockets are to be disconnected; answered as [`Ask::Join`].
    Disconnect {
        /// Which sockets.
        selection: Selection,
        /// With their session, not only from the namespace.
        close: bool,
    },
    /// All there is to tell of sockets: [`Answer::Sockets`].
    Fetch(Selection),
    /// An event for the programs that the nodes are: [`Answer::Emitted`] where the request has an id.
    Emit {
        /// Which.
        event: ServerEvent<'a>,
    },
    /// A broadcast that clients are to answer: at once [`Answer::ClientCount`], then [`Answer::ClientAck`] for each that does.
    Broadcast {
        /// What is said.
        data: EventData<'a>,
        /// To whom.
        selection: Selection,
        /// And how; among it the time for answers.
        flags: Flags,
    },
}

/// The fields of a request in JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    uid: Option<String>,
    request_id: Option<String>,
    r#type: u64,
    opts: Option<Options>,
    rooms: Option<List<Name>>,
    sid: Option<String>,
    room: Option<Name>,
    close: Option<bool>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Options {
    rooms: Option<List<Name>>,
    except: Option<List<Name>>,
}

/// The same, to be written.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    r#type: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    opts: Option<WrittenOptions<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    close: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct WrittenOptions<'a> {
    rooms: &'a [String],
    except: &'a [String],
}

impl<'a> Request<'a> {
    /// Reads what was published on the channel of requests.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, AdapterError> {
        decode(bytes, Self::of_fields, Self::read)
    }

    fn of_fields(fields: Fields<'a>) -> Result<Self, AdapterError> {
        let kind = fields.r#type;
        let id = fields.request_id.map(check_name).transpose()?;
        let uid = fields.uid.map(check_name).transpose()?;
        let ask = match kind {
            SOCKETS => Ask::Sockets {
                rooms: names(fields.rooms)?,
            },
            ALL_ROOMS => Ask::Rooms,
            REMOTE_JOIN | REMOTE_LEAVE => {
                let rooms = match (fields.rooms, fields.room) {
                    (Some(rooms), _) => rooms.names()?,
                    (None, Some(room)) => vec![room.checked()?],
                    (None, None) => return Err(AdapterError::Field),
                };
                let selection = selection(fields.opts, fields.sid)?;
                match kind {
                    REMOTE_JOIN => Ask::Join { selection, rooms },
                    _ => Ask::Leave { selection, rooms },
                }
            }
            REMOTE_DISCONNECT => Ask::Disconnect {
                selection: selection(fields.opts, fields.sid)?,
                close: fields.close.unwrap_or_default(),
            },
            REMOTE_FETCH => Ask::Fetch(selection(fields.opts, None)?),
            SERVER_SIDE_EMIT => {
                let data = fields.data.ok_or(AdapterError::Field)?;
                Ask::Emit {
                    event: ServerEvent::new(data.get())?,
                }
            }
            // A broadcast is MessagePack, or else its binary data would be lost.
            BROADCAST => return Err(AdapterError::Field),
            _ => return Err(AdapterError::Type),
        };
        if id.is_none() && matches!(kind, SOCKETS | ALL_ROOMS | REMOTE_FETCH) {
            return Err(AdapterError::Field);
        }
        Ok(Self { uid, id, ask })
    }

    /// Reads MessagePack.
    fn read(bytes: &'a [u8]) -> Result<Self, AdapterError> {
        let mut reader = Reader::new(bytes);
        let (mut uid, mut id, mut kind, mut packet, mut options) = (None, None, None, None, None);
        for _ in 0..reader.map_of_any()? {
            match reader.key()? {
                b"uid" => uid = Some(reader.text_name()?.into_owned()),
                b"requestId" => id = Some(reader.text_name()?.into_owned()),
                b"type" => kind = Some(reader.next()?),
                b"packet" => packet = Some(read_packet(&mut reader)?),
                b"opts" => options = Some(read_options(&mut reader)?),
                _ => reader.skip()?,
            }
        }
        reader.end()?;
        match kind {
            Some(Token::Unsigned(BROADCAST)) => {}
            Some(_) => return Err(AdapterError::Type),
            None => return Err(AdapterError::Field),
        }
        let ((_, data), (selection, flags)) = packet.zip(options).ok_or(AdapterError::Field)?;
        Ok(Self {
            uid,
            id: Some(id.ok_or(AdapterError::Field)?),
            ask: Ask::Broadcast {
                data,
                selection,
                flags,
            },
        })
    }

    /// What a node says that has nothing to tell; `None` where it says nothing then. Who hears it need not wait for this node
    /// until its time is up.
    pub fn least_answer(&self) -> Option<Response<'static>> {
        let answer = match &self.ask {
            Ask::Sockets { .. } => Answer::Names(Vec::new()),
            Ask::Rooms => Answer::Rooms(Vec::new()),
            Ask::Fetch(_) => Answer::Sockets(Vec::new()),
            Ask::Emit { .. } => Answer::Emitted(Json::constant("null")),
            Ask::Broadcast { .. } => Answer::ClientCount(0),
            Ask::Join { .. } | Ask::Leave { .. } | Ask::Disconnect { .. } => return None,
        };
        Some(Response {
            id: self.id.clone()?,
            answer,
        })
    }

    /// What is to be published on the channel of requests of `namespace`.
    pub fn encode(&self, namespace: &str) -> Vec<u8> {
        let written = |kind| Written {
            uid: self.uid.as_deref(),
            request_id: self.id.as_deref(),
            r#type: kind,
            ..Written::default()
        };
        let fields = match &self.ask {
            Ask::Sockets { rooms } => Written {
                rooms: Some(rooms),
                ..written(SOCKETS)
            },
            Ask::Rooms => written(ALL_ROOMS),
            Ask::Join { selection, rooms } => Written {
                opts: Some(selection.into()),
                rooms: Some(rooms),
                ..written(REMOTE_JOIN)
            },
            Ask::Leave { selection, rooms } => Written {
                opts: Some(selection.into()),
                rooms: Some(rooms),
                ..written(REMOTE_LEAVE)
            },
            Ask::Disconnect { selection, close } => Written {
                opts: Some(selection.into()),
                close: Some(*close),
                ..written(REMOTE_DISCONNECT)
            },
            Ask::Fetch(selection) => Written {
                opts: Some(selection.into()),
                ..written(REMOTE_FETCH)
            },
            Ask::Emit { event } => Written {
                data: Some(event.data().raw()),
                ..written(SERVER_SIDE_EMIT)
            },
            Ask::Broadcast {
                data,
                selection,
                flags,
            } => return self.put(namespace, data, selection, flags),
        };
        serde_json::to_vec(&fields).expect("texts and numbers, into memory")
    }

    fn put(
        &self,
        namespace: &str,
        data: &EventData<'_>,
        selection: &Selection,
        flags: &Flags,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        let names = [("uid", &self.uid), ("requestId", &self.id)];
        let told = names.iter().filter(|(_, name)| name.is_some()).count();
        msgpack::put_small_map(3 + told as u8, &mut out);
        for (key, name) in names {
            if let Some(name) = name {
                msgpack::put_text(key, &mut out);
                msgpack::put_text(name, &mut out);
            }
        }
        msgpack::put_text("type", &mut out);
        msgpack::put_unsigned(BROADCAST, &mut out);
        msgpack::put_text("packet", &mut out);
        put_packet(namespace, data, &mut out);
        msgpack::put_text("opts", &mut out);
        put_options(selection, flags, &mut out);
        out
    }
}

impl<'a> From<&'a Selection> for WrittenOptions<'a> {
    fn from(selection: &'a Selection) -> Self {
        Self {
            rooms: &selection.rooms,
            except: &selection.except,
        }
    }
}

/// Which sockets a request is about: `opts` of today, or one by name, which is in a room of its own.
fn selection(opts: Option<Options>, sid: Option<String>) -> Result<Selection, AdapterError> {
    match (opts, sid) {
        (Some(opts), _) => Ok(Selection {
            rooms: names(opts.rooms)?,
            except: names(opts.except)?,
        }),
        (None, Some(sid)) => Ok(Selection {
            rooms: vec![check_name(sid)?],
            except: Vec::new(),
        }),
        (None, None) => Err(AdapterError::Field),
    }
}

fn names(list: Option<List<Name>>) -> Result<Vec<String>, AdapterError> {
    list.map_or_else(|| Ok(Vec::new()), List::names)
}
