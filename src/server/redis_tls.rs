//! The files with which `rediss://` is spoken.

use std::fs;
use std::path::Path;

use super::settings::{ClusterSettings, RedisTlsFiles};
use crate::broker::redis::{RedisServer, RedisTls};

/// The Redis of the settings, spoken to with their files.
///
/// # Errors
/// The file that cannot be used, and why.
pub fn server(settings: &ClusterSettings) -> Result<RedisServer, String> {
    let server = settings.server.clone();
    match &settings.tls {
        Some(files) => equip(server, files),
        None => Ok(server),
    }
}

fn equip(server: RedisServer, files: &RedisTlsFiles) -> Result<RedisServer, String> {
    let roots = files.roots.as_ref().map(|path| read("REDIS_TLS_CA", path));
    let client = files.client.as_ref().map(|(certificate, key)| {
        let certificate = read("REDIS_TLS_CERT", certificate)?;
        Ok::<_, String>((certificate, read("REDIS_TLS_KEY", key)?))
    });
    let tls = RedisTls {
        roots: roots.transpose()?.unwrap_or_default(),
        client: client.transpose()?,
    };
    let equipped = server.with_tls(tls);
    equipped.map_err(|problem| format!("the files for TLS with Redis: {problem}"))
}

/// A file of the settings.
pub(super) fn read(name: &str, path: &Path) -> Result<Vec<u8>, String> {
    let bytes = fs::read(path);
    bytes.map_err(|error| format!("{name}: {} cannot be read: {error}", path.display()))
}
