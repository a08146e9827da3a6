//! Bounds of connections, whatever they speak.

use std::time::Duration;

/// How many connections, and how patient.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Connections open at once, sockets included; one more is answered 503. Without it: what the limit of open files
    /// allows, less a reserve
    #[arg(long, env = "AMS_MAX_CONNECTIONS", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: Option<u32>,
    /// How long a new connection may take until its first request has arrived
    #[arg(long, env = "AMS_HEADER_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub header_timeout: Duration,
    /// How long a connection may stay open between requests
    #[arg(long, env = "AMS_IDLE_TIMEOUT", value_name = "TIME", default_value = "75s", value_parser = humantime::parse_duration)]
    pub idle_timeout: Duration,
    /// How long a TLS handshake may take
    #[arg(long, env = "AMS_TLS_HANDSHAKE_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub tls_handshake_timeout: Duration,
}
