//! Conversations: minted, found by their address, deleted.

use ams_core::clock::Timestamp;
use ams_core::code::Code;
use ams_core::engine::{Stored, Transaction};
use ams_core::secret::Secret;

use super::accounts::from_storage;
use super::{CHANGE_ATTEMPTS_MAX, Directory, met};
use crate::link::mint_token;
use crate::live::{CONVERSATION_NOT_FOUND, Live};
use crate::metadata::Metadata;
use crate::names::{Alias, Namespace};
use crate::records::{Account, AliasIndex, Conversation, Link, MintedStream, StorageError, Version1};

/// Short aliases that are drawn before one with a longer number is (token streams §2.5).
const SHORT_ALIASES_DRAWN_MAX: usize = 8;
/// Aliases that are drawn at all. By then chance is not what is wrong.
const ALIASES_DRAWN_MAX: usize = 16;

/// What somebody wants minted; everything optional has been decided.
#[derive(Debug, Clone)]
pub struct Mint {
    /// `None` = generated.
    pub alias: Option<Alias>,
    /// The minter's own stream, to come.
    pub stream: MintedStream,
    /// Fixed for the conversation's life.
    pub metadata: Metadata,
    /// Whether the engine keeps its log.
    pub durable: bool,
    /// When the link stops admitting.
    pub link_expires_at: Option<Timestamp>,
}

/// A conversation with a fresh link, and the only sight of its token.
#[derive(Debug)]
pub struct Minted {
    /// As it is stored.
    pub conversation: Conversation,
    /// Shown once, inside the link.
    pub token: Secret,
}

/// Conversations of one namespace, in the order of their aliases.
#[derive(Debug)]
pub struct Page {
    /// At most as many as were asked for.
    pub conversations: Vec<Conversation>,
    /// The last alias that was looked at, if there are more after it.
    pub next: Option<Alias>,
}

/// Why a conversation was not minted.
#[derive(Debug, thiserror::Error)]
pub enum CreateConversationError {
    /// The namespace has a conversation of the wanted alias.
    #[error("this alias is used already in this namespace")]
    AliasTaken,
    /// The account was deleted, or given another credential, meanwhile.
    #[error("this credential is not known any more")]
    AccountGone,
    /// The records failed.
    #[error(transparent)]
    Storage(StorageError),
}

/// Why a conversation is not (wholly) deleted. It is safe and right to ask again.
#[derive(Debug, thiserror::Error)]
pub enum DeleteConversationError {
    /// There is none of this alias.
    #[error("there is no such conversation")]
    NotFound,
    /// The records or the log failed.
    #[error(transparent)]
    Storage(StorageError),
}

impl CreateConversationError {
    /// What the client is told.
    pub fn code(&self) -> Code {
        match self {
            CreateConversationError::AliasTaken => Code::AliasTaken,
            CreateConversationError::AccountGone => Code::InvalidCredential,
            CreateConversationError::Storage(source) => source.code(),
        }
    }
}

impl DeleteConversationError {
    /// What the client is told.
    pub fn code(&self) -> Code {
        match self {
            DeleteConversationError::NotFound => Code::NotFound,
            DeleteConversationError::Storage(source) => source.code(),
        }
    }
}

from_storage! { CreateConversationError DeleteConversationError }

impl Directory {
    /// Mints a conversation. Of two that want the same alias at the same time, exactly one gets it; a generated alias
    /// that is taken is drawn again.
    ///
    /// # Errors
    /// When the wanted alias is taken, the account is gone, or the records failed.
    pub async fn create_conversation(&self, owner: &Account, mint: Mint) -> Result<Minted, CreateConversationError> {
        for drawn in 0..ALIASES_DRAWN_MAX {
            let generated = || Alias::generate(self.entropy(), SHORT_ALIASES_DRAWN_MAX <= drawn);
            let alias = mint.alias.clone().unwrap_or_else(generated);
            match self.mint(owner, alias, &mint).await {
                Err(CreateConversationError::AliasTaken) if mint.alias.is_none() => {}
                done => return done,
            }
        }
        Err(StorageError::Crowded.into())
    }

    async fn mint(&self, owner: &Account, alias: Alias, mint: &Mint) -> Result<Minted, CreateConversationError> {
        // The account is required to be as it is now, so that no conversation outlives its account's deletion.
        let found = self.0.records.get::<Account>(&owner.id).await?;
        let still = found.filter(|(found, _)| found.credential == owner.credential && !found.deleting);
        let Some((_, revision)) = still else { return Err(CreateConversationError::AccountGone) };
        let now = self.now();
        let id = format!("conv_{}", self.ulid(now)).parse().expect("an identifier of letters and digits");
        let token = mint_token(self.entropy());
        let link = Link {
            hash: self.0.peppers.links.hash(token.expose()),
            generation: 1,
            expires_at: mint.link_expires_at,
            revoked: false,
        };
        let conversation = Conversation {
            version: Version1,
            id,
            owner: owner.id.clone(),
            namespace: owner.namespace.clone(),
            alias,
            created_at: now,
            durable: mint.durable,
            metadata: mint.metadata.clone(),
            minted_stream: mint.stream.clone(),
            link,
            deleting: false,
        };
        let name = AliasIndex::name(&conversation.namespace, &conversation.alias);
        let index = AliasIndex { version: Version1, conversation: conversation.id.clone() };
        let transaction = Transaction::default()
            .unchanged(Account::key(&owner.id), revision)
            .absent(AliasIndex::key(&name))
            .absent(Conversation::key(conversation.id.as_str()))
            .put(&name, &index)?
            .put(conversation.id.as_str(), &conversation)?;
        match self.0.records.transact(transaction).await {
            Ok(()) => Ok(Minted { conversation, token }),
            Err(error) if met::<AliasIndex>(&error) => Err(CreateConversationError::AliasTaken),
            Err(error) if met::<Account>(&error) => Err(CreateConversationError::AccountGone),
            Err(error) => Err(error.into()),
        }
    }

