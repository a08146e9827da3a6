//! The upgrade: `/connect`, and the bare link (§3.1). Whatever is wrong with link or credential is told over the
//! WebSocket, so that clients learn it as a close code.

use std::sync::Arc;

use ams_core::code::Code;
use ams_web::ws::Upgrade;
use ams_web::ws::handshake::asks_for_websocket;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use super::Refusal;
use crate::close;
use crate::connect::{Admitted, Door, Gate, authenticate, broken};
use crate::link::{Address, connect_token};
use crate::telemetry::Action;
use crate::wire::SUBPROTOCOL;
use crate::wish::Wish;

/// An upgrade of a link wins over whatever else its path answers.
pub(crate) async fn upgrades_first(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let is_link = Address::of_link(request.uri().path()).is_some();
    if is_link && asks_for_websocket(request.headers()) {
        return connect(gate, request).await;
    }
    next.run(request).await
}

/// `/connect` without an upgrade.
pub(crate) async fn upgrade_required(State(gate): State<Gate>) -> Response {
    gate.0.telemetry.called(Action::Connect, StatusCode::UPGRADE_REQUIRED.as_u16());
    refuse("this address speaks WebSocket: connect to it with `Upgrade: websocket`".to_owned())
}

async fn connect(gate: Gate, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let upgrade = match Upgrade::of(&mut parts, SUBPROTOCOL) {
        Ok(upgrade) => upgrade,
        Err(refused) => {
            gate.0.telemetry.called(Action::Connect, StatusCode::UPGRADE_REQUIRED.as_u16());
            return refuse(refused.to_string());
        }
    };
    gate.0.telemetry.called(Action::Connect, StatusCode::SWITCHING_PROTOCOLS.as_u16());
    let admitted = admit(&gate, &parts).await;
    let (response, pending) = upgrade.accept();
    // Ends with the upgrade, which the server's connection bounds; the socket is then the registry's.
    tokio::spawn(async move {
        if let Some(taken) = pending.socket().await {
            gate.serve(taken, admitted);
        }
    });
    response
}

fn refuse(message: String) -> Response {
    let mut response = Refusal::new(Code::UpgradeRequired, message).into_response();
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

/// The checks in their order: link present, conversation known, link right, credential known, headers well formed (§3.3).
async fn admit(gate: &Gate, parts: &Parts) -> Admitted {
    let Some(token) = connect_token(parts.uri.query()) else { return Admitted::Refused(close::INVALID_MAGIC_LINK) };
    let directory = &gate.0.directory;
    let names = Address::of_link(parts.uri.path()).and_then(Address::names);
    let Some((namespace, alias)) = names else { return Admitted::Refused(close::CONVERSATION_NOT_FOUND) };
    let conversation = match directory.conversation(&namespace, &alias).await {
        Ok(Some(conversation)) => conversation,
        Ok(None) => return Admitted::Refused(close::CONVERSATION_NOT_FOUND),
        Err(error) => return Admitted::Refused(broken(error)),
    };
    if directory.check_link(&conversation, &token, gate.0.environment.clock.now()).is_err() {
        return Admitted::Refused(close::INVALID_MAGIC_LINK);
    }
    let door = Arc::new(Door { conversation, token });
    if !parts.headers.contains_key(AUTHORIZATION) {
        return Admitted::ByLink(door);
    }
    // A credential that was shown and is not one is never taken for none.
    let Some(credential) = ams_web::bearer(&parts.headers) else {
        return Admitted::Refused(close::INVALID_CREDENTIAL);
    };
    match (authenticate(directory, &credential).await, Wish::of_headers(&parts.headers)) {
        (Err(close), _) | (Ok(_), Err(close)) => Admitted::Refused(close),
        (Ok(account), Ok(wish)) => Admitted::ByCredential(door, account, Box::new(wish)),
    }
}
