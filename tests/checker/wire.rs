//! A connection to a node that may die or sleep at any time: nothing here fails a test.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::client::KEY;
use crate::common::frame;
use crate::common::gateway::API_KEY;

/// A write that the other end does not take within this time ends the connection.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 64 * 1024;

fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::ConnectionAborted, what)
}

pub(crate) struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
    is_closing: bool,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, WRITE_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        Ok(Self {
            stream,
            received: Vec::new(),
            is_closing: false,
        })
    }

    /// Becomes a WebSocket on `/`.
    pub(crate) fn upgrade(&mut self, deadline: Instant) -> io::Result<()> {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        self.stream.write_all(request.as_bytes())?;
        let (status, _) = self.head(deadline)?;
        if status == 101 {
            Ok(())
        } else {
            Err(broken("no upgrade"))
        }
    }

    /// Sends a JSON message.
    pub(crate) fn send(&mut self, message: &Value) -> io::Result<()> {
        self.stream.write_all(&frame::text(&message.to_string()))
    }

    /// Begins to close.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.is_closing = true;
        self.stream.write_all(&frame::close(1000, ""))
    }

    /// The next JSON message; `None` where none has come by then. Pings are answered.
    pub(crate) fn receive(&mut self, until: Instant) -> io::Result<Option<Value>> {
        loop {
            if let Some((frame, length)) = frame::parse(&self.received) {
                self.received.drain(..length);
                match frame.opcode {
                    frame::TEXT => return Ok(Some(serde_json::from_slice(&frame.payload)?)),
                    frame::PING => {
                        let pong = frame::frame(true, frame::PONG, &frame.payload);
                        self.stream.write_all(&pong)?;
                    }
                    // The end of the connection follows.
                    frame::CLOSE if self.is_closing => {}
                    _ => {
                        return Err(io::Error::new(
                            ErrorKind::InvalidData,
                            "a frame that was not due",
                        ));
                    }
                }
            } else if !self.fill(until)? {
                return Ok(None);
            }
        }
    }

    /// Calls the API; the status and what it says.
    pub(crate) fn call(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
        deadline: Instant,
    ) -> io::Result<(u16, Value)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {API_KEY}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes())?;
        let (status, head) = self.head(deadline)?;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length
            .and_then(|length| length.trim().parse().ok())
            .ok_or_else(|| broken("an answer without a length"))?;
        while self.received.len() < length {
            self.fill_or_fail(deadline)?;
        }
        let body: Vec<u8> = self.received.drain(..length).collect();
        Ok((status, serde_json::from_slice(&body)?))
    }

    /// A head of HTTP: its status, and all of it in lower case.
    fn head(&mut self, deadline: Instant) -> io::Result<(u16, String)> {
        loop {
            let mut windows = self.received.windows(4);
            if let Some(at) = windows.position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.received.drain(..at + 4).collect();
                let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
                let status = head.get(9..12).and_then(|status| status.parse().ok());
                return status
                    .map(|status| (status, head))
                    .ok_or_else(|| broken("no HTTP"));
            }
            self.fill_or_fail(deadline)?;
        }
    }

    fn fill_or_fail(&mut self, deadline: Instant) -> io::Result<()> {
        if self.fill(deadline)? {
            Ok(())
        } else {
            Err(io::Error::new(ErrorKind::TimedOut, "no answer"))
        }
    }

    /// Reads some; `false` where nothing has come by then.
    fn fill(&mut self, until: Instant) -> io::Result<bool> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut buffer = [0; READ_BYTES];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(broken("the node has closed")),
            Ok(length) => {
                self.received.extend_from_slice(&buffer[..length]);
                Ok(true)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
