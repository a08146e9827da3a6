//! What this door keeps in the control plane. Never a wire type; every record says which form it has, and no secret is
//! ever in one: only peppered hashes are.

use ams_core::clock::Timestamp;
use ams_core::code::Code;
use ams_core::engine::{EngineError, Stored, StoredError, TransactError};
use ams_core::ids::RoomId;
use ams_core::secret::SecretHash;
use serde::{Deserialize, Serialize};

use crate::metadata::Metadata;
use crate::names::{Alias, Namespace, StreamName};

/// The first form of a record. A record of a later form is not read by this program, rather than read wrongly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub(crate) struct Version1;

/// A record's form is not known to this program.
#[derive(Debug, thiserror::Error)]
#[error("the record has form {0}, but this program knows only 1; was the data written by a later version?")]
pub(crate) struct UnknownVersion(u8);

impl TryFrom<u8> for Version1 {
    type Error = UnknownVersion;

    fn try_from(version: u8) -> Result<Self, UnknownVersion> {
        if version == 1 { Ok(Version1) } else { Err(UnknownVersion(version)) }
    }
}

impl From<Version1> for u8 {
    fn from(Version1: Version1) -> u8 {
        1
    }
}

/// Owns one namespace, holds one credential. Named by its id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    pub(crate) version: Version1,
    /// `acc_…`
    pub id: Box<str>,
    /// Its own, and nobody else's.
    pub namespace: Namespace,
    /// What its credential hashes to.
    pub(crate) credential: SecretHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its deletion has begun: it may do nothing any more but have the deletion finished.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) deleting: bool,
}

impl Stored for Account {
    const KIND: &'static str = "streams.account";
}

/// Which account a credential belongs to. Named by the credential's hash.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CredentialIndex {
    pub(crate) version: Version1,
    pub(crate) account: Box<str>,
}

impl Stored for CredentialIndex {
    const KIND: &'static str = "streams.credential";
}

/// Which account a namespace belongs to. Named by the namespace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NamespaceIndex {
    pub(crate) version: Version1,
    pub(crate) account: Box<str>,
}

impl Stored for NamespaceIndex {
    const KIND: &'static str = "streams.namespace";
}

/// Which conversation an alias stands for. Named `<namespace>/<alias>`, so that a namespace can be listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AliasIndex {
    pub(crate) version: Version1,
    pub(crate) conversation: RoomId,
}

impl AliasIndex {
    /// The name of the record.
    pub(crate) fn name(namespace: &Namespace, alias: &Alias) -> String {
        format!("{namespace}/{alias}")
    }

    /// What the names of all records of a namespace start with; no namespace holds a slash.
    pub(crate) fn prefix(namespace: &Namespace) -> String {
        format!("{namespace}/")
    }
}

impl Stored for AliasIndex {
    const KIND: &'static str = "streams.alias";
}

/// The boundary of admission, and what has an address. Named by its id, which is never used twice: a change that was
/// read before a deletion can never meet a successor of the same alias.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Conversation {
    pub(crate) version: Version1,
    /// `conv_…`, also the name of its room.
    pub id: RoomId,
    /// The account that minted it.
    pub owner: Box<str>,
    /// The owner's namespace.
    pub namespace: Namespace,
    /// Its name there.
    pub alias: Alias,
    /// When it was minted.
    pub created_at: Timestamp,
    /// Whether its log is kept by the engine.
    pub durable: bool,
    /// Fixed for its life.
    pub metadata: Metadata,
    /// What the minter said its own stream will be.
    pub minted_stream: MintedStream,
    /// Who is let in.
    pub link: Link,
    /// Its deletion has begun: to everybody but the deletion itself it is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) deleting: bool,
}

impl Stored for Conversation {
    const KIND: &'static str = "streams.conversation";
}

/// The stream that the minter announced; it starts with this metadata if it brings none of its own (§2.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MintedStream {
    /// The name it will have.
    pub name: StreamName,
    /// How it is described.
    pub metadata: Metadata,
}

/// A conversation's link as it stands. The token itself is nowhere kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What the permissive token hashes to.
    pub(crate) hash: SecretHash,
    /// 1 for the link it was minted with; one more for each that replaced it.
    pub generation: u32,
    /// From then on it admits nobody; `None` = never.
    pub expires_at: Option<Timestamp>,
    /// It admits nobody until it is replaced.
    pub revoked: bool,
}

/// The records could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A record was not readable.
    #[error(transparent)]
    Record(#[from] StoredError),
    /// A change was not applied.
    #[error(transparent)]
    Transaction(#[from] TransactError),
    /// A conversation's log could not be read or erased.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Others kept changing the same record each time this change was tried.
    #[error("too many changes of one record at once")]
    Crowded,
}

impl StorageError {
    /// What the client is told.
    pub fn code(&self) -> Code {
        match self {
            StorageError::Record(StoredError::Malformed { .. }) => Code::ServerError,
            StorageError::Transaction(TransactError::Unmet(_)) | StorageError::Crowded => Code::Unavailable,
            StorageError::Record(StoredError::Engine(source))
            | StorageError::Transaction(TransactError::Engine(source))
            | StorageError::Engine(source) => match source {
                EngineError::StorageFull => Code::StorageFull,
                EngineError::Busy | EngineError::Closed => Code::Unavailable,
                EngineError::Storage(_) => Code::ServerError,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_later_form_is_not_read() {
        let json = r#"{"version":1,"account":"acc_1"}"#;
        assert!(serde_json::from_str::<CredentialIndex>(json).is_ok());
        let later = serde_json::from_str::<CredentialIndex>(&json.replace(":1,", ":2,")).unwrap_err();
        assert!(later.to_string().contains("later version"), "{later}");
    }

    #[test]
    fn a_conversation_reads_itself_back() {
        let json = concat!(
            r#"{"version":1,"id":"conv_1","owner":"acc_1","namespace":"demo","alias":"a","created_at":5,"durable":true,"#,
            r#""metadata":{"b" : 1,"a":2},"minted_stream":{"name":"s","metadata":{}},"#,
            r#""link":{"hash":"00","generation":1,"expires_at":null,"revoked":false}}"#
        );
        let read: Conversation = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), json, "stored form is fixed: later programs must read it");
    }
}
