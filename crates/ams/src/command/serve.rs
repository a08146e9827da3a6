//! `ams serve`: the server in the foreground.

use std::io::Write;

use ams_server::config::{Config, ConfigError, Given};
use ams_server::signals::{Signals, Wish};
use ams_server::{Running, Server, StartError};

use crate::failure::{Exit, Failure};

/// Run the server until SIGTERM or SIGINT
///
/// Works with nothing set: it keeps its data in ./ams-data, makes its own secrets, and listens on loopback. Its first
/// line on stdout says where; the log goes to stderr. Every option can also be set in the environment or in ams.toml;
/// `ams config show` tells what holds and why.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    given: Given,
}

pub(crate) fn run(options: Options) -> Result<(), Failure> {
    let config = options.given.load(|name| std::env::var_os(name))?.config;
    ams_server::logging::install(&config.logging)
        .map_err(|error| Failure::new(Exit::Other, "log", error.to_string()))?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(&config));
    runtime.shutdown_background();
    result
}

async fn serve(config: &Config) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let mut running = tokio::select! {
        running = Server::start(config) => running?,
        // What a start does is as safe to interrupt as everything else.
        () = stop_wanted(&mut signals) => return Ok(()),
    };
    announce(&running)?;
    let mut stopping = false;
    loop {
        tokio::select! {
            () = running.finished() => return Ok(()),
            wish = signals.next() => match wish {
                Wish::Stop if stopping => {
                    tracing::warn!("a second signal: exiting at once");
                    std::process::exit(i32::from(Exit::Interrupted as u8));
                }
                Wish::Stop => {
                    stopping = true;
                    running.stop();
                }
                Wish::Reload => reload(&running),
            },
        }
    }
}

async fn stop_wanted(signals: &mut Signals) {
    while signals.next().await != Wish::Stop {}
}

/// The one line on stdout, for people and for programs that wait for it.
fn announce(running: &Running) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "listening on {}", running.url()).and_then(|()| stdout.flush()) {
        // Nobody has to read it.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn reload(running: &Running) {
    match running.reload() {
        Ok(()) => tracing::info!("the certificate was read again"),
        Err(error) => tracing::error!(%error, "the certificate could not be read again; the old one stays"),
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::new(Exit::Usage, "configuration", error.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let (exit, code) = match &error {
            StartError::Listen { .. } => (Exit::Other, "listen"),
            StartError::Tls(_) => (Exit::Usage, "tls"),
            StartError::Storage(_) => (Exit::Other, "storage"),
            StartError::Peppers(_) => (Exit::Other, "peppers"),
        };
        let failure = Failure::new(exit, code, error.to_string());
        match error {
            StartError::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
                failure.hint("another server listens there; --listen 127.0.0.1:0 takes a free port")
            }
            _ => failure,
        }
    }
}
