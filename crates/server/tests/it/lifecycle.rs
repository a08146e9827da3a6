//! From start to end.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{config, connect, get, rest, start, stop, until};

#[tokio::test]
async fn a_server_starts_answers_and_stops() {
    let running = start(&[]).await;
    let address = running.address();
    assert_ne!(address.port(), 0);
    assert_eq!(running.url(), format!("http://{address}"));
    let answer = get(&running, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains(&format!("\"host\":\"{address}\"")), "{answer}");
    stop(running).await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_end() {
    let running = start(&[]).await;
    let mut stream = connect(&running).await;
    let head = "POST /v1/accounts HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // The handler asks for the body: the request is in its hands.
    until(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
    running.stop();
    while TcpStream::connect(running.address()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(b"{}").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 ") && answer.contains("content-type: application/json"), "{answer}");
    stop(running).await;
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off_when_the_time_to_drain_is_over() {
    let running = start(&["--drain-timeout", "50ms"]).await;
    let mut stream = connect(&running).await;
    let head = "POST /v1/accounts HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    until(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
    stop(running).await;
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let running = start(&[]).await;
    let mut idle = connect(&running).await;
    idle.write_all(b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(&mut idle, "}").await;
    let _silent = connect(&running).await;
    stop(running).await;
    rest(&mut idle).await;
}

#[tokio::test]
async fn a_second_server_on_the_same_port_is_refused_and_touches_nothing() {
    let running = start(&[]).await;
    let data = tempfile::tempdir().unwrap();
    let mut second = config(&[]);
    second.listen.listen = running.address();
    second.storage.ephemeral = false;
    second.storage.data = data.path().join("data");
    let error = ams_server::Server::start(&second).await.unwrap_err();
    assert!(matches!(error, ams_server::StartError::Listen { .. }), "{error}");
    assert!(!second.storage.data.exists());
    stop(running).await;
}

#[tokio::test]
async fn what_was_kept_is_there_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config(&[]);
    config.storage.ephemeral = false;
    config.storage.data = data.path().join("data");
    stop(ams_server::Server::start(&config).await.unwrap()).await;
    let secrets = std::fs::read_to_string(config.storage.data.join("secrets.toml")).unwrap();
    stop(ams_server::Server::start(&config).await.unwrap()).await;
    assert_eq!(std::fs::read_to_string(config.storage.data.join("secrets.toml")).unwrap(), secrets);
}
