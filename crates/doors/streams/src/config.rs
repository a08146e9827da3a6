//! What an operator may set of this door, with defaults that need nothing set.

use std::time::Duration;

use ams_core::limits::Rate;
use ams_core::secret::Pepper;

use crate::wire;

/// Bounds and times of the door. Every value is valid as it stands, except that a [`Rate`] cannot be of nothing.
#[derive(Debug, Clone)]
pub struct Config {
    /// Bytes of UTF-8 in one token's `data`; more closes with 4400 `token_too_large` (§3.7).
    pub token_bytes_max: usize,
    /// Bytes in one WebSocket message; more closes with 1009 (§3.7).
    pub message_bytes_max: usize,
    /// Bytes in one HTTP body; more is answered with `413 payload_too_large` (§2.1).
    pub body_bytes_max: usize,
    /// How often a connection that says nothing is pinged (§3.10).
    pub ping_interval: Duration,
    /// How long a connection may be silent, pongs included, before it is taken for dead (§3.10).
    pub silence_max: Duration,
    /// How long an upgrade without `Authorization` may wait with its first frame. Must stay well under 5 s, because
    /// clients in the field give up on 4002 by then (§3.3).
    pub attach_wait: Duration,
    /// Streams of one account at once, across conversations; one more closes with 4003 (§3.7).
    pub account_streams_max: usize,
    /// Connections of one conversation at once; one more closes with 4003 (§3.7).
    pub conversation_streams_max: usize,
    /// Connections of one conversation at once that came by the link alone; one more closes with 4003 (§3.7).
    pub anonymous_streams_max: usize,
    /// How often one client address may create an account; `None` = as often as it likes. Loopback is never limited.
    pub account_creation: Option<Rate>,
    /// Client addresses whose account creations are counted one by one; those beyond share one count.
    pub account_creation_addresses_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            token_bytes_max: wire::TOKEN_BYTES_MAX,
            message_bytes_max: wire::MESSAGE_BYTES_MAX,
            body_bytes_max: 1 << 20,
            ping_interval: Duration::from_secs(30),
            silence_max: Duration::from_secs(90),
            attach_wait: Duration::from_secs(2),
            // The published caps are 10 and 100; they were never enforced, and clients in the field exceed them.
            account_streams_max: 10_000,
            conversation_streams_max: 10_000,
            anonymous_streams_max: 10_000,
            // An office behind one address can still start together; a script cannot fill the disk overnight.
            account_creation: Some(Rate::per(60, Duration::from_secs(3_600))),
            // A bucket is about 50 bytes: a few megabytes at worst.
            account_creation_addresses_max: 65_536,
        }
    }
}

/// What stands in front of the two kinds of secrets before they are hashed (§2.2). Two, so that one can be replaced
/// without the other; changing either makes what it hashed unusable.
#[derive(Debug, Clone)]
pub struct Peppers {
    /// For account credentials.
    pub credentials: Pepper,
    /// For permissive tokens, and for the ids that are derived from them.
    pub links: Pepper,
}
