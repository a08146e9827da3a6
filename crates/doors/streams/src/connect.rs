//! The WebSocket side of the door (token streams §3): admission, the stream, and everything that takes time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ams_core::author::{Author, Proof, StreamRef};
use ams_core::close::Close;
use ams_core::engine::EngineError;
use ams_core::live::presence::EnterError;
use ams_core::live::signal::Present;
use ams_core::room::{Append, Backlog, Durability, End, Entered, Entrance, Membership, Offer, Outlet, Rooms, Settled};
use ams_core::secret::Secret;
use ams_web::Environment;
use ams_web::ws::connection::{self, Limits};
use ams_web::ws::delivery::DeliveryError;
use ams_web::ws::{Delivery, Flow, Keepalive, Sent, Socket};
use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::close;
use crate::config::Config;
use crate::directory::{AuthenticateError, Directory};
use crate::hall::{Hall, Seat};
use crate::link::{anonymous_account, stream_id};
use crate::metadata::Metadata;
use crate::names::StreamName;
use crate::records::{Account, Conversation, StorageError};
use crate::render::{self, JoinedParts, StreamsFrames};
use crate::session::{Action, AttachAllowed, Session};
use crate::telemetry::Telemetry;
use crate::wire::Replay;
use crate::wish::Wish;

/// What connections act on. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Gate(pub(crate) Arc<GateParts>);

/// The parts of a [`Gate`].
#[derive(Debug)]
pub(crate) struct GateParts {
    pub directory: Directory,
    pub rooms: Rooms,
    pub hall: Arc<Hall>,
    pub telemetry: Arc<Telemetry>,
    pub environment: Environment,
    pub config: Arc<Config>,
}

/// What the link and the credential of an upgrade request were good for.
#[derive(Debug)]
pub(crate) enum Admitted {
    /// For nothing.
    Refused(Close),
    /// The link fits; who comes will be said in the first frame.
    ByLink(Arc<Door>),
    /// Link and credential fit, and this is asked for.
    ByCredential(Arc<Door>, Box<Account>, Box<Wish>),
}

/// A conversation whose link was shown.
#[derive(Debug)]
pub(crate) struct Door {
    pub conversation: Conversation,
    pub token: Secret,
}

impl Gate {
    /// Bounds of each connection.
    pub(crate) fn limits(&self) -> Limits {
        let config = &self.0.config;
        let keepalive = Keepalive { ping_interval: config.ping_interval, silence_max: config.silence_max };
        Limits { message_bytes_max: config.message_bytes_max, keepalive }
    }

    /// Runs an upgraded connection to its end.
    pub(crate) fn serve(self, taken: ams_web::ws::handshake::Taken, admitted: Admitted) {
        let connections = self.0.environment.connections.clone();
        connection::spawn(taken, &connections, self.limits(), move |socket| {
            Connection::new(self, socket.clone(), admitted)
        });
    }
}

/// A connection's side of the door.
struct Connection {
    gate: Gate,
    socket: Arc<Socket>,
    session: Session,
    state: State,
    /// Gathered since the last flush.
    appends: Vec<Append>,
    /// The room takes no more just now.
    is_held: bool,
}

