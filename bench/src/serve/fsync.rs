//! `fsync`: the bare grouped write-and-sync loop that durable appends are measured against.
//!
//! One thread writes everything that waits into a plain file with one write and one `fdatasync`; what gathers meanwhile
//! is the next batch. A second thread delivers what is stored, so that deliveries never hold up the next sync.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use anyhow::{Context, Result};
use tokio::runtime::Handle;

use super::member::{Member, Room};

/// The tokens of one read, rendered, not yet stored.
#[derive(Debug)]
pub(super) struct Pending {
    /// Where they go.
    pub room: Arc<Room>,
    /// Who wrote them.
    pub author: Arc<Member>,
    /// Whole frames.
    pub frames: Box<[u8]>,
}

/// A handle to the committing thread.
#[derive(Debug)]
pub(super) struct Committer {
    inbox: Sender<Pending>,
}

impl Committer {
    /// Hands over tokens; they are delivered after they are stored. The queue is unbounded: a generator has at most 32
    /// tokens outstanding per writer.
    pub(super) fn submit(&self, pending: Pending) {
        // The committer ends only with the process, after it has said why.
        self.inbox.send(pending).ok();
    }
}

/// Opens the file in `directory` and starts both threads.
pub(super) fn start(directory: &Path) -> Result<Committer> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let path = directory.join("tokens");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    let (inbox, waiting) = mpsc::channel();
    let (stored, to_deliver) = mpsc::channel::<Vec<Pending>>();
    let runtime = Handle::current();
    thread::Builder::new().name("committer".into()).spawn(move || {
        if let Err(error) = commit_all(file, &waiting, &stored) {
            // Going on would acknowledge what is not stored.
            eprintln!("cannot store: {error}");
            std::process::exit(1);
        }
    })?;
    thread::Builder::new().name("deliverer".into()).spawn(move || {
        for pending in to_deliver.into_iter().flatten() {
            pending.room.deliver(&runtime, &pending.author, &pending.frames);
        }
    })?;
    Ok(Committer { inbox })
}

/// Writes and syncs batch after batch until nobody can submit any more.
fn commit_all(mut file: File, waiting: &Receiver<Pending>, stored: &Sender<Vec<Pending>>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    while let Ok(first) = waiting.recv() {
        let batch: Vec<Pending> = std::iter::once(first).chain(waiting.try_iter()).collect();
        bytes.clear();
        for pending in &batch {
            bytes.extend_from_slice(&(pending.frames.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&pending.frames);
        }
        file.write_all(&bytes)?;
        file.sync_data()?;
        if stored.send(batch).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
