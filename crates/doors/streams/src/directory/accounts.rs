//! Accounts: minted, known by their credential, given a new one, deleted.

use ams_core::code::Code;
use ams_core::engine::{Stored, Transaction};
use ams_core::secret::Secret;

use super::{CHANGE_ATTEMPTS_MAX, Directory, met};
use crate::live::{INVALID_CREDENTIAL, Live};
use crate::names::Namespace;
use crate::records::{Account, CredentialIndex, NamespaceIndex, StorageError, Version1};

/// In front of every credential, so that people and scanners know one when they see it (token streams §2.2).
const CREDENTIAL_PREFIX: &str = "ams_sk_";

/// Conversations that are deleted between two looks at the list, when their account goes.
const DELETE_PAGE: usize = 100;

/// A fresh account, and the only sight of its credential.
#[derive(Debug)]
pub struct NewAccount {
    /// As it is stored.
    pub account: Account,
    /// Shown once.
    pub credential: Secret,
}

/// Why an account was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateAccountError {
    /// Somebody has this namespace.
    #[error("this namespace is registered already")]
    NamespaceTaken,
    /// The records failed.
    #[error(transparent)]
    Storage(StorageError),
}

/// Why nobody is known by a credential.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// No account has this credential, or not any more.
    #[error("this credential is not known")]
    Unknown,
    /// The records failed; says nothing about the credential.
    #[error(transparent)]
    Storage(StorageError),
}

/// Why a credential was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum RotateCredentialError {
    /// The account was deleted, or given another credential, while this was asked for.
    #[error("this credential is not known any more")]
    Unknown,
    /// The records failed.
    #[error(transparent)]
    Storage(StorageError),
}

/// Why an account is not (wholly) deleted. It is safe and right to ask again.
#[derive(Debug, thiserror::Error)]
pub enum DeleteAccountError {
    /// Somebody else finished the deletion.
    #[error("this account is deleted already")]
    Unknown,
    /// The records or the logs failed.
    #[error(transparent)]
    Storage(StorageError),
}

impl CreateAccountError {
    /// What the client is told.
    pub fn code(&self) -> Code {
        match self {
            CreateAccountError::NamespaceTaken => Code::NamespaceTaken,
            CreateAccountError::Storage(source) => source.code(),
        }
    }
}

impl AuthenticateError {
    /// What the client is told.
    pub fn code(&self) -> Code {
        match self {
            AuthenticateError::Unknown => Code::InvalidCredential,
            AuthenticateError::Storage(source) => source.code(),
        }
    }
}

impl RotateCredentialError {
    /// What the client is told.
    pub fn code(&self) -> Code {
        match self {
            RotateCredentialError::Unknown => Code::InvalidCredential,
            RotateCredentialError::Storage(source) => source.code(),
        }
    }
}

impl DeleteAccountError {
    /// What the client is told.
    pub fn code(&self) -> Code {
        match self {
            DeleteAccountError::Unknown => Code::InvalidCredential,
            DeleteAccountError::Storage(source) => source.code(),
        }
    }
}

macro_rules! from_storage {
    ($($error:ident)*) => {
        $(impl<E: Into<StorageError>> From<E> for $error {
            fn from(source: E) -> Self {
                $error::Storage(source.into())
            }
        })*
    };
}
pub(super) use from_storage;
from_storage! { CreateAccountError AuthenticateError RotateCredentialError DeleteAccountError }

impl Directory {
    /// Registers a namespace. Of two that want the same one at the same time, exactly one gets it.
    ///
    /// # Errors
    /// When it is taken, or the records failed.
    pub async fn create_account(&self, namespace: Namespace) -> Result<NewAccount, CreateAccountError> {
        let now = self.now();
        let credential = Secret::mint(CREDENTIAL_PREFIX, self.entropy());
        let account = Account {
            version: Version1,
            id: format!("acc_{}", self.ulid(now)).into(),
            namespace,
            credential: self.0.peppers.credentials.hash(credential.expose()),
            created_at: now,
            deleting: false,
        };
        let (id, namespace) = (&*account.id, account.namespace.as_str());
        let transaction = Transaction::default()
            .absent(NamespaceIndex::key(namespace))
            .absent(Account::key(id))
            .absent(CredentialIndex::key(account.credential.as_str()))
            .put(namespace, &NamespaceIndex { version: Version1, account: id.into() })?
            .put(id, &account)?
            .put(account.credential.as_str(), &CredentialIndex { version: Version1, account: id.into() })?;
        match self.0.records.transact(transaction).await {
            Ok(()) => Ok(NewAccount { account, credential }),
            Err(error) if met::<NamespaceIndex>(&error) => Err(CreateAccountError::NamespaceTaken),
            Err(error) => Err(error.into()),
        }
    }

    /// The account that a credential belongs to.
    ///
    /// # Errors
    /// When there is none (any more), or the records failed.
    pub async fn account_by_credential(&self, credential: &Secret) -> Result<Account, AuthenticateError> {
        let account = self.account_to_delete(credential).await?;
        if account.deleting { Err(AuthenticateError::Unknown) } else { Ok(account) }
    }

