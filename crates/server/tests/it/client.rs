//! A server on a free port, and a client that says exactly what a test wants said.

use std::time::Duration;

use ams_server::config::{Config, Given};
use ams_server::{Running, Server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What no answer of a healthy server takes; only a failing test waits for it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The configuration of these words, on a free port, keeping nothing.
pub(crate) fn config(words: &[&str]) -> Config {
    let all = ["--listen", "127.0.0.1:0", "--ephemeral"].iter().chain(words);
    Given::from_words(all).unwrap().load(|_| None).unwrap().config
}

pub(crate) async fn start(words: &[&str]) -> Running {
    Server::start(&config(words)).await.unwrap()
}

pub(crate) async fn stop(running: Running) {
    running.stop();
    timeout(DEADLINE, running.wait()).await.expect("the server stops in time");
}

pub(crate) async fn connect(running: &Running) -> TcpStream {
    TcpStream::connect(running.address()).await.unwrap()
}

/// Says something and reads until the other side closes.
pub(crate) async fn say(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    rest(stream).await
}

/// Reads until the other side closes.
pub(crate) async fn rest(stream: &mut (impl AsyncRead + Unpin + ?Sized)) -> String {
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ = timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("the server closes in time");
    String::from_utf8(answer).unwrap()
}

/// Reads until `end` has come, which stays the last thing read.
pub(crate) async fn until(stream: &mut (impl AsyncRead + Unpin + ?Sized), end: &str) -> String {
    let mut answer = String::new();
    while !answer.ends_with(end) {
        let byte = timeout(DEADLINE, stream.read_u8()).await.expect("the server answers in time");
        answer.push(char::from(byte.unwrap_or_else(|error| panic!("{error} after {answer:?}"))));
    }
    answer
}

/// One request on a connection of its own.
pub(crate) async fn get(running: &Running, path: &str) -> String {
    let mut stream = connect(running).await;
    say(&mut stream, &format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", running.address())).await
}
