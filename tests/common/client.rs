//! A raw client: bytes out, bytes in, HTTP heads and frames, each with a deadline.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use super::DEADLINE;
use super::frame::{self, Frame};
use super::tls::TestCertificate;

/// The nonce of RFC 6455 section 1.3 and the answer that the RFC computes from it.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// `Sec-WebSocket-Accept` for [`KEY`].
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn reader(&mut self) -> &mut dyn Read {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
            Self::Tls(stream) => stream,
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
            Self::Tls(stream) => stream,
        }
    }

    fn set_read_timeout(&self, timeout: Duration) {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            Self::Unix(stream) => stream.set_read_timeout(Some(timeout)),
            Self::Tls(stream) => stream.sock.set_read_timeout(Some(timeout)),
        }
        .expect("a read timeout can be set");
    }

    fn set_write_timeout(&self, timeout: Duration) {
        match self {
            Self::Tcp(stream) => stream.set_write_timeout(Some(timeout)),
            Self::Unix(stream) => stream.set_write_timeout(Some(timeout)),
            Self::Tls(stream) => stream.sock.set_write_timeout(Some(timeout)),
        }
        .expect("a write timeout can be set");
    }
}

/// An HTTP response.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The first value of a header; the name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(held, _)| held == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of UTF-8")
    }
}

/// One connection to a server.
pub(crate) struct Client {
    stream: Stream,
    received: Vec<u8>,
    deadline: Duration,
}

impl Client {
    fn new(stream: Stream) -> Self {
        stream.set_write_timeout(DEADLINE);
        Self {
            stream,
            received: Vec::new(),
            deadline: DEADLINE,
        }
    }

