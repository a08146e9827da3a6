//! A secret is in the one answer that made it, and nowhere else.

use ams_core::secret::Secret;
use http::Method;

use crate::world::World;

#[tokio::test]
async fn no_secret_is_ever_written_or_shown_again() {
    let world = World::new().await;
    let first = world.account("demo").await;
    let second = world.post("/v1/accounts/demo/credential/rotate").bearer(&first).await.text("credential");
    let made = world.conversation("demo", &second, r#"{"alias":"a","durable":true}"#).await;
    let rotated = world.post("/v1/demo/conversations/a/link/rotate").bearer(&second).await;
    world.telemetry.save().await.unwrap();
    let secrets = [first, second.clone(), made.token(), rotated.token(), "pepper-c".into(), "pepper-l".into()];

    let account = world.directory.account_by_credential(&Secret::presented(second.clone())).await.unwrap();
    let conversation = world.directory.conversation(&account.namespace, &"a".parse().unwrap()).await.unwrap().unwrap();
    let debugged = format!("{account:?} {conversation:?} {:?} {:?}", world.directory, world.telemetry);
    let answers = [
        world.get("/v1/demo/conversations").bearer(&second).await.body,
        world.get("/v1/demo/conversations/a").bearer(&second).await.body,
        world.get(&format!("/v1/demo/conversations/a?t={}", rotated.token())).await.body,
        world.get("/v1/telemetry").await.body,
        world
            .ask(Method::PATCH, "/v1/demo/conversations/a/link")
            .bearer(&second)
            .body(r#"{"expires_at":null}"#)
            .await
            .body,
    ];
    let written = world.engine.written();
    assert!(written.contains("streams.account ") && written.contains("streams.telemetry "), "{written}");
    for secret in &secrets {
        assert!(!written.contains(secret.as_str()), "a record holds a secret");
        assert!(!debugged.contains(secret.as_str()), "{debugged}");
        assert!(answers.iter().all(|answer| !answer.contains(secret.as_str())), "{answers:?}");
    }
}
