//! `tidegate health`: asks a server whether it is well, for containers and supervisors that have nothing else to ask with.
//! The doctor asks the same way.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use socket2::{Domain, SockAddr, Socket, Type};

use super::{STATUS_FAILED, STATUS_WRONG_SETTINGS, fail};
use crate::server::open_files::raise_open_file_limit;
use crate::server::settings::{Arguments, ListenAddress, Settings};

/// Time in which a server has to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of an answer of this server.
const ANSWER_BYTES_MAX: usize = 1_024;
/// Header fields of one.
const HEADERS_MAX: usize = 16;

#[derive(Debug, Args)]
#[command(
    after_help = "The exit status is 0 where the server is well, 1 where it is not (it drains, it is full, nobody \
                  answers within two seconds), 2 where nobody can be asked."
)]
pub(super) struct HealthCommand {
    /// http://HOST:PORT or unix:/path; without it, where the settings have a server of this place listen
    #[arg(value_name = "URL", value_parser = Place::parse)]
    place: Option<Place>,
    /// Take any answer for a good one: a server that refuses, because it is full, is alive
    #[arg(long)]
    alive: bool,
    #[command(flatten)]
    arguments: Arguments,
}

/// Where a server listens without TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// A name or an address, and a port.
    Tcp(String),
    Unix(PathBuf),
}

