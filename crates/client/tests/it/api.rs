//! HTTP: what is asked, and what an answer means.

use ams_client::wire::CreateConversation;
use ams_client::{Api, ApiError, Credential, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Answers one request with what it is given, and tells what was asked.
async fn once(answer: &str) -> (Api, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let answer = answer.to_owned();
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !is_whole(&request) {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).await.unwrap();
            request.extend_from_slice(&buffer[..count]);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    (Api::new(base, &Tls::default()).unwrap(), asked)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    length.unwrap_or(0) <= body.len()
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
}

fn credential() -> Credential {
    Credential::new("ams_sk_1")
}

#[tokio::test]
async fn an_account_is_asked_for_and_its_answer_kept_as_it_came() {
    let body = r#"{"account_id":"acc_1","namespace":"acme","credential":"ams_sk_1","created_at":"now","new":1}"#;
    let (api, asked) = once(&http("201 Created", "", body)).await;
    let answer = api.create_account("acme").await.unwrap();
    assert_eq!((answer.value.credential.as_str(), answer.body.as_str()), ("ams_sk_1", body));
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("POST /v1/accounts HTTP/1.1"), "{asked}");
    assert!(asked.ends_with(r#"{"namespace":"acme"}"#) && !asked.contains("uthorization"), "{asked}");
}

#[tokio::test]
async fn a_refusal_keeps_its_code_its_status_and_when_to_come_back() {
    let refusal = http("429 Too Many Requests", "retry-after: 7\r\n", r#"{"error":"rate_limited","message":"slow"}"#);
    let (api, _asked) = once(&refusal).await;
    let Err(ApiError::Refused(refusal)) = api.create_account("acme").await else { panic!("it was refused") };
    assert_eq!((refusal.status, refusal.code.as_str(), refusal.retry_after_s), (429, "rate_limited", Some(7)));
}

#[tokio::test]
async fn owners_show_their_credential() {
    let (api, asked) = once(&http("204 No Content", "", "")).await;
    api.revoke_link("acme", "room", &credential()).await.unwrap();
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("DELETE /v1/acme/conversations/room/link HTTP/1.1"), "{asked}");
    assert!(asked.to_lowercase().contains("authorization: bearer ams_sk_1"), "{asked}");

    let body = r#"{"link_expires_at":null,"link_revoked":false}"#;
    let (api, asked) = once(&http("200 OK", "", body)).await;
    let standing = api.set_link_expiry("acme", "room", &credential(), None).await.unwrap().value;
    assert_eq!(standing.link_expires_at, None);
    assert!(asked.await.unwrap().ends_with(r#"{"expires_at":null}"#), "never has to be said, not left out");
}

#[tokio::test]
async fn what_is_not_wanted_is_not_asked_for() {
    let (api, asked) = once(&http("400 Bad Request", "", r#"{"error":"x","message":"y"}"#)).await;
    api.create_conversation("acme", &credential(), &CreateConversation::default()).await.unwrap_err();
    assert!(asked.await.unwrap().ends_with("\r\n\r\n{}"));
}

#[tokio::test]
async fn a_link_is_inspected_by_its_token_alone() {
    let body = r#"{"conversation_id":"c","namespace":"a","alias":"b","metadata":{},"created_at":"now"}"#;
    let (api, asked) = once(&http("200 OK", "", body)).await;
    let link = "https://elsewhere/a/conversations/b?t=x".parse().unwrap();
    assert_eq!(api.inspect_by_link(&link).await.unwrap().value.alias, "b");
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("GET /v1/a/conversations/b?t=x HTTP/1.1"), "{asked}");
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_a_credential_in_hand() {
    let (api, _asked) = once(&http("307 Temporary Redirect", "location: http://127.0.0.1:1/\r\n", "")).await;
    let error = api.delete_account("acme", &credential()).await.unwrap_err();
    assert!(matches!(error, ApiError::NotAms { status: 307, .. }), "{error:?}");
}

#[tokio::test]
async fn something_else_that_answers_is_called_that() {
    let (api, _asked) = once(&http("200 OK", "", "<html>")).await;
    assert!(matches!(api.create_account("acme").await, Err(ApiError::NotAms { status: 200, .. })));
    let (api, asked) = once("").await;
    let error = api.create_account("acme").await.unwrap_err();
    assert!(matches!(error, ApiError::Unreachable { .. }), "{error:?}");
    asked.await.unwrap();
}
