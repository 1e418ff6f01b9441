//! `tidegate token`: mints a client token for trying things out.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Map, Value, json};

use super::{STATUS_FAILED, STATUS_WRONG_SETTINGS, fail};
use crate::server::settings::value::{Kind, Value as SettingValue};
use crate::server::settings::{Arguments, Secret, Settings};
use crate::timestamp;

#[derive(Debug, Args)]
#[command(
    after_help = "The token is signed with the secret of the settings (JWT_SECRET), which a server in the same place \
                  believes, or with a private key."
)]
pub(super) struct TokenCommand {
    /// Who its bearer is
    user: String,
    /// How long it is good for, such as 90s, 15m or 12h
    #[arg(long, default_value = "1h", value_parser = lifetime)]
    expires_in: u64,
    /// A room that may be joined, or the beginning of names with a * behind; may be given several times. Without it, any
    #[arg(long = "room", value_name = "ROOM")]
    rooms: Vec<String>,
    /// May not publish in rooms
    #[arg(long)]
    no_publish: bool,
    /// Whether it may send to everyone; without it the server's settings say
    #[arg(long)]
    broadcast: Option<bool>,
    /// Sign with this private key in PEM (PKCS #8: RSA, P-256 or Ed25519) instead of the secret
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn lifetime(text: &str) -> Result<u64, String> {
    let kind = Kind::Duration {
        least_ms: 1_000,
        most_ms: 10 * 365 * 86_400_000,
        zero_is_off: false,
    };
    match SettingValue::parse(&kind, text)? {
        SettingValue::Duration(time) => Ok(time.as_secs()),
        other => unreachable!("a time is a time: {other}"),
    }
}

pub(super) fn run(command: &TokenCommand) -> ExitCode {
    let (algorithm, key) = match key(command) {
        Ok(key) => key,
        Err(why) => return fail(STATUS_WRONG_SETTINGS, &why),
    };
    match encode(&Header::new(algorithm), &claims(command), &key) {
        Ok(token) => {
            // Where nobody reads it there is nobody to tell.
            let _ = writeln!(io::stdout(), "{token}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(STATUS_FAILED, &format_args!("no token: {error}")),
    }
}

fn claims(command: &TokenCommand) -> Map<String, Value> {
    let now = timestamp::since_1970().as_secs();
    let mut claims = Map::new();
    claims.insert("sub".into(), json!(command.user));
    claims.insert("iat".into(), json!(now));
    claims.insert("exp".into(), json!(now + command.expires_in));
    if !command.rooms.is_empty() {
        claims.insert("rooms".into(), json!(command.rooms));
    }
    if command.no_publish {
        claims.insert("publish".into(), json!(false));
    }
    if let Some(broadcast) = command.broadcast {
        claims.insert("broadcast".into(), json!(broadcast));
    }
    claims
}

fn key(command: &TokenCommand) -> Result<(Algorithm, EncodingKey), String> {
    if let Some(file) = &command.private_key {
        return private_key(file);
    }
    let arguments = Arguments {
        config: command.config.clone(),
        ..Arguments::default()
    };
    let loaded = Settings::load(&arguments).map_err(|error| error.to_string())?;
    let tokens = &loaded.settings.tokens;
    let Some(Secret(secret)) = &tokens.secret else {
        return Err("JWT_SECRET is not set, and no --private-key is given".to_owned());
    };
    let algorithm = match tokens.secret_algorithm() {
        "HS384" => Algorithm::HS384,
        "HS512" => Algorithm::HS512,
        _ => Algorithm::HS256,
    };
    Ok((algorithm, EncodingKey::from_secret(secret.as_bytes())))
}

fn private_key(file: &Path) -> Result<(Algorithm, EncodingKey), String> {
    let pem = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let read = [
        (Algorithm::RS256, EncodingKey::from_rsa_pem(&pem)),
        (Algorithm::ES256, EncodingKey::from_ec_pem(&pem)),
        (Algorithm::EdDSA, EncodingKey::from_ed_pem(&pem)),
    ];
    read.into_iter()
        .find_map(|(algorithm, key)| Some((algorithm, key.ok()?)))
        .ok_or_else(|| {
            format!(
                "{}: no private key in PEM of RSA, P-256 or Ed25519",
                file.display()
            )
        })
}
