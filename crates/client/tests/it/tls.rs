//! Servers with a private certificate.

use std::sync::Arc;

use ams_client::{Api, ApiError, ConnectError, Connection, MagicLink, Tls, TlsError, Wish};
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

/// A listener on loopback, and the file that vouches for it.
struct Private {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    directory: tempfile::TempDir,
}

impl Private {
    async fn start() -> Private {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), made.cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Private { listener, acceptor: TlsAcceptor::from(Arc::new(config)), directory }
    }

    fn trust(&self) -> Tls {
        Tls::trusting(&self.directory.path().join("ca.pem")).unwrap()
    }

    fn base(&self) -> String {
        format!("https://{}", self.listener.local_addr().unwrap())
    }

    fn link(&self) -> MagicLink {
        format!("{}/acme/conversations/room?t=x", self.base()).parse().unwrap()
    }

    async fn accept(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let (stream, _) = self.listener.accept().await?;
        self.acceptor.accept(stream).await
    }
}

#[tokio::test]
async fn who_is_told_whom_to_trust_gets_in() {
    let server = Private::start().await;
    let (link, tls) = (server.link(), server.trust());
    let serving = tokio::spawn(async move {
        let mut socket = accept_async(server.accept().await.unwrap()).await.unwrap();
        socket.next().await.unwrap().unwrap();
        let joined = r#"{"type":"joined","conversation_id":"c","stream_id":"s","stream_name":"me"}"#;
        socket.send(Message::text(joined)).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
    });
    let connection = Connection::open(&link, &Wish::default(), &tls).await.unwrap();
    assert!(!connection.is_numbered());
    connection.close().await;
    serving.await.unwrap();
}

#[tokio::test]
async fn a_stranger_is_not_trusted() {
    let server = Private::start().await;
    let (link, base) = (server.link(), server.base());
    let serving = tokio::spawn(async move { [server.accept().await.is_err(), server.accept().await.is_err()] });
    // Somebody else's certificate is trusted, so that this does not depend on the machine's.
    let tls = Private::start().await.trust();
    let refused = Connection::open(&link, &Wish::default(), &tls).await.unwrap_err();
    assert!(matches!(&refused, ConnectError::Unreachable(why) if why.contains("certificate")), "{refused:?}");
    let refused = Api::new(base.parse().unwrap(), &tls).unwrap().create_account("acme").await.unwrap_err();
    assert!(
        matches!(&refused, ApiError::Unreachable { problem, .. } if problem.contains("certificate")),
        "{refused:?}"
    );
    assert_eq!(serving.await.unwrap(), [true, true]);
}

#[tokio::test]
async fn http_trusts_the_same() {
    let server = Private::start().await;
    let api = Api::new(server.base().parse().unwrap(), &server.trust()).unwrap();
    let serving = tokio::spawn(async move {
        let mut stream = server.accept().await.unwrap();
        let mut buffer = [0; 4096];
        assert_ne!(stream.read(&mut buffer).await.unwrap(), 0);
        stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
    });
    api.revoke_link("acme", "room", &ams_client::Credential::new("c")).await.unwrap();
    serving.await.unwrap();
}

#[test]
fn a_file_without_certificates_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    assert!(matches!(Tls::trusting(&path), Err(TlsError::Unreadable { .. })), "it is not there");
    std::fs::write(&path, "nothing of the kind").unwrap();
    assert!(matches!(Tls::trusting(&path), Err(TlsError::Unreadable { .. })), "it is empty");
}