enum State {
    /// The first frame is owed until then.
    Waiting(Arc<Door>, Pin<Box<tokio::time::Sleep>>),
    /// A stream is being registered.
    Binding(BoxFuture<'static, Result<Bound, Close>>),
    /// It is.
    Bound(Box<Bound>),
    /// The connection has ended, or is about to.
    Ended(Option<Close>),
}

/// A registered stream. The order of the fields is the order of leaving: first nothing more is delivered, then the
/// others are told, then the place is given back.
struct Bound {
    delivery: Delivery,
    membership: Membership,
    _seat: Seat,
    name: StreamName,
    /// For an `attach` that gives a provisional stream its name: the conversation and the account.
    provisional: Option<(Arc<Door>, Box<Account>)>,
    attach: AttachAllowed,
}

impl Connection {
    fn new(gate: Gate, socket: Arc<Socket>, admitted: Admitted) -> Self {
        let max = gate.0.config.token_bytes_max;
        let (session, state) = match admitted {
            Admitted::Refused(close) => (Session::binding(max), State::Ended(Some(close))),
            Admitted::ByLink(door) => {
                let wait = Box::pin(tokio::time::sleep(gate.0.config.attach_wait));
                (Session::waiting(max), State::Waiting(door, wait))
            }
            Admitted::ByCredential(door, account, wish) => {
                let attach = if wish.name.is_some() { AttachAllowed::Repeat } else { AttachAllowed::Rename };
                let binding = bind(gate.clone(), socket.clone(), door, Some(account), *wish, attach);
                (Session::binding(max), State::Binding(Box::pin(binding)))
            }
        };
        Connection { gate, socket, session, state, appends: Vec::new(), is_held: false }
    }

    fn act(&mut self, action: Action) -> Flow {
        match action {
            Action::None => Flow::Go,
            Action::Append(append) => {
                self.appends.push(append);
                Flow::Go
            }
            // Whoever has its pong knows that everything it said before has been taken.
            Action::Pong => match (connection::Session::flush(self), self.socket.send(render::pong())) {
                (Flow::Go, Sent::Queued | Sent::Gone) => Flow::Go,
                (Flow::Go, Sent::Overflow) => Flow::Close(close::SUBSCRIBER_BACKPRESSURE),
                (refused, _) => refused,
            },
            Action::Bind(wish) => {
                let State::Waiting(door, _) = &self.state else { return Flow::Close(close::INTERNAL_ERROR) };
                self.bind(door.clone(), None, *wish)
            }
            Action::Rebind(wish) => {
                let State::Bound(bound) = &mut self.state else { return Flow::Close(close::INTERNAL_ERROR) };
                let Some((door, account)) = bound.provisional.take() else {
                    return Flow::Close(close::INTERNAL_ERROR);
                };
                // The provisional stream leaves here, before the named one comes.
                self.bind(door, Some(account), *wish)
            }
            Action::Close(close) => Flow::Close(close),
        }
    }

    fn bind(&mut self, door: Arc<Door>, account: Option<Box<Account>>, wish: Wish) -> Flow {
        let binding = bind(self.gate.clone(), self.socket.clone(), door, account, wish, AttachAllowed::No);
        self.state = State::Binding(Box::pin(binding));
        Flow::Wait
    }
}

impl connection::Session for Connection {
    fn text(&mut self, text: &str) -> Flow {
        let action = self.session.text(text);
        self.act(action)
    }

    fn binary(&mut self) -> Flow {
        Flow::Close(self.session.binary())
    }

