//! `/v1/{namespace}/conversations/{alias}/link`: the owner's endpoints for who is let in.

use ams_core::code::Code;
use ams_web::answer;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use super::{Call, Control, Refusal};
use crate::directory::{Expiry, Minted};
use crate::link::magic_link;
use crate::names::{Alias, Namespace};
use crate::records::Conversation;

/// How a link stands.
#[derive(Serialize)]
struct Standing<'a> {
    conversation_id: &'a str,
    namespace: &'a Namespace,
    alias: &'a Alias,
    /// Only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    magic_link: Option<String>,
    link_expires_at: Option<String>,
    link_revoked: bool,
    link_generation: u32,
}

impl<'a> Standing<'a> {
    fn of(conversation: &'a Conversation) -> Self {
        Standing {
            conversation_id: conversation.id.as_str(),
            namespace: &conversation.namespace,
            alias: &conversation.alias,
            magic_link: None,
            link_expires_at: conversation.link.expires_at.map(|at| at.to_string()),
            link_revoked: conversation.link.revoked,
            link_generation: conversation.link.generation,
        }
    }
}

/// `POST …/link/rotate`: makes a new link and shows it, this once; who came by the old one alone is sent away.
pub(super) async fn rotate(control: Control, call: Call) -> Result<Response, Refusal> {
    let (namespace, alias) = call.owned_conversation(&control).await?;
    let fields = call.fields()?;
    let end = fields.expiry("expires_at", control.environment.clock.now())?;
    let expiry = if fields.get("expires_at").is_some() { Expiry::Set(end) } else { Expiry::Keep };
    let minted = control.directory.rotate_link(&namespace, &alias, expiry, &*control.live).await?;
    let Minted { conversation, token } = &minted;
    let origin = control.environment.origin.of(&call.parts);
    let link = magic_link(&origin, &namespace, &alias, token);
    Ok(answer::json(StatusCode::OK, &Standing { magic_link: Some(link), ..Standing::of(conversation) }))
}

/// `DELETE …/link`: the link admits nobody until it is replaced; who came by it alone is sent away.
pub(super) async fn revoke(control: Control, call: Call) -> Result<Response, Refusal> {
    let (namespace, alias) = call.owned_conversation(&control).await?;
    control.directory.revoke_link(&namespace, &alias, &*control.live).await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

/// `PATCH …/link`: sets when the link stops admitting; who is in stays in.
pub(super) async fn set_expiry(control: Control, call: Call) -> Result<Response, Refusal> {
    let (namespace, alias) = call.owned_conversation(&control).await?;
    let fields = call.fields()?;
    if fields.get("expires_at").is_none() {
        return Err(Refusal::new(Code::InvalidExpiry, "expires_at has to be given: a time to come, or null for never"));
    }
    let end = fields.expiry("expires_at", control.environment.clock.now())?;
    let conversation = control.directory.set_link_expiry(&namespace, &alias, end).await?;
    Ok(answer::json(StatusCode::OK, &Standing::of(&conversation)))
}
