//! Listening sockets: bound, with the options that every accepted socket inherits.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mio::net::{TcpListener, UnixListener};
use socket2::{Domain, Protocol, Socket, Type};

use super::settings::ListenAddress;

/// Connections that the kernel holds until they are accepted; `net.core.somaxconn` may allow fewer.
pub(super) const BACKLOG: i32 = 4096;
/// Unsent bytes that the kernel takes ahead of the wire: a stalled reader parks the rest where it is counted.
const NOTSENT_LOWAT_BYTES: u32 = 16 * 1024;
/// Time that sent bytes may stay unacknowledged before TCP gives the peer up.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(60);

/// A listening socket.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Binds and listens.
    pub(super) fn bind(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => Ok(Self::Tcp(bind_tcp(*address)?)),
            ListenAddress::Unix(path) => Ok(Self::Unix(bind_unix(path)?, path.clone())),
        }
    }

    /// Where it listens, for people: a URL, or `unix:/path`.
    pub(super) fn name(&self, is_tls: bool) -> String {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => format!("http{}://{address}", if is_tls { "s" } else { "" }),
                Err(error) => format!("an address that cannot be told: {error}"),
            },
            Self::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // Somebody may have removed it before; there is nobody to tell.
            let _ = fs::remove_file(path);
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    // A restart must not wait for connections of the last run that are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit these on Linux: no call for each connection.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))?;
    socket.set_tcp_notsent_lowat(NOTSENT_LOWAT_BYTES)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left_over(path) => {
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        result => result,
    }
}

/// Whether `path` is a socket that nobody listens on: a server that was killed leaves one.
fn is_left_over(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket());
    is_socket
        && StdUnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn accepted_sockets_inherit_the_options() {
        let address = ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = Listener::bind(&address).expect("bound");
        let Listener::Tcp(listener) = &listener else {
            panic!("not TCP")
        };
        let client = TcpStream::connect(listener.local_addr().expect("address")).expect("client");
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        let accepted = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    assert!(std::time::Instant::now() < deadline, "not accepted in time");
                    std::thread::yield_now();
                }
                Err(error) => panic!("{error}"),
            }
        };
        let accepted = socket2::SockRef::from(&accepted);
        assert!(accepted.tcp_nodelay().expect("option"));
        assert_eq!(
            accepted.tcp_notsent_lowat().expect("option"),
            NOTSENT_LOWAT_BYTES
        );
        assert_eq!(
            accepted.tcp_user_timeout().expect("option"),
            Some(TCP_USER_TIMEOUT)
        );
        drop(client);
    }

    #[test]
    fn a_socket_file_that_was_left_over_is_taken_and_one_in_use_is_not() {
        let path = std::env::temp_dir().join(format!("tidegate-listener-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        drop(std::os::unix::net::UnixListener::bind(&path).expect("the one before"));
        let listener = Listener::bind(&ListenAddress::Unix(path.clone())).expect("taken over");
        let second = Listener::bind(&ListenAddress::Unix(path.clone()));
        assert_eq!(second.expect_err("in use").kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(!path.exists(), "removed with the listener");
        fs::write(&path, "not a socket").expect("file");
        assert!(Listener::bind(&ListenAddress::Unix(path.clone())).is_err());
        assert!(path.exists(), "a file that is no socket is left alone");
        fs::remove_file(&path).expect("clean");
    }
}
