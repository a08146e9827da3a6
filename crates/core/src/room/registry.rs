//! The rooms that are in memory, and the task that shows what the engine has made durable.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::owner::{Durability, Room};
use crate::clock::Clock;
use crate::engine::{Engine, EngineError, Head, Outcome};
use crate::ids::RoomId;
use crate::limits::RoomLimits;
use crate::sync::lock;

/// Locks over the map of rooms, so that unrelated rooms rarely meet at one.
const SHARDS: usize = 32;
/// How often rooms are asked whether they can be let go of.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// All rooms of a server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rooms(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shards: [Mutex<HashMap<RoomId, Arc<Room>>>; SHARDS],
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    limits: RoomLimits,
    delivery: Delivery,
    tasks: Vec<AbortHandle>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// The way from the engine's thread, which must not block, to the task that makes entries visible.
#[derive(Debug, Clone)]
pub(super) struct Delivery(mpsc::UnboundedSender<Told>);

/// What the engine said about the oldest append of a room that waited.
type Told = (Arc<Room>, Result<Vec<Outcome>, EngineError>);

impl Delivery {
    /// Hands over what the engine said. The queue needs no bound of its own: it never holds more than the appends that
    /// the rooms let wait.
    pub(super) fn deliver(self, room: Arc<Room>, fate: Result<Vec<Outcome>, EngineError>) {
        // Without a receiver the server is going down, and nobody is left to be shown anything.
        let _ = self.0.send((room, fate));
    }
}

impl Rooms {
    /// Rooms over an engine. Must be called within a runtime; its tasks end when the last clone is dropped.
    pub fn new(engine: Arc<dyn Engine>, clock: Arc<dyn Clock>, limits: RoomLimits) -> Self {
        let (sender, mut fates) = mpsc::unbounded_channel::<Told>();
        let shower = tokio::spawn(async move {
            while let Some((room, fate)) = fates.recv().await {
                room.settle(fate);
            }
        });
        Rooms(Arc::new_cyclic(|rooms: &std::sync::Weak<Inner>| {
            let rooms = rooms.clone();
            let sweeper = tokio::spawn(async move {
                loop {
                    tokio::time::sleep(SWEEP_INTERVAL).await;
                    let Some(rooms) = rooms.upgrade() else { return };
                    rooms.sweep();
                }
            });
            Inner {
                shards: std::array::from_fn(|_| Mutex::default()),
                engine,
                clock,
                limits,
                delivery: Delivery(sender),
                tasks: vec![shower.abort_handle(), sweeper.abort_handle()],
            }
        }))
    }

    /// The room of this name; made, or read from the engine, if nobody is in it.
    ///
    /// # Errors
    /// When the engine could not be asked.
    pub async fn open(&self, id: &RoomId, durability: Durability) -> Result<Arc<Room>, EngineError> {
        if let Some(room) = self.get(id) {
            return Ok(room);
        }
        let head = match durability {
            Durability::Ephemeral => Head::default(),
            Durability::Durable => self.0.engine.head(id).await?,
        };
        let inner = &self.0;
        let mut rooms = lock(inner.shard(id));
        let made = || {
            let (engine, clock, delivery) = (inner.engine.clone(), inner.clock.clone(), inner.delivery.clone());
            Arc::new(Room::new(id.clone(), durability, engine, clock, inner.limits, delivery, head))
        };
        Ok(rooms.entry(id.clone()).or_insert_with(made).clone())
    }

    /// The room, if it is in memory.
    pub fn get(&self, id: &RoomId) -> Option<Arc<Room>> {
        lock(self.0.shard(id)).get(id).cloned()
    }

    /// The newest entry of a room, in memory or not.
    ///
    /// # Errors
    /// When the engine could not be asked.
    pub async fn head(&self, id: &RoomId, durability: Durability) -> Result<crate::seq::Seq, EngineError> {
        match (self.get(id), durability) {
            (Some(room), _) => Ok(room.head()),
            (None, Durability::Ephemeral) => Ok(crate::seq::Seq::ZERO),
            (None, Durability::Durable) => Ok(self.0.engine.head(id).await?.seq),
        }
    }

    /// Erases a room and its log. Whoever is still in it must have been told before.
    ///
    /// # Errors
    /// When the engine failed; the room may be asked for again.
    pub async fn remove(&self, id: &RoomId) -> Result<(), EngineError> {
        lock(self.0.shard(id)).remove(id);
        self.0.engine.remove(id).await
    }

    /// Every room that is in memory now.
    pub fn all(&self) -> Vec<Arc<Room>> {
        self.0.shards.iter().flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>()).collect()
    }
}

impl Inner {
    fn shard(&self, id: &RoomId) -> &Mutex<HashMap<RoomId, Arc<Room>>> {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        &self.shards[usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or(0)]
    }

    /// Lets go of rooms in which nothing is and of which nobody holds a handle.
    fn sweep(&self) {
        for shard in &self.shards {
            lock(shard).retain(|_, room| !(room.sweep() && Arc::strong_count(room) == 1));
        }
    }
}
