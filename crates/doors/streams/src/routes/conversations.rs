//! `/v1/{namespace}/conversations` (§2.5, §2.7), and the owner's endpoints beside it.

use ams_core::code::Code;
use ams_web::answer;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::call::{Fields, no_conversation};
use super::{Call, Control, Refusal};
use crate::directory::{Mint, Minted};
use crate::link::{magic_link, stream_id, wire_stream_id};
use crate::metadata::Metadata;
use crate::names::{Alias, Namespace, StreamName};
use crate::records::{Conversation, MintedStream};
use crate::wire::{ConversationList, ConversationListed, Peer};

/// Conversations in one page of a list, unless fewer are asked for; more are never given.
const PAGE_DEFAULT: usize = 50;
const PAGE_MAX: usize = 100;

/// `201` of a mint: [`crate::wire::ConversationCreated`], with metadata byte for byte.
#[derive(Serialize)]
struct Created<'a> {
    conversation_id: &'a str,
    alias: &'a Alias,
    magic_link: String,
    stream_id: String,
    stream_name: &'a StreamName,
    metadata: &'a Metadata,
    stream_metadata: &'a Metadata,
    created_at: String,
    durable: bool,
    link_expires_at: Option<String>,
}

/// `200` of an inspection: [`crate::wire::ConversationInspected`], with metadata byte for byte.
#[derive(Serialize)]
struct Inspected<'a> {
    conversation_id: &'a str,
    namespace: &'a Namespace,
    alias: &'a Alias,
    metadata: &'a Metadata,
    created_at: String,
    id_kind: &'static str,
    streams: Vec<Peer>,
    durable: bool,
    head_seq: u64,
    link_expires_at: Option<String>,
    /// For the owner alone; who comes by the link sees that it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    link_revoked: Option<bool>,
}

/// `POST /v1/{namespace}/conversations`: mints a conversation and shows its link, this once.
pub(super) async fn create(control: Control, call: Call) -> Result<Response, Refusal> {
    let owner = call.owner(&control, 1).await?;
    let mint = wanted(&control, &call.fields()?)?;
    let minted = control.directory.create_conversation(&owner, mint).await?;
    control.telemetry.conversation_created();
    Ok(answer::json(StatusCode::CREATED, &created(&control, &call, &minted)))
}

/// The fields, in the order in which they are checked.
fn wanted(control: &Control, fields: &Fields<'_>) -> Result<Mint, Refusal> {
    let alias = fields.name("alias", Code::InvalidAlias)?;
    let name = fields.name("stream_name", Code::InvalidStreamName)?;
    let uuid = |kind: &RawValue| serde_json::from_str::<String>(kind.get()).is_ok_and(|kind| kind == "uuid");
    if fields.get("id_kind").is_some_and(|kind| !uuid(kind)) {
        return Err(Refusal::new(Code::UnsupportedIdKind, "id_kind can only be \"uuid\""));
    }
    let metadata = fields.metadata("metadata", Code::InvalidMetadata)?;
    let stream_metadata = fields.metadata("stream_metadata", Code::InvalidStreamMetadata)?;
    let durable = fields.durable()?;
    let link_expires_at = fields.expiry("link_expires_at", control.environment.clock.now())?;
    let name = name.unwrap_or_else(|| StreamName::generate(&*control.environment.entropy));
    Ok(Mint { alias, stream: MintedStream { name, metadata: stream_metadata }, metadata, durable, link_expires_at })
}

fn created<'a>(control: &Control, call: &Call, minted: &'a Minted) -> Created<'a> {
    let Minted { conversation, token } = minted;
    let (id, stream) = (conversation.id.as_str(), &conversation.minted_stream);
    let origin = control.environment.origin.of(&call.parts);
    let pepper = &control.directory.peppers().links;
    Created {
        conversation_id: id,
        alias: &conversation.alias,
        magic_link: magic_link(&origin, &conversation.namespace, &conversation.alias, token),
        stream_id: wire_stream_id(stream_id(pepper, id, &conversation.owner, stream.name.as_str())),
        stream_name: &stream.name,
        metadata: &conversation.metadata,
        stream_metadata: &stream.metadata,
        created_at: conversation.created_at.to_string(),
        durable: conversation.durable,
        link_expires_at: conversation.link.expires_at.map(|at| at.to_string()),
    }
}

