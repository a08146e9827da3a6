//! What the token-streams door may be told; the door itself says what each bound does.

use std::time::Duration;

use ams_core::limits::Rate;

use super::{ConfigError, values};

/// Bounds and waits of token streams.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Token streams")]
pub struct Streams {
    /// Bytes of text in one token
    #[arg(long, env = "AMS_STREAMS_TOKEN_BYTES_MAX", value_name = "BYTES", default_value = "64KiB", value_parser = values::bytes)]
    pub streams_token_bytes_max: usize,
    /// Bytes in one WebSocket message
    #[arg(long, env = "AMS_STREAMS_MESSAGE_BYTES_MAX", value_name = "BYTES", default_value = "1MiB", value_parser = values::bytes)]
    pub streams_message_bytes_max: usize,
    /// Bytes in the body of one request
    #[arg(long, env = "AMS_STREAMS_BODY_BYTES_MAX", value_name = "BYTES", default_value = "1MiB", value_parser = values::bytes)]
    pub streams_body_bytes_max: usize,
    /// How often a connection that says nothing is pinged
    #[arg(long, env = "AMS_STREAMS_PING_INTERVAL", value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub streams_ping_interval: Duration,
    /// How long a connection may be silent, answers to pings included, before it counts as dead
    #[arg(long, env = "AMS_STREAMS_SILENCE_MAX", value_name = "TIME", default_value = "90s", value_parser = humantime::parse_duration)]
    pub streams_silence_max: Duration,
    /// How long a connection without Authorization may wait with its first frame
    #[arg(long, env = "AMS_STREAMS_ATTACH_WAIT", value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration)]
    pub streams_attach_wait: Duration,
    /// Streams of one account at once
    #[arg(long, env = "AMS_STREAMS_ACCOUNT_MAX", value_name = "COUNT", default_value = "10000")]
    pub streams_account_max: usize,
    /// Connections of one conversation at once
    #[arg(long, env = "AMS_STREAMS_CONVERSATION_MAX", value_name = "COUNT", default_value = "10000")]
    pub streams_conversation_max: usize,
    /// Connections of one conversation at once that came by the link alone
    #[arg(long, env = "AMS_STREAMS_ANONYMOUS_MAX", value_name = "COUNT", default_value = "10000")]
    pub streams_anonymous_max: usize,
    /// Accounts that one client address may create in an hour; 0 sets no bound, and loopback has none
    #[arg(long, env = "AMS_STREAMS_ACCOUNTS_PER_HOUR", value_name = "COUNT", default_value = "60")]
    pub streams_accounts_per_hour: u32,
}

impl Streams {
    /// The door's own configuration; what is not a setting keeps the door's default.
    pub fn door(&self) -> ams_door_streams::Config {
        let hour = Duration::from_secs(3600);
        let rate = (self.streams_accounts_per_hour != 0).then(|| Rate::per(self.streams_accounts_per_hour, hour));
        ams_door_streams::Config {
            token_bytes_max: self.streams_token_bytes_max,
            message_bytes_max: self.streams_message_bytes_max,
            body_bytes_max: self.streams_body_bytes_max,
            ping_interval: self.streams_ping_interval,
            silence_max: self.streams_silence_max,
            attach_wait: self.streams_attach_wait,
            account_streams_max: self.streams_account_max,
            conversation_streams_max: self.streams_conversation_max,
            anonymous_streams_max: self.streams_anonymous_max,
            account_creation: rate,
            ..ams_door_streams::Config::default()
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.streams_message_bytes_max <= self.streams_token_bytes_max {
            let text =
                "streams-message-bytes-max must be larger than streams-token-bytes-max: a token travels in a message";
            return Err(ConfigError::Conflict(text.into()));
        }
        if self.streams_silence_max <= self.streams_ping_interval {
            let text =
                "streams-silence-max must be longer than streams-ping-interval: else every idle connection is dead";
            return Err(ConfigError::Conflict(text.into()));
        }
        Ok(())
    }
}
