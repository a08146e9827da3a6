//! One request, read: who asks, about which names, with what fields.

use std::collections::HashMap;
use std::str::FromStr;

use ams_core::clock::Timestamp;
use ams_core::code::Code;
use ams_web::body::{self, BodyError};
use axum::extract::Request;
use bytes::Bytes;
use http::request::Parts;
use serde_json::value::RawValue;

use super::{Control, Refusal};
use crate::metadata::Metadata;
use crate::names::{Alias, Namespace};
use crate::records::Account;

/// A request whose body has been read. Whether that went well is asked only when its turn comes: the order of checks is
/// part of the protocol, and a connection whose body was read can be used again whatever the answer.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) parts: Parts,
    body: Result<Bytes, BodyError>,
}

impl Call {
    pub(super) async fn read(request: Request, body_bytes_max: usize) -> Self {
        let (parts, body) = request.into_parts();
        Call { parts, body: body::collect(body, body_bytes_max).await }
    }

    /// A segment of the path as it came, not percent-decoded (§2.1); empty when there is none.
    pub(super) fn segment(&self, index: usize) -> &str {
        self.parts.uri.path().split('/').nth(index + 1).unwrap_or("")
    }

    /// The first value of a query parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        crate::link::parameter(self.parts.uri.query()?, name)
    }

    /// The body.
    ///
    /// # Errors
    /// `payload_too_large`, or `invalid_json` when it did not arrive whole.
    pub(super) fn body(&self) -> Result<&[u8], Refusal> {
        match &self.body {
            Ok(bytes) => Ok(bytes),
            Err(error) => Err((*error).into()),
        }
    }

    /// The fields of the body, which has to be a JSON object; blank counts as one without fields (§2.5).
    ///
    /// # Errors
    /// `payload_too_large`; `invalid_json`.
    pub(super) fn fields(&self) -> Result<Fields<'_>, Refusal> {
        let body = self.body()?.trim_ascii();
        if body.is_empty() { Ok(Fields::default()) } else { Fields::of(body) }
    }

    /// The account that owns the namespace of this path, by its credential.
    ///
    /// # Errors
    /// `missing_credential`, `invalid_credential`, `namespace_mismatch`, in this order.
    pub(super) async fn owner(&self, control: &Control, segment: usize) -> Result<Account, Refusal> {
        let Some(credential) = ams_web::bearer(&self.parts.headers) else { return Err(missing_credential()) };
        let account = control.directory.account_by_credential(&credential).await?;
        self.owned(account, segment)
    }

    /// The account, if the path's namespace is its own.
    ///
    /// # Errors
    /// `namespace_mismatch`.
    pub(super) fn owned(&self, account: Account, segment: usize) -> Result<Account, Refusal> {
        if account.namespace.as_str() == self.segment(segment) {
            return Ok(account);
        }
        Err(Refusal::new(Code::NamespaceMismatch, "this credential belongs to another namespace"))
    }

    /// The owner of the conversation that this path names.
    ///
    /// # Errors
    /// Those of [`Call::owner`], then `not_found` for what cannot be an alias.
    pub(super) async fn owned_conversation(&self, control: &Control) -> Result<(Namespace, Alias), Refusal> {
        let owner = self.owner(control, 1).await?;
        match self.segment(3).parse() {
            Ok(alias) => Ok((owner.namespace, alias)),
            Err(_) => Err(no_conversation()),
        }
    }
}

pub(super) fn missing_credential() -> Refusal {
    Refusal::new(Code::MissingCredential, "this needs the header `Authorization: Bearer <credential>`")
}

pub(super) fn no_conversation() -> Refusal {
    Refusal::new(Code::NotFound, "there is no such conversation")
}

/// The fields of a JSON object, each as it came. Of a field that is written twice the last counts, as everywhere.
#[derive(Debug, Default)]
pub(super) struct Fields<'a>(HashMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// `invalid_json` when it is none.
    pub(super) fn of(json: &'a [u8]) -> Result<Self, Refusal> {
        match serde_json::from_slice(json) {
            Ok(fields) => Ok(Fields(fields)),
            Err(error) => Err(Refusal::new(Code::InvalidJson, format!("the body has to be a JSON object: {error}"))),
        }
    }

    /// A field that is there, `null` included.
    pub(super) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.get(key).copied()
    }

    /// A field that says something: `null` counts as absent.
    fn said(&self, key: &str) -> Option<&'a RawValue> {
        self.get(key).filter(|value| value.get() != "null")
    }

    /// A field that has to be text.
    pub(super) fn text(&self, key: &str) -> Option<Result<String, serde_json::Error>> {
        self.said(key).map(|value| serde_json::from_str(value.get()))
    }

    /// A name; absent, `null` and `""` leave the choice to the server.
    ///
    /// # Errors
    /// `code`, when it is something else than a valid name.
    pub(super) fn name<T: FromStr>(&self, key: &'static str, code: Code) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(key) else { return Ok(None) };
        let refusal = || Refusal::new(code, format!("{key} is not a valid name"));
        match text {
            Ok(text) if text.is_empty() => Ok(None),
            Ok(text) => text.parse().map(Some).map_err(|_| refusal()),
            Err(_) => Err(refusal()),
        }
    }

    /// An object; only absence makes it `{}`.
    ///
    /// # Errors
    /// `code`, when it is something else, `null` included.
    pub(super) fn metadata(&self, key: &'static str, code: Code) -> Result<Metadata, Refusal> {
        let Some(value) = self.get(key) else { return Ok(Metadata::default()) };
        Metadata::new(value).map_err(|error| Refusal::new(code, format!("{key}: {error}")))
    }

    /// `true` or `false`; absent and `null` are false.
    ///
    /// # Errors
    /// `invalid_durable`.
    pub(super) fn durable(&self) -> Result<bool, Refusal> {
        match self.said("durable").map(RawValue::get) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Refusal::new(Code::InvalidDurable, "durable has to be true or false")),
        }
    }

    /// A time to come; absent and `null` are never.
    ///
    /// # Errors
    /// `invalid_expiry`.
    pub(super) fn expiry(&self, key: &'static str, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
        let Some(text) = self.text(key) else { return Ok(None) };
        let at = text.ok().and_then(|text| Timestamp::parse(&text)).filter(|at| now < *at);
        let message = || format!("{key} has to be a time to come, such as 2030-01-31T12:00:00Z, or null for never");
        at.map(Some).ok_or_else(|| Refusal::new(Code::InvalidExpiry, message()))
    }
}
