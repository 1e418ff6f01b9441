//! The client role under Autobahn|Testsuite: runs every case of a fuzzing server and echoes what it is sent.
//!
//! usage: `autobahn_client ws://HOST:PORT`

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tidegate::http::head::HeadScanner;
use tidegate::websocket::codec::{Codec, Config};
use tidegate::websocket::extension::DeflateOffer;
use tidegate::websocket::handshake::ClientRequest;
use tidegate::websocket::protocol::{Event, Input, MessageKind, Protocol, Role};

const AGENT: &str = "tidegate";
/// A fuzzing server that says nothing for so long is stuck.
const READ_TIMEOUT: Duration = Duration::from_secs(120);
/// Cases 9.* send 16 MiB in one message.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One connection to the fuzzing server.
struct Client {
    stream: TcpStream,
    protocol: Protocol,
    codec: Codec,
    /// Bytes that came together with the answer to the handshake.
    early: Vec<u8>,
}

impl Client {
    fn connect(authority: &str, target: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(authority)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        let offer = DeflateOffer {
            client_max_window_bits: Some(15),
            ..DeflateOffer::default()
        };
        let request = ClientRequest {
            host: authority,
            target,
            key: rand::random(),
            origin: None,
            subprotocols: &[],
            deflate: Some(offer),
            headers: &[],
        };
        let mut bytes = Vec::new();
        request.write(&mut bytes)?;
        stream.write_all(&bytes)?;
        let mut answer = Vec::new();
        let mut scanner = HeadScanner::response();
        let head = loop {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer)?;
            if read == 0 {
                return Err("the server ended during the handshake".into());
            }
            answer.extend_from_slice(&buffer[..read]);
            if let Some(head) = scanner.scan(&answer)? {
                break head;
            }
        };
        let established = request.verify(&answer[..head])?;
        let config = Config {
            message_bytes_max: MESSAGE_BYTES_MAX,
            compression_bytes_min: 0,
            compression_level: 1,
        };
        Ok(Self {
            stream,
            protocol: Protocol::new(Role::Client, established.deflate),
            codec: Codec::with_mask_seed(config, rand::random()),
            early: answer.split_off(head),
        })
    }

    /// Echoes until the connection is over; gives the last text.
    fn run(&mut self, echoes: bool) -> Result<Option<String>> {
        let mut last = None;
        let mut buffer = vec![0; 64 * 1024];
        let mut early = std::mem::take(&mut self.early);
        self.receive(&mut early, echoes, &mut last)?;
        while !self.protocol.is_closed() {
            // The case may end with a reset, where the fuzzing server has seen enough.
            let read = self.stream.read(&mut buffer).unwrap_or(0);
            if read == 0 {
                break;
            }
            self.receive(&mut buffer[..read], echoes, &mut last)?;
        }
        // Our part is said; the server ends TCP first (RFC 6455 section 7.1.1).
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        while self.stream.read(&mut buffer).unwrap_or(0) > 0 {}
        Ok(last)
    }

    fn receive(&mut self, bytes: &mut [u8], echoes: bool, last: &mut Option<String>) -> Result<()> {
        let mut input = Input::new(bytes);
        let mut out = Vec::new();
        loop {
            match self.protocol.receive(&mut input, &mut self.codec) {
                Ok(None) => break,
                Ok(Some(Event::Message(message))) => {
                    let (kind, payload) = (message.kind, message.payload.to_vec());
                    if kind == MessageKind::Text {
                        *last = Some(String::from_utf8(payload.clone())?);
                    }
                    if echoes {
                        self.protocol
                            .send_message(kind, &payload, &mut self.codec, &mut out);
                    }
                }
                Ok(Some(Event::Ping(payload))) => {
                    let payload = payload.to_vec();
                    self.protocol.send_pong(&payload, &mut self.codec, &mut out);
                }
                Ok(Some(Event::Pong(_))) => {}
                Ok(Some(Event::Close { code, .. })) => {
                    self.protocol
                        .send_close(code, "", &mut self.codec, &mut out);
                }
                Err(violation) => {
                    let (code, reason) = (violation.code(), violation.sentence());
                    self.protocol
                        .send_close(code, reason, &mut self.codec, &mut out);
                }
            }
        }
        // A fuzzing server that has ended needs no answer.
        let _ = self.stream.write_all(&out);
        Ok(())
    }
}

fn run(url: &str) -> Result<()> {
    let authority = url
        .strip_prefix("ws://")
        .ok_or("the URL begins with ws://")?;
    let authority = authority.trim_end_matches('/');
    let count = Client::connect(authority, "/getCaseCount")?.run(false)?;
    let count: u32 = count.ok_or("the server gave no number of cases")?.parse()?;
    let mut failures = Vec::new();
    for case in 1..=count {
        let target = format!("/runCase?case={case}&agent={AGENT}");
        if let Err(error) = Client::connect(authority, &target)?.run(true) {
            failures.push(format!("case {case}: {error}"));
        }
    }
    Client::connect(authority, &format!("/updateReports?agent={AGENT}"))?.run(false)?;
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\n").into())
    }
}

fn main() -> Result<()> {
    run(&std::env::args()
        .nth(1)
        .ok_or("usage: autobahn_client ws://HOST:PORT")?)
}
