//! The server under test: connecting, the handshake, and the bytes that go to and fro.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol as Layer, Socket, Type};
use tidegate::http::head::HeadScanner;
use tidegate::websocket::codec::{Codec, Config};
use tidegate::websocket::frame::encode_header;
use tidegate::websocket::handshake::ClientRequest;
use tidegate::websocket::protocol::{MessageKind, Protocol, Role};

use crate::{Common, Result};

/// Connections from one source address: far fewer than there are ports.
const CONNECTIONS_PER_SOURCE_MAX: usize = 4_000;
/// A server that says nothing for so long is stuck.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// One message in both directions.
#[derive(Debug)]
pub(crate) struct Frames {
    /// As it is sent: masked.
    pub(crate) sent: Vec<u8>,
    /// As it has to come back.
    pub(crate) echoed: Vec<u8>,
}

impl Frames {
    pub(crate) fn prepare(common: &Common) -> Self {
        let kind = if common.binary {
            MessageKind::Binary
        } else {
            MessageKind::Text
        };
        let pattern =
            br#"{"type":"chat","text":"The quick brown fox jumps over the lazy dog.","n":1},"#;
        let payload: Vec<u8> = pattern.iter().copied().cycle().take(common.size).collect();
        let config = Config {
            message_bytes_max: usize::MAX,
            compression_bytes_min: usize::MAX,
            compression_level: 1,
        };
        let mut codec = Codec::with_mask_seed(config, rand::random());
        let mut sent = Vec::new();
        Protocol::new(Role::Client, None).send_message(kind, &payload, &mut codec, &mut sent);
        let echoed = if common.bare {
            sent.clone()
        } else {
            let header = encode_header(kind.opcode(), true, false, payload.len() as u64, None);
            [header.as_slice(), &payload].concat()
        };
        Self { sent, echoed }
    }
}

/// Opens all connections, one after the other, each after its handshake. Blocking.
pub(crate) fn connect_all(common: &Common) -> Result<Vec<TcpStream>> {
    (0..common.connections)
        .map(|number| connect(common, number))
        .collect()
}

fn connect(common: &Common, number: usize) -> Result<TcpStream> {
    let address = common.address;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Layer::TCP))?;
    if address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        let source = 2 + (number / CONNECTIONS_PER_SOURCE_MAX) as u8;
        let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, source), 0));
        socket.set_reuse_address(true)?;
        socket.bind(&source.into())?;
    }
    socket.set_tcp_nodelay(true)?;
    // The end of a run resets its connections: none is left in TIME_WAIT to take a port from the next run.
    socket.set_linger(Some(Duration::ZERO))?;
    socket.connect(&address.into())?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    if !common.bare {
        shake_hands(&mut stream, common)
            .map_err(|error| format!("handshake of connection {number}: {error}"))?;
    }
    Ok(stream)
}

fn shake_hands(stream: &mut TcpStream, common: &Common) -> Result<()> {
    let host = common.address.to_string();
    let request = ClientRequest {
        host: &host,
        target: &common.path,
        key: rand::random(),
        origin: None,
        subprotocols: &[],
        deflate: None,
        headers: &[],
    };
    let mut bytes = Vec::new();
    request
        .write(&mut bytes)
        .map_err(|error| format!("{error:?}"))?;
    stream.write_all(&bytes)?;
    let mut answer = Vec::new();
    let mut scanner = HeadScanner::response();
    let mut buffer = [0; 1024];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err("the server ended".into());
        }
        answer.extend_from_slice(&buffer[..read]);
        let head = scanner
            .scan(&answer)
            .map_err(|error| format!("{error:?}"))?;
        if let Some(length) = head {
            request
                .verify(&answer[..length])
                .map_err(|error| format!("{error:?}"))?;
            if length != answer.len() {
                return Err("the server spoke first".into());
            }
            return Ok(());
        }
    }
}

/// Sends one message and waits for its echo. Blocking.
pub(crate) fn echo_once(stream: &mut TcpStream, frames: &Frames, buffer: &mut [u8]) -> Result<()> {
    stream.write_all(&frames.sent)?;
    let answer = &mut buffer[..frames.echoed.len()];
    stream.read_exact(answer)?;
    if *answer != frames.echoed {
        return Err("something else came back than was sent".into());
    }
    Ok(())
}
