//! Tokens of clients (JWT, RFC 7519): which keys are believed, and what a token lets its bearer do.
//!
//! A key is good for one algorithm, which the settings name and a token cannot choose: `none` is nobody's, and a public key
//! verifies no HMAC.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

/// Bytes of a token at most.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Rooms, or patterns of rooms, that a token may name.
const PATTERNS_MAX: usize = 1_000;

/// A key, and the one algorithm that it verifies.
struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Whose tokens are believed.
pub struct TokenPolicy {
    keys: Vec<Key>,
    leeway: Duration,
}

impl fmt::Debug for TokenPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<_> = self.keys.iter().map(|key| key.algorithm).collect();
        f.debug_struct("TokenPolicy")
            .field("algorithms", &algorithms)
            .finish_non_exhaustive()
    }
}

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// It is no token, or claims what cannot be.
    Malformed,
    /// Its algorithm is nobody's here.
    Algorithm,
    /// The signature is not of a key that is believed.
    Signature,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYet,
    /// A claim that has to be there is not: `sub`, `exp`.
    MissingClaim,
    /// Its `sub` is no name that a user can have.
    Subject,
}

impl TokenError {
    /// A sentence for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Malformed => "The token cannot be read.",
            Self::Algorithm => "The token is signed by an algorithm that is not used here.",
            Self::Signature => "The token's signature is wrong.",
            Self::Expired => "The token has expired.",
            Self::NotYet => "The token is not valid yet.",
            Self::MissingClaim => "The token needs the claims `sub` and `exp`.",
            Self::Subject => "The token's `sub` cannot be the name of a user.",
        }
    }
}

/// The claims that are read; others are nobody's business here.
#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    /// Seconds since 1970; a fraction is allowed (RFC 7519 section 2), a string is not.
    exp: Option<f64>,
    nbf: Option<f64>,
    rooms: Option<Vec<String>>,
    publish: Option<bool>,
    broadcast: Option<bool>,
}

/// What a token lets its bearer do.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// Who the bearer is.
    pub user: Arc<str>,
    /// When that ends, since the beginning of 1970.
    pub expires_at: Duration,
    /// The rooms that may be joined, where that is limited: names, or beginnings of names with a `*` behind.
    rooms: Option<Vec<String>>,
    /// Whether it may publish in rooms.
    pub may_publish: bool,
    /// Whether it may send to everyone, where the token says so.
    pub may_broadcast: Option<bool>,
}

impl Grant {
    /// Whether a room may be joined.
    pub fn allows_room(&self, room: &str) -> bool {
        let Some(rooms) = &self.rooms else {
            return true;
        };
        rooms.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(beginning) => room.starts_with(beginning),
            None => room == allowed,
        })
    }
}

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProblem(pub String);

impl TokenPolicy {
    /// No keys yet; `leeway` is how far clocks may be apart.
    pub fn new(leeway: Duration) -> Self {
        Self {
            keys: Vec::new(),
            leeway,
        }
    }

    /// Believes tokens signed with a shared secret.
    ///
    /// # Errors
    /// An algorithm that is none of HMAC.
    pub fn add_secret(&mut self, secret: &[u8], algorithm: &str) -> Result<(), KeyProblem> {
        let algorithm = match algorithm {
            "HS256" => Algorithm::HS256,
            "HS384" => Algorithm::HS384,
            "HS512" => Algorithm::HS512,
            other => return Err(KeyProblem(format!("{other} is not for a secret"))),
        };
        let key = DecodingKey::from_secret(secret);
        self.keys.push(Key { algorithm, key });
        Ok(())
    }

    /// Believes tokens of the owner of a public key in PEM: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn add_public_key(&mut self, pem: &[u8]) -> Result<&'static str, KeyProblem> {
        let read = [
            (Algorithm::RS256, "RS256", DecodingKey::from_rsa_pem(pem)),
            (Algorithm::ES256, "ES256", DecodingKey::from_ec_pem(pem)),
            (Algorithm::EdDSA, "EdDSA", DecodingKey::from_ed_pem(pem)),
        ];
        for (algorithm, name, key) in read {
            if let Ok(key) = key {
                self.keys.push(Key { algorithm, key });
                return Ok(name);
            }
        }
        let problem = "must be a public key in PEM of RSA, P-256 or Ed25519";
        Err(KeyProblem(problem.to_owned()))
    }

    /// Reads a token at `now`, which is the time of the wall clock since the beginning of 1970.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify(&self, token: &str, now: Duration) -> Result<Grant, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let algorithm = decode_header(token)
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidAlgorithmName => TokenError::Algorithm,
                _ => TokenError::Malformed,
            })?
            .alg;
        let mut validation = Validation::new(algorithm);
        // Times are looked at below: the clock is not for here to read.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let mut refusal = TokenError::Algorithm;
        for key in self.keys.iter().filter(|key| key.algorithm == algorithm) {
            match decode::<Claims>(token, &key.key, &validation) {
                Ok(data) => return self.granted(data.claims, now),
                Err(error) => {
                    refusal = match error.kind() {
                        ErrorKind::InvalidSignature => TokenError::Signature,
                        _ => return Err(TokenError::Malformed),
                    }
                }
            }
        }
        Err(refusal)
    }

    fn granted(&self, claims: Claims, now: Duration) -> Result<Grant, TokenError> {
        let (Some(user), Some(exp)) = (claims.sub, claims.exp) else {
            return Err(TokenError::MissingClaim);
        };
        let expires_at = instant(exp)?;
        if expires_at + self.leeway <= now {
            return Err(TokenError::Expired);
        }
        if let Some(nbf) = claims.nbf
            && instant(nbf)? > now + self.leeway
        {
            return Err(TokenError::NotYet);
        }
        if claims
            .rooms
            .as_ref()
            .is_some_and(|rooms| rooms.len() > PATTERNS_MAX)
        {
            return Err(TokenError::Malformed);
        }
        Ok(Grant {
            user: user.into(),
            expires_at: expires_at + self.leeway,
            rooms: claims.rooms,
            may_publish: claims.publish.unwrap_or(true),
            may_broadcast: claims.broadcast,
        })
    }
}

/// A time of a claim.
fn instant(seconds: f64) -> Result<Duration, TokenError> {
    // What is beyond the year 9999 is nobody's date.
    if !(0.0..253_402_300_800.0).contains(&seconds) {
        return Err(TokenError::Malformed);
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests;
