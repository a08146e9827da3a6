//! `/v1/accounts` (§2.4), and the owner's endpoints beside it.

use ams_core::code::Code;
use ams_web::answer;
use axum::response::Response;
use http::StatusCode;
use serde_json::value::RawValue;

use super::call::{Fields, missing_credential};
use super::{Call, Control, Refusal};
use crate::directory::NewAccount;
use crate::names::Namespace;
use crate::wire::AccountCreated;

/// `POST /v1/accounts`: registers a namespace and shows its credential, this once.
pub(super) async fn create(control: Control, call: Call) -> Result<Response, Refusal> {
    let namespace = wanted_namespace(call.body()?)?;
    let address = control.environment.addresses.of(&call.parts);
    let now = control.environment.clock.monotonic();
    control.account_creation.take(address, now).map_err(Refusal::rate_limited)?;
    let made = control.directory.create_account(namespace).await?;
    control.telemetry.account_created();
    Ok(answer::json(StatusCode::CREATED, &shown(&made)))
}

/// `POST /v1/accounts/{namespace}/credential/rotate`: replaces the credential; who is connected by it is sent away.
pub(super) async fn rotate(control: Control, call: Call) -> Result<Response, Refusal> {
    let account = call.owner(&control, 2).await?;
    let made = control.directory.rotate_credential(&account, &*control.live).await?;
    Ok(answer::json(StatusCode::OK, &shown(&made)))
}

/// `DELETE /v1/accounts/{namespace}`: deletes the account, its conversations and their logs.
pub(super) async fn delete(control: Control, call: Call) -> Result<Response, Refusal> {
    let Some(credential) = ams_web::bearer(&call.parts.headers) else { return Err(missing_credential()) };
    // Also an account whose deletion broke off is known here, so that it can be finished.
    let account = control.directory.account_to_delete(&credential).await?;
    let account = call.owned(account, 2)?;
    let telemetry = control.telemetry.clone();
    control.directory.delete_account(&account, &*control.live, || telemetry.conversation_deleted()).await?;
    control.telemetry.account_deleted();
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

fn shown(made: &NewAccount) -> AccountCreated {
    AccountCreated {
        account_id: made.account.id.to_string(),
        namespace: made.account.namespace.to_string(),
        credential: made.credential.expose().to_owned(),
        created_at: made.account.created_at.to_string(),
    }
}

/// What is not JSON is `invalid_json`; JSON without a usable namespace, an object or not, is `invalid_namespace`.
fn wanted_namespace(body: &[u8]) -> Result<Namespace, Refusal> {
    let invalid = |message: &'static str| Refusal::new(Code::InvalidNamespace, message);
    let value: &RawValue = serde_json::from_slice(body)
        .map_err(|error| Refusal::new(Code::InvalidJson, format!("the body has to be JSON: {error}")))?;
    if !value.get().starts_with('{') {
        return Err(invalid("the body has to be an object with a `namespace`"));
    }
    let fields = Fields::of(body)?;
    let Some(Ok(text)) = fields.text("namespace") else { return Err(invalid("`namespace` has to be given, as text")) };
    if Namespace::is_reserved(&text) {
        return Err(invalid("this namespace is reserved: it is part of an address of this server"));
    }
    let rule = "a namespace is 1 to 63 of a-z, 0-9 and -, the first a letter or digit";
    text.parse().map_err(|_| invalid(rule))
}
