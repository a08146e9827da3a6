//! Accounts, conversations and their links over HTTP (token streams §2, and the owner's endpoints of ours).

use std::time::Duration;

use ams_door_streams::wire::{
    AccountCreated, ConversationCreated, ConversationInspected, ConversationList, CreateConversation, ErrorBody,
};
use reqwest::{Method, RequestBuilder, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use url::Url;

use crate::error::{ApiError, Refusal};
use crate::tls::Tls;
use crate::{Credential, MagicLink};

/// How long to wait for a TCP and TLS connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a whole request may take; the server commits to disk within milliseconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A server's control plane.
#[derive(Debug, Clone)]
pub struct Api {
    base: Url,
    http: reqwest::Client,
}

/// A good answer: what it means, and the text as it came.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    /// The body, parsed.
    pub value: T,
    /// The body, untouched.
    pub body: String,
}

/// `200` of a rotation of the credential.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CredentialRotated {
    /// The new one, shown here and never again; the old one is dead.
    pub credential: String,
}

/// `200` of a change of the link, as far as clients need it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LinkStanding {
    /// The new link, if it was rotated; the old one is dead.
    #[serde(default)]
    pub magic_link: Option<String>,
    /// When the link stops admitting, RFC 3339; absent = never.
    #[serde(default)]
    pub link_expires_at: Option<String>,
}

impl Api {
    /// Talks to the server at `base`, such as `http://127.0.0.1:8787`.
    ///
    /// # Errors
    /// `https` without any root certificate to trust.
    pub fn new(base: Url, tls: &Tls) -> Result<Self, ApiError> {
        let builder = tls.http(base.scheme() == "https")?;
        let builder = builder.connect_timeout(CONNECT_TIMEOUT).timeout(REQUEST_TIMEOUT);
        // A redirect would carry the credential to another place than the one that was named.
        let builder = builder.redirect(reqwest::redirect::Policy::none());
        let http = builder.build().map_err(|error| ApiError::of(&base, &error))?;
        Ok(Api { base, http })
    }

    /// The server this talks to.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Registers a namespace. The answer holds the credential, this once.
    ///
    /// # Errors
    /// `invalid_namespace`, `namespace_taken`, `rate_limited`; or no answer.
    pub async fn create_account(&self, namespace: &str) -> Result<Answer<AccountCreated>, ApiError> {
        let request = self.request(Method::POST, "v1/accounts", None).json(&json!({"namespace": namespace}));
        self.answer(request).await
    }

    /// Replaces the account's credential. The old one is dead at once.
    ///
    /// # Errors
    /// `invalid_credential`, `namespace_mismatch`; or no answer, and then either may hold.
    pub async fn rotate_credential(
        &self,
        namespace: &str,
        credential: &Credential,
    ) -> Result<Answer<CredentialRotated>, ApiError> {
        let path = format!("v1/accounts/{namespace}/credential/rotate");
        self.answer(self.request(Method::POST, &path, Some(credential))).await
    }

    /// Deletes the account with all its conversations.
    ///
    /// # Errors
    /// `invalid_credential`, `namespace_mismatch`; or no answer.
    pub async fn delete_account(&self, namespace: &str, credential: &Credential) -> Result<(), ApiError> {
        self.done(self.request(Method::DELETE, &format!("v1/accounts/{namespace}"), Some(credential))).await
    }

    /// Mints a conversation. The answer holds its magic link.
    ///
    /// # Errors
    /// Those of token streams §2.5; or no answer.
    pub async fn create_conversation(
        &self,
        namespace: &str,
        credential: &Credential,
        wanted: &CreateConversation,
    ) -> Result<Answer<ConversationCreated>, ApiError> {
        let request = self.request(Method::POST, &format!("v1/{namespace}/conversations"), Some(credential));
        self.answer(request.json(wanted)).await
    }

    /// A page of the own conversations, in the order of their aliases; `after` is the `next` of the page before.
    ///
    /// # Errors
    /// `namespace_mismatch`, `invalid_credential`; or no answer.
    pub async fn conversations(
        &self,
        namespace: &str,
        credential: &Credential,
        after: Option<&str>,
    ) -> Result<Answer<ConversationList>, ApiError> {
        let after = after.map(|alias| format!("?after={alias}")).unwrap_or_default();
        let path = format!("v1/{namespace}/conversations{after}");
        self.answer(self.request(Method::GET, &path, Some(credential))).await
    }

