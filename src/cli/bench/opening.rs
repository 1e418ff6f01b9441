//! Opening connections: sockets, handshakes, and the greeting of the dialect. Not blocking, so that many open at once.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::failure::{Failure, Result};
use super::link::{self, Decoder, Got, Link, codec};
use super::message::Dialect;
use super::progress::Progress;
use super::target::{Scheme, Target};
use super::work::{EVENTS_MAX, SILENCE_MAX, wait};
use crate::http::scanner::HeadScanner;
use crate::websocket::codec::Codec;
use crate::websocket::extension::DeflateParams;
use crate::websocket::handshake::ResponseError;
use crate::websocket::protocol::{Input, MessageKind};

/// Handshakes under way at one time.
const OPENING_MAX: usize = 256;
/// Connections from one loopback address before the next one is taken: far fewer than there are ports.
const CONNECTIONS_PER_SOURCE: usize = 4_000;
/// Loopback addresses that connections come from.
const SOURCES_MAX: usize = 32;
/// Bytes read at once of a handshake.
const READ_BYTES_MAX: usize = 16 * 1024;

/// How a connection ends when it is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// A reset: nothing of a run stays behind in the kernel to take a port from the next one.
    Reset,
    /// As TCP ends by itself.
    Orderly,
}

/// What all connections have in common while they open.
#[derive(Debug)]
pub(super) struct Opener<'t> {
    target: &'t Target,
    ending: Ending,
    /// Whether a bare server is sent a request, and answers with a 101.
    has_bare_head: bool,
    codec: Codec,
    buffer: Vec<u8>,
}

impl<'t> Opener<'t> {
    pub(super) fn new(target: &'t Target, ending: Ending) -> Self {
        Self {
            target,
            ending,
            has_bare_head: false,
            codec: codec(),
            buffer: vec![0; READ_BYTES_MAX],
        }
    }

    /// A bare server too is sent a request, always the same, and answers with the head of a 101, always the same.
    pub(super) fn with_bare_head(mut self) -> Self {
        self.has_bare_head = true;
        self
    }

    /// Begins to open a connection; one on loopback comes from the address with the number `source`.
    pub(super) fn begin(&mut self, poll: &Poll, token: Token, source: usize) -> Result<Opening> {
        let address = self.target.address;
        let mut stream = connect(address, source, self.ending)
            .map_err(|error| Failure::run(format!("{address}: {error}")))?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, token, interest)?;
        let mut out = Vec::new();
        let key = rand::random();
        let stage = match self.target.scheme {
            Scheme::WebSocket => {
                self.target.write_request(key, &mut out)?;
                Stage::Head
            }
            Scheme::Bare if self.has_bare_head => {
                self.target.write_request([0; 16], &mut out)?;
                Stage::BareHead
            }
            Scheme::Bare => Stage::Connecting,
        };
        Ok(Opening {
            stream,
            stage,
            key,
            out,
            received: Vec::new(),
            scanner: HeadScanner::response(),
            decoder: Decoder::new(self.target.scheme, None, self.target.dialect),
            deflate: None,
        })
    }

    /// Opens `count` connections; their tokens count from 0.
    pub(super) fn open_all(
        mut self,
        poll: &mut Poll,
        count: usize,
        progress: &mut Progress,
    ) -> Result<Vec<Link>> {
        progress.begin_opening(count);
        let mut openings: Vec<Option<Opening>> = Vec::with_capacity(count);
        let mut links: Vec<Option<Link>> = Vec::with_capacity(count);
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut open = 0;
        let mut last_opened = Instant::now();
        while open < count {
            while openings.len() < count && openings.len() - open < OPENING_MAX {
                let number = openings.len();
                let source = number / CONNECTIONS_PER_SOURCE;
                let opening = self
                    .begin(poll, Token(number), source)
                    .map_err(|failure| failure.of_connection(number))?;
                openings.push(Some(opening));
                links.push(None);
            }
            wait(poll, &mut events, Duration::from_secs(1))?;
            for event in &events {
                // What a connection that is open gets meanwhile is read when the run begins.
                let number = event.token().0;
                let Some(opening) = openings[number].take() else {
                    continue;
                };
                let step = opening.advance(&mut self);
                match step.map_err(|failure| failure.of_connection(number))? {
                    Step::Open(link) => {
                        links[number] = Some(link);
                        open += 1;
                        last_opened = Instant::now();
                    }
                    Step::Waiting(opening) => openings[number] = Some(opening),
                }
            }
            progress.opened(open);
            if last_opened.elapsed() > SILENCE_MAX {
                return Err(Failure::run(format!(
                    "the server is silent: of {count} connections {open} are open, and no other for {} s",
                    SILENCE_MAX.as_secs()
                )));
            }
        }
        Ok(links.into_iter().flatten().collect())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// TCP is to be there, and nothing else.
    Connecting,
    /// The head of the server's answer is to come.
    Head,
    /// Anything that looks like the head of a 101 is to come.
    BareHead,
    /// Engine.IO's open packet is to come, then Socket.IO's connect packet.
    Greeting,
    Open,
}

/// A connection that is not open yet.
#[derive(Debug)]
pub(super) struct Opening {
    stream: TcpStream,
    stage: Stage,
    key: [u8; 16],
    out: Vec<u8>,
    received: Vec<u8>,
    scanner: HeadScanner,
    decoder: Decoder,
    deflate: Option<DeflateParams>,
}

/// How far an opening has come.
pub(super) enum Step {
    Waiting(Opening),
    Open(Link),
}