impl Place {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        let Some(rest) = text.strip_prefix("http://") else {
            return Err("it begins with http:// or unix:, as http://127.0.0.1:3000 does; behind TLS, have the server \
                        listen at a unix: path as well"
                .to_owned());
        };
        let place = rest.strip_suffix("/health").unwrap_or(rest);
        let place = place.strip_suffix('/').unwrap_or(place);
        match place.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(Self::Tcp(place.to_owned()))
            }
            _ => Err("a host, a port and nothing else are behind http://".to_owned()),
        }
    }

    /// The first place of the settings that does not speak TLS.
    fn of(settings: &Settings) -> Option<Self> {
        let is_encrypted = settings.tls.is_some();
        settings.listen.iter().find_map(|address| match address {
            ListenAddress::Unix(path) => Some(Self::Unix(path.clone())),
            ListenAddress::Tcp(_) if is_encrypted => None,
            ListenAddress::Tcp(address) => Some(Self::Tcp(reachable(*address).to_string())),
        })
    }

    fn ask(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Unix(path) => ask_unix(path),
            Self::Tcp(place) => {
                let mut last = io::Error::from(io::ErrorKind::NotFound);
                for address in place.to_socket_addrs()? {
                    match ask(address) {
                        Ok(answer) => return Ok(answer),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(place) => write!(f, "http://{place}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

pub(super) fn run(command: &HealthCommand) -> ExitCode {
    let place = match &command.place {
        Some(place) => place.clone(),
        None => match of_settings(&command.arguments) {
            Ok(place) => place,
            Err(error) => return fail(STATUS_WRONG_SETTINGS, &error),
        },
    };
    match verdict(place.ask(), command.alive) {
        Ok(said) => {
            // A reader that went away does not make the server ill.
            let _ = writeln!(io::stdout(), "{place} is {said}");
            ExitCode::SUCCESS
        }
        Err(why) => fail(STATUS_FAILED, &format_args!("{place}: {why}")),
    }
}

fn of_settings(arguments: &Arguments) -> Result<Place, String> {
    // As serve does it, so that what is allowed is what serve allows.
    raise_open_file_limit();
    let loaded = Settings::load(arguments).map_err(|error| error.to_string())?;
    Place::of(&loaded.settings).ok_or_else(|| {
        "every listener of the settings speaks TLS: add a unix: path to HOST, which does not"
            .to_owned()
    })
}

/// What is to be said of a server that is well, or why it is not.
fn verdict(answer: io::Result<Vec<u8>>, is_alive_enough: bool) -> Result<&'static str, String> {
    let answer = match answer {
        Ok(answer) => answer,
        // Too many wait for a refusal: the connection was taken and dropped, by a process that runs.
        Err(error) if is_alive_enough && error.kind() == io::ErrorKind::ConnectionReset => {
            return Ok("alive");
        }
        Err(error) => return Err(reason(&error)),
    };
    if is_alive_enough {
        return Ok("alive");
    }
    match status(&answer) {
        Some(200) => Ok("well"),
        Some(status) => Err(format!("the answer is {status}")),
        None => Err("what answers is no HTTP server".to_owned()),
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("no answer within {} seconds", ANSWER_TIMEOUT.as_secs())
        }
        _ => error.to_string(),
    }
}

fn status(answer: &[u8]) -> Option<u16> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(answer).ok()?.is_complete().then_some(())?;
    response.code
}

/// What is answered to `/health` in time, up to as much as this server says; empty where the connection was taken and closed.
pub(super) fn ask(address: SocketAddr) -> io::Result<Vec<u8>> {
    let end = Instant::now() + ANSWER_TIMEOUT;
    let stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)?;
    exchange(&stream, end, |left| stream.set_read_timeout(Some(left)))
}

fn ask_unix(path: &Path) -> io::Result<Vec<u8>> {
    let end = Instant::now() + ANSWER_TIMEOUT;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Where nobody accepts any more, connecting waits as writing does.
    socket.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    socket.connect(&SockAddr::unix(path)?)?;
    let stream = UnixStream::from(socket);
    exchange(&stream, end, |left| stream.set_read_timeout(Some(left)))
}

fn exchange<S>(
    mut stream: S,
    end: Instant,
    wait: impl Fn(Duration) -> io::Result<()>,
) -> io::Result<Vec<u8>>
where
    S: Read + Write,
{
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut part = [0; ANSWER_BYTES_MAX];
    while answer.len() < ANSWER_BYTES_MAX {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        wait(left)?;
        match stream.read(&mut part)? {
            0 => break,
            bytes => answer.extend_from_slice(&part[..bytes]),
        }
    }
    Ok(answer)
}

/// An address to connect to, where `0.0.0.0` and `::` are every one of this machine.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        other => other.ip(),
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (text, shown) in [
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://localhost:80/health", "http://localhost:80"),
            ("http://[::1]:3000/", "http://[::1]:3000"),
            ("unix:/run/t.sock", "unix:/run/t.sock"),
        ] {
            let place = Place::parse(text).expect(text);
            assert_eq!(place.to_string(), shown);
        }
        for text in [
            "https://localhost:3000",
            "localhost:3000",
            "http://localhost",
            "http://localhost:http",
            "http://localhost:3000/other",
            "http://:3000",
            "unix:",
            "",
        ] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_answered_decides() {
        let told = |text: &str| Ok(text.as_bytes().to_vec());
        let reset = || Err(io::ErrorKind::ConnectionReset.into());
        let late = || Err(io::ErrorKind::WouldBlock.into());
        let full = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(verdict(told("HTTP/1.1 200 OK\r\n\r\n"), false), Ok("well"));
        for (answer, why) in [
            (told(full), "the answer is 503"),
            (told(""), "what answers is no HTTP server"),
            (
                told("HTTP/1.1 200 OK\r\nConte"),
                "what answers is no HTTP server",
            ),
            (told("+PONG\r\n"), "what answers is no HTTP server"),
            (reset(), "connection reset"),
            (late(), "no answer within 2 seconds"),
        ] {
            assert_eq!(verdict(answer, false), Err(why.to_owned()));
        }
        for answer in [told(full), told(""), reset()] {
            assert_eq!(verdict(answer, true), Ok("alive"));
        }
        assert!(verdict(late(), true).is_err());
        assert!(verdict(Err(io::ErrorKind::ConnectionRefused.into()), true).is_err());
    }
}
