//! A stream of frames: the same events and the same failure in any split, and, without compression, what `tungstenite`
//! makes of it.

use std::io::{self, Cursor, Read, Write};
use tidegate::websocket::close::Violation;
use tidegate::websocket::codec::{Codec, Config};
use tidegate::websocket::extension::DeflateParams;
use tidegate::websocket::protocol::{Event, Input, MessageKind, Protocol, Role};
use tungstenite::error::ProtocolError;
use tungstenite::protocol::WebSocketConfig;

const CONFIG: Config = Config {
    message_bytes_max: 1000,
    compression_bytes_min: 1,
    compression_level: 1,
};

/// An event that owns what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close,
}

/// What came of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    said: Vec<Said>,
    failure: Option<Violation>,
    is_open: bool,
    is_mid_message: bool,
}

/// The first byte chooses role and compression, the second how many bytes after it are the sizes of pieces; the rest is
/// the stream.
pub fn check(data: &[u8]) {
    let Some((&[choice, count], rest)) = data.split_first_chunk() else {
        return;
    };
    let role = if choice & 1 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let deflate = (choice & 2 != 0).then_some(DeflateParams {
        server_no_context_takeover: choice & 4 != 0,
        client_no_context_takeover: choice & 4 != 0,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    });
    let (sizes, bytes) = rest.split_at(usize::from(count % 64).min(rest.len()));
    let whole = receive(role, deflate, bytes, [].iter());
    assert_eq!(receive(role, deflate, bytes, sizes.iter()), whole);
    assert_eq!(receive(role, deflate, bytes, [1].iter().cycle()), whole);
    if deflate.is_none() {
        second_opinion(role, bytes, &whole);
    }
}

fn receive<'s>(
    role: Role,
    deflate: Option<DeflateParams>,
    mut bytes: &[u8],
    sizes: impl Iterator<Item = &'s u8>,
) -> Outcome {
    let mut protocol = Protocol::new(role, deflate);
    let mut codec = Codec::new(CONFIG);
    let mut said = Vec::new();
    let mut failure = None;
    let mut sizes = sizes.map(|&size| usize::from(size));
    while !bytes.is_empty() {
        let size = sizes.next().unwrap_or(bytes.len()).min(bytes.len());
        let (piece, rest) = bytes.split_at(size);
        bytes = rest;
        let mut piece = piece.to_vec();
        let mut input = Input::new(&mut piece);
        loop {
            match protocol.receive(&mut input, &mut codec) {
                Ok(Some(event)) => said.push(own(event)),
                Ok(None) => break,
                Err(violation) => assert_eq!(failure.replace(violation), None, "it fails once"),
            }
        }
        assert!(input.is_empty());
    }
    assert!(codec.pooled_bytes() <= 64 * 1024);
    Outcome {
        said,
        failure,
        is_open: protocol.is_open(),
        is_mid_message: protocol.is_mid_message(),
    }
}

fn own(event: Event<'_>) -> Said {
    match event {
        Event::Message(message) => match message.kind {
            MessageKind::Text => {
                let text = std::str::from_utf8(message.payload).expect("text is UTF-8");
                Said::Text(text.to_owned())
            }
            MessageKind::Binary => Said::Binary(message.payload.to_vec()),
        },
        Event::Ping(payload) => Said::Ping(payload.to_vec()),
        Event::Pong(payload) => Said::Pong(payload.to_vec()),
        Event::Close { .. } => Said::Close,
    }
}

/// Gives the stream, and takes what is answered without keeping it.
struct Peer<'b>(Cursor<&'b [u8]>);

impl Read for Peer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Peer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where nothing failed, `tungstenite` heard the same and did not fail either. Where something did, what was said
/// before is the beginning of what it heard: it looks at some rules later, and at some not at all.
fn second_opinion(role: Role, bytes: &[u8], ours: &Outcome) {
    let role = match role {
        Role::Server => tungstenite::protocol::Role::Server,
        Role::Client => tungstenite::protocol::Role::Client,
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(CONFIG.message_bytes_max))
        .max_frame_size(Some(CONFIG.message_bytes_max));
    let peer = Peer(Cursor::new(bytes));
    let mut socket = tungstenite::WebSocket::from_raw_socket(peer, role, Some(config));
    let mut theirs = Vec::new();
    let error = loop {
        match socket.read() {
            Ok(tungstenite::Message::Text(text)) => theirs.push(Said::Text(text.to_string())),
            Ok(tungstenite::Message::Binary(bytes)) => theirs.push(Said::Binary(bytes.to_vec())),
            Ok(tungstenite::Message::Ping(payload)) => theirs.push(Said::Ping(payload.to_vec())),
            Ok(tungstenite::Message::Pong(payload)) => theirs.push(Said::Pong(payload.to_vec())),
            Ok(tungstenite::Message::Close(_)) => {
                theirs.push(Said::Close);
                break None;
            }
            Ok(tungstenite::Message::Frame(_)) => unreachable!("never given by read"),
            Err(error) => break Some(error),
        }
    };
    if ours.failure.is_none() {
        assert_eq!(ours.said, theirs);
        let ended = tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake);
        assert!(
            error
                .as_ref()
                .is_none_or(|error| error.to_string() == ended.to_string()),
            "we took what tungstenite refused: {error:?}"
        );
    } else {
        assert!(theirs.starts_with(&ours.said), "{:?} {theirs:?}", ours.said);
    }
}
