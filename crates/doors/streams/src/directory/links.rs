//! A conversation's link: presented, replaced, revoked, given an end.

use ams_core::clock::Timestamp;
use ams_core::code::Code;
use ams_core::engine::{Stored, Transaction};
use ams_core::secret::Secret;

use super::accounts::from_storage;
use super::{CHANGE_ATTEMPTS_MAX, Directory, Minted, met};
use crate::link::mint_token;
use crate::live::{INVALID_MAGIC_LINK, Live};
use crate::names::{Alias, Namespace};
use crate::records::{AliasIndex, Conversation, Link, StorageError};

/// Why a link does not admit. Clients are told the same in all three cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkRefused {
    /// It is not this conversation's link, or not any more.
    #[error("the link's token does not fit")]
    Wrong,
    /// The owner revoked it.
    #[error("the link was revoked")]
    Revoked,
    /// Its time is over.
    #[error("the link has expired")]
    Expired,
}

impl LinkRefused {
    /// What the client is told.
    pub fn code(&self) -> Code {
        match self {
            LinkRefused::Wrong | LinkRefused::Revoked | LinkRefused::Expired => Code::InvalidToken,
        }
    }
}

/// Why a link was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeLinkError {
    /// There is no such conversation.
    #[error("there is no such conversation")]
    NotFound,
    /// The records failed.
    #[error(transparent)]
    Storage(StorageError),
}

impl ChangeLinkError {
    /// What the client is told.
    pub fn code(&self) -> Code {
        match self {
            ChangeLinkError::NotFound => Code::NotFound,
            ChangeLinkError::Storage(source) => source.code(),
        }
    }
}

from_storage! { ChangeLinkError }

/// How long a replacement is to admit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// As long as the link it replaces; without end if that one's time is over.
    Keep,
    /// Until then; `None` = without end.
    Set(Option<Timestamp>),
}

impl Directory {
    /// Whether a permissive token admits to a conversation now.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check_link(&self, conversation: &Conversation, token: &Secret, now: Timestamp) -> Result<(), LinkRefused> {
        let link = &conversation.link;
        if self.0.peppers.links.hash(token.expose()) != link.hash {
            return Err(LinkRefused::Wrong);
        }
        if link.revoked {
            return Err(LinkRefused::Revoked);
        }
        if link.expires_at.is_some_and(|end| end <= now) {
            return Err(LinkRefused::Expired);
        }
        Ok(())
    }

    /// Replaces a conversation's link. The old one admits nobody from then on, and whoever came by it alone goes.
    ///
    /// # Errors
    /// When there is no such conversation, or the records failed.
    pub async fn rotate_link(
        &self,
        namespace: &Namespace,
        alias: &Alias,
        expiry: Expiry,
        live: &dyn Live,
    ) -> Result<Minted, ChangeLinkError> {
        let (now, token) = (self.now(), mint_token(self.entropy()));
        let hash = self.0.peppers.links.hash(token.expose());
        let change = |link: &mut Link| {
            let kept = link.expires_at.filter(|end| now < *end);
            let expires_at = match expiry {
                Expiry::Keep => kept,
                Expiry::Set(end) => end,
            };
            *link =
                Link { hash: hash.clone(), generation: link.generation.saturating_add(1), expires_at, revoked: false };
        };
        let conversation = self.change_link(namespace, alias, change).await?;
        live.end(conversation.id.as_str(), INVALID_MAGIC_LINK);
        Ok(Minted { conversation, token })
    }

    /// Revokes a conversation's link: it admits nobody until it is replaced, and whoever came by it alone goes.
    ///
    /// # Errors
    /// When there is no such conversation, or the records failed.
    pub async fn revoke_link(
        &self,
        namespace: &Namespace,
        alias: &Alias,
        live: &dyn Live,
    ) -> Result<Conversation, ChangeLinkError> {
        let conversation = self.change_link(namespace, alias, |link| link.revoked = true).await?;
        live.end(conversation.id.as_str(), INVALID_MAGIC_LINK);
        Ok(conversation)
    }

    /// Sets when a link stops admitting. Whoever is in stays in.
    ///
    /// # Errors
    /// When there is no such conversation, or the records failed.
    pub async fn set_link_expiry(
        &self,
        namespace: &Namespace,
        alias: &Alias,
        expires_at: Option<Timestamp>,
    ) -> Result<Conversation, ChangeLinkError> {
        self.change_link(namespace, alias, |link| link.expires_at = expires_at).await
    }

    async fn change_link(
        &self,
        namespace: &Namespace,
        alias: &Alias,
        change: impl Fn(&mut Link),
    ) -> Result<Conversation, ChangeLinkError> {
        for _ in 0..CHANGE_ATTEMPTS_MAX {
            let indexed = self.0.records.get::<AliasIndex>(&AliasIndex::name(namespace, alias)).await?;
            let Some((index, _)) = indexed else { return Err(ChangeLinkError::NotFound) };
            let Some((mut conversation, revision)) = self.stored(&index).await? else {
                return Err(ChangeLinkError::NotFound);
            };
            change(&mut conversation.link);
            let key = Conversation::key(conversation.id.as_str());
            let transaction =
                Transaction::default().unchanged(key, revision).put(conversation.id.as_str(), &conversation)?;
            match self.0.records.transact(transaction).await {
                Ok(()) => return Ok(conversation),
                Err(error) if met::<Conversation>(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StorageError::Crowded.into())
    }
}
