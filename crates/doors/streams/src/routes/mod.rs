//! The door over HTTP: accounts, conversations and links (token streams §2), and what a link says to whoever opens it
//! (§5.2). Thin: read what was asked, ask the directory, answer.

mod accounts;
mod call;
mod connect;
mod conversations;
mod links;
mod open;
mod refusal;
mod telemetry;
mod throttle;

use std::sync::Arc;

use ams_web::{Environment, Reserved};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use futures_util::future::BoxFuture;
use tracing::Instrument;

use crate::config::Config;
use crate::connect::Gate;
use crate::directory::Directory;
use crate::live::Live;
use crate::telemetry::{Action, Telemetry};
use call::Call;
use refusal::Refusal;
use throttle::Throttle;

/// The fixed path segments of these routes.
pub const RESERVED: Reserved = Reserved { roots: &[], v1: &["accounts", "telemetry"] };

/// What the routes act on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Control {
    directory: Directory,
    live: Arc<dyn Live>,
    telemetry: Arc<Telemetry>,
    environment: Environment,
    config: Arc<Config>,
    account_creation: Arc<Throttle>,
}

impl Control {
    /// Serves this directory; changes that end connections tell `live`.
    pub fn new(
        directory: Directory,
        live: Arc<dyn Live>,
        telemetry: Arc<Telemetry>,
        environment: Environment,
        config: Arc<Config>,
    ) -> Self {
        let throttle = Throttle::new(config.account_creation, config.account_creation_addresses_max);
        Control { directory, live, telemetry, environment, config, account_creation: Arc::new(throttle) }
    }
}

/// The door's HTTP routes, without those that speak WebSocket, and without a fallback: what no door knows is answered by
/// the server. A trailing slash is tolerated everywhere; a method that a path does not know is a `404` like a path that
/// does not exist (§2.1).
pub fn router(control: Control) -> Router {
    let conversation = get(at(Action::InspectConversation, conversations::inspect))
        .delete(at(Action::DeleteConversation, conversations::delete));
    let conversations = get(at(Action::ListConversations, conversations::list))
        .post(at(Action::CreateConversation, conversations::create));
    let link = delete(at(Action::RevokeLink, links::revoke)).patch(at(Action::ChangeLink, links::set_expiry));
    let routes: [(&str, MethodRouter<Control>); 9] = [
        ("/v1/telemetry", get(telemetry::report).options(telemetry::preflight)),
        ("/v1/accounts", post(at(Action::CreateAccount, accounts::create))),
        ("/v1/accounts/{namespace}", delete(at(Action::DeleteAccount, accounts::delete))),
        ("/v1/accounts/{namespace}/credential/rotate", post(at(Action::RotateCredential, accounts::rotate))),
        ("/v1/{namespace}/conversations", conversations),
        ("/v1/{namespace}/conversations/{alias}", conversation),
        ("/v1/{namespace}/conversations/{alias}/link", link),
        ("/v1/{namespace}/conversations/{alias}/link/rotate", post(at(Action::RotateLink, links::rotate))),
        ("/{namespace}/conversations/{alias}", get(open_link)),
    ];
    let mut router = Router::new();
    for (path, methods) in routes {
        let methods = methods.fallback(not_found);
        router = router.route(path, methods.clone()).route(&format!("{path}/"), methods);
    }
    router.with_state(control)
}

/// The whole door: the HTTP routes, and the upgrades.
pub(crate) fn door(control: Control, gate: Gate) -> Router {
    let path = "/{namespace}/conversations/{alias}/connect";
    let methods = get(connect::upgrade_required).fallback(not_found);
    let connecting = Router::new().route(path, methods.clone()).route(&format!("{path}/"), methods);
    let routes = connecting.with_state(gate.clone()).merge(router(control));
    routes.layer(axum::middleware::from_fn_with_state(gate, connect::upgrades_first))
}

/// What a link answers to a `GET` that is no upgrade.
pub(crate) async fn open_link(control: State<Control>, request: Request) -> Response {
    at(Action::OpenLink, open::open)(control, request).await
}

/// The answer to what is not there, also for other parts of this door.
pub(crate) async fn not_found() -> Response {
    Refusal::not_found().into_response()
}

/// Turns a function of this door into a handler of axum's: reads the request, answers a refusal in this door's shape,
/// and counts the call.
///
/// What was begun is finished even if the client goes away meanwhile: a handler that was dropped between a change and
/// what follows from it would leave connections alive that the change was to end. A panic becomes a `500` in JSON.
fn at<F, R>(
    action: Action,
    handler: F,
) -> impl Fn(State<Control>, Request) -> BoxFuture<'static, Response> + Clone + Send + Sync + 'static
where
    F: Fn(Control, Call) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Response, Refusal>> + Send + 'static,
{
    move |State(control), request| {
        let handler = handler.clone();
        Box::pin(async move {
            let call = Call::read(request, control.config.body_bytes_max).await;
            let telemetry = control.telemetry.clone();
            let handled = tokio::spawn(handler(control, call).in_current_span()).await;
            let response = match handled {
                Ok(Ok(response)) => response,
                Ok(Err(refusal)) => refusal.into_response(),
                Err(panicked) => Refusal::broken(panicked).into_response(),
            };
            telemetry.called(action, response.status().as_u16());
            response
        })
    }
}
