//! Connections by the thousand that count what they get, and look at little of it: all frames of a section have one length.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

const HANDSHAKE: &str = "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
/// A server that says nothing for so long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// A text message of a client whose masking key is zero.
pub(crate) fn text(payload: &str) -> Vec<u8> {
    let length = payload.len();
    let mut frame = match u16::try_from(length) {
        Ok(length @ 0..126) => vec![0x81, 0x80 | length as u8],
        Ok(length) => [&[0x81, 0x80 | 126], &length.to_be_bytes()[..]].concat(),
        Err(_) => panic!("{length} bytes are not needed here"),
    };
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload.as_bytes());
    frame
}

/// Length of the server's first frame in `bytes`, where it is whole.
fn frame_len(bytes: &[u8]) -> Option<usize> {
    let len = match bytes {
        [_, 126, high, low, ..] => 4 + usize::from(u16::from_be_bytes([*high, *low])),
        [_, length @ 0..126, ..] => 2 + usize::from(*length),
        _ => return None,
    };
    (bytes.len() >= len).then_some(len)
}

/// Opens a WebSocket, says each of `texts`, and waits for as many answers.
fn open(address: SocketAddr, path: &str, texts: &[String]) -> std::net::TcpStream {
    let mut stream = std::net::TcpStream::connect(address).expect("a connection");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    stream
        .set_read_timeout(Some(SILENCE_MAX))
        .expect("a read timeout");
    let mut out = format!("GET {path} HTTP/1.1\r\n{HANDSHAKE}").into_bytes();
    out.extend(texts.iter().flat_map(|one| text(one)));
    stream.write_all(&out).expect("the handshake is sent");
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    let (mut at, mut answers) = (0, 0);
    while at == 0 || answers < texts.len() {
        let count = stream.read(&mut buffer).expect("an answer");
        assert!(count > 0, "the server has closed");
        received.extend_from_slice(&buffer[..count]);
        if at == 0 {
            let end = received.windows(4).position(|window| window == b"\r\n\r\n");
            at = end.map_or(0, |end| end + 4);
            assert!(received.starts_with(b"HTTP/1.1 101 "), "no WebSocket");
        }
        while at > 0
            && let Some(len) = frame_len(&received[at..])
        {
            let is_refusal = received[at..at + len]
                .windows(7)
                .any(|window| window == b"\"error\"");
            assert!(!is_refusal, "{}", String::from_utf8_lossy(&received[at..]));
            at += len;
            answers += 1;
        }
    }
    assert_eq!(at, received.len(), "nothing else comes");
    stream
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: TcpStream,
    /// Bytes received since it opened.
    pub(crate) received: u64,
    /// For the section's own use.
    pub(crate) told: u64,
}

impl Peer {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let written = self.stream.write(bytes).expect("the server reads");
        assert_eq!(written, bytes.len(), "the server reads too slowly");
    }
}

/// Many.
#[derive(Debug)]
pub(crate) struct Peers {
    poll: Poll,
    events: Events,
    pub(crate) all: Vec<Peer>,
    buffer: Vec<u8>,
}

impl Peers {
    pub(crate) fn new() -> Self {
        Self {
            poll: Poll::new().expect("a poll"),
            events: Events::with_capacity(1024),
            all: Vec::new(),
            buffer: vec![0; 256 * 1024],
        }
    }

    /// Opens a WebSocket that says `texts` first, each of which is answered; gives its number.
    pub(crate) fn websocket(&mut self, address: SocketAddr, path: &str, texts: &[String]) -> usize {
        self.add(open(address, path, texts))
    }

    /// A bare connection.
    pub(crate) fn bare(&mut self, address: SocketAddr) -> usize {
        self.add(std::net::TcpStream::connect(address).expect("a connection"))
    }

    fn add(&mut self, stream: std::net::TcpStream) -> usize {
        stream.set_nonblocking(true).expect("not blocking");
        let mut stream = TcpStream::from_std(stream);
        let number = self.all.len();
        self.poll
            .registry()
            .register(&mut stream, Token(number), Interest::READABLE)
            .expect("registered");
        self.all.push(Peer {
            stream,
            received: 0,
            told: 0,
        });
        number
    }

    /// Reads what is there, waiting for it until `timeout`, and tells who has got something.
    pub(crate) fn turn(&mut self, timeout: Duration, mut got: impl FnMut(usize, &mut Peer)) {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return,
            result => result.expect("a poll"),
        }
        for event in &self.events {
            let number = event.token().0;
            let peer = &mut self.all[number];
            loop {
                match peer.stream.read(&mut self.buffer) {
                    Ok(0) => panic!("connection {number} was closed"),
                    Ok(count) => {
                        peer.received += count as u64;
                        if count < self.buffer.len() {
                            break;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("connection {number}: {error}"),
                }
            }
            got(number, peer);
        }
    }

    /// Waits until `number` has got something and nothing more comes; gives how many bytes that were.
    pub(crate) fn settle(&mut self, number: usize) -> u64 {
        let before = self.all[number].received;
        loop {
            let mut is_quiet = true;
            self.turn(Duration::from_millis(200), |_, _| is_quiet = false);
            let got = self.all[number].received - before;
            if is_quiet && got > 0 {
                return got;
            }
        }
    }
}
