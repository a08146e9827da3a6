//! The server's own certificate; otherwise TLS is the proxy's.

use std::path::{Path, PathBuf};

use super::ConfigError;

/// Files of the certificate. Both are read again on SIGHUP.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "TLS")]
pub struct Tls {
    /// PEM file with the certificate and its chain; turns TLS on
    #[arg(long, env = "AMS_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the certificate's private key
    #[arg(long, env = "AMS_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
}

impl Tls {
    /// Whether the listener speaks TLS.
    pub fn is_on(&self) -> bool {
        self.files().is_some()
    }

    /// Certificate and key, if both are set.
    pub fn files(&self) -> Option<(&Path, &Path)> {
        Some((self.tls_cert.as_deref()?, self.tls_key.as_deref()?))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err(ConfigError::Conflict("tls-cert and tls-key belong together: set both or neither".into()));
        }
        Ok(())
    }
}