    /// Over TCP.
    pub(crate) fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, DEADLINE)
            .unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
        stream.set_nodelay(true).expect("TCP_NODELAY can be set");
        Self::new(Stream::Tcp(stream))
    }

    /// Over TCP from a source address of its own, such as 127.0.0.2.
    pub(crate) fn tcp_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)
            .expect("a socket can be made");
        socket
            .bind(&SocketAddr::new(source, 0).into())
            .unwrap_or_else(|error| panic!("{source} cannot be bound: {error}"));
        socket
            .connect_timeout(&address.into(), DEADLINE)
            .unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
        Self::new(Stream::Tcp(socket.into()))
    }

    /// Over TCP with small kernel buffers, so that what a slow reader does not take stays with the server.
    pub(crate) fn tcp_narrow(address: SocketAddr) -> Self {
        const BUFFER_BYTES: usize = 16 * 1024;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)
            .expect("a socket can be made");
        socket
            .set_recv_buffer_size(BUFFER_BYTES)
            .and_then(|()| socket.set_send_buffer_size(BUFFER_BYTES))
            .expect("buffer sizes can be set");
        socket
            .connect_timeout(&address.into(), DEADLINE)
            .unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
        socket
            .set_tcp_nodelay(true)
            .expect("TCP_NODELAY can be set");
        Self::new(Stream::Tcp(socket.into()))
    }

    /// Over a Unix socket.
    pub(crate) fn unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path)
            .unwrap_or_else(|error| panic!("no connection to {}: {error}", path.display()));
        Self::new(Stream::Unix(stream))
    }

    /// Over TLS; the certificate must be `certificate`.
    pub(crate) fn tls(address: SocketAddr, certificate: &TestCertificate) -> Self {
        let stream = TcpStream::connect_timeout(&address, DEADLINE)
            .unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
        stream.set_nodelay(true).expect("TCP_NODELAY can be set");
        let name = ServerName::try_from("localhost").expect("a server name");
        let session = ClientConnection::new(certificate.client_config(), name)
            .expect("a TLS session can be made");
        Self::new(Stream::Tls(Box::new(StreamOwned::new(session, stream))))
    }

    /// How long a read may wait from now on.
    pub(crate) fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// Address of this end, of a TCP or TLS connection.
    pub(crate) fn local_address(&self) -> SocketAddr {
        match &self.stream {
            Stream::Tcp(stream) => stream.local_addr(),
            Stream::Tls(stream) => stream.sock.local_addr(),
            Stream::Unix(_) => panic!("a Unix socket has no IP address"),
        }
        .expect("a connected socket has an address")
    }

    /// Sends bytes as they are.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.try_send_bytes(bytes)
            .expect("the server takes the bytes");
    }

    /// Sends bytes to a server that may have closed.
    pub(crate) fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let writer = self.stream.writer();
        writer.write_all(bytes)?;
        writer.flush()
    }

    /// Ends our direction of the connection.
    pub(crate) fn shutdown_write(&mut self) {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tls(stream) => {
                stream.conn.send_close_notify();
                stream
                    .flush()
                    .and_then(|()| stream.sock.shutdown(Shutdown::Write))
            }
        }
        .expect("the connection is open");
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        let Stream::Tcp(stream) = self.stream else {
            panic!("only TCP knows resets")
        };
        let socket = socket2::SockRef::from(&stream);
        socket
            .set_linger(Some(Duration::ZERO))
            .expect("SO_LINGER can be set");
    }

    /// The socket itself, of a TCP connection from which nothing waits to be taken.
    pub(crate) fn into_tcp(self) -> TcpStream {
        assert!(self.received.is_empty(), "bytes would be lost");
        match self.stream {
            Stream::Tcp(stream) => stream,
            Stream::Unix(_) | Stream::Tls(_) => panic!("not plain TCP"),
        }
    }

    /// Takes at most `bytes` from the socket for a later `read_*`.
    pub(crate) fn read_some(&mut self, bytes: usize) -> usize {
        self.stream.set_read_timeout(self.deadline);
        let mut buffer = vec![0; bytes];
        let taken = self.stream.reader().read(&mut buffer);
        let taken = taken.unwrap_or_else(|error| panic!("reading from the server: {error}"));
        self.received.extend_from_slice(&buffer[..taken]);
        taken
    }

    /// What has been taken from the socket and from no `read_*`.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.received
    }

    /// Takes that.
    pub(crate) fn take_buffered(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.received)
    }

    /// Sends a request without a body.
    pub(crate) fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            head.push_str("Host: localhost\r\n");
        }
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        self.send_bytes(head.as_bytes());
    }

    /// GET, and the answer.
    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.request("GET", path, &[]);
        self.read_response()
    }

    /// Sends an opening handshake with further headers, and reads the answer whatever it is.
    pub(crate) fn handshake(&mut self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut all = vec![
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", KEY),
            ("Sec-WebSocket-Version", "13"),
        ];
        all.extend_from_slice(headers);
        self.request("GET", path, &all);
        self.read_response()
    }

    /// An opening handshake that must succeed.
    pub(crate) fn upgrade(&mut self, path: &str) -> Response {
        self.upgrade_with(path, &[])
    }

    /// An opening handshake with further headers that must succeed.
    pub(crate) fn upgrade_with(&mut self, path: &str, headers: &[(&str, &str)]) -> Response {
        let response = self.handshake(path, headers);
        assert_eq!(response.status, 101, "{response:?}");
        assert_eq!(response.header("sec-websocket-accept"), Some(ACCEPT));
        let upgrade = response.header("upgrade").map(str::to_ascii_lowercase);
        assert_eq!(upgrade.as_deref(), Some("websocket"));
        let connection = response.header("connection").map(str::to_ascii_lowercase);
        assert_eq!(connection.as_deref(), Some("upgrade"));
        response
    }

    /// Reads one response: its head, and the body that `Content-Length` announces or that ends with the stream.
    pub(crate) fn read_response(&mut self) -> Response {
        self.read_response_to("GET")
    }

    /// Reads the answer to a HEAD: its length is announced and does not come.
    pub(crate) fn read_response_to_head(&mut self) -> Response {
        self.read_response_to("HEAD")
    }

    fn read_response_to(&mut self, method: &str) -> Response {
        let end = Instant::now() + self.deadline;
        let head = loop {
            let at = self
                .received
                .windows(4)
                .position(|window| window == b"\r\n\r\n");
            if let Some(at) = at {
                let head: Vec<u8> = self.received.drain(..at + 4).collect();
                break String::from_utf8(head).expect("a head of UTF-8");
            }
            assert!(self.fill(end), "the server closed within a response head");
        };
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
        let status = status.and_then(|line| line.get(..3)?.parse().ok());
        let mut response = Response {
            status: status.unwrap_or_else(|| panic!("no status line: {head}")),
            headers: lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect(),
            body: Vec::new(),
        };
        if method == "HEAD" || matches!(response.status, 101 | 204 | 304) {
            return response;
        }
        match response.header("content-length").map(str::parse::<usize>) {
            Some(length) => {
                let length = length.expect("Content-Length is a number");
                while self.received.len() < length {
                    assert!(self.fill(end), "the server closed within a response body");
                }
                response.body = self.received.drain(..length).collect();
            }
            None => {
                while self.fill(end) {}
                response.body = std::mem::take(&mut self.received);
            }
        }
        response
    }

    /// The next frame; fails the test at the deadline, at the end of the stream, or where it is masked.
    pub(crate) fn read_frame(&mut self) -> Frame {
        let end = Instant::now() + self.deadline;
        loop {
            if let Some((frame, length)) = frame::parse(&self.received) {
                self.received.drain(..length);
                assert!(
                    !frame.masked,
                    "a server must not mask (RFC 6455 section 5.1): {frame:?}"
                );
                return frame;
            }
            assert!(self.fill(end), "the server closed where a frame was due");
        }
    }

    /// The next frame must be a whole message, pong or other, of this opcode and payload.
    pub(crate) fn expect_frame(&mut self, opcode: u8, payload: &[u8]) {
        let frame = self.read_frame();
        assert_eq!(
            (frame.fin, frame.rsv, frame.opcode),
            (true, 0, opcode),
            "{frame:?}"
        );
        assert_eq!(frame.payload.len(), payload.len());
        assert!(frame.payload == payload, "the payload differs");
    }

    /// Sends a text message that must come back.
    pub(crate) fn expect_echo(&mut self, message: &str) {
        self.send_bytes(&frame::text(message));
        self.expect_frame(frame::TEXT, message.as_bytes());
    }

    /// Skips what was echoed before it and takes the Close frame, which must have this code; gives its reason.
    pub(crate) fn expect_close(&mut self, code: u16) -> String {
        let frame = loop {
            let frame = self.read_frame();
            if frame.opcode == frame::CLOSE {
                break frame;
            }
        };
        assert!(frame.fin && frame.rsv == 0, "{frame:?}");
        assert!(
            frame.payload.len() <= 125,
            "a control frame of {} bytes",
            frame.payload.len()
        );
        let Some((told, reason)) = frame.payload.split_first_chunk::<2>() else {
            panic!("a Close without a code, {code} was expected");
        };
        let reason = String::from_utf8(reason.to_vec()).expect("a reason of UTF-8");
        assert_eq!(u16::from_be_bytes(*told), code, "{reason:?}");
        reason
    }

    /// The connection must end cleanly (FIN, not RST) with nothing more in it.
    pub(crate) fn expect_eof(&mut self) {
        let end = Instant::now() + self.deadline;
        let more = self.fill(end);
        assert!(!more, "{} bytes where the end was due", self.received.len());
        assert!(
            self.received.is_empty(),
            "{} bytes before the end",
            self.received.len()
        );
    }

    /// Reads all that is left until the server ends the connection; gives it, or the error that ended it.
    pub(crate) fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let end = Instant::now() + self.deadline;
        while self.try_fill(end)? {}
        Ok(std::mem::take(&mut self.received))
    }

    fn fill(&mut self, end: Instant) -> bool {
        self.try_fill(end)
            .unwrap_or_else(|error| panic!("reading from the server: {error}"))
    }

    /// Reads some; `false` at the end of the stream.
    fn try_fill(&mut self, end: Instant) -> io::Result<bool> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "nothing came before the deadline",
            ));
        }
        self.stream.set_read_timeout(left);
        let mut buffer = [0; 64 * 1024];
        match self.stream.reader().read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(length) => {
                self.received.extend_from_slice(&buffer[..length]);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "nothing came before the deadline",
            )),
            Err(error) => Err(error),
        }
    }
}
