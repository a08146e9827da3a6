//! The one listener, and how it ends.

use std::net::SocketAddr;
use std::time::Duration;

/// Where the server listens and how it stops.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Listener")]
pub struct Listen {
    /// Address to listen on; port 0 takes a free port and prints it
    #[arg(long, env = "AMS_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8787")]
    pub listen: SocketAddr,
    /// How long requests in flight may finish after the first SIGTERM or SIGINT; a second one exits at once
    #[arg(long, env = "AMS_DRAIN_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub drain_timeout: Duration,
}
