//! From a target to an open connection, by calls that wait; it runs in a thread of its own, so that Ctrl-C is heard meanwhile.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant, SystemTime};

use rustls::ClientConnection;
use socket2::{SockRef, TcpKeepalive};

use super::target::Target;
use super::wire::{Patient, Wire};
use crate::http::head::HeadRoom;
use crate::http::response_head::ResponseHead;
use crate::http::scanner::HeadScanner;
use crate::websocket::extension::DeflateParams;
use crate::websocket::handshake::ResponseError;

/// Silence on the line after which the kernel asks whether the peer is there still, and how it asks: a peer without power or
/// network is noticed within about a minute.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;
/// Time that sent bytes may stay unacknowledged.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);
/// Bytes read at once of an answer.
const READ_BYTES_MAX: usize = 16 * 1024;
/// Bytes read of a page that says why the server refuses.
const BODY_BYTES_MAX: usize = 4 * 1024;
/// Time for that page.
const BODY_TIME_MAX: Duration = Duration::from_secs(1);
/// Characters shown of it.
const REASON_CHARACTERS_MAX: usize = 300;

/// An open connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) wire: Wire<mio::net::TcpStream>,
    pub(super) opened: Opened,
    /// What came together with the answer to the handshake.
    pub(super) early: Vec<u8>,
}

/// What a handshake agreed on.
#[derive(Debug, Clone, Default)]
pub(super) struct Opened {
    pub(super) deflate: Option<DeflateParams>,
    pub(super) subprotocol: Option<String>,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) sentence: String,
    /// Whether it may be otherwise next time.
    pub(super) is_transient: bool,
    /// When the server wants to be asked again.
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    fn transient(sentence: impl Into<String>) -> Self {
        Self {
            sentence: sentence.into(),
            is_transient: true,
            retry_after: None,
        }
    }

    fn lasting(sentence: impl Into<String>) -> Self {
        Self {
            is_transient: false,
            ..Self::transient(sentence)
        }
    }
}

/// Opens a connection.
///
/// # Errors
/// No address, nobody there, no TLS, a refusal, something that is no WebSocket server, or no time left.
pub(super) fn dial(target: &Target) -> Result<Link, Failure> {
    let until = Instant::now() + target.timeout;
    let (socket, address) = connect(target, until)?;
    let lost = |error: &io::Error| went_wrong(target, address, error);
    let socket = Patient::new(socket, until);
    let tls = target.tls.as_ref().map(|tls| {
        ClientConnection::new(tls.config.clone(), tls.name.clone())
            .map_err(|error| Failure::lasting(format!("TLS: {error}")))
    });
    let mut wire = Wire::open(socket, tls.transpose()?).map_err(|error| lost(&error))?;
    let (opened, early) = shake_hands(target, &mut wire, &lost)?;
    Ok(Link {
        wire: wire.into_events().map_err(|error| lost(&error))?,
        opened,
        early,
    })
}

/// The addresses of a name one after the other, each with its share of the time.
fn connect(target: &Target, until: Instant) -> Result<(TcpStream, SocketAddr), Failure> {
    let host = &target.host;
    let addresses: Vec<SocketAddr> = (&host[..], target.port)
        .to_socket_addrs()
        .map_err(|error| Failure::transient(format!("{host}: {error}")))?
        .collect();
    let mut failure = Failure::transient(format!("{host} has no address"));
    for (index, &address) in addresses.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        if share.is_zero() {
            return Err(out_of_time(target, address));
        }
        let connected = TcpStream::connect_timeout(&address, share).and_then(|socket| {
            prepare(&socket)?;
            Ok(socket)
        });
        match connected {
            Ok(socket) => return Ok((socket, address)),
            Err(error) => failure = went_wrong(target, address, &error),
        }
    }
    Err(failure)
}

fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    let socket = SockRef::from(socket);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
}

fn out_of_time(target: &Target, address: SocketAddr) -> Failure {
    let seconds = target.timeout.as_secs_f64();
    Failure::transient(format!("{address} did not answer within {seconds} s"))
}

fn went_wrong(target: &Target, address: SocketAddr, error: &io::Error) -> Failure {
    match error.kind() {
        // A socket with a time limit says WouldBlock.
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => out_of_time(target, address),
        io::ErrorKind::ConnectionRefused => {
            Failure::transient(format!("nobody listens at {address}"))
        }
        io::ErrorKind::InvalidData => Failure::lasting(match error.get_ref() {
            Some(error) => format!("no TLS with {}: {}", target.host, tls_words(error)),
            None => format!("no TLS with {}: {error}", target.host),
        }),
        _ => Failure::transient(format!("{address}: {error}")),
    }
}

/// What rustls says, and what to do about it where that is one thing.
fn tls_words(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    match error.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(why)) => {
            format!("its certificate is not believed: {why} (--ca names whom to believe)")
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            "it answers something else (ws:// perhaps)".to_owned()
        }
        _ => error.to_string(),
    }
}