impl Opening {
    /// Does what can be done now.
    pub(super) fn advance(mut self, opener: &mut Opener<'_>) -> Result<Step> {
        let address = opener.target.address;
        if self.stage == Stage::Connecting && is_connected(&self.stream, address)? {
            self.stage = Stage::Open;
        }
        link::flush(&mut self.stream, &mut self.out)
            .map_err(|failure| Failure::run(format!("{address}: {failure}")))?;
        while !matches!(self.stage, Stage::Connecting | Stage::Open) {
            let Got::Bytes(read) = link::read(&mut self.stream, &mut opener.buffer)? else {
                return Ok(Step::Waiting(self));
            };
            self.received.extend_from_slice(&opener.buffer[..read]);
            match self.stage {
                Stage::Head => self.read_head(opener)?,
                Stage::BareHead => self.read_bare_head()?,
                _ => {}
            }
            if self.stage == Stage::Greeting {
                self.read_greeting(&mut opener.codec)?;
                link::flush(&mut self.stream, &mut self.out)?;
            }
        }
        if self.stage == Stage::Connecting {
            return Ok(Step::Waiting(self));
        }
        Ok(Step::Open(Link {
            stream: self.stream,
            decoder: self.decoder,
            deflate: self.deflate,
            early: self.received,
        }))
    }

    fn read_head(&mut self, opener: &Opener<'_>) -> Result<()> {
        let scanned = self.scanner.scan(&self.received);
        let scanned = scanned.map_err(|error| Failure::run(ResponseError::Head(error).to_string()));
        let Some(length) = scanned? else {
            return Ok(());
        };
        let headers = opener.target.borrowed_headers();
        let request = opener.target.request(self.key, &headers);
        let established = request
            .verify(&self.received[..length])
            .map_err(|error| Failure::run(error.to_string()))?;
        if opener.target.deflate.is_some() && established.deflate.is_none() {
            return Err(Failure::run(
                "the server does not accept permessage-deflate, which --compress asks for",
            ));
        }
        self.deflate = established.deflate;
        let Target {
            scheme, dialect, ..
        } = *opener.target;
        self.decoder = Decoder::new(scheme, established.deflate, dialect);
        self.received.drain(..length);
        self.stage = match dialect {
            Dialect::Plain => Stage::Open,
            Dialect::Socketio => Stage::Greeting,
        };
        Ok(())
    }

    fn read_bare_head(&mut self) -> Result<()> {
        const BEGINNING: &[u8] = b"HTTP/1.1 101 ";
        const END: &[u8] = b"\r\n\r\n";
        let seen = self.received.len().min(BEGINNING.len());
        if self.received[..seen] != BEGINNING[..seen] {
            return Err(Failure::run(
                "the server does not answer a request with a 101",
            ));
        }
        if let Some(at) = memchr::memmem::find(&self.received, END) {
            self.received.drain(..at + END.len());
            self.stage = Stage::Open;
        }
        Ok(())
    }

    /// Takes Engine.IO's `0{…}`, asks for the main namespace by `40`, and takes Socket.IO's `40{…}`.
    fn read_greeting(&mut self, codec: &mut Codec) -> Result<()> {
        let mut received = std::mem::take(&mut self.received);
        let mut input = Input::new(&mut received);
        let accept = |_: MessageKind, payload: &[u8]| match payload {
            [b'0', b'{', ..] => Ok(Stage::Greeting),
            [b'4', b'0', ..] => Ok(Stage::Open),
            other => Err(Failure::run(format!(
                "the server does not greet as Socket.IO 5 does: {}",
                String::from_utf8_lossy(&other[..other.len().min(80)])
            ))),
        };
        while let Some(stage) = self.decoder.next(&mut input, codec, accept)? {
            if stage == Stage::Greeting {
                let kind = MessageKind::Text;
                link::encode(kind, b"40", self.deflate, codec, &mut self.out);
            }
            self.stage = stage;
            if stage == Stage::Open {
                break;
            }
        }
        self.out.append(&mut self.decoder.replies);
        let position = input.position();
        self.received = received.split_off(position);
        Ok(())
    }
}

fn is_connected(stream: &TcpStream, address: SocketAddr) -> Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(Failure::run(format!("{address}: {error}")));
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn connect(address: SocketAddr, source: usize, ending: Ending) -> io::Result<TcpStream> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if let Some(source) = source_address(address, source) {
        // Lets a port be shared that another connection of the same source uses to another server.
        socket.set_reuse_address(true)?;
        socket.bind(&source.into())?;
    }
    socket.set_tcp_nodelay(true)?;
    if ending == Ending::Reset {
        socket.set_linger(Some(Duration::ZERO))?;
    }
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if is_under_way(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

fn is_under_way(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    code == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
        || error.kind() == io::ErrorKind::WouldBlock
}

/// Loopback has addresses enough that ports never run out.
fn source_address(target: SocketAddr, number: usize) -> Option<SocketAddr> {
    let IpAddr::V4(address) = target.ip() else {
        return None;
    };
    let last = 1 + (number % SOURCES_MAX) as u8;
    address
        .is_loopback()
        .then(|| SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_has_sources_to_choose_from() {
        let source = |target: &str, number| {
            let address = target.parse().expect("an address");
            source_address(address, number).map(|source| source.to_string())
        };
        assert_eq!(source("127.0.0.1:80", 0).as_deref(), Some("127.0.0.1:0"));
        assert_eq!(source("127.0.0.1:80", 33).as_deref(), Some("127.0.0.2:0"));
        assert_eq!(source("192.0.2.1:80", 0), None);
        assert_eq!(source("[::1]:80", 0), None);
    }
}
