//! WebSockets as the server sees them: taken over from HTTP, counted, and told when it ends.

use ams_server::Running;
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::client::{connect, rest, say, start, stop, until};
use crate::tls::{dial, start_with, write_certificate};

/// What a server without TLS, or with it, is spoken to through.
trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

async fn open(running: &Running, certificate: Option<&CertificateDer<'static>>) -> Box<dyn Stream> {
    match certificate {
        Some(certificate) => Box::new(dial(running, certificate, "http/1.1").await),
        None => Box::new(connect(running).await),
    }
}

async fn post(stream: &mut dyn Stream, path: &str, credential: &str, body: &str) -> Value {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {credential}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let answer = rest(stream).await;
    serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

/// A conversation's address, without scheme and host.
async fn mint(running: &Running, certificate: Option<&CertificateDer<'static>>) -> String {
    let account = post(&mut *open(running, certificate).await, "/v1/accounts", "", r#"{"namespace":"acme"}"#).await;
    let credential = account["credential"].as_str().unwrap();
    let mut stream = open(running, certificate).await;
    let minted = post(&mut *stream, "/v1/acme/conversations", credential, r#"{"alias":"room"}"#).await;
    let token = minted["magic_link"].as_str().unwrap().split("?t=").nth(1).unwrap().to_owned();
    format!("/acme/conversations/room/connect?t={token}")
}

/// Asks for an upgrade and returns the head of the answer, in lower case.
async fn ask(stream: &mut dyn Stream, path: &str) -> String {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    until(stream, "\r\n\r\n").await.to_lowercase()
}

async fn upgrade(stream: &mut dyn Stream, path: &str) {
    let answer = ask(stream, path).await;
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    // The example of RFC 6455 §1.3.
    assert!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{answer}");
}

/// The bytes of a close frame with 1012 and its reason, each as a character.
fn restart() -> String {
    let reason = "service_restart";
    let length = char::from(u8::try_from(2 + reason.len()).unwrap());
    format!("\u{88}{length}\u{3}\u{f4}{reason}")
}

#[tokio::test]
async fn a_websocket_is_told_that_the_server_restarts() {
    let running = start(&[]).await;
    let path = mint(&running, None).await;
    let mut stream = open(&running, None).await;
    upgrade(&mut *stream, &path).await;
    running.stop();
    until(&mut stream, &restart()).await;
    drop(stream);
    stop(running).await;
}

#[tokio::test]
async fn a_websocket_over_tls_is_told_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = write_certificate(directory.path());
    let running = start_with(directory.path(), &[]).await;
    let path = mint(&running, Some(&certificate)).await;
    let mut stream = open(&running, Some(&certificate)).await;
    upgrade(&mut *stream, &path).await;
    running.stop();
    until(&mut stream, &restart()).await;
    drop(stream);
    stop(running).await;
}

#[tokio::test]
async fn a_websocket_takes_a_place_until_it_is_gone() {
    let running = start(&["--max-connections", "2"]).await;
    let path = mint(&running, None).await;
    let (mut first, mut second) = (enter(&running, &path).await, enter(&running, &path).await);
    assert!(!is_welcome(&running).await, "both places are taken");
    second.shutdown().await.unwrap();
    first.shutdown().await.unwrap();
    // The places are free once the server has seen them go.
    while !is_welcome(&running).await {}
    stop(running).await;
}

/// A WebSocket, once there is a place for it: one is given back a moment after its connection was closed.
async fn enter(running: &Running, path: &str) -> Box<dyn Stream> {
    loop {
        let mut stream = open(running, None).await;
        if ask(&mut *stream, path).await.starts_with("http/1.1 101 ") {
            return stream;
        }
    }
}

async fn is_welcome(running: &Running) -> bool {
    let mut stream = connect(running).await;
    let answer = say(&mut stream, "GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    answer.starts_with("HTTP/1.1 200 ")
}

#[tokio::test]
async fn one_that_does_not_go_is_not_waited_for_any_longer_than_configured() {
    let running = start(&["--drain-timeout", "50ms"]).await;
    let path = mint(&running, None).await;
    let mut stream = open(&running, None).await;
    upgrade(&mut *stream, &path).await;
    stop(running).await;
    until(&mut stream, &restart()).await;
}