    /// Looks at an own conversation.
    ///
    /// # Errors
    /// `not_found`, `forbidden`, `invalid_credential`; or no answer.
    pub async fn inspect(
        &self,
        namespace: &str,
        alias: &str,
        credential: &Credential,
    ) -> Result<Answer<ConversationInspected>, ApiError> {
        let path = format!("v1/{namespace}/conversations/{alias}");
        self.answer(self.request(Method::GET, &path, Some(credential))).await
    }

    /// Looks at a conversation by its link. The link's own host is not used: this server is asked.
    ///
    /// # Errors
    /// `not_found`, `invalid_token`; or no answer.
    pub async fn inspect_by_link(&self, link: &MagicLink) -> Result<Answer<ConversationInspected>, ApiError> {
        let path = format!("v1/{}/conversations/{}?t={}", link.namespace(), link.alias(), link.token());
        self.answer(self.request(Method::GET, &path, None)).await
    }

    /// Gives an own conversation a new link. The old one is dead, and who came by it is sent away.
    ///
    /// # Errors
    /// `not_found`, `namespace_mismatch`, `invalid_credential`; or no answer.
    pub async fn rotate_link(
        &self,
        namespace: &str,
        alias: &str,
        credential: &Credential,
    ) -> Result<Answer<LinkStanding>, ApiError> {
        let path = format!("v1/{namespace}/conversations/{alias}/link/rotate");
        self.answer(self.request(Method::POST, &path, Some(credential))).await
    }

    /// Makes an own conversation's link dead: nobody can enter until it is rotated.
    ///
    /// # Errors
    /// As for [`Api::rotate_link`].
    pub async fn revoke_link(&self, namespace: &str, alias: &str, credential: &Credential) -> Result<(), ApiError> {
        let path = format!("v1/{namespace}/conversations/{alias}/link");
        self.done(self.request(Method::DELETE, &path, Some(credential))).await
    }

    /// Sets when an own conversation's link stops admitting; `None` = never.
    ///
    /// # Errors
    /// As for [`Api::rotate_link`], and a time the server does not understand.
    pub async fn set_link_expiry(
        &self,
        namespace: &str,
        alias: &str,
        credential: &Credential,
        expires_at: Option<&str>,
    ) -> Result<Answer<LinkStanding>, ApiError> {
        let path = format!("v1/{namespace}/conversations/{alias}/link");
        let request = self.request(Method::PATCH, &path, Some(credential));
        self.answer(request.json(&json!({"expires_at": expires_at}))).await
    }

    /// Deletes an own conversation with its log.
    ///
    /// # Errors
    /// As for [`Api::rotate_link`].
    pub async fn delete_conversation(
        &self,
        namespace: &str,
        alias: &str,
        credential: &Credential,
    ) -> Result<(), ApiError> {
        let path = format!("v1/{namespace}/conversations/{alias}");
        self.done(self.request(Method::DELETE, &path, Some(credential))).await
    }

    fn request(&self, method: Method, path: &str, credential: Option<&Credential>) -> RequestBuilder {
        let url = format!("{}/{path}", self.base.as_str().trim_end_matches('/'));
        let request = self.http.request(method, url);
        match credential {
            Some(credential) => request.bearer_auth(credential.expose()),
            None => request,
        }
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Answer<T>, ApiError> {
        let response = self.accepted(request).await?;
        let status = response.status().as_u16();
        let body = response.text().await.map_err(|error| ApiError::of(&self.base, &error))?;
        let value = serde_json::from_str(&body).map_err(|_| self.not_ams(status))?;
        Ok(Answer { value, body })
    }

    async fn done(&self, request: RequestBuilder) -> Result<(), ApiError> {
        self.accepted(request).await.map(|_| ())
    }

    /// Sends, and turns everything but a success into an error.
    async fn accepted(&self, request: RequestBuilder) -> Result<Response, ApiError> {
        let response = request.send().await.map_err(|error| ApiError::of(&self.base, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let body = response.text().await.map_err(|error| ApiError::of(&self.base, &error))?;
        let Ok(ErrorBody { error: code, message }) = serde_json::from_str(&body) else {
            return Err(self.not_ams(status));
        };
        Err(ApiError::Refused(Refusal { status, code, message, retry_after_s: retry_after, body }))
    }

    fn not_ams(&self, status: u16) -> ApiError {
        ApiError::NotAms { base: self.base.as_str().trim_end_matches('/').to_owned(), status }
    }
}