    /// The conversation at an address.
    ///
    /// # Errors
    /// When the records failed.
    pub async fn conversation(
        &self,
        namespace: &Namespace,
        alias: &Alias,
    ) -> Result<Option<Conversation>, StorageError> {
        let indexed = self.0.records.get::<AliasIndex>(&AliasIndex::name(namespace, alias)).await?;
        let Some((index, _)) = indexed else { return Ok(None) };
        Ok(self.stored(&index).await?.map(|(conversation, _)| conversation))
    }

    /// The conversation an alias stands for, and its revision, unless its deletion has begun.
    pub(super) async fn stored(&self, index: &AliasIndex) -> Result<Option<(Conversation, u64)>, StorageError> {
        let found = self.0.records.get::<Conversation>(index.conversation.as_str()).await?;
        Ok(found.filter(|(conversation, _)| !conversation.deleting))
    }

    /// Conversations of a namespace whose alias sorts after `after`, at most `limit` of them.
    ///
    /// # Errors
    /// When the records failed.
    pub async fn conversations(
        &self,
        namespace: &Namespace,
        after: Option<&Alias>,
        limit: usize,
    ) -> Result<Page, StorageError> {
        let mut indexed = self.aliases(namespace, after, limit.saturating_add(1)).await?;
        let more = limit < indexed.len();
        indexed.truncate(limit);
        let last = indexed.last().and_then(|(name, _)| name.rsplit('/').next()?.parse().ok());
        let mut conversations = Vec::with_capacity(indexed.len());
        for (_, index) in &indexed {
            conversations.extend(self.stored(index).await?.map(|(conversation, _)| conversation));
        }
        Ok(Page { conversations, next: last.filter(|_| more) })
    }

    pub(super) async fn aliases(
        &self,
        namespace: &Namespace,
        after: Option<&Alias>,
        limit: usize,
    ) -> Result<Vec<(Box<str>, AliasIndex)>, StorageError> {
        let after = after.map(|alias| AliasIndex::name(namespace, alias));
        Ok(self.0.records.scan::<AliasIndex>(&AliasIndex::prefix(namespace), after.as_deref(), limit).await?)
    }

    /// Deletes a conversation and its log, and ends everybody in it. Its alias is free afterwards.
    ///
    /// # Errors
    /// When there is none, or the records or the log failed; then it can be asked for again.
    pub async fn delete_conversation(
        &self,
        namespace: &Namespace,
        alias: &Alias,
        live: &dyn Live,
    ) -> Result<(), DeleteConversationError> {
        let name = AliasIndex::name(namespace, alias);
        let Some((index, _)) = self.0.records.get::<AliasIndex>(&name).await? else {
            return Err(DeleteConversationError::NotFound);
        };
        Ok(self.erase_conversation(&name, &index, live).await?)
    }

    /// The three steps of a deletion, each of which can be repeated: nobody finds it any more; those in it are ended and
    /// the log is erased; its alias is free. A crash in between leaves a conversation that is gone to everybody and can
    /// be deleted again, never a log that nobody can reach.
    pub(super) async fn erase_conversation(
        &self,
        name: &str,
        index: &AliasIndex,
        live: &dyn Live,
    ) -> Result<(), StorageError> {
        let id = index.conversation.as_str();
        self.hide_conversation(index).await?;
        live.end(id, CONVERSATION_NOT_FOUND);
        live.erase(id).await?;
        // A hidden conversation changes no more, and its alias goes together with it; so if it is still there, the alias
        // still stands for it and for no successor.
        let Some((_, revision)) = self.0.records.get::<Conversation>(id).await? else { return Ok(()) };
        let transaction = Transaction::default()
            .unchanged(Conversation::key(id), revision)
            .delete(AliasIndex::key(name))
            .delete(Conversation::key(id));
        match self.0.records.transact(transaction).await {
            Err(error) if met::<Conversation>(&error) => Ok(()),
            done => Ok(done?),
        }
    }

    async fn hide_conversation(&self, index: &AliasIndex) -> Result<(), StorageError> {
        for _ in 0..CHANGE_ATTEMPTS_MAX {
            let Some((mut conversation, revision)) = self.stored(index).await? else { return Ok(()) };
            conversation.deleting = true;
            let key = Conversation::key(conversation.id.as_str());
            let transaction =
                Transaction::default().unchanged(key, revision).put(conversation.id.as_str(), &conversation)?;
            match self.0.records.transact(transaction).await {
                Err(error) if met::<Conversation>(&error) => {}
                done => return Ok(done?),
            }
        }
        Err(StorageError::Crowded)
    }
}
