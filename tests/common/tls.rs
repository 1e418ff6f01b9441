//! A certificate made for one test, and a client that trusts nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// A self-signed certificate for `localhost` and `127.0.0.1`, and where its files lie.
pub(crate) struct TestCertificate {
    /// PEM chain.
    pub(crate) chain: PathBuf,
    /// PEM key, PKCS#8.
    pub(crate) key: PathBuf,
    certificate: CertificateDer<'static>,
}

impl TestCertificate {
    /// Makes a fresh key and certificate and writes `cert.pem` and `key.pem` into `directory`, over older ones.
    pub(crate) fn write_to(directory: &Path) -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(names).expect("a certificate can be made");
        let (chain, key) = (directory.join("cert.pem"), directory.join("key.pem"));
        fs::write(&chain, cert.pem()).expect("the certificate can be written");
        fs::write(&key, signing_key.serialize_pem()).expect("the key can be written");
        Self {
            chain,
            key,
            certificate: cert.der().clone(),
        }
    }

    /// Client settings that trust this certificate and no other.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.certificate.clone())
            .expect("the certificate is well formed");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}
