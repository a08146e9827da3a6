//! What happens at each bound of the listener.

use tokio::io::AsyncWriteExt;

use crate::client::{connect, get, rest, say, start, stop, until};

#[tokio::test]
async fn a_connection_that_never_asks_is_closed() {
    let running = start(&["--header-timeout", "30ms"]).await;
    // Nothing at all; half a request; the beginning of HTTP/2; HTTP/2 without a request.
    for said in ["", "GET /healthz HT", "PRI * HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = connect(&running).await;
        let answer = stream.write_all(said.as_bytes()).await;
        answer.unwrap();
        let mut rest = tokio::io::BufReader::new(&mut stream);
        let mut bytes = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut rest, &mut bytes);
        let _ = tokio::time::timeout(crate::client::DEADLINE, read).await.expect("it is closed in time");
        assert!(!bytes.starts_with(b"HTTP/1.1 200"), "{said}");
    }
    let metrics = get(&running, "/metrics").await;
    assert!(metrics.contains("ams_connections_timed_out_total 4"), "{metrics}");
    stop(running).await;
}

#[tokio::test]
async fn a_connection_that_stays_idle_after_a_request_is_closed() {
    let running = start(&["--idle-timeout", "30ms"]).await;
    let mut stream = connect(&running).await;
    stream.write_all(b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(&mut stream, "}").await;
    rest(&mut stream).await;
    stop(running).await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_the_next_one_after_is_welcome() {
    let running = start(&["--max-connections", "1"]).await;
    let mut first = connect(&running).await;
    first.write_all(b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(&mut first, "}").await;

    let mut second = connect(&running).await;
    let answer = say(&mut second, "GET /version HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"error\":\"unavailable\""), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");

    drop(first);
    let answer = loop {
        // The place is free once the server has seen the first one go.
        let answer = get(&running, "/metrics").await;
        if !answer.starts_with("HTTP/1.1 503 ") {
            break answer;
        }
    };
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("ams_connections{transport=\"http\"} 1"), "{answer}");
    assert!(!answer.contains("ams_connections_refused_total 0"), "{answer}");
    stop(running).await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let running = start(&[]).await;
    let mut stream = connect(&running).await;
    let request = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(64 << 10));
    // The server may close before everything is sent.
    let _ = stream.write_all(request.as_bytes()).await;
    let answer = rest(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert!(get(&running, "/healthz").await.starts_with("HTTP/1.1 200 "));
    stop(running).await;
}
