//! Whom to trust: the machine's root certificates, and one more if wanted.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// TLS settings, shared by HTTP and WebSocket. The machine's certificates are read at the first `https` only.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    extra: Vec<CertificateDer<'static>>,
    config: OnceLock<Arc<ClientConfig>>,
}

/// Why there is nobody to trust.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file could not be read as PEM.
    #[error("{path} is not a PEM file with certificates: {problem}")]
    Unreadable {
        /// The file that was named.
        path: PathBuf,
        /// What the parser says.
        problem: String,
    },
    /// Neither the machine nor the caller has a certificate that could vouch for a server.
    #[error("this machine has no root certificates; name a file with the server's (--ca-cert)")]
    NoRoots,
    /// The TLS library refused its own settings.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

impl Tls {
    /// Also trusts the certificates of a PEM file: a private authority, or a server's own.
    ///
    /// # Errors
    /// The file cannot be read or has no certificate.
    pub fn trusting(path: &Path) -> Result<Self, TlsError> {
        let unreadable = |problem: String| TlsError::Unreadable { path: path.to_owned(), problem };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(format!("{error:?}")))?;
        let extra = certificates.collect::<Result<Vec<_>, _>>().map_err(|error| unreadable(format!("{error:?}")))?;
        if extra.is_empty() {
            return Err(unreadable("it holds none".to_owned()));
        }
        Ok(Tls { extra, config: OnceLock::new() })
    }

    /// The settings for one connection.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in &self.extra {
            roots.add(certificate.clone())?;
        }
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
        Ok(Arc::clone(self.config.get_or_init(|| config)))
    }

    /// An HTTP client with these settings.
    pub(crate) fn http(&self, secure: bool) -> Result<reqwest::ClientBuilder, TlsError> {
        let config = if secure {
            self.config()?.as_ref().clone()
        } else {
            // Never used, but the library wants some: an empty store spares reading the machine's certificates.
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
            builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        };
        Ok(reqwest::Client::builder().tls_backend_preconfigured(config))
    }
}
