//! Plain HTTP/1.1, one request per connection: enough to mint accounts and conversations on the loopback.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Posts JSON and gives the JSON of a 2xx answer; any other answer is an error that shows it.
pub(crate) fn post_json(server: SocketAddr, path: &str, bearer: Option<&str>, body: &Value) -> Result<Value> {
    let body = body.to_string();
    let authorization = bearer.map(|secret| format!("Authorization: Bearer {secret}\r\n")).unwrap_or_default();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{authorization}\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(server, &request).with_context(|| format!("POST {path} got no answer"))?;
    let answer = Answer::parse(&answer).with_context(|| format!("POST {path} got no HTTP answer"))?;
    if answer.status / 100 != 2 {
        bail!("POST {path} was answered {}: {}", answer.status, answer.body);
    }
    serde_json::from_str(&answer.body).with_context(|| format!("POST {path} was answered no JSON: {}", answer.body))
}

fn exchange(server: SocketAddr, request: &str) -> Result<Vec<u8>> {
    let mut socket = TcpStream::connect_timeout(&server, TIMEOUT)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    Ok(answer)
}

/// An answer that came whole.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").context("the head has no end")?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
        let chunked = head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked");
        Ok(Self { status, body: if chunked { unchunk(body)? } else { body.to_owned() } })
    }
}

/// Puts a chunked body together.
fn unchunk(mut rest: &str) -> Result<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").context("a chunk has no size")?;
        let size = usize::from_str_radix(size.split(';').next().unwrap_or(size).trim(), 16)?;
        if size == 0 {
            return Ok(body);
        }
        body.push_str(after.get(..size).context("a chunk is cut")?);
        rest = after.get(size + 2..).context("a chunk has no end")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whole_or_in_chunks() {
        let plain = Answer::parse(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        assert_eq!(plain, Answer { status: 201, body: "{}".into() });
        let chunked = Answer::parse(
            b"HTTP/1.1 409 Conflict\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n3;x=y\r\na\"}\r\n0\r\n\r\n",
        );
        assert_eq!(chunked.unwrap(), Answer { status: 409, body: "{\"a\"}".into() });
        assert!(Answer::parse(b"nonsense").is_err());
    }
}
