//! The one table of error codes. Each door renders them in its own shape; a code, once given out, is never renamed.

/// What went wrong, in words that clients key on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The body is empty, not JSON, or not the JSON type that is wanted.
    InvalidJson,
    /// A namespace is missing, malformed or reserved.
    InvalidNamespace,
    /// Somebody registered this namespace before.
    NamespaceTaken,
    /// The request needs `Authorization: Bearer`.
    MissingCredential,
    /// The credential is not known (any more).
    InvalidCredential,
    /// The credential belongs to another namespace.
    NamespaceMismatch,
    /// An alias is malformed.
    InvalidAlias,
    /// A stream name is malformed.
    InvalidStreamName,
    /// Only `uuid` is known.
    UnsupportedIdKind,
    /// Conversation metadata is not an object.
    InvalidMetadata,
    /// Stream metadata is not an object.
    InvalidStreamMetadata,
    /// `durable` is not true or false.
    InvalidDurable,
    /// An expiry is not a time, or lies in the past.
    InvalidExpiry,
    /// The namespace has a conversation of this alias already.
    AliasTaken,
    /// The link's token is missing.
    MissingToken,
    /// The link's token does not fit, has been revoked or has expired.
    InvalidToken,
    /// There is no such thing here.
    NotFound,
    /// There is no such conversation.
    ConversationNotFound,
    /// Known, but not allowed.
    Forbidden,
    /// The address speaks WebSocket only.
    UpgradeRequired,
    /// The body is larger than the limit.
    PayloadTooLarge,
    /// Too many requests; come back after `retry-after`.
    RateLimited,
    /// The storage has no room left.
    StorageFull,
    /// The server cannot do this now; repeat later.
    Unavailable,
    /// Something unexpected; the server's log says what.
    ServerError,
}

impl Code {
    /// Every code, for documentation and tests.
    pub const ALL: [Code; 25] = [
        Code::InvalidJson,
        Code::InvalidNamespace,
        Code::NamespaceTaken,
        Code::MissingCredential,
        Code::InvalidCredential,
        Code::NamespaceMismatch,
        Code::InvalidAlias,
        Code::InvalidStreamName,
        Code::UnsupportedIdKind,
        Code::InvalidMetadata,
        Code::InvalidStreamMetadata,
        Code::InvalidDurable,
        Code::InvalidExpiry,
        Code::AliasTaken,
        Code::MissingToken,
        Code::InvalidToken,
        Code::NotFound,
        Code::ConversationNotFound,
        Code::Forbidden,
        Code::UpgradeRequired,
        Code::PayloadTooLarge,
        Code::RateLimited,
        Code::StorageFull,
        Code::Unavailable,
        Code::ServerError,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::InvalidJson => "invalid_json",
            Code::InvalidNamespace => "invalid_namespace",
            Code::NamespaceTaken => "namespace_taken",
            Code::MissingCredential => "missing_credential",
            Code::InvalidCredential => "invalid_credential",
            Code::NamespaceMismatch => "namespace_mismatch",
            Code::InvalidAlias => "invalid_alias",
            Code::InvalidStreamName => "invalid_stream_name",
            Code::UnsupportedIdKind => "unsupported_id_kind",
            Code::InvalidMetadata => "invalid_metadata",
            Code::InvalidStreamMetadata => "invalid_stream_metadata",
            Code::InvalidDurable => "invalid_durable",
            Code::InvalidExpiry => "invalid_expiry",
            Code::AliasTaken => "alias_taken",
            Code::MissingToken => "missing_token",
            Code::InvalidToken => "invalid_token",
            Code::NotFound => "not_found",
            Code::ConversationNotFound => "conversation_not_found",
            Code::Forbidden => "forbidden",
            Code::UpgradeRequired => "upgrade_required",
            Code::PayloadTooLarge => "payload_too_large",
            Code::RateLimited => "rate_limited",
            Code::StorageFull => "storage_full",
            Code::Unavailable => "unavailable",
            Code::ServerError => "server_error",
        }
    }

    /// The HTTP status that goes with it.
    pub const fn status(self) -> u16 {
        match self {
            Code::InvalidJson
            | Code::InvalidNamespace
            | Code::InvalidAlias
            | Code::InvalidStreamName
            | Code::UnsupportedIdKind
            | Code::InvalidMetadata
            | Code::InvalidStreamMetadata
            | Code::InvalidDurable
            | Code::InvalidExpiry
            | Code::MissingToken => 400,
            Code::MissingCredential | Code::InvalidCredential => 401,
            Code::NamespaceMismatch | Code::InvalidToken | Code::Forbidden => 403,
            Code::NotFound | Code::ConversationNotFound => 404,
            Code::NamespaceTaken | Code::AliasTaken => 409,
            Code::PayloadTooLarge => 413,
            Code::UpgradeRequired => 426,
            Code::RateLimited => 429,
            Code::ServerError => 500,
            Code::StorageFull | Code::Unavailable => 503,
        }
    }

    /// Whether the same request may succeed later without a change.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Code::RateLimited | Code::StorageFull | Code::Unavailable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_words_and_each_has_an_error_status() {
        let words: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        assert!(words.iter().all(|word| word.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase())));
        assert!(Code::ALL.iter().all(|code| (400..600).contains(&code.status())));
    }
}
