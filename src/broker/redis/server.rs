//! Where Redis is, and how a connection to it is made: to one server, or to the master that Sentinels tell of.

use std::fmt;

use redis::{
    Client, ClientTlsConfig, Connection, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisError, RedisResult,
    TlsCertificates, Value, cmd,
};

use crate::limits::BROKER_TIMEOUT;

const NO_MASTER: &str = "the master that a Sentinel names is none";

/// Whom to ask for the master, and what it is called.
#[derive(Clone)]
struct Sentinels {
    addresses: Vec<ConnectionInfo>,
    master: String,
}

/// Files for `rediss://`, as PEM.
#[derive(Clone, Default)]
pub struct RedisTls {
    /// Whom to believe who the server is; where empty, whom the system believes.
    pub roots: Vec<u8>,
    /// Certificate and key of this client, where the server wants them.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

/// A Redis: one server, a master with its Sentinels, or a Redis Cluster. Its secrets are never shown.
#[derive(Clone)]
pub struct RedisServer {
    /// The server; of a cluster or of Sentinels the user, the password, the database and whether TLS is spoken.
    info: ConnectionInfo,
    tls: Option<RedisTls>,
    sentinels: Option<Sentinels>,
    /// Some of the servers of a Redis Cluster.
    seeds: Vec<ConnectionAddr>,
}

impl RedisServer {
    /// The server at `redis://[user:password@]host[:port][/db]`, `rediss://` for TLS, or `unix:///path`.
    ///
    /// # Errors
    /// What is wrong with the URL, without its secrets.
    pub fn parse(url: &str) -> Result<Self, String> {
        let info = url
            .into_connection_info()
            .map_err(|error| format!("must be the URL of a Redis server: {}", told(&error)))?;
        if let ConnectionAddr::TcpTls { insecure: true, .. } = info.addr() {
            return Err("must not ask for TLS without a look at the certificate".to_owned());
        }
        Ok(Self::of(info))
    }

    /// The one at that host, a name or an address.
    pub fn at(host: &str, port: u16) -> Self {
        let address = ConnectionAddr::Tcp(host.to_owned(), port);
        let info = address.into_connection_info();
        Self::of(info.expect("a host and a port are all it takes"))
    }

    fn of(info: ConnectionInfo) -> Self {
        let settings = info.redis_settings().clone();
        Self {
            info: info.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP2)),
            tls: None,
            sentinels: None,
            seeds: Vec::new(),
        }
    }

    /// Of several servers the one that Sentinels call the master of that name; user, password and TLS are as they are here. The
    /// Sentinels have a password of their own.
    pub fn behind_sentinels(
        mut self,
        sentinels: &[(String, u16)],
        password: Option<&str>,
        master: &str,
    ) -> Self {
        let settings = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2);
        let settings = match password {
            Some(password) => settings.set_password(password),
            None => settings,
        };
        let sentinel = |(host, port): &(String, u16)| {
            let info = self.info.clone().set_addr(self.address(host, *port));
            info.set_redis_settings(settings.clone())
        };
        self.sentinels = Some(Sentinels {
            addresses: sentinels.iter().map(sentinel).collect(),
            master: master.to_owned(),
        });
        self
    }

    /// The Redis Cluster that has these servers, and others that they tell of; user, password and TLS are as they are here.
    pub fn in_cluster(mut self, seeds: &[(String, u16)]) -> Self {
        let seeds = seeds.iter().map(|(host, port)| self.address(host, *port));
        self.seeds = seeds.collect();
        self
    }

    /// With files for TLS.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn with_tls(mut self, tls: RedisTls) -> Result<Self, String> {
        self.tls = Some(tls);
        // Reads them once: a file that is no good is to stop the start, not to be tried again and again.
        match self.client(self.info.clone()) {
            Ok(_) => Ok(self),
            Err(error) => Err(told(&error)),
        }
    }

    /// The number of the database.
    pub fn database(&self) -> i64 {
        self.info.redis_settings().db()
    }

    /// Whether it is a Redis Cluster.
    pub(super) fn is_cluster(&self) -> bool {
        !self.seeds.is_empty()
    }

    /// The name or the address that it is reached at.
    pub(super) fn host(&self) -> String {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
            _ => String::new(),
        }
    }

    /// Where it is, for people: an address, or the name that Sentinels know it by.
    pub(super) fn address_shown(&self) -> String {
        match &self.sentinels {
            Some(sentinels) => format!("the master {}", sentinels.master),
            None => self.info.addr().to_string(),
        }
    }

    /// A text of a server's, which may repeat what it was told, without the passwords.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        let sentinels = self.sentinels.iter();
        let sentinels = sentinels.flat_map(|sentinels| &sentinels.addresses);
        let passwords = [&self.info].into_iter().chain(sentinels);
        let passwords = passwords.filter_map(|info| info.redis_settings().password());
        passwords
            .filter(|password| !password.is_empty())
            .fold(text.to_owned(), |text, password| {
                text.replace(password, "(hidden)")
            })
    }

    /// Whether TLS is spoken.
    pub fn is_encrypted(&self) -> bool {
        matches!(self.info.addr(), ConnectionAddr::TcpTls { .. })
    }

    /// The servers of a Redis Cluster that were named.
    pub(super) fn seeds(&self) -> impl Iterator<Item = Self> {
        self.seeds
            .iter()
            .map(|address| self.with_address(address.clone()))
    }

    /// A server of the same kind.
    pub(super) fn sibling(&self, host: &str, port: u16) -> Self {
        self.with_address(self.address(host, port))
    }

    fn with_address(&self, address: ConnectionAddr) -> Self {
        Self {
            info: self.info.clone().set_addr(address),
            tls: self.tls.clone(),
            sentinels: None,
            seeds: Vec::new(),
        }
    }

    fn address(&self, host: &str, port: u16) -> ConnectionAddr {
        let host = host.to_owned();
        if self.is_encrypted() {
            ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    }

    /// A connection on which nothing waits for longer than [`BROKER_TIMEOUT`].
    pub(super) fn connect(&self) -> RedisResult<Connection> {
        match &self.sentinels {
            None => self.connect_to(self.info.clone()),
            Some(sentinels) => self.connect_to_master(sentinels),
        }
    }

    fn connect_to(&self, info: ConnectionInfo) -> RedisResult<Connection> {
        let connection = self
            .client(info)?
            .get_connection_with_timeout(BROKER_TIMEOUT)?;
        connection.set_read_timeout(Some(BROKER_TIMEOUT))?;
        connection.set_write_timeout(Some(BROKER_TIMEOUT))?;
        Ok(connection)
    }

    fn client(&self, info: ConnectionInfo) -> RedisResult<Client> {
        let is_encrypted = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let Some(tls) = self.tls.as_ref().filter(|_| is_encrypted) else {
            return Client::open(info);
        };
        let client_tls = tls
            .client
            .clone()
            .map(|(client_cert, client_key)| ClientTlsConfig {
                client_cert,
                client_key,
            });
        let root_cert = Some(tls.roots.clone()).filter(|roots| !roots.is_empty());
        Client::build_with_tls(
            info,
            TlsCertificates {
                client_tls,
                root_cert,
            },
        )
    }

    /// As Redis' own guide for clients of Sentinel has it: the first Sentinel that answers names the master, and the master has to
    /// say itself that it is one.
    fn connect_to_master(&self, sentinels: &Sentinels) -> RedisResult<Connection> {
        let mut problem = None;
        for sentinel in &sentinels.addresses {
            let master = self
                .connect_to(sentinel.clone())
                .and_then(|mut sentinel| ask(&mut sentinel, &sentinels.master));
            let connection = master.and_then(|(host, port)| {
                let address = self.address(&host, port);
                let mut connection = self.connect_to(self.info.clone().set_addr(address))?;
                let role: Vec<Value> = cmd("ROLE").query(&mut connection)?;
                match role.first() {
                    Some(Value::BulkString(role)) if role == b"master" => Ok(connection),
                    _ => Err(RedisError::from((ErrorKind::Client, NO_MASTER))),
                }
            });
            match connection {
                Ok(connection) => return Ok(connection),
                Err(error) => problem = Some(error),
            }
        }
        Err(problem.expect("there are Sentinels"))
    }
}