fn shake_hands(
    target: &Target,
    wire: &mut Wire<Patient>,
    lost: &impl Fn(&io::Error) -> Failure,
) -> Result<(Opened, Vec<u8>), Failure> {
    let key = rand::random();
    let mut request = Vec::new();
    target
        .with_request(key, |asked| asked.write(&mut request))
        .map_err(|error| Failure::lasting(error.to_string()))?;
    wire.write_all(&request).map_err(|error| lost(&error))?;
    let mut answer = Vec::new();
    let mut scanner = HeadScanner::response();
    let mut buffer = vec![0; READ_BYTES_MAX];
    let head = loop {
        let read = wire.read_some(&mut buffer).map_err(|error| lost(&error))?;
        if read == 0 {
            return Err(Failure::transient(
                "the server ended the connection during the handshake",
            ));
        }
        answer.extend_from_slice(&buffer[..read]);
        let found = scanner.scan(&answer);
        if let Some(head) =
            found.map_err(|error| Failure::lasting(ResponseError::Head(error).to_string()))?
        {
            break head;
        }
    };
    let mut early = answer.split_off(head);
    let verified = target.with_request(key, |asked| {
        asked.verify(&answer).map(|established| Opened {
            deflate: established.deflate,
            subprotocol: established.subprotocol.map(str::to_owned),
        })
    });
    match verified {
        Ok(opened) => Ok((opened, early)),
        Err(ResponseError::Status(status)) => Err(refusal(status, &answer, &mut early, wire)),
        Err(error) => Err(Failure::lasting(error.to_string())),
    }
}

/// A status in words, with what the server says to it.
fn refusal(status: u16, head: &[u8], body: &mut Vec<u8>, wire: &mut Wire<Patient>) -> Failure {
    let mut room = HeadRoom::new();
    let head = ResponseHead::parse(head, &mut room).ok();
    let field = |name: &str| {
        let value = head.as_ref()?.header(name)?;
        std::str::from_utf8(value).ok().map(str::to_owned)
    };
    let length = field("content-length").and_then(|length| length.parse().ok());
    read_body(body, length.unwrap_or(0), wire);
    let mut sentence = ResponseError::Status(status).to_string();
    if let Some(reason) = reason(body) {
        sentence += &format!(": {reason}");
    }
    if let (300..=399, Some(location)) = (status, field("location")) {
        sentence += &format!(" (it is at {location} now)");
    } else if let Some(hint) = hint(status) {
        sentence += &format!(" ({hint})");
    }
    Failure {
        sentence,
        is_transient: matches!(status, 408 | 429 | 500 | 502..=504),
        retry_after: field("retry-after").and_then(|text| retry_after(&text, SystemTime::now())),
    }
}

/// As much of the body as comes soon; it is only to be shown.
fn read_body(body: &mut Vec<u8>, length: usize, wire: &mut Wire<Patient>) {
    let wanted = length.min(BODY_BYTES_MAX);
    wire.socket.hurry(Instant::now() + BODY_TIME_MAX);
    let mut buffer = [0; 1024];
    while body.len() < wanted {
        match wire.read_some(&mut buffer) {
            Ok(read @ 1..) => body.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    body.truncate(wanted);
}

/// The sentence of a problem (RFC 9457), or the first line of a text; nothing of a page.
fn reason(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let problem: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let said = |name: &str| Some(problem.as_ref()?.get(name)?.as_str()?.to_owned());
    let line = said("detail")
        .or_else(|| said("title"))
        .or_else(|| text.lines().next().map(str::to_owned))?;
    let is_words = !line.starts_with(['<', '{', '[']) && !line.is_empty();
    is_words.then(|| line.chars().take(REASON_CHARACTERS_MAX).collect())
}

fn hint(status: u16) -> Option<&'static str> {
    Some(match status {
        200..=299 => "no WebSocket is at this path",
        401 => "it wants to know who is there: --token or --auth",
        403 => "it lets this origin, address or user not in",
        404 => "nothing is at this path",
        407 => "a proxy on the way wants a password",
        426 => "it does not speak this version of WebSocket",
        429 => "too many connections or requests come from here",
        502 | 504 => "the proxy does not reach the server behind it",
        503 => "it is full, or about to end",
        _ => return None,
    })
}

/// Seconds, or a date (RFC 9110 section 10.2.3).
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    match text.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let date = httpdate::parse_http_date(text.trim()).ok()?;
            Some(date.duration_since(now).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn the_server_says_when_to_come_back() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_770);
        for (text, seconds) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
        ] {
            let told = retry_after(text, now);
            assert_eq!(told, seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn reasons_are_words() {
        for (body, said) in [
            (&b"No.\nNever."[..], Some("No.")),
            (br#"{"title":"t","detail":"Not you."}"#, Some("Not you.")),
            (br#"{"title":"t"}"#, Some("t")),
            (br#"{"x":1}"#, None),
            (b"<html>", None),
            (b"", None),
            (b"\xff", None),
        ] {
            assert_eq!(reason(body).as_deref(), said, "{body:?}");
        }
    }
}
