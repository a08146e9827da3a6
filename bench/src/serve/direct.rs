//! `direct`: the task that reads a token writes it into every socket of the room itself.
//!
//! All tokens of one read are gathered into one write per socket, the bytes are made once for all, there is no queue and
//! no task switch. This is about the least that a server on this runtime can do. With [`Delivery::Committed`] the same
//! server is `fsync`.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use anyhow::{Result, bail};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use super::fsync::{Committer, Pending};
use super::handshake::{self, Upgrade};
use super::member::{Member, Room, Rooms};
use super::protocol::{self, ClientFrame, ClientFrameKind, Identity};
use crate::frame::{self, Opcode};

/// Size of each thread's read buffer; one read takes at most this much.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// When a token may be seen.
#[derive(Debug)]
pub(super) enum Delivery {
    /// As soon as it is read.
    AtOnce,
    /// After it is in a file and the file is synced.
    Committed(Committer),
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    rooms: Rooms,
    delivery: Delivery,
    runtime: Handle,
}

/// The buffers of a thread; an idle connection owns none.
struct Scratch {
    input: Vec<u8>,
    payload: Vec<u8>,
    frames: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch { input: vec![0; READ_BUFFER_BYTES], payload: Vec::new(), frames: Vec::new() });
}

/// What a read came to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// The connection goes on.
    Open,
    /// The other side has closed.
    Closed,
}

/// Accepts and serves connections for ever.
pub(super) async fn serve(listener: TcpListener, delivery: Delivery) -> Result<()> {
    let shared = Arc::new(Shared { rooms: Rooms::default(), delivery, runtime: Handle::current() });
    loop {
        let (socket, _) = listener.accept().await?;
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            if let Err(error) = connection(socket, &shared).await {
                eprintln!("connection: {error:#}");
            }
        });
    }
}

/// One connection from its upgrade to its end.
async fn connection(socket: TcpStream, shared: &Shared) -> Result<()> {
    socket.set_nodelay(true)?;
    let Some((identity, mut partial)) = Box::pin(admit(&socket)).await? else { return Ok(()) };
    let room = shared.rooms.open(&identity.room);
    let member = Arc::new(Member::new(identity, socket));
    let mut joined = Vec::new();
    protocol::render_joined(&mut joined, &member.identity);
    let mut frames = Vec::with_capacity(joined.len() + 4);
    frame::write(&mut frames, Opcode::Text, None, &joined);
    member.send(&shared.runtime, &frames);
    drop((joined, frames));
    room.join(&member);
    let result = listen(&member, &room, shared, &mut partial).await;
    room.leave(&member);
    result
}

/// Upgrades, and waits for `attach` where it must come. Gives the bytes that followed; `None` when the client left.
async fn admit(socket: &TcpStream) -> Result<Option<(Identity, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let Upgrade { mut identity, answer, consumed } = loop {
        if let Some(upgrade) = handshake::parse(&bytes)? {
            break upgrade;
        }
        if read_more(socket, &mut bytes).await? == Step::Closed {
            return Ok(None);
        }
    };
    bytes.drain(..consumed);
    let mut sent = 0;
    while sent < answer.len() {
        socket.writable().await?;
        sent += or_would_block(socket.try_write(&answer[sent..]))?.unwrap_or(0);
    }
    while identity.awaits_attach {
        if let Some(found) = frame::parse(&bytes)? {
            let payload = &mut bytes[found.start..found.end];
            frame::apply_mask(payload, found.mask.unwrap_or_default());
            if !identity.attach(serde_json::from_slice(payload)?) {
                bail!("the first frame is no attach");
            }
            bytes.drain(..found.end);
        } else if read_more(socket, &mut bytes).await? == Step::Closed {
            return Ok(None);
        }
    }
    bytes.shrink_to_fit();
    Ok(Some((identity, bytes)))
}

