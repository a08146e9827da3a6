//! TLS from certificate files.

use std::path::Path;
use std::sync::Arc;

use ams_server::Running;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::{connect, rest, start, stop};

/// A fresh certificate for `localhost`, written where the server finds it.
pub(crate) fn write_certificate(directory: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

pub(crate) async fn start_with(directory: &Path, words: &[&str]) -> Running {
    let path = |name: &str| directory.join(name).display().to_string();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    start(&[&["--tls-cert", &cert, "--tls-key", &key], words].concat()).await
}

pub(crate) async fn dial(running: &Running, trusted: &CertificateDer<'static>, protocol: &str) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = versions.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(ServerName::try_from("localhost").unwrap(), connect(running).await).await.unwrap()
}

#[tokio::test]
async fn a_request_over_tls_is_answered_in_either_protocol() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = write_certificate(directory.path());
    let running = start_with(directory.path(), &[]).await;
    assert!(running.url().starts_with("https://"));

    let mut http1 = dial(&running, &certificate, "http/1.1").await;
    assert_eq!(http1.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    http1.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let answer = rest(&mut http1).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");

    let http2 = dial(&running, &certificate, "h2").await;
    assert_eq!(http2.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    drop(http2);
    stop(running).await;
}

#[tokio::test]
async fn a_reload_gives_new_connections_the_new_certificate_and_a_broken_one_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    write_certificate(directory.path());
    let running = start_with(directory.path(), &[]).await;

    let renewed = write_certificate(directory.path());
    running.reload().unwrap();
    dial(&running, &renewed, "http/1.1").await;

    std::fs::write(directory.path().join("cert.pem"), "no certificate").unwrap();
    let error = running.reload().unwrap_err().to_string();
    assert!(error.contains("cert.pem"), "{error}");
    dial(&running, &renewed, "http/1.1").await;
    stop(running).await;
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    write_certificate(directory.path());
    let running = start_with(directory.path(), &["--tls-handshake-timeout", "30ms"]).await;
    let mut stream = connect(&running).await;
    // The first bytes of a handshake record, and no more.
    stream.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
    stop(running).await;
}

#[tokio::test]
async fn a_certificate_without_its_key_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    write_certificate(directory.path());
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(directory.path().join("key.pem"), other.signing_key.serialize_pem()).unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let config = crate::client::config(&["--tls-cert", &path("cert.pem"), "--tls-key", &path("key.pem")]);
    let error = ams_server::Server::start(&config).await.unwrap_err();
    assert!(matches!(error, ams_server::StartError::Tls(_)), "{error}");
}
