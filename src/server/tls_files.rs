//! Certificate and key files to what rustls serves with. No socket, no session lives here.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::logging::escape::Escaped;
use super::settings::TlsFiles;

/// Why the files cannot serve.
#[derive(Debug)]
pub enum TlsFilesError {
    /// A file that cannot be read.
    Read(PathBuf, io::Error),
    /// A file that is no PEM.
    Pem(PathBuf),
    /// No certificate in the file.
    NoCertificate(PathBuf),
    /// No private key in the file.
    NoKey(PathBuf),
    /// The two do not fit, or rustls cannot use them.
    Unusable(PathBuf, rustls::Error),
}

impl std::error::Error for TlsFilesError {}

impl fmt::Display for TlsFilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, path, problem) = match self {
            Self::Read(path, error) => ("", path, format!("cannot be read: {error}")),
            Self::Pem(path) => ("", path, "is no valid PEM file".to_owned()),
            Self::NoCertificate(path) => ("TLS_CERT: ", path, "holds no certificate".to_owned()),
            Self::NoKey(path) => ("TLS_KEY: ", path, "holds no private key".to_owned()),
            Self::Unusable(path, error) => (
                "TLS_KEY: ",
                path,
                format!("does not serve with the certificate: {error}"),
            ),
        };
        write!(
            f,
            "{name}{} {}",
            Escaped(&path.to_string_lossy()),
            Escaped(&problem)
        )
    }
}

/// Reads both files and makes the configuration of a TLS listener: TLS 1.2 and 1.3, HTTP/1.1 by ALPN, no client
/// certificates.
///
/// # Errors
/// The file that cannot serve, and why.
pub fn load(files: &TlsFiles) -> Result<Arc<rustls::ServerConfig>, TlsFilesError> {
    let chain = read_chain(&files.certificate)?;
    let key = read_key(&files.key)?;
    let unusable = |error| TlsFilesError::Unusable(files.key.clone(), error);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFilesError> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem_error(path, error))?;
    if chain.is_empty() {
        return Err(TlsFilesError::NoCertificate(path.to_owned()));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsFilesError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsFilesError::NoKey(path.to_owned()),
        other => pem_error(path, other),
    })
}

fn pem_error(path: &Path, error: pem::Error) -> TlsFilesError {
    match error {
        pem::Error::Io(error) => TlsFilesError::Read(path.to_owned(), error),
        _ => TlsFilesError::Pem(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::TempDir;

    fn files(certificate: &str, key: &str) -> TlsFiles {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
        TlsFiles {
            certificate: data.join(certificate),
            key: data.join(key),
        }
    }

    /// The line of the refusal, without the directory.
    fn refusal(files: &TlsFiles) -> String {
        let line = load(files).expect_err("not usable").to_string();
        let directory = files
            .certificate
            .parent()
            .expect("a directory")
            .display()
            .to_string();
        line.replace(&format!("{directory}/"), "")
    }

    #[test]
    fn a_pair_that_fits_serves_http_1_1() {
        let config = load(&files("certificate.pem", "key.pem")).expect("usable");
        assert_eq!(config.alpn_protocols, [b"http/1.1"]);
    }

    #[test]
    fn refusals_name_the_file() {
        assert_eq!(
            refusal(&files("gone.pem", "key.pem")),
            "gone.pem cannot be read: No such file or directory (os error 2)"
        );
        assert_eq!(
            refusal(&files("certificate.pem", "gone.pem")),
            "gone.pem cannot be read: No such file or directory (os error 2)"
        );
        assert_eq!(
            refusal(&files("key.pem", "key.pem")),
            "TLS_CERT: key.pem holds no certificate"
        );
        assert_eq!(
            refusal(&files("certificate.pem", "certificate.pem")),
            "TLS_KEY: certificate.pem holds no private key"
        );
        let line = refusal(&files("certificate.pem", "other-key.pem"));
        assert!(
            line.starts_with("TLS_KEY: other-key.pem does not serve with the certificate: "),
            "{line}"
        );
    }

    #[test]
    fn broken_files_are_refused() {
        let directory = TempDir::new();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("write");
            path
        };
        let good = files("certificate.pem", "key.pem");
        let cut = write("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
        let line = refusal(&TlsFiles {
            certificate: cut,
            key: good.key.clone(),
        });
        assert_eq!(line, "cut.pem is no valid PEM file");
        // A PEM file whose certificate is none.
        let certificate = write(
            "odd.pem",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        );
        assert!(
            load(&TlsFiles {
                certificate,
                key: good.key
            })
            .is_err()
        );
    }
}
