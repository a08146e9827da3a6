//! From start to end: what is opened in which order, and closed in the other.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ams_core::clock::{SystemClock, SystemEntropy};
use ams_core::close::Close;
use ams_core::engine::{Engine, Records};
use ams_core::ids::Minter;
use ams_core::limits::RoomLimits;
use ams_core::room::Rooms;
use ams_engine::OpenError;
use ams_web::metrics::Sample;
use ams_web::origin::Scheme;
use ams_web::ws::Connections;
use ams_web::{ClientAddresses, Door, Environment, Origin};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::Acceptor;
use crate::config::Config;
use crate::counters::Counters;
use crate::doors::{self, Foundation};
use crate::health::{self, Health};
use crate::metrics::{self, Metrics};
use crate::peppers::{self, PepperError};
use crate::readiness::Readiness;
use crate::slots::Slots;
use crate::storage::{self, Storage};
use crate::tls::{Certificate, TlsError};
use crate::{descriptors, listen, process, router, systemd};

/// How often the end looks whether WebSockets are gone; they close by themselves once they were told.
const SOCKETS_LOOK: Duration = Duration::from_millis(20);

/// How long doors may take at the end for what must not be lost, such as counts that were not saved yet.
const BACKGROUND_TIME_MAX: Duration = Duration::from_secs(5);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Storage(#[from] OpenError),
    /// There are no peppers to go with the data.
    #[error(transparent)]
    Peppers(#[from] PepperError),
}

/// The server: started from a configuration, the same way by the program and by tests.
#[derive(Debug)]
pub struct Server;

/// A server that answers requests. Dropping it changes nothing; it ends by [`Running::stop`].
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    scheme: Scheme,
    certificate: Option<Certificate>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    /// Opens everything and begins to answer.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left open then.
    pub async fn start(config: &Config) -> Result<Running, StartError> {
        let files = descriptors::raise();
        let certificate = config.tls.files().map(|(cert, key)| Certificate::read(cert, key)).transpose()?;
        // Before the data is opened: a second server on the same port should touch nothing.
        let listener = listener(config.listen.listen).await?;
        let address = listener.local_addr().map_err(|source| refused(config, source))?;
        let scheme = if certificate.is_some() { Scheme::Https } else { Scheme::Http };

        let mut storage = open(config).await?;
        let environment = environment(config, scheme, address);
        let records = Records::new(storage.engine.clone());
        let peppers = match peppers::take(config, &records, &*environment.entropy).await {
            Ok(peppers) => peppers,
            Err(error) => {
                storage.engine.close().await;
                return Err(error.into());
            }
        };
        let rooms = Rooms::new(storage.engine.clone(), environment.clock.clone(), RoomLimits::default());
        let doors = doors::all(config, Foundation { peppers, rooms, records, environment: environment.clone() });

        let counters = Arc::new(Counters::default());
        let connections = environment.connections.clone();
        let slots = Slots::new(descriptors::connections_max(config.limits.max_connections, files), connections.clone());
        let readiness = Readiness::new(storage.engine.clone(), storage.data.clone());
        let health = Health {
            environment: environment.clone(),
            readiness: readiness.clone(),
            metrics: registry(&counters, &slots, &mut storage, &doors),
            metrics_token: config.secrets.metrics_token.clone().map(health::bearer_hash),
            protocols: doors.iter().map(|door| door.name).collect(),
        };
        let router = router::build(&doors, health, environment, counters.clone());
        let (drain, abort, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let acceptor = Acceptor {
            listener,
            certificate: certificate.clone(),
            router,
            slots,
            limits: config.limits.clone(),
            counters,
            drain: drain.clone(),
            abort: abort.clone(),
            tasks: tasks.clone(),
        };
        let stop = CancellationToken::new();
        let background = Background::start(&doors);
        let life = Life { readiness, connections, background, engine: storage.engine, drain, abort, tasks };
        let (patience, stopped) = (config.listen.drain_timeout, stop.clone());
        let task = tokio::spawn(async move { life.live(acceptor, patience, stopped).await });
        Ok(Running { address, scheme, certificate, stop, task })
    }
}

impl Running {
    /// Where it listens; with port 0, the port that was free.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:8787`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme.as_str(), self.address)
    }

    /// Begins the end; [`Running::wait`] says when it is reached.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Reads the certificate again. New connections get the new one; on an error they get the old one.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.certificate.as_ref().map_or(Ok(()), Certificate::reload)
    }

    /// Waits until everything is closed.
    pub async fn wait(self) {
        self.task.await.expect("the server's own task does not panic");
    }

    /// Waits until everything is closed; may be asked again when the wait was given up.
    pub async fn finished(&mut self) {
        (&mut self.task).await.expect("the server's own task does not panic");
    }
}

