//! Everybody who is connected: counted against the caps, and reachable for what the control plane must end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ams_core::author::Proof;
use ams_core::close::Close;
use ams_core::engine::EngineError;
use ams_core::ids::RoomId;
use ams_core::live::signal::Present;
use ams_core::room::{Durability, End, Rooms};
use futures_util::future::BoxFuture;

use crate::config::Config;
use crate::link::wire_stream_id;
use crate::live::{INVALID_MAGIC_LINK, Live};
use crate::telemetry::Telemetry;
use crate::wire::Peer;

/// The connections of this door.
#[derive(Debug)]
pub(crate) struct Hall {
    rooms: Rooms,
    config: Arc<Config>,
    telemetry: Arc<Telemetry>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    conversations: HashMap<RoomId, InConversation>,
    accounts: HashMap<Arc<str>, usize>,
}

#[derive(Debug, Default)]
struct InConversation {
    streams: usize,
    by_link: usize,
}

/// One stream's place under the caps, given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    hall: Arc<Hall>,
    conversation: RoomId,
    account: Arc<str>,
    proof: Proof,
}

/// A cap is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crowded;

impl Hall {
    pub(crate) fn new(rooms: Rooms, config: Arc<Config>, telemetry: Arc<Telemetry>) -> Self {
        Hall { rooms, config, telemetry, counts: Mutex::default() }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place. One who comes back under a name it still holds is let in whatever the caps say: the place that it
    /// takes over is about to be given back.
    pub(crate) fn seat(
        self: &Arc<Self>,
        conversation: &RoomId,
        account: &Arc<str>,
        proof: Proof,
        returns: bool,
    ) -> Result<Seat, Crowded> {
        let mut counts = self.counts();
        let Counts { conversations, accounts } = &mut *counts;
        let here = conversations.get(conversation).map_or((0, 0), |here| (here.streams, here.by_link));
        let of_account = accounts.get(account).copied().unwrap_or(0);
        let is_crowded = match proof {
            Proof::Credential => self.config.account_streams_max <= of_account,
            Proof::Link => self.config.anonymous_streams_max <= here.1,
        };
        if !returns && (is_crowded || self.config.conversation_streams_max <= here.0) {
            return Err(Crowded);
        }
        let room = conversations.entry(conversation.clone()).or_default();
        room.streams += 1;
        room.by_link += usize::from(proof == Proof::Link);
        *accounts.entry(account.clone()).or_default() += 1;
        if room.streams == 1 {
            self.telemetry.conversation_filled();
        }
        self.telemetry.stream_joined();
        Ok(Seat { hall: self.clone(), conversation: conversation.clone(), account: account.clone(), proof })
    }

    fn room(&self, conversation: &str) -> Option<Arc<ams_core::room::Room>> {
        self.rooms.get(&conversation.parse().ok()?)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.hall.counts();
        if let Some(here) = counts.conversations.get_mut(&self.conversation) {
            here.streams -= 1;
            here.by_link -= usize::from(self.proof == Proof::Link);
            if here.streams == 0 {
                counts.conversations.remove(&self.conversation);
                self.hall.telemetry.conversation_emptied();
            }
        }
        if let Some(streams) = counts.accounts.get_mut(&self.account) {
            *streams -= 1;
            if *streams == 0 {
                counts.accounts.remove(&self.account);
            }
        }
        self.hall.telemetry.stream_left();
    }
}

impl Live for Hall {
    fn end(&self, conversation: &str, close: Close) {
        let Some(room) = self.room(conversation) else { return };
        room.for_each_present(|present, outlet| {
            if close != INVALID_MAGIC_LINK || present.author.proof == Proof::Link {
                outlet.end(End::Closed(close));
            }
        });
    }

    fn end_account(&self, account: &str, close: Close) {
        for room in self.rooms.all() {
            room.for_each_present(|present, outlet| {
                if &*present.author.account == account {
                    outlet.end(End::Closed(close));
                }
            });
        }
    }

    fn attached(&self, conversation: &str) -> Vec<Peer> {
        let present = self.room(conversation).map(|room| room.present()).unwrap_or_default();
        present.iter().filter_map(peer).collect()
    }

    fn head_seq<'a>(&'a self, conversation: &'a str) -> BoxFuture<'a, Result<u64, EngineError>> {
        Box::pin(async move {
            let Ok(id) = conversation.parse::<RoomId>() else { return Ok(0) };
            // An ephemeral room has nothing in the engine, so asking as if it were durable gives 0 for it as well.
            Ok(self.rooms.head(&id, Durability::Durable).await?.get())
        })
    }

    fn erase<'a>(&'a self, conversation: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move {
            let Ok(id) = conversation.parse::<RoomId>() else { return Ok(()) };
            self.rooms.remove(&id).await
        })
    }
}

fn peer(present: &Present) -> Option<Peer> {
    let stream = present.author.stream.as_ref()?;
    Some(Peer {
        stream_id: wire_stream_id(stream.id),
        stream_name: stream.name.as_ref().into(),
        owner_account_id: present.author.account.as_ref().into(),
        metadata: serde_json::from_slice(&present.metadata).unwrap_or_default(),
        peer_identity: present.author.claim.as_ref().and_then(|claim| {
            let identity: crate::wire::PeerIdentity<'_> = serde_json::from_slice(claim).ok()?;
            Some(identity.into_owned())
        }),
        ts: None,
    })
}
