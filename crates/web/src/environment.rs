//! What every door is given beside its own arguments.

use std::sync::Arc;

use ams_core::clock::{Clock, Entropy};
use ams_core::ids::Minter;

use crate::address::ClientAddresses;
use crate::origin::Origin;
use crate::ws::Connections;

/// Time, randomness, ids, and how this server is reached. Cheap to clone; one for all doors.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where random bytes come from.
    pub entropy: Arc<dyn Entropy>,
    /// Mints ULIDs that grow over the whole server.
    pub minter: Arc<Minter>,
    /// Scheme and host of links that are printed.
    pub origin: Origin,
    /// Who is at the other end, behind trusted proxies.
    pub addresses: ClientAddresses,
    /// Where every WebSocket connection is registered, so that the server can count and close them.
    pub connections: Connections,
}
