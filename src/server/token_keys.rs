//! The keys of client tokens, read from the settings and the file that they name.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::logging::escape::Escaped;
use super::settings::TokenSettings;
use crate::auth::token::TokenPolicy;
use crate::limits::CONFIG_FILE_BYTES_MAX;

/// Why the keys cannot be used. `Display` gives one line that names the setting.
#[derive(Debug)]
pub enum TokenKeysError {
    /// The key file cannot be read.
    File(PathBuf, io::Error),
    /// The key file holds no key.
    NoKey(PathBuf),
    /// `JWT_ALGORITHMS` does not fit the keys.
    Algorithms(String, String),
}

impl std::error::Error for TokenKeysError {}

impl fmt::Display for TokenKeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |path: &Path| Escaped(&path.to_string_lossy()).to_string();
        match self {
            Self::File(file, error) => write!(
                f,
                "JWT_PUBLIC_KEY_FILE = \"{}\": cannot be read: {error}",
                path(file)
            ),
            Self::NoKey(file) => write!(
                f,
                "JWT_PUBLIC_KEY_FILE = \"{}\": must be a public key in PEM of RSA, P-256 or Ed25519",
                path(file)
            ),
            Self::Algorithms(named, problem) => {
                write!(f, "JWT_ALGORITHMS = \"{}\": {problem}", Escaped(named))
            }
        }
    }
}

/// Reads the keys; `None` where the settings name none.
///
/// # Errors
/// A key file that cannot be read or holds no key, or algorithms that do not fit the keys.
pub fn load(settings: &TokenSettings) -> Result<Option<TokenPolicy>, TokenKeysError> {
    if settings.secret.is_none() && settings.public_key_file.is_none() {
        return Ok(None);
    }
    let named = &settings.algorithms;
    let wrong = |problem| TokenKeysError::Algorithms(named.join(","), problem);
    let mut policy = TokenPolicy::new(settings.leeway);
    let mut used = Vec::new();
    if let Some(secret) = &settings.secret {
        let algorithm = settings.secret_algorithm();
        policy
            .add_secret(secret.0.as_bytes(), algorithm)
            .map_err(|problem| wrong(problem.0))?;
        used.push(algorithm);
    }
    if let Some(file) = &settings.public_key_file {
        let pem = read(file).map_err(|error| TokenKeysError::File(file.clone(), error))?;
        let algorithm = policy
            .add_public_key(&pem)
            .map_err(|_| TokenKeysError::NoKey(file.clone()))?;
        used.push(algorithm);
    }
    let all_named = named.is_empty()
        || used
            .iter()
            .all(|used| named.iter().any(|name| name == used));
    let all_used = named.iter().all(|name| used.contains(&name.as_str()));
    if !all_named || !all_used {
        let problem = format!(
            "must name the algorithm of each key, and no other: {}",
            used.join(",")
        );
        return Err(wrong(problem));
    }
    Ok(Some(policy))
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(file)?.len() > CONFIG_FILE_BYTES_MAX {
        return Err(io::Error::other("the file is too large"));
    }
    fs::read(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::settings::Secret;
    use crate::server::testing::TempDir;
    use std::time::Duration;

    fn settings(file: Option<PathBuf>, algorithms: &[&str]) -> TokenSettings {
        TokenSettings {
            secret: Some(Secret("a secret of the tests".to_owned())),
            public_key_file: file,
            algorithms: algorithms.iter().map(ToString::to_string).collect(),
            leeway: Duration::ZERO,
            is_required: true,
        }
    }

    fn refused(settings: &TokenSettings) -> String {
        load(settings).expect_err("refused").to_string()
    }

    #[test]
    fn algorithms_fit_the_keys() {
        let directory = TempDir::new();
        let file = directory.path().join("public.pem");
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        fs::write(&file, pair.public_key_pem()).expect("write");
        for algorithms in [&[][..], &["HS256", "EdDSA"], &["EdDSA", "HS512"]] {
            let loaded = load(&settings(Some(file.clone()), algorithms)).expect("keys");
            assert!(loaded.is_some(), "{algorithms:?}");
        }
        for algorithms in [&["HS256"][..], &["EdDSA", "ES256", "HS256"], &["none"]] {
            let why = refused(&settings(Some(file.clone()), algorithms));
            assert!(why.starts_with("JWT_ALGORITHMS = "), "{why}");
        }
        let mut nothing = settings(None, &[]);
        nothing.secret = None;
        assert!(load(&nothing).expect("no keys").is_none());
    }

    #[test]
    fn a_file_that_is_no_key_is_told_in_one_line() {
        let directory = TempDir::new();
        let file = directory.path().join("public.pem");
        let why = refused(&settings(Some(file.clone()), &[]));
        assert!(
            why.contains("cannot be read") && !why.contains('\n'),
            "{why}"
        );
        fs::write(&file, "no key").expect("write");
        let why = refused(&settings(Some(file), &[]));
        assert!(why.contains("must be a public key"), "{why}");
    }
}
