//! What Node's Socket.IO servers and `@socket.io/redis-emitter` say to each other through a real Redis, and what they make of
//! what is said by `socketio::adapter`.

mod common;

#[path = "adapter_wire/asked.rs"]
mod asked;
#[path = "adapter_wire/heard.rs"]
mod heard;
#[path = "adapter_wire/said.rs"]
mod said;

use common::peer::{Peer, socketio_nodes};
use common::redis::Redis;
use common::resp::{RedisClient, Reply};
use common::{DEADLINE, eventually};
use serde_json::{Value as Tree, json};
use tidegate::socketio::adapter::{
    AdapterError, Answer, Ask, Broadcast, Channel, Channels, EventData, Flags, Json, Request,
    Response, Selection, ServerEvent, Socket, Value,
};

const KEY: &str = "socket.io";
/// The name of the node that the test is.
const UID: &str = "0123456789abcdef";

/// What was published.
struct Message {
    channel: Vec<u8>,
    bytes: Vec<u8>,
}

impl Message {
    /// A broadcast, and the room of its channel.
    fn broadcast(&self, channels: &Channels) -> (Broadcast<'_>, Option<String>) {
        let room = match channels.classify(&self.channel) {
            Some(Channel::Broadcast { room }) => room.map(Into::into),
            other => panic!("{other:?}: {}", self.text()),
        };
        let broadcast = Broadcast::decode(&self.bytes);
        let broadcast = broadcast.unwrap_or_else(|error| panic!("{error}: {}", self.text()));
        (broadcast, room)
    }

    fn request(&self, channels: &Channels) -> Request<'_> {
        let channel = channels.classify(&self.channel);
        assert_eq!(channel, Some(Channel::Requests), "{}", self.text());
        Request::decode(&self.bytes).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn response(&self, channels: &Channels) -> Response<'_> {
        let channel = channels.classify(&self.channel);
        assert_eq!(channel, Some(Channel::Responses), "{}", self.text());
        Response::decode(&self.bytes).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn text(&self) -> String {
        let [channel, bytes] = [&self.channel, &self.bytes].map(|bytes| bytes.escape_ascii());
        format!("{channel} {bytes}")
    }
}

/// A node in the Redis of Node's: what it hears, and what it says.
struct Node {
    subscriber: RedisClient,
    publisher: RedisClient,
    channels: Channels,
}

impl Node {
    /// A node that hears all of a namespace.
    fn start(redis: &Redis, key: &str, namespace: &str) -> Self {
        let channels = Channels::new(key, namespace, UID);
        let mut subscriber = redis.client();
        let pattern = channels.pattern();
        assert_eq!(
            subscriber.ask(&["PSUBSCRIBE", &pattern]),
            Reply::push("psubscribe", &pattern, Reply::Integer(1))
        );
        let others = [
            channels.requests(),
            channels.responses(),
            channels.own_responses(),
        ];
        for (index, channel) in others.into_iter().enumerate() {
            let count = Reply::Integer(index as i64 + 2);
            assert_eq!(
                subscriber.ask(&["SUBSCRIBE", channel]),
                Reply::push("subscribe", channel, count)
            );
        }
        Self {
            subscriber,
            publisher: redis.client(),
            channels,
        }
    }

    /// The next message.
    fn hear(&mut self) -> Message {
        let reply = self.subscriber.read();
        let Some([Reply::Bytes(channel), Reply::Bytes(bytes)]) = reply.items().last_chunk() else {
            panic!("no message: {reply:?}");
        };
        Message {
            channel: channel.clone(),
            bytes: bytes.clone(),
        }
    }

    /// The next message that it has not said itself.
    fn hear_others(&mut self, said: &[u8]) -> Message {
        let own = self.hear();
        assert_eq!(own.bytes, said, "{}", own.text());
        self.hear()
    }

