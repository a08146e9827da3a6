//! The server's own secrets, and the published ones for development.

use std::net::SocketAddr;

use ams_core::secret::Secret;

use super::ConfigError;
use super::values::{self, switch};

/// The credential pepper of `--dev`.
pub const DEV_CREDENTIAL_PEPPER: &str = "ams-development-credential-pepper";
/// The link pepper of `--dev`.
pub const DEV_LINK_PEPPER: &str = "ams-development-link-pepper";
/// Bytes that a pepper has at least; shorter ones can be guessed from a stolen table.
const PEPPER_BYTES_MIN: usize = 16;

/// Peppers and tokens. They are taken from the environment or the file, never from the command line, where every
/// process of the machine could read them.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Secrets")]
pub struct Secrets {
    /// Use the published development peppers; refuses to listen beyond loopback
    #[arg(long, env = "AMS_DEV", value_name = "YES|NO", num_args = 0..=1, require_equals = true,
          default_value = "no", default_missing_value = "yes", value_parser = switch(), action = clap::ArgAction::Set)]
    pub dev: bool,
    /// Stands in front of every credential before it is hashed; without it the one in DATA/secrets.toml
    #[arg(long, env = "AMS_CREDENTIAL_PEPPER", value_name = "SECRET", hide = true, hide_env_values = true, value_parser = values::secret)]
    pub credential_pepper: Option<Secret>,
    /// Stands in front of every link's token before it is hashed; without it the one in DATA/secrets.toml
    #[arg(long, env = "AMS_LINK_PEPPER", value_name = "SECRET", hide = true, hide_env_values = true, value_parser = values::secret)]
    pub link_pepper: Option<Secret>,
    /// Bearer that /metrics asks for; without it /metrics is open
    #[arg(long, env = "AMS_METRICS_TOKEN", value_name = "SECRET", hide = true, hide_env_values = true, value_parser = values::secret)]
    pub metrics_token: Option<Secret>,
}

/// Names that a spec fixes, beside the `AMS_…` one.
pub(super) const ENVIRONMENT_ALIASES: &[(&str, &str)] = &[
    ("credential_pepper", "TOKEN_PEPPER"),
    ("metrics_token", "METRICS_TOKEN"),
    ("data", "AMS_DATA_DIR"),
    ("trusted_proxy", "AMS_TRUSTED_PROXIES"),
];

impl Secrets {
    pub(super) fn check(&self, listen: SocketAddr) -> Result<(), ConfigError> {
        let conflict = |text: &str| Err(ConfigError::Conflict(text.to_owned()));
        let peppers = [&self.credential_pepper, &self.link_pepper];
        let published = |secret: &Secret| [DEV_CREDENTIAL_PEPPER, DEV_LINK_PEPPER].contains(&secret.expose());
        let development = self.dev || peppers.into_iter().flatten().any(published);
        if development && !listen.ip().is_loopback() {
            return conflict("the development peppers are published: listen on loopback only, or leave out --dev");
        }
        if self.dev && peppers.into_iter().any(Option::is_some) {
            return conflict("--dev brings its own peppers: leave out --dev or the configured peppers");
        }
        if peppers.into_iter().flatten().any(|pepper| pepper.expose().len() < PEPPER_BYTES_MIN) {
            return conflict("a pepper has at least 16 bytes; leave it out and the server makes one");
        }
        if self.metrics_token.as_ref().is_some_and(|token| token.expose().is_empty()) {
            return conflict("metrics-token is empty: leave it out to keep /metrics open, or set a real one");
        }
        Ok(())
    }
}
