//! `GET` of a magic link that is no upgrade: what the link says to a program that opens it (§5.2).

use ams_core::code::Code;
use ams_web::answer;
use axum::body::Body;
use axum::response::Response;
use http::header::{ACCEPT, CONTENT_TYPE, REFERRER_POLICY, USER_AGENT, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Call, Control, Refusal};
use crate::guide::Guide;
use crate::link::{Address, magic_link, token};

/// The header of an MCP session (§4.1).
const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// In which form a link is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Markdown,
    /// Markdown for somebody who asked for plain text.
    Text,
    /// For a browser. There is no portal page yet; the text is shown as it is, rather than offered as a download, which
    /// is what browsers do with `text/markdown`.
    Portal,
}

/// `GET /{namespace}/conversations/{alias}?t=…`: the guide, in the form that `Accept` asks for. Unknown conversation and
/// wrong token are one answer.
pub(super) async fn open(control: Control, call: Call) -> Result<Response, Refusal> {
    if wants_mcp(&call.parts.headers) {
        // The link is no MCP endpoint yet, and must not look like one.
        return Err(Refusal::not_found());
    }
    let Some(token) = token(call.parts.uri.query()) else {
        return Err(Refusal::new(Code::MissingToken, "this is only part of a link: its `?t=…` is missing"));
    };
    let unknown = || Refusal::new(Code::ConversationNotFound, "there is no such conversation, or this is not its link");
    let names = Address::of_link(call.parts.uri.path()).and_then(Address::names);
    let Some((namespace, alias)) = names else { return Err(unknown()) };
    let found = control.directory.conversation(&namespace, &alias).await?;
    let admits =
        |conversation: &_| control.directory.check_link(conversation, &token, control.environment.clock.now()).is_ok();
    let Some(conversation) = found.filter(admits) else { return Err(unknown()) };
    let origin = control.environment.origin.of(&call.parts);
    let link = magic_link(&origin, &namespace, &alias, &token);
    let guide = Guide { link: &link, origin: &origin, conversation: &conversation };
    Ok(answered(&guide, form(&call.parts.headers)))
}

/// A notification stream of MCP, which this link does not have yet.
fn wants_mcp(headers: &HeaderMap) -> bool {
    headers.contains_key(MCP_SESSION_ID) || accepted(headers).contains("text/event-stream")
}

fn accepted(headers: &HeaderMap) -> String {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    lines.collect::<Vec<_>>().join(",").to_ascii_lowercase()
}

/// The table of §5.2, from above.
fn form(headers: &HeaderMap) -> Form {
    let accepted = accepted(headers);
    let accepts = |media: &str| accepted.contains(media);
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or("");
    match () {
        () if accepts("application/json") && !accepts("text/html") => Form::Json,
        () if accepts("text/html") => Form::Portal,
        () if accepts("text/markdown") => Form::Markdown,
        () if accepts("text/plain") => Form::Text,
        () if looks_like_a_browser(agent) => Form::Portal,
        () => Form::Markdown,
    }
}

/// Every browser in use has said so since the 1990s.
fn looks_like_a_browser(agent: &str) -> bool {
    agent.contains("Mozilla/")
}

fn answered(guide: &Guide<'_>, form: Form) -> Response {
    let mut response = match form {
        Form::Json => answer::json(StatusCode::OK, &guide.json()),
        Form::Markdown => text(guide, "text/markdown; charset=utf-8"),
        Form::Text | Form::Portal => text(guide, "text/plain; charset=utf-8"),
    };
    let headers = response.headers_mut();
    // The owner's words are inside: nobody may take them for a page. And the address is a secret.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn text(guide: &Guide<'_>, content_type: &'static str) -> Response {
    let mut response = answer::empty(StatusCode::OK);
    *response.body_mut() = Body::from(guide.markdown());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_accept_and_then_the_agent() {
        let browser = "Mozilla/5.0 (X11; Linux x86_64)";
        let cases = [
            (Some("application/json"), "", Form::Json),
            (Some("application/json, text/plain, */*"), browser, Form::Json),
            (Some("text/html,application/json"), "", Form::Portal),
            (Some("text/html, text/markdown"), "", Form::Portal),
            (Some("Text/Markdown"), browser, Form::Markdown),
            (Some("text/plain"), "", Form::Text),
            (Some("*/*"), browser, Form::Portal),
            (Some("*/*"), "curl/8.5.0", Form::Markdown),
            (None, "python-requests/2.32", Form::Markdown),
            (None, "", Form::Markdown),
        ];
        for (accept, agent, want) in cases {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, accept.parse().unwrap());
            }
            headers.insert(USER_AGENT, agent.parse().unwrap());
            assert_eq!(form(&headers), want, "{accept:?} from {agent:?}");
        }
    }
}