/// What the end needs.
struct Life {
    readiness: Readiness,
    connections: Connections,
    background: Background,
    engine: Arc<dyn Engine>,
    drain: CancellationToken,
    abort: CancellationToken,
    tasks: TaskTracker,
}

impl Life {
    async fn live(self, acceptor: Acceptor, drain_timeout: Duration, stop: CancellationToken) {
        let accepting = CancellationToken::new();
        let accept = tokio::spawn(acceptor.run(accepting.clone()));
        systemd::ready();
        let watch = systemd::watch();

        stop.cancelled().await;
        tracing::info!("stopping: no new connections, those that are open may finish");
        self.readiness.drain();
        systemd::stopping();
        accepting.cancel();
        if let Err(error) = accept.await {
            tracing::error!(%error, "the accept loop ended badly");
        }
        // The listener and the server's own hold on the doors are gone with the accept loop.
        self.drain.cancel();
        self.connections.close_all(Close::RESTART);
        self.tasks.close();
        let deadline = Instant::now() + drain_timeout;
        if timeout_at(deadline, self.quiet()).await.is_err() {
            let open = self.tasks.len() + self.connections.count();
            tracing::warn!(open, "the time to drain is over; closing what is left");
            self.abort.cancel();
            // Each task only has to notice; a handler that blocks its thread cannot.
            let _ = timeout(Duration::from_secs(1), self.tasks.wait()).await;
        }
        self.background.finish().await;
        self.engine.close().await;
        watch.inspect(tokio::task::AbortHandle::abort);
        tracing::info!("stopped");
    }

    /// Waits until nobody is connected.
    async fn quiet(&self) {
        self.tasks.wait().await;
        while self.connections.count() != 0 {
            // One that was just being handed over missed the first call.
            self.connections.close_all(Close::RESTART);
            sleep(SOCKETS_LOOK).await;
        }
    }
}

/// What doors do beside answering.
struct Background {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Background {
    fn start(doors: &[Door]) -> Self {
        let background = Background { stop: CancellationToken::new(), tasks: TaskTracker::new() };
        for door in doors {
            background.tasks.spawn((door.background)(Box::pin(background.stop.clone().cancelled_owned())));
        }
        background.tasks.close();
        background
    }

    async fn finish(&self) {
        self.stop.cancel();
        if timeout(BACKGROUND_TIME_MAX, self.tasks.wait()).await.is_err() {
            tracing::warn!("a door did not finish its own work in time; what it had not saved is lost");
        }
    }
}

async fn listener(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listen = || match listen::inherited()? {
        Some(passed) => Ok(passed),
        None => listen::bind(address),
    };
    listen().and_then(TcpListener::from_std).map_err(|source| StartError::Listen { address, source })
}

async fn open(config: &Config) -> Result<Storage, OpenError> {
    let options = config.storage.clone();
    let opened = tokio::task::spawn_blocking(move || storage::open(&options)).await;
    opened.expect("opening the storage does not panic")
}

fn environment(config: &Config, scheme: Scheme, address: SocketAddr) -> Environment {
    let trusted = config.network.trusted();
    Environment {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        minter: Arc::new(Minter::default()),
        origin: Origin::new(config.network.public_url.clone(), scheme, address.to_string(), trusted.clone()),
        addresses: ClientAddresses::new(trusted),
        connections: Connections::default(),
    }
}

fn refused(config: &Config, source: io::Error) -> StartError {
    StartError::Listen { address: config.listen.listen, source }
}

fn registry(counters: &Counters, slots: &Slots, storage: &mut Storage, doors: &[Door]) -> Metrics {
    let slots = slots.clone();
    let frame = metrics::source(move || {
        let open = "Connections open now.";
        vec![
            Sample::gauge("ams_connections", open, slots.http() as f64).with("transport", "http"),
            Sample::gauge("ams_connections", open, slots.sockets() as f64).with("transport", "websocket"),
            Sample::gauge("ams_connections_max", "Connections that may be open.", slots.max() as f64),
        ]
    });
    let mut sources = vec![frame, metrics::source(process::samples), storage.samples.clone()];
    sources.extend(doors.iter().map(|door| door.samples.clone()));
    let build = vec![("version", health::VERSION.to_owned()), ("commit", health::COMMIT.to_owned())];
    Metrics::new(counters, build, sources, std::mem::take(&mut storage.collectors))
}