/// `GET /v1/{namespace}/conversations/{alias}`: looks at a conversation, by its link's token or as its owner.
pub(super) async fn inspect(control: Control, call: Call) -> Result<Response, Refusal> {
    let token = crate::link::token(call.parts.uri.query());
    let (conversation, owner) = match token {
        Some(token) => {
            let conversation = named(&control, &call).await?;
            let now = control.environment.clock.now();
            let admits = control.directory.check_link(&conversation, &token, now);
            // One message for a wrong, a revoked and an expired token: who has none learns nothing.
            admits.map_err(|refused| Refusal::new(refused.code(), "the link's token does not admit here"))?;
            (conversation, false)
        }
        None => (owned(&control, &call).await?, true),
    };
    let id = conversation.id.as_str();
    let head_seq = control.live.head_seq(id).await.map_err(crate::records::StorageError::from)?;
    let inspected = Inspected {
        conversation_id: id,
        namespace: &conversation.namespace,
        alias: &conversation.alias,
        metadata: &conversation.metadata,
        created_at: conversation.created_at.to_string(),
        id_kind: "uuid",
        streams: control.live.attached(id),
        durable: conversation.durable,
        head_seq,
        link_expires_at: conversation.link.expires_at.map(|at| at.to_string()),
        link_revoked: owner.then_some(conversation.link.revoked),
    };
    Ok(answer::json(StatusCode::OK, &inspected))
}

async fn named(control: &Control, call: &Call) -> Result<Conversation, Refusal> {
    let (Ok(namespace), Ok(alias)) = (call.segment(1).parse(), call.segment(3).parse()) else {
        return Err(no_conversation());
    };
    control.directory.conversation(&namespace, &alias).await?.ok_or_else(no_conversation)
}

/// Without a token only the owner may look; others learn nothing about what exists in a namespace that is not theirs.
async fn owned(control: &Control, call: &Call) -> Result<Conversation, Refusal> {
    let Some(credential) = ams_web::bearer(&call.parts.headers) else {
        return Err(Refusal::new(Code::MissingToken, "this needs the link's token as `t`, or the owner's credential"));
    };
    let account = control.directory.account_by_credential(&credential).await?;
    if account.namespace.as_str() != call.segment(1) {
        return Err(Refusal::new(Code::Forbidden, "only the owner may look at a conversation without its link"));
    }
    named(control, call).await
}

/// `GET /v1/{namespace}/conversations`: the owner's conversations, in the order of their aliases.
pub(super) async fn list(control: Control, call: Call) -> Result<Response, Refusal> {
    let owner = call.owner(&control, 1).await?;
    let limit = call.parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE_DEFAULT);
    let after = match call.parameter("after").filter(|after| !after.is_empty()).map(|after| after.parse()) {
        None => None,
        Some(Ok(after)) => Some(after),
        Some(Err(_)) => return Err(Refusal::new(Code::InvalidAlias, "after has to be an alias")),
    };
    let page = control.directory.conversations(&owner.namespace, after.as_ref(), limit.clamp(1, PAGE_MAX)).await?;
    let conversations = page.conversations.iter().map(listed).collect();
    let list = ConversationList { conversations, next: page.next.map(Into::into) };
    Ok(answer::json(StatusCode::OK, &list))
}

/// A conversation's metadata is had by inspecting it; a hundred of them would be too much for one answer.
fn listed(conversation: &Conversation) -> ConversationListed {
    ConversationListed {
        conversation_id: conversation.id.as_str().to_owned(),
        namespace: conversation.namespace.to_string(),
        alias: conversation.alias.to_string(),
        created_at: conversation.created_at.to_string(),
        durable: conversation.durable,
        link_expires_at: conversation.link.expires_at.map(|at| at.to_string()),
        link_revoked: conversation.link.revoked,
    }
}

/// `DELETE /v1/{namespace}/conversations/{alias}`: deletes a conversation and its log, and ends everybody in it.
pub(super) async fn delete(control: Control, call: Call) -> Result<Response, Refusal> {
    let (namespace, alias) = call.owned_conversation(&control).await?;
    control.directory.delete_conversation(&namespace, &alias, &*control.live).await?;
    control.telemetry.conversation_deleted();
    Ok(answer::empty(StatusCode::NO_CONTENT))
}
