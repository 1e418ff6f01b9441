//! What is said of Redis, to the server that it means.

use super::super::{ClusterSettings, RedisTlsFiles, SettingsError};
use super::{Entries, Key};
use crate::broker::redis::RedisServer;

/// Ports of Sentinels and of servers that name none.
const SENTINEL_PORT: u16 = 26_379;
const SERVER_PORT: u16 = 6_379;

impl Entries {
    /// What this node and others are connected by, where they are.
    pub(super) fn cluster(&self) -> Result<Option<ClusterSettings>, SettingsError> {
        let text = |key| self.text(key).unwrap_or_default();
        let server = match self.text(Key::RedisUrl) {
            Some(url) => self.or_wrong(Key::RedisUrl, RedisServer::parse(url))?,
            None => RedisServer::at(text(Key::RedisHost), self.number(Key::RedisPort) as u16),
        };
        let tls = self.redis_tls(&server)?;
        let sentinels = self.servers(Key::RedisSentinels, SENTINEL_PORT)?;
        let nodes = self.servers(Key::RedisClusterNodes, SERVER_PORT)?;
        let has_neighbours = self.switch(Key::SocketioRedisAdapter);
        if !self.switch(Key::RedisEnabled) {
            if has_neighbours {
                let problem = "must come with REDIS_ENABLED, which is off";
                return Err(self.wrong(Key::SocketioRedisAdapter, problem.to_owned()));
            }
            return Ok(None);
        }
        if !nodes.is_empty() && !self.duration(Key::SocketioRecovery).is_zero() {
            let problem =
                "must not come with REDIS_CLUSTER_NODES: nothing is kept in a Redis Cluster";
            return Err(self.wrong(Key::SocketioRecovery, problem.to_owned()));
        }
        let server = match (sentinels.is_empty(), nodes.is_empty()) {
            (true, true) => server,
            (false, true) => {
                let password = self.text(Key::RedisSentinelPassword);
                let master = text(Key::RedisSentinelMaster);
                server.behind_sentinels(&sentinels, password, master)
            }
            (true, false) if server.database() == 0 => server.in_cluster(&nodes),
            (true, false) => {
                let problem = "must name no database: a Redis Cluster has one";
                return Err(self.wrong(Key::RedisUrl, problem.to_owned()));
            }
            (false, false) => {
                let problem = "must not come with REDIS_SENTINELS: a Redis Cluster has none";
                return Err(self.wrong(Key::RedisClusterNodes, problem.to_owned()));
            }
        };
        Ok(Some(ClusterSettings {
            server,
            tls,
            prefix: text(Key::RedisPrefix).to_owned(),
            socketio_key: has_neighbours.then(|| text(Key::SocketioRedisKey).to_owned()),
        }))
    }

    fn redis_tls(&self, server: &RedisServer) -> Result<Option<RedisTlsFiles>, SettingsError> {
        let keys = [Key::RedisTlsCa, Key::RedisTlsCert, Key::RedisTlsKey];
        let Some(first) = keys.into_iter().find(|key| self.path(*key).is_some()) else {
            return Ok(None);
        };
        if !server.is_encrypted() {
            let problem = "must come with a REDIS_URL that begins with rediss://";
            return Err(self.wrong(first, problem.to_owned()));
        }
        Ok(Some(RedisTlsFiles {
            roots: self.path(Key::RedisTlsCa),
            client: self
                .path(Key::RedisTlsCert)
                .zip(self.path(Key::RedisTlsKey)),
        }))
    }

    fn servers(&self, key: Key, port: u16) -> Result<Vec<(String, u16)>, SettingsError> {
        let servers = self
            .list(key)
            .iter()
            .map(|entry| host_and_port(entry, port));
        self.or_wrong(key, servers.collect())
    }
}

/// `host`, `host:port`, `address`, `[address]:port`; names are resolved when they are needed, each time.
fn host_and_port(entry: &str, port: u16) -> Result<(String, u16), String> {
    let wrong = || format!("\"{entry}\" must be a host, with :port where it is not {port}");
    let (host, port) = match entry.rsplit_once(':') {
        // An IPv6 address by itself.
        Some((before, _)) if before.contains(':') && !before.ends_with(']') => (entry, port),
        Some((host, digits)) => (host, digits.parse().map_err(|_| wrong())?),
        None => (entry, port),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if bare.is_empty() || port == 0 || !bare.bytes().all(is_host) {
        return Err(wrong());
    }
    Ok((bare.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_and_without_a_port() {
        for (entry, host, port) in [
            ("redis-1.example", "redis-1.example", 6_379),
            ("redis:7000", "redis", 7_000),
            ("10.0.0.1:7000", "10.0.0.1", 7_000),
            ("::1", "::1", 6_379),
            ("[::1]", "::1", 6_379),
            ("[::1]:7000", "::1", 7_000),
        ] {
            let expected = Ok((host.to_owned(), port));
            assert_eq!(host_and_port(entry, SERVER_PORT), expected, "{entry}");
        }
        for entry in [
            "",
            ":1",
            "a:b",
            "a:0",
            "a:65536",
            "redis://a",
            "a b",
            "a@b",
            "a/0",
        ] {
            host_and_port(entry, SERVER_PORT).expect_err(entry);
        }
    }
}