/// Where the master is.
fn ask(sentinel: &mut Connection, master: &str) -> RedisResult<(String, u16)> {
    let address: Option<(String, u16)> = cmd("SENTINEL")
        .arg("get-master-addr-by-name")
        .arg(master)
        .query(sentinel)?;
    address.ok_or_else(|| {
        let what = "a Sentinel knows no master of this name";
        RedisError::from((ErrorKind::Client, what, master.to_owned()))
    })
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisServer({})", self.info.addr())
    }
}

/// What is wrong with a URL or with files, without any part of them.
fn told(error: &RedisError) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.category()),
        None => error.category().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_a_url_are_never_shown() {
        for scheme in ["redis", "rediss"] {
            let url = format!("{scheme}://ann:secret@127.0.0.1:6379/2");
            let server = RedisServer::parse(&url).expect("a URL");
            let shown = format!("{server:?}");
            assert!(
                shown.contains("6379") && !shown.contains("secret"),
                "{shown}"
            );
        }
        for url in [
            "http://:secret@127.0.0.1",
            "redis://:secret@127.0.0.1/x",
            "rediss://:secret@127.0.0.1#x",
            "rediss://:secret@127.0.0.1#insecure",
            "secret",
        ] {
            let problem = RedisServer::parse(url).expect_err(url);
            assert!(!problem.contains("secret"), "{problem}");
        }
    }

    #[test]
    fn siblings_speak_as_the_server_does() {
        let server = RedisServer::parse("rediss://ann:secret@a:1").expect("a URL");
        let sibling = server.sibling("b", 2);
        assert!(sibling.is_encrypted());
        assert_eq!(sibling.info.redis_settings().password(), Some("secret"));
        let plain = RedisServer::at("a", 1).in_cluster(&[("b".to_owned(), 2)]);
        let seeds: Vec<_> = plain.seeds().map(|seed| format!("{seed:?}")).collect();
        assert_eq!(seeds, ["RedisServer(b:2)"]);
    }

    #[test]
    fn files_that_are_no_certificates_are_refused() {
        let server = RedisServer::parse("rediss://a:1").expect("a URL");
        let tls = RedisTls {
            roots: b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n".to_vec(),
            client: None,
        };
        server.with_tls(tls).expect_err("no certificate");
    }
}
