//! The bytes below the frames: a plain TCP socket, or TLS driven by hand over one.
//!
//! Whoever has a frame writes it from where it is, so writing takes `&self` and never waits. That is why TLS is not
//! behind a stream here: its state lies in a lock beside the same kind of socket.

use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use rustls::ServerConnection;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::server::TlsStream;

/// Bytes of encrypted data that wait in TLS for the socket before it takes no more.
const TLS_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Bytes of one TLS record and its frame; what one read should be able to take.
const TLS_RECORD_BYTES: usize = 17 << 10;

/// Where bytes come from. Owned by the connection's task.
#[derive(Debug)]
pub struct Reader(ReaderKind);

#[derive(Debug)]
enum ReaderKind {
    Plain(OwnedReadHalf),
    Tls(Arc<Tls>),
}

/// Where bytes go. Shared by all who write.
#[derive(Debug)]
pub struct Writer(WriterKind);

#[derive(Debug)]
enum WriterKind {
    Plain(OwnedWriteHalf),
    Tls(Arc<Tls>),
}

#[derive(Debug)]
struct Tls {
    socket: TcpStream,
    state: Mutex<ServerConnection>,
}

/// Splits a plain socket.
pub fn plain(socket: TcpStream) -> (Reader, Writer) {
    let (reader, writer) = socket.into_split();
    (Reader(ReaderKind::Plain(reader)), Writer(WriterKind::Plain(writer)))
}

/// Splits a TLS stream whose handshake is done.
pub fn tls(stream: TlsStream<TcpStream>) -> (Reader, Writer) {
    let (socket, mut state) = stream.into_inner();
    state.set_buffer_limit(Some(TLS_BUFFER_BYTES_MAX));
    let tls = Arc::new(Tls { socket, state: Mutex::new(state) });
    (Reader(ReaderKind::Tls(tls.clone())), Writer(WriterKind::Tls(tls)))
}

impl Reader {
    /// Reads what is there; 0 bytes is the end.
    ///
    /// # Errors
    /// What the socket or TLS says.
    pub fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            ReaderKind::Plain(socket) => {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(socket).poll_read(context, &mut buffer))?;
                Poll::Ready(Ok(buffer.filled().len()))
            }
            ReaderKind::Tls(tls) => tls.poll_read(context, buffer),
        }
    }
}

impl Writer {
    /// Writes what the other side takes now; tells how many bytes that was.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing; anything else ends the connection.
    pub fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (&self.0, slices) {
            (WriterKind::Plain(socket), [one]) => socket.try_write(one),
            (WriterKind::Plain(socket), _) => socket.try_write_vectored(slices),
            (WriterKind::Tls(tls), _) => tls.try_write(slices),
        }
    }

    /// Passes on what was accepted and not sent yet; tells whether all of it is out.
    ///
    /// # Errors
    /// What ends the connection.
    pub fn try_flush(&self) -> io::Result<bool> {
        match &self.0 {
            WriterKind::Plain(_) => Ok(true),
            WriterKind::Tls(tls) => tls.flush(&mut tls.lock()),
        }
    }

    /// Says that nothing more comes; reading goes on. The other side sees it as the end behind our last frame.
    pub fn shut(&self) {
        let socket = match &self.0 {
            WriterKind::Plain(socket) => socket.as_ref(),
            WriterKind::Tls(tls) => {
                let mut state = tls.lock();
                state.send_close_notify();
                // Should the socket be full even for this, the end of the stream says the same.
                let _ = tls.flush(&mut state);
                &tls.socket
            }
        };
        // A socket that is not connected any more needs no telling.
        let _ = socket2::SockRef::from(socket).shutdown(std::net::Shutdown::Write);
    }

    /// Waits until the other side may take more.
    ///
    /// # Errors
    /// What ends the connection.
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            WriterKind::Plain(socket) => socket.as_ref().poll_write_ready(context),
            WriterKind::Tls(tls) => tls.socket.poll_write_ready(context),
        }
    }
}

impl Tls {
    fn lock(&self) -> std::sync::MutexGuard<'_, ServerConnection> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_read(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.lock().reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Without a closing record an attacker can cut a stream short; for a socket of messages it is an end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(0)),
                done => return Poll::Ready(done),
            }
            ready!(self.socket.poll_read_ready(context))?;
            let mut record = [0; TLS_RECORD_BYTES];
            let read = match self.socket.try_read(&mut record) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                done => done?,
            };
            let mut state = self.lock();
            let mut encrypted = &record[..read];
            loop {
                state.read_tls(&mut encrypted)?;
                let processed = state.process_new_packets();
                // Also an alert that says what was wrong has to go out.
                let _ = self.flush(&mut state);
                processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                if encrypted.is_empty() {
                    break;
                }
            }
        }
    }

    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.lock();
        let written = state.writer().write_vectored(slices)?;
        self.flush(&mut state)?;
        if written == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) }
    }

    fn flush(&self, state: &mut ServerConnection) -> io::Result<bool> {
        while state.wants_write() {
            match state.write_tls(&mut Direct(&self.socket)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                done => drop(done?),
            }
        }
        Ok(true)
    }
}

/// Writes to a socket without waiting.
struct Direct<'a>(&'a TcpStream);

impl Write for Direct<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
