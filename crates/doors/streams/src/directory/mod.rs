//! Accounts, conversations and links: what may be asked of them and changed about them.
//!
//! Every change is one transaction whose requirements say what must still be true, so that two of them can race without
//! harm: the first wins, the second is repeated on what it finds or told what it met.

mod accounts;
mod conversations;
mod links;

use std::sync::Arc;

use ams_core::clock::{Clock, Entropy, Timestamp};
use ams_core::engine::{Records, Stored, TransactError};
use ams_core::ids::Minter;
use ams_web::Environment;

pub use accounts::{AuthenticateError, CreateAccountError, DeleteAccountError, NewAccount, RotateCredentialError};
pub use conversations::{CreateConversationError, DeleteConversationError, Mint, Minted, Page};
pub use links::{ChangeLinkError, Expiry, LinkRefused};

use crate::config::Peppers;

/// How often a change is tried when others change the same record meanwhile. Each failure means that somebody else's
/// change went through, so only a crowd on one record meets this.
const CHANGE_ATTEMPTS_MAX: usize = 8;

/// The door's control plane. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Directory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    records: Records,
    peppers: Peppers,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    minter: Arc<Minter>,
}

impl Directory {
    /// Keeps accounts and conversations in these records, secrets hashed under these peppers.
    pub fn new(records: Records, peppers: Peppers, environment: &Environment) -> Self {
        let Environment { clock, entropy, minter, .. } = environment.clone();
        Directory(Arc::new(Inner { records, peppers, clock, entropy, minter }))
    }

    /// The peppers that secrets are hashed and ids derived under.
    pub fn peppers(&self) -> &Peppers {
        &self.0.peppers
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn entropy(&self) -> &dyn Entropy {
        &*self.0.entropy
    }

    fn ulid(&self, now: Timestamp) -> String {
        self.0.minter.ulid(now, self.entropy())
    }
}

/// Whether a transaction failed because a record of this kind was not as required.
fn met<T: Stored>(error: &TransactError) -> bool {
    matches!(error, TransactError::Unmet(requirement) if requirement.key().kind == T::KIND)
}
