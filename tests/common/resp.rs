//! A client of Redis as small as can be (RESP 2), written down here so that the tests have an opinion of their own.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::DEADLINE;

/// What Redis answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `+OK`
    Status(String),
    /// `-ERR` and why.
    Error(String),
    Integer(i64),
    Bytes(Vec<u8>),
    /// The null of either kind.
    Nothing,
    List(Vec<Self>),
}

impl Reply {
    /// A bulk string.
    pub(crate) fn bytes(text: impl AsRef<[u8]>) -> Self {
        Self::Bytes(text.as_ref().to_vec())
    }

    /// What `SUBSCRIBE` and its kin are answered, and what a published message looks like.
    pub(crate) fn push(kind: &str, channel: &str, last: Self) -> Self {
        Self::List(vec![Self::bytes(kind), Self::bytes(channel), last])
    }

    /// The text of a bulk string or a status.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).expect("a reply of UTF-8"),
            Self::Status(status) => status,
            other => panic!("no text: {other:?}"),
        }
    }

    /// A number.
    pub(crate) fn integer(&self) -> i64 {
        match self {
            Self::Integer(number) => *number,
            other => panic!("no number: {other:?}"),
        }
    }

    /// An error of Redis, and not another reply.
    pub(crate) fn error(&self) -> &str {
        match self {
            Self::Error(error) => error,
            other => panic!("no error: {other:?}"),
        }
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            other => panic!("no list: {other:?}"),
        }
    }
}

/// One connection to Redis.
pub(crate) struct RedisClient {
    stream: TcpStream,
    received: Vec<u8>,
}

impl RedisClient {
    /// A connection that has not said who it is.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address)
            .unwrap_or_else(|error| panic!("no connection to {address}: {error}"))
    }

    /// The same where it may be refused, or reset as soon as it is there.
    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Self {
            stream,
            received: Vec::new(),
        })
    }

    /// Sends a command.
    pub(crate) fn send(&mut self, command: &[impl AsRef<[u8]>]) {
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for word in command {
            let word = word.as_ref();
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        self.stream
            .write_all(&bytes)
            .expect("Redis takes a command");
    }

    /// The next reply or message; fails the test at the deadline.
    pub(crate) fn read(&mut self) -> Reply {
        self.try_read(DEADLINE)
            .unwrap_or_else(|error| panic!("reading from Redis: {error}"))
    }

    /// Sends a command and reads what comes next.
    pub(crate) fn ask(&mut self, command: &[impl AsRef<[u8]>]) -> Reply {
        self.send(command);
        self.read()
    }

    /// The next reply, or why there is none: [`io::ErrorKind::TimedOut`] where the connection is open and silent,
    /// [`io::ErrorKind::UnexpectedEof`] where Redis closed it.
    pub(crate) fn try_read(&mut self, deadline: Duration) -> io::Result<Reply> {
        let end = Instant::now() + deadline;
        loop {
            if let Some((reply, length)) = parse(&self.received) {
                self.received.drain(..length);
                return Ok(reply);
            }
            self.fill(end)?;
        }
    }

    /// Nothing comes for that long; no longer than a test can afford, and what comes too late is not seen.
    pub(crate) fn expect_silence(&mut self, time: Duration) {
        match self.try_read(time) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            other => panic!("not silent: {other:?}"),
        }
    }

    /// The connection ends, whether cleanly or by a reset; gives which.
    pub(crate) fn expect_end(&mut self) -> io::ErrorKind {
        match self.try_read(DEADLINE) {
            Err(error) if error.kind() != io::ErrorKind::TimedOut => error.kind(),
            other => panic!("not ended: {other:?}"),
        }
    }

    fn fill(&mut self, end: Instant) -> io::Result<()> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                self.received.extend_from_slice(&buffer[..length]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::ErrorKind::TimedOut.into())
            }
            Err(error) => Err(error),
        }
    }
}

/// The reply at the beginning of `bytes` and its length; `None` where it is not whole yet.
pub(crate) fn parse(bytes: &[u8]) -> Option<(Reply, usize)> {
    let line_end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let line = String::from_utf8_lossy(&bytes[..line_end]).into_owned();
    let behind = line_end + 2;
    let (kind, rest) = line.split_at_checked(1).expect("a reply has a type");
    let number = || -> i64 { rest.parse().expect("a number") };
    let reply = match kind {
        "+" => Reply::Status(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Integer(number()),
        "$" | "*" if number() < 0 => Reply::Nothing,
        "$" => {
            let length = usize::try_from(number()).expect("a length");
            let text = bytes.get(behind..behind + length + 2)?;
            return Some((Reply::bytes(&text[..length]), behind + length + 2));
        }
        "*" => {
            let mut at = behind;
            let mut items = Vec::new();
            for _ in 0..number() {
                let (item, length) = parse(&bytes[at..])?;
                items.push(item);
                at += length;
            }
            return Some((Reply::List(items), at));
        }
        _ => panic!("no reply of RESP 2: {line}"),
    };
    Some((reply, behind))
}