/// Appends what the socket has, waiting until it has something.
async fn read_more(socket: &TcpStream, bytes: &mut Vec<u8>) -> Result<Step> {
    loop {
        socket.readable().await?;
        match or_would_block(socket.try_read_buf(bytes))? {
            Some(0) => return Ok(Step::Closed),
            Some(_) => return Ok(Step::Open),
            None => {}
        }
    }
}

/// Reads until the connection ends.
async fn listen(member: &Arc<Member>, room: &Arc<Room>, shared: &Shared, partial: &mut Vec<u8>) -> Result<()> {
    loop {
        match read_once(member, room, shared, partial) {
            Ok(Step::Open) => {}
            Ok(Step::Closed) => return Ok(()),
            // How most load generators, and many people, leave.
            Err(error) if error.downcast_ref::<io::Error>().is_some() => return Ok(()),
            Err(error) => return Err(error),
        }
        if member.socket.readable().await.is_err() {
            return Ok(());
        }
    }
}

/// One read of the socket, into this thread's buffer, and everything that follows from it.
fn read_once(member: &Arc<Member>, room: &Arc<Room>, shared: &Shared, partial: &mut Vec<u8>) -> Result<Step> {
    SCRATCH.with_borrow_mut(|Scratch { input, payload, frames }| {
        let waiting = partial.len();
        if input.len() < waiting + READ_BUFFER_BYTES / 2 {
            input.resize(waiting + READ_BUFFER_BYTES, 0);
        }
        input[..waiting].copy_from_slice(partial);
        let filled = match or_would_block(member.socket.try_read(&mut input[waiting..]))? {
            Some(0) => return Ok(Step::Closed),
            Some(read) => waiting + read,
            // Nothing new, but at first the upgrade may have brought frames along.
            None => waiting,
        };
        frames.clear();
        let (step, consumed) = handle(member, shared, &mut input[..filled], payload, frames)?;
        *partial = if consumed < filled { input[consumed..filled].to_vec() } else { Vec::new() };
        if !frames.is_empty() {
            match &shared.delivery {
                Delivery::AtOnce => room.deliver(&shared.runtime, member, frames),
                Delivery::Committed(committer) => committer.submit(Pending {
                    room: Arc::clone(room),
                    author: Arc::clone(member),
                    frames: frames.as_slice().into(),
                }),
            }
        }
        Ok(step)
    })
}

/// Handles every whole frame in `bytes`, and renders the tokens among them into `frames`. Gives how many bytes that were.
fn handle(
    member: &Arc<Member>,
    shared: &Shared,
    bytes: &mut [u8],
    payload: &mut Vec<u8>,
    frames: &mut Vec<u8>,
) -> Result<(Step, usize)> {
    let mut consumed = 0;
    let mut now = None;
    while let Some(found) = frame::parse(&bytes[consumed..])? {
        let content = &mut bytes[consumed + found.start..consumed + found.end];
        consumed += found.end;
        frame::apply_mask(content, found.mask.unwrap_or_default());
        match found.opcode {
            Opcode::Text => {
                let ClientFrame { kind: ClientFrameKind::Token, data, .. } = serde_json::from_slice(content)? else {
                    bail!("attach on a connection that has joined");
                };
                payload.clear();
                let ts = now.get_or_insert_with(protocol::timestamp);
                protocol::render_token(payload, &member.identity, ts, &data);
                frame::write(frames, Opcode::Text, None, payload);
            }
            Opcode::Ping | Opcode::Close => {
                let closing = found.opcode == Opcode::Close;
                let mut answer = Vec::new();
                frame::write(&mut answer, if closing { Opcode::Close } else { Opcode::Pong }, None, content);
                member.send(&shared.runtime, &answer);
                if closing {
                    return Ok((Step::Closed, consumed));
                }
            }
            Opcode::Pong => {}
            Opcode::Binary => bail!("a binary frame"),
        }
    }
    Ok((Step::Open, consumed))
}

/// Separates "not now" from errors.
fn or_would_block(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
