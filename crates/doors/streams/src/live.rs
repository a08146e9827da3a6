//! What the control plane asks of those who are connected now. The WebSocket side of this door is behind it.

use ams_core::close::Close;
use ams_core::engine::EngineError;
use futures_util::future::BoxFuture;

pub use crate::close::{CONVERSATION_NOT_FOUND, INVALID_CREDENTIAL, INVALID_MAGIC_LINK};
use crate::wire::Peer;

/// The connections of this server, as the control plane sees them.
///
/// Every method is called after the change it follows from is durable: whoever connects later is refused by the
/// records, so that ending those who are here now leaves nobody behind.
pub trait Live: Send + Sync + std::fmt::Debug + 'static {
    /// Ends connections of one conversation with this close: with [`INVALID_MAGIC_LINK`] only those who came by the
    /// link alone, with any other close all of them. Does not wait for them to be gone.
    fn end(&self, conversation: &str, close: Close);

    /// Ends every connection of one account, in all conversations, with this close.
    fn end_account(&self, account: &str, close: Close);

    /// The streams that are attached to a conversation now.
    fn attached(&self, conversation: &str) -> Vec<Peer>;

    /// The newest `seq` of a conversation, 0 if nothing was ever said; for a durable one also when nobody is here, so
    /// that the engine may have to be asked.
    fn head_seq<'a>(&'a self, conversation: &'a str) -> BoxFuture<'a, Result<u64, EngineError>>;

    /// Forgets a conversation's log, in memory and in the engine. Called after [`Live::end`]; nobody can join any more.
    fn erase<'a>(&'a self, conversation: &'a str) -> BoxFuture<'a, Result<(), EngineError>>;
}
