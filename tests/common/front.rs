//! The ways to a server: directly, over TLS, through nginx.

use super::client::Client;
use super::nginx::Nginx;
use super::server::{Server, ServerBuilder};

/// A server and what stands in front of it.
pub(crate) struct Front {
    /// The way, for the message of a failed test.
    pub(crate) name: &'static str,
    // Dropped before the server that it speaks to.
    nginx: Option<Nginx>,
    server: Server,
}

impl Front {
    /// Plain TCP.
    pub(crate) fn direct(builder: ServerBuilder) -> Self {
        Self {
            name: "direct",
            nginx: None,
            server: builder.start(),
        }
    }

    /// TLS at the server itself.
    pub(crate) fn tls(builder: ServerBuilder) -> Self {
        Self {
            name: "TLS",
            nginx: None,
            server: builder.tls().start(),
        }
    }

    /// Through nginx with the project's configuration.
    pub(crate) fn nginx(builder: ServerBuilder) -> Self {
        let server = builder.start();
        Self {
            name: "nginx",
            nginx: Some(Nginx::start(server.address())),
            server,
        }
    }

    /// Plain TCP, then TLS.
    pub(crate) fn own(builder: impl Fn() -> ServerBuilder) -> impl Iterator<Item = Self> {
        [Self::direct, Self::tls]
            .into_iter()
            .map(move |front| front(builder()))
    }

    /// Plain TCP, then TLS, then nginx.
    pub(crate) fn all(builder: impl Fn() -> ServerBuilder) -> impl Iterator<Item = Self> {
        [Self::direct, Self::tls, Self::nginx]
            .into_iter()
            .map(move |front| front(builder()))
    }

    /// The server behind it.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The server behind it, to wait for its end.
    pub(crate) fn server_mut(&mut self) -> &mut Server {
        &mut self.server
    }

    /// A fresh connection.
    pub(crate) fn connect(&self) -> Client {
        match &self.nginx {
            Some(nginx) => nginx.connect(),
            None => self.server.connect(),
        }
    }

    /// A fresh WebSocket on `path`.
    pub(crate) fn websocket(&self, path: &str) -> Client {
        let mut client = self.connect();
        client.upgrade(path);
        client
    }
}