    /// Whether an account is still there with the credential it had when it was read.
    ///
    /// # Errors
    /// When the records failed.
    pub async fn is_unchanged(&self, account: &Account) -> Result<bool, StorageError> {
        let found = self.0.records.get::<Account>(&account.id).await?;
        Ok(found.is_some_and(|(now, _)| !now.deleting && now.credential == account.credential))
    }

    /// The same, and also finds an account whose deletion was begun but not finished, for no other purpose than that.
    ///
    /// # Errors
    /// When there is none (any more), or the records failed.
    pub(crate) async fn account_to_delete(&self, credential: &Secret) -> Result<Account, AuthenticateError> {
        let hash = self.0.peppers.credentials.hash(credential.expose());
        let indexed = self.0.records.get::<CredentialIndex>(hash.as_str()).await?;
        let Some((CredentialIndex { account, .. }, _)) = indexed else { return Err(AuthenticateError::Unknown) };
        let found = self.0.records.get::<Account>(&account).await?;
        // The index finds, the account decides: compared again, in constant time.
        let known = found.map(|(account, _)| account).filter(|account| account.credential == hash);
        known.ok_or(AuthenticateError::Unknown)
    }

    /// Gives an account a new credential. The old one opens nothing from then on, and whoever is connected by it goes.
    ///
    /// # Errors
    /// When the account changed since it was read, or the records failed.
    pub async fn rotate_credential(
        &self,
        account: &Account,
        live: &dyn Live,
    ) -> Result<NewAccount, RotateCredentialError> {
        let found = self.0.records.get::<Account>(&account.id).await?;
        let still = found.filter(|(found, _)| found.credential == account.credential && !found.deleting);
        let Some((mut account, revision)) = still else { return Err(RotateCredentialError::Unknown) };
        let credential = Secret::mint(CREDENTIAL_PREFIX, self.entropy());
        let hash = self.0.peppers.credentials.hash(credential.expose());
        let old = std::mem::replace(&mut account.credential, hash);
        let index = CredentialIndex { version: Version1, account: account.id.clone() };
        let transaction = Transaction::default()
            .unchanged(Account::key(&account.id), revision)
            .absent(CredentialIndex::key(account.credential.as_str()))
            .delete(CredentialIndex::key(old.as_str()))
            .put(account.credential.as_str(), &index)?
            .put(&account.id, &account)?;
        match self.0.records.transact(transaction).await {
            Ok(()) => {}
            // Two rotations by the same credential: the second one came with a credential that is no longer known.
            Err(error) if met::<Account>(&error) => return Err(RotateCredentialError::Unknown),
            Err(error) => return Err(error.into()),
        }
        live.end_account(&account.id, INVALID_CREDENTIAL);
        Ok(NewAccount { account, credential })
    }

    /// Deletes an account, its conversations and their logs; its namespace is free afterwards. `erased` is called for each
    /// conversation that is gone, also if the deletion breaks off later.
    ///
    /// From the first step on the account can do nothing else, so that nothing is added behind the deletion's back; if a
    /// later step fails, the same credential can ask for the deletion again.
    ///
    /// # Errors
    /// When somebody else finished it, or the records or logs failed.
    pub async fn delete_account(
        &self,
        account: &Account,
        live: &dyn Live,
        erased: impl Fn() + Send,
    ) -> Result<(), DeleteAccountError> {
        self.begin_account_deletion(account).await?;
        live.end_account(&account.id, INVALID_CREDENTIAL);
        loop {
            let page = self.aliases(&account.namespace, None, DELETE_PAGE).await?;
            if page.is_empty() {
                break;
            }
            for (name, index) in page {
                self.erase_conversation(&name, &index, live).await?;
                erased();
            }
        }
        self.finish_account_deletion(account).await
    }

    async fn begin_account_deletion(&self, account: &Account) -> Result<(), DeleteAccountError> {
        for _ in 0..CHANGE_ATTEMPTS_MAX {
            let Some((mut found, revision)) = self.0.records.get::<Account>(&account.id).await? else {
                return Err(DeleteAccountError::Unknown);
            };
            if found.deleting {
                return Ok(());
            }
            found.deleting = true;
            let transaction =
                Transaction::default().unchanged(Account::key(&found.id), revision).put(&account.id, &found)?;
            match self.0.records.transact(transaction).await {
                Err(error) if met::<Account>(&error) => {}
                done => return Ok(done?),
            }
        }
        Err(StorageError::Crowded.into())
    }

    async fn finish_account_deletion(&self, account: &Account) -> Result<(), DeleteAccountError> {
        let Some((found, revision)) = self.0.records.get::<Account>(&account.id).await? else {
            return Err(DeleteAccountError::Unknown);
        };
        let transaction = Transaction::default()
            .unchanged(Account::key(&found.id), revision)
            .delete(NamespaceIndex::key(found.namespace.as_str()))
            .delete(CredentialIndex::key(found.credential.as_str()))
            .delete(Account::key(&found.id));
        match self.0.records.transact(transaction).await {
            Err(error) if met::<Account>(&error) => Err(DeleteAccountError::Unknown),
            done => Ok(done?),
        }
    }
}
