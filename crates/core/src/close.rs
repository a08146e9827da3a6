//! Close codes and reasons of long-lived connections: what the other side is told, and whether it should come back.

/// Why a connection is ended: a WebSocket close code (RFC 6455 §7.4) and a short reason that clients key on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Close {
    /// 1000–1014 from the standard, 4000–4999 a door's own.
    pub code: u16,
    /// At most 123 bytes, one word with underscores.
    pub reason: &'static str,
}

impl Close {
    /// A close with a code and a reason.
    pub const fn new(code: u16, reason: &'static str) -> Self {
        assert!(reason.len() <= 123, "a close frame holds 125 bytes, two of them the code");
        Close { code, reason }
    }

    /// The other side closed, or there is nothing more to say.
    pub const NORMAL: Close = Close::new(1000, "");
    /// The frames break the WebSocket protocol.
    pub const PROTOCOL_ERROR: Close = Close::new(1002, "protocol_error");
    /// A text message is not UTF-8.
    pub const INVALID_UTF8: Close = Close::new(1007, "invalid_utf8");
    /// A message is larger than the server takes.
    pub const MESSAGE_TOO_BIG: Close = Close::new(1009, "message_too_big");
    /// The server restarts; the same address will answer again.
    pub const RESTART: Close = Close::new(1012, "service_restart");
}