    fn flush(&mut self) -> Flow {
        if self.appends.is_empty() {
            return Flow::Go;
        }
        let appends = std::mem::take(&mut self.appends);
        let State::Bound(bound) = &self.state else { return Flow::Go };
        let tokens = appends.iter().filter(|append| append.kind == ams_core::entry::Kind::Token);
        let (count, bytes) = tokens.fold((0, 0), |(count, bytes), token| (count + 1, bytes + token.body.len() - 2));
        match bound.membership.append(appends) {
            Ok(backlog) => {
                self.is_held = backlog == Backlog::Full;
                self.gate.0.telemetry.tokens(count, bytes);
                Flow::Go
            }
            // Another connection has taken the stream over, and the room has said so to this one.
            Err(_) => Flow::Wait,
        }
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Flow> {
        loop {
            match &mut self.state {
                State::Ended(close) => {
                    return Poll::Ready(Flow::Close(close.take().unwrap_or(close::INTERNAL_ERROR)));
                }
                State::Waiting(_, wait) => {
                    return match wait.as_mut().poll(context) {
                        Poll::Ready(()) => Poll::Ready(Flow::Close(close::INVALID_CREDENTIAL)),
                        Poll::Pending => Poll::Ready(Flow::Go),
                    };
                }
                State::Binding(binding) => match ready!(binding.as_mut().poll(context)) {
                    Ok(bound) => {
                        self.session.bound(bound.name.clone(), bound.attach);
                        self.state = State::Bound(Box::new(bound));
                        // Polled once more by whoever called: there is something to deliver now.
                        self.socket.wake();
                    }
                    Err(close) => self.state = State::Ended(Some(close)),
                },
                State::Bound(bound) => {
                    if self.is_held {
                        ready!(bound.membership.poll_ready(context));
                        self.is_held = false;
                    }
                    return Poll::Ready(Flow::Go);
                }
            }
        }
    }

    fn delivery(&mut self) -> Option<&mut Delivery> {
        match &mut self.state {
            State::Bound(bound) => Some(&mut bound.delivery),
            State::Waiting(..) | State::Binding(_) | State::Ended(_) => None,
        }
    }

    fn failed(&mut self, error: DeliveryError) -> Close {
        match error {
            DeliveryError::Lagged => close::SUBSCRIBER_BACKPRESSURE,
            DeliveryError::Engine(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a conversation could not be read");
                close::INTERNAL_ERROR
            }
        }
    }

    fn ended(&mut self, close: Close) {
        self.state = State::Ended(None);
        self.gate.0.telemetry.closed(close);
    }
}

/// Registers a stream: who it is, whether there is room, what it may see, and the `joined` frame.
async fn bind(
    gate: Gate,
    socket: Arc<Socket>,
    door: Arc<Door>,
    known: Option<Box<Account>>,
    mut wish: Wish,
    attach: AttachAllowed,
) -> Result<Bound, Close> {
    let Gate(parts) = &gate;
    let known = match (known, wish.credential.take()) {
        (Some(account), _) => Some(account),
        (None, Some(credential)) => Some(authenticate(&parts.directory, &credential).await?),
        (None, None) => None,
    };
    let (account, proof): (Arc<str>, _) = match &known {
        Some(account) => (account.id.as_ref().into(), Proof::Credential),
        None => (anonymous_account(&parts.directory.peppers().links, &door.token), Proof::Link),
    };
    let conversation = &door.conversation;
    let durability = if conversation.durable { Durability::Durable } else { Durability::Ephemeral };
    let room = parts.rooms.open(&conversation.id, durability).await.map_err(unreadable)?;
    let name = wish.name.take().unwrap_or_else(|| StreamName::generate(&*parts.environment.entropy));
    let returns = room.is_held_by(name.as_str(), &account);
    let seat = parts.hall.seat(&conversation.id, &account, proof, returns).map_err(|_| close::CONCURRENCY_LIMIT)?;

    let id = stream_id(&parts.directory.peppers().links, conversation.id.as_str(), &account, name.as_str());
    let view = wish.view(id);
    let (from, replay) = match wish.from {
        None => (None, None),
        Some(_) if proof == Proof::Link && !conversation.durable => (None, Some(Replay::AccountRequired)),
        Some(from) => {
            let located = room.locate(from, &view).await.map_err(unreadable)?;
            let replay = if located.is_complete { Replay::Complete } else { Replay::Partial };
            (Some(located.seq), Some(replay))
        }
    };
    let stream = StreamRef { id, name: name.clone().into() };
    let author = Arc::new(Author { account: account.clone(), proof, stream: Some(stream), claim: wish.claim.take() });
    let metadata = first_metadata(conversation, &account, &name, wish.metadata.take());
    let me = Present { author: author.clone(), metadata: metadata.clone() };
    let entrance = Entrance {
        name: name.clone().into(),
        author,
        metadata,
        view,
        from,
        render: Arc::new(StreamsFrames),
        outlet: Arc::new(StreamOutlet(socket.clone())),
        wants_receipts: wish.receipts,
    };
    let Entered { membership, cursor, others, head, at, is_resumed } =
        room.enter(entrance).map_err(|refused| match refused {
            EnterError::HeldByAnother => close::STREAM_NAME_OWNER_CONFLICT,
            EnterError::Full => close::CONCURRENCY_LIMIT,
        })?;
    socket.send(render::joined(&JoinedParts {
        conversation_id: conversation.id.as_str(),
        conversation_metadata: conversation.metadata.as_raw(),
        me: &me,
        others: &others,
        self_subscribe: wish.self_subscribe,
        is_resumed,
        subscribed_streams: wish.only.as_deref(),
        durable: conversation.durable,
        head_seq: head.get(),
        replay,
        at,
    }));
    still_admitted(parts, &door, known.as_deref()).await?;
    let provisional = known.filter(|_| attach == AttachAllowed::Rename).map(|account| (door, account));
    Ok(Bound { delivery: Delivery::new(cursor), membership, _seat: seat, name, provisional, attach })
}

/// What the control plane changed while this stream was being registered was told only to streams that were.
async fn still_admitted(parts: &GateParts, door: &Door, account: Option<&Account>) -> Result<(), Close> {
    let Conversation { id, namespace, alias, .. } = &door.conversation;
    let found = parts.directory.conversation(namespace, alias).await.map_err(broken)?;
    let Some(now) = found.filter(|found| found.id == *id) else { return Err(close::CONVERSATION_NOT_FOUND) };
    let Some(account) = account else {
        let is_let_in = parts.directory.check_link(&now, &door.token, parts.environment.clock.now()).is_ok();
        return if is_let_in { Ok(()) } else { Err(close::INVALID_MAGIC_LINK) };
    };
    let is_known = parts.directory.is_unchanged(account).await.map_err(broken)?;
    if is_known { Ok(()) } else { Err(close::INVALID_CREDENTIAL) }
}

/// The account of a credential; one that is unknown is never taken for nobody's.
pub(crate) async fn authenticate(directory: &Directory, credential: &Secret) -> Result<Box<Account>, Close> {
    match directory.account_by_credential(credential).await {
        Ok(account) => Ok(Box::new(account)),
        Err(AuthenticateError::Unknown) => Err(close::INVALID_CREDENTIAL),
        Err(AuthenticateError::Storage(error)) => Err(broken(error)),
    }
}

/// The minter's stream starts as it was announced, unless it now says otherwise (§2.6).
fn first_metadata(conversation: &Conversation, account: &str, name: &StreamName, given: Option<Metadata>) -> Bytes {
    let minted = &conversation.minted_stream;
    let is_minted = *conversation.owner == *account && minted.name == *name;
    let metadata = given.or_else(|| is_minted.then(|| minted.metadata.clone())).unwrap_or_default();
    Bytes::copy_from_slice(metadata.as_str().as_bytes())
}

pub(crate) fn broken(error: StorageError) -> Close {
    tracing::error!(error = &error as &dyn std::error::Error, "a connection could not be admitted");
    close::INTERNAL_ERROR
}

fn unreadable(error: EngineError) -> Close {
    tracing::error!(error = &error as &dyn std::error::Error, "a conversation could not be opened");
    close::INTERNAL_ERROR
}

/// The way from a room to a connection of this door.
#[derive(Debug)]
struct StreamOutlet(Arc<Socket>);

impl Outlet for StreamOutlet {
    fn offer(&self, frames: &[Bytes]) -> Offer {
        self.0.offer(frames)
    }

    fn wake(&self) {
        self.0.wake();
    }

    fn end(&self, end: End) {
        self.0.close(match end {
            End::Displaced => close::STREAM_DISPLACED,
            End::Lagged => close::SUBSCRIBER_BACKPRESSURE,
            End::Closed(close) => close,
        });
    }

    fn settled(&self, fate: Result<Vec<Settled>, EngineError>) {
        let sent = match fate {
            Ok(settled) => self.0.send(render::receipts(&settled)),
            // The writer must not believe that its tokens were kept; one that has keys sends them again.
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "tokens could not be stored");
                return self.0.close(close::INTERNAL_ERROR);
            }
        };
        if sent == Sent::Overflow {
            self.0.close(close::SUBSCRIBER_BACKPRESSURE);
        }
    }
}
