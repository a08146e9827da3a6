//! Every setting with its flag, environment variable, default and help in one place, one file per concern.
//!
//! Flag beats environment beats `ams.toml` beats default, and each value knows where it came from. What was given is
//! collected by [`Given`]; [`Given::load`] reads the file, makes types of it and checks what belongs together. Nothing
//! below reads the environment.

mod file;
mod given;
mod limits;
mod listen;
mod logging;
mod network;
mod secrets;
mod storage;
mod streams;
mod tls;
mod values;

use std::path::PathBuf;

pub use given::{Given, Loaded, Origin, Setting};
pub use limits::Limits;
pub use listen::Listen;
pub use logging::{LogFormat, Logging};
pub use network::Network;
pub use secrets::{DEV_CREDENTIAL_PEPPER, DEV_LINK_PEPPER, Secrets};
pub use storage::Storage;
pub use streams::Streams;
pub use tls::Tls;

use crate::tls::Certificate;

/// Everything a server can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// Where it listens.
    #[command(flatten)]
    pub listen: Listen,
    /// Where it keeps what it keeps.
    #[command(flatten)]
    pub storage: Storage,
    /// How it is reached from outside.
    #[command(flatten)]
    pub network: Network,
    /// Its certificate.
    #[command(flatten)]
    pub tls: Tls,
    /// Its bounds.
    #[command(flatten)]
    pub limits: Limits,
    /// Its own secrets.
    #[command(flatten)]
    pub secrets: Secrets,
    /// What it says about itself.
    #[command(flatten)]
    pub logging: Logging,
    /// The token-streams door.
    #[command(flatten)]
    pub streams: Streams,
}

/// Why the configuration cannot be used; the text names the place and the way out.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that `--config` names, or an `ams.toml` that is there, cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{}:{line}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// The file sets what does not exist.
    #[error("{}:{line}: there is no setting `{key}`{}", path.display(), nearest.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// As it stands in the file, tables joined by hyphens.
        key: String,
        /// The setting that looks most like it.
        nearest: Option<String>,
    },
    /// A value cannot be understood.
    #[error("{origin}: {name}: {reason}")]
    Value {
        /// Where it was set.
        origin: Origin,
        /// The setting.
        name: String,
        /// What is wanted instead.
        reason: String,
    },
    /// Values that do not go together.
    #[error("{0}")]
    Conflict(String),
}

impl Config {
    /// Checks what belongs together.
    ///
    /// # Errors
    /// [`ConfigError::Conflict`], with what to change.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.tls.check()?;
        self.secrets.check(self.listen.listen)?;
        self.streams.check()
    }

    /// Looks at what the configuration points to, without starting anything: for now, the certificate.
    ///
    /// # Errors
    /// [`ConfigError::Conflict`], with what is wrong.
    pub fn probe(&self) -> Result<(), ConfigError> {
        let read = self.tls.files().map(|(cert, key)| Certificate::read(cert, key)).transpose();
        read.map(drop).map_err(|error| ConfigError::Conflict(error.to_string()))
    }

    /// What works, but should be known.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.listen.listen.ip().is_loopback() && !self.tls.is_on() {
            let text = "listening beyond loopback without TLS: links and credentials cross the network in plain text; \
                        set --tls-cert and --tls-key, or keep the port behind a proxy that speaks TLS";
            warnings.push(text.to_owned());
        }
        if self.storage.ephemeral {
            warnings.push("running with --ephemeral: everything is forgotten when the server stops".to_owned());
        }
        if self.secrets.dev {
            warnings.push("running with --dev: the peppers are published, never use this for anything real".to_owned());
        }
        warnings
    }
}