    fn say(&mut self, channel: &str, bytes: &[u8]) {
        let told = self
            .publisher
            .ask(&[b"PUBLISH".as_slice(), channel.as_bytes(), bytes]);
        assert!(told.integer() > 0, "nobody listens on {channel}");
    }

    /// Says something to sockets of a namespace.
    fn broadcast(
        &mut self,
        namespace: &str,
        text: &str,
        attachments: Vec<&[u8]>,
        selection: Selection,
    ) {
        let mut bytes = Vec::new();
        let channels = Channels::new(KEY, namespace, UID);
        let channel = channels.of(&selection).into_owned();
        let broadcast = Broadcast {
            uid: UID.into(),
            namespace: namespace.into(),
            data: EventData::new(text, attachments).expect("an event"),
            selection,
            flags: Flags::default(),
        };
        broadcast.encode(&mut bytes);
        self.say(&channel, &bytes);
    }

    /// Asks, and gives what it said.
    fn ask(&mut self, id: Option<&str>, ask: Ask<'_>) -> Vec<u8> {
        let request = Request {
            uid: Some(UID.to_owned()),
            id: id.map(str::to_owned),
            ask,
        };
        let bytes = request.encode("/");
        let channel = self.channels.requests().to_owned();
        self.say(&channel, &bytes);
        bytes
    }

    /// Answers the next request as `answer` has it, which is shown what was asked.
    fn answer<'a>(&mut self, answer: impl FnOnce(&Request<'_>) -> Answer<'a>) {
        let message = self.hear();
        let request = message.request(&self.channels);
        let response = Response {
            id: request.id.clone().expect("answers are wanted"),
            answer: answer(&request),
        };
        self.respond(&response);
        let own = self.hear();
        assert_eq!(own.bytes, response.encode(), "{}", own.text());
    }

    fn respond(&mut self, response: &Response<'_>) {
        let channel = self.channels.responses().to_owned();
        self.say(&channel, &response.encode());
    }
}

/// Node, with its packages loaded: six at a time take long on a machine that does other things.
fn start_peer(redis: &Redis) -> Peer {
    let mut command = socketio_nodes("peer.cjs");
    command.arg(redis.url());
    let peer = Peer::start(command);
    let up = peer.output().wait_for("up", DEADLINE * 3);
    assert!(up.is_some(), "Node does not start");
    peer
}

/// Node's servers, and the name of the socket of the client in `/`. Everybody listens.
fn start_servers(redis: &Redis) -> (Peer, String) {
    let mut peer = start_peer(redis);
    peer.type_line("start");
    let ready: Tree = serde_json::from_str(&peer.wait_for("ready")).expect("JSON");
    let sid = ready["ready"].as_str().expect("a name").to_owned();
    (peer, sid)
}

/// Waits until so many nodes listen to requests of a namespace.
fn wait_nodes(redis: &Redis, channels: &Channels, count: i64) {
    eventually("all nodes listen", || {
        let reply = redis.command(&["PUBSUB", "NUMSUB", channels.requests()]);
        reply.items()[1].integer() == count
    });
}

/// Types a line, and gives what comes next of the output that has `key`.
fn step(peer: &mut Peer, line: &str, key: &str) -> Tree {
    let position = peer.output().position();
    peer.type_line(line);
    fact_after(peer, position, key)
}

fn fact_after(peer: &Peer, position: usize, key: &str) -> Tree {
    let begins = format!("{{\"{key}\":");
    let (_, line) = peer.wait_after(position, DEADLINE, |line| line.starts_with(&begins));
    serde_json::from_str(&line).expect("JSON")
}

fn rooms(rooms: &[&str]) -> Selection {
    selection(rooms, &[])
}

fn selection(rooms: &[&str], except: &[&str]) -> Selection {
    Selection {
        rooms: names(rooms),
        except: names(except),
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn join(selection: Selection, rooms: &[&str]) -> Ask<'static> {
    let rooms = names(rooms);
    Ask::Join { selection, rooms }
}
