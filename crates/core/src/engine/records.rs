//! Records: small typed facts of the control plane, changed in transactions.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

use super::{Engine, EngineError};

/// Names one record: its kind, and its name among that kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Which kind of record, such as `streams.account`; fixed by the door that keeps it.
    pub kind: &'static str,
    /// The name among that kind, unique; at most [`crate::limits::RECORD_NAME_BYTES_MAX`] bytes.
    pub name: Box<str>,
}

impl Key {
    /// Names a record.
    pub fn new(kind: &'static str, name: impl Into<Box<str>>) -> Self {
        Key { kind, name: name.into() }
    }
}

/// One record as the engine keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is called.
    pub key: Key,
    /// Counts the changes of this record: 1 when created.
    pub revision: u64,
    /// JSON text, in a form that only the owning door knows.
    pub body: Bytes,
}

/// What must be true for a transaction to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// No record has this key.
    Absent(Key),
    /// The record exists and was last changed at this revision.
    Revision(Key, u64),
}

impl Requirement {
    /// The record that is looked at.
    pub fn key(&self) -> &Key {
        match self {
            Requirement::Absent(key) | Requirement::Revision(key, _) => key,
        }
    }
}

/// One change of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Creates or replaces a record.
    Put(Key, Bytes),
    /// Removes a record; nothing happens if there is none.
    Delete(Key),
}

/// Changes that happen together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// All must hold.
    pub requirements: Vec<Requirement>,
    /// All are applied, in this order.
    pub writes: Vec<Write>,
}

/// Why a transaction was not applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TransactError {
    /// This requirement did not hold; nothing was written.
    #[error("the record {} {:?} is not as required", .0.key().kind, .0.key().name)]
    Unmet(Requirement),
    /// The storage failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Transaction {
    /// Requires that there is no such record yet.
    #[must_use]
    pub fn absent(mut self, key: Key) -> Self {
        self.requirements.push(Requirement::Absent(key));
        self
    }

    /// Requires that the record was not changed since it was read.
    #[must_use]
    pub fn unchanged(mut self, key: Key, revision: u64) -> Self {
        self.requirements.push(Requirement::Revision(key, revision));
        self
    }

    /// Writes a typed record.
    ///
    /// # Errors
    /// When the value has no JSON form.
    pub fn put<T: Stored>(mut self, name: &str, value: &T) -> Result<Self, StoredError> {
        let body = serde_json::to_vec(value).map_err(|source| StoredError::Malformed { kind: T::KIND, source })?;
        self.writes.push(Write::Put(T::key(name), body.into()));
        Ok(self)
    }

    /// Removes a record.
    #[must_use]
    pub fn delete(mut self, key: Key) -> Self {
        self.writes.push(Write::Delete(key));
        self
    }
}

/// A type that a door keeps as records. It is never a wire type, and it carries its own version so that a later
/// program can read what an earlier one wrote (`#[serde(default)]` on new fields, or an enum by version).
pub trait Stored: Serialize + DeserializeOwned + Send {
    /// The kind, such as `streams.account`. Once used, never changed.
    const KIND: &'static str;

    /// The key of a record of this type.
    fn key(name: &str) -> Key {
        Key::new(Self::KIND, name)
    }
}

/// A typed read or write failed.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// What is stored is not what this program knows of that kind, or a value has no JSON form.
    #[error("a record of kind {kind} is not readable: {source}")]
    Malformed {
        /// The kind of record.
        kind: &'static str,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// The storage failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Typed access to records. Cheap to clone; all that a door gets of the engine.
#[derive(Debug, Clone)]
pub struct Records(Arc<dyn Engine>);

impl Records {
    /// Reads and writes the records of this engine.
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Records(engine)
    }

    /// Reads one record and the revision it was read at.
    ///
    /// # Errors
    /// When the storage failed or holds something else under this kind.
    pub async fn get<T: Stored>(&self, name: &str) -> Result<Option<(T, u64)>, StoredError> {
        let Some(record) = self.0.get(&T::key(name)).await? else { return Ok(None) };
        Ok(Some((decode(&record)?, record.revision)))
    }

    /// Reads records whose name starts with `prefix` and sorts after `after`, with their names.
    ///
    /// # Errors
    /// When the storage failed or holds something else under this kind.
    pub async fn scan<T: Stored>(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Box<str>, T)>, StoredError> {
        let records = self.0.scan(T::KIND, prefix, after, limit).await?;
        records.into_iter().map(|record| Ok((record.key.name.clone(), decode(&record)?))).collect()
    }

    /// Applies a transaction.
    ///
    /// # Errors
    /// When a requirement does not hold or the storage failed; nothing was written then.
    pub async fn transact(&self, transaction: Transaction) -> Result<(), TransactError> {
        self.0.transact(transaction).await
    }
}

fn decode<T: Stored>(record: &Record) -> Result<T, StoredError> {
    serde_json::from_slice(&record.body).map_err(|source| StoredError::Malformed { kind: T::KIND, source })
}
