//! Rooms to join: minted on AMS, made up on a minimal server.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cli::Server;
use crate::http;
use crate::load::connection::JoinRequest;

/// Connections that one account owns at most, so that no sensible cap of a server on accounts is met.
const CONNECTIONS_PER_ACCOUNT: usize = 1_000;

/// A conversation and a credential to join it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Room {
    server: SocketAddr,
    /// Path and query of the upgrade.
    path: String,
    credential: String,
}

/// What rooms a scenario wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// How many.
    pub rooms: usize,
    /// How many connections each will have.
    pub connections_per_room: usize,
    /// Whether they keep what is written.
    pub durable: bool,
}

/// Makes the rooms.
pub(crate) fn open_rooms(server: Server, address: SocketAddr, wanted: Wanted) -> Result<Vec<Room>> {
    if server != Server::Ams {
        let room = |number| Room {
            server: address,
            path: format!("/bench/conversations/room-{number}/connect?t=made-up"),
            credential: "made-up".to_owned(),
        };
        return Ok((0..wanted.rooms).map(room).collect());
    }
    let rooms_per_account = (CONNECTIONS_PER_ACCOUNT / wanted.connections_per_room.max(1)).max(1);
    let mut rooms = Vec::with_capacity(wanted.rooms);
    let mut credential = String::new();
    for number in 0..wanted.rooms {
        let namespace = format!("bench-{}", number / rooms_per_account);
        if number.is_multiple_of(rooms_per_account) {
            let account = http::post_json(address, "/v1/accounts", None, &json!({ "namespace": namespace }))?;
            credential = text(&account, "credential")?;
        }
        let mut body = json!({ "alias": format!("room-{number}") });
        if wanted.durable {
            body["durable"] = Value::Bool(true);
        }
        let path = format!("/v1/{namespace}/conversations");
        let conversation = http::post_json(address, &path, Some(&credential), &body)?;
        let link = text(&conversation, "magic_link")?;
        let path = connect_path(&link).with_context(|| format!("not a magic link: {link}"))?;
        rooms.push(Room { server: address, path, credential: credential.clone() });
    }
    Ok(rooms)
}

impl Room {
    /// A request to join in header mode (token streams §3.2) under a stream name.
    pub(crate) fn join(&self, stream_name: &str, self_subscribe: bool) -> JoinRequest {
        let Self { server, path, credential } = self;
        let echo = if self_subscribe { "X-AMS-Self-Subscribe: true\r\n" } else { "" };
        let upgrade = format!(
            "GET {path} HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: YW1zLWJlbmNoLWtleS0wMQ==\r\n\
             Authorization: Bearer {credential}\r\nX-AMS-Stream-Name: {stream_name}\r\n{echo}\r\n"
        );
        JoinRequest { upgrade, receive_buffer_bytes: None }
    }
}

fn text(value: &Value, field: &str) -> Result<String> {
    value[field].as_str().map(str::to_owned).with_context(|| format!("the answer has no {field}: {value}"))
}

/// Where to connect to for a magic link: `/connect` goes between path and query (token streams §3.1).
fn connect_path(link: &str) -> Option<String> {
    let (_, rest) = link.split_once("://")?;
    let (path, query) = rest[rest.find('/')?..].split_once('?')?;
    Some(format!("{path}/connect?{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_goes_between_path_and_query() {
        let link = "http://127.0.0.1:1/bench-0/conversations/room-3?t=AbC_-9";
        assert_eq!(connect_path(link).as_deref(), Some("/bench-0/conversations/room-3/connect?t=AbC_-9"));
        assert_eq!(connect_path("http://x/y"), None);
    }
}
