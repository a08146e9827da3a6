//! Why this door ends a connection (token streams §3.11).

use ams_core::close::Close;

/// `t` is missing, wrong, revoked or expired.
pub const INVALID_MAGIC_LINK: Close = Close::new(4001, "invalid_magic_link");
/// The same account took the stream's name over.
pub const STREAM_DISPLACED: Close = Close::new(4001, "stream_displaced");
/// The credential is missing or unknown.
pub const INVALID_CREDENTIAL: Close = Close::new(4002, "invalid_credential");
/// The account, the link or the conversation has as many streams as it may.
pub const CONCURRENCY_LIMIT: Close = Close::new(4003, "concurrency_limit");
/// Another account holds the stream's name.
pub const STREAM_NAME_OWNER_CONFLICT: Close = Close::new(4004, "stream_name_owner_conflict");
/// There is no such conversation.
pub const CONVERSATION_NOT_FOUND: Close = Close::new(4005, "conversation_not_found");
/// The reader is too slow.
pub const SUBSCRIBER_BACKPRESSURE: Close = Close::new(4290, "subscriber_backpressure");
/// A message is no frame.
pub const MALFORMED_FRAME: Close = Close::new(4400, "malformed_frame");
/// A frame of a type that there is not.
pub const UNKNOWN_FRAME_TYPE: Close = Close::new(4400, "unknown_frame_type");
/// `X-AMS-Stream-Name` is no name.
pub const INVALID_STREAM_NAME_HEADER: Close = Close::new(4400, "invalid_stream_name_header");
/// `X-AMS-Stream-Metadata` is no base64 of a JSON object.
pub const INVALID_STREAM_METADATA_HEADER: Close = Close::new(4400, "invalid_stream_metadata_header");
/// `attach` came too late, or a second time.
pub const ALREADY_ATTACHED: Close = Close::new(4400, "already_attached");
/// `attach.stream_name` is no name.
pub const INVALID_STREAM_NAME: Close = Close::new(4400, "invalid_stream_name");
/// `attach.stream_metadata` is no object.
pub const INVALID_STREAM_METADATA: Close = Close::new(4400, "invalid_stream_metadata");
/// A token is longer than the limit.
pub const TOKEN_TOO_LARGE: Close = Close::new(4400, "token_too_large");
/// Anything unexpected.
pub const INTERNAL_ERROR: Close = Close::new(4500, "internal_error");
