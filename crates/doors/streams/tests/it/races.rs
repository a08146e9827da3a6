//! Two who want the same at the same time. The engine gives way before each write, so that they truly meet.

use futures_util::FutureExt;
use http::Method;

use crate::world::World;

/// Sends all requests at once and counts the answers by status.
async fn statuses(asks: Vec<crate::world::Ask>) -> Vec<u16> {
    let mut statuses: Vec<u16> = futures_util::future::join_all(asks.into_iter().map(IntoFuture::into_future))
        .await
        .iter()
        .map(|answer| answer.status.as_u16())
        .collect();
    statuses.sort_unstable();
    statuses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_simultaneous_mints_of_one_namespace_exactly_one_gets_it() {
    let world = World::new().await;
    for round in 0..20 {
        let ask = |_| world.post("/v1/accounts").from("127.0.0.1").body(format!(r#"{{"namespace":"race-{round}"}}"#));
        assert_eq!(statuses((0..5).map(ask).collect()).await, [201, 409, 409, 409, 409]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_simultaneous_mints_of_one_alias_exactly_one_gets_it() {
    let world = World::new().await;
    let credential = world.account("demo").await;
    for round in 0..20 {
        let body = format!(r#"{{"alias":"race-{round}"}}"#);
        let ask = |_| world.post("/v1/demo/conversations").bearer(&credential).body(body.clone());
        assert_eq!(statuses((0..4).map(ask).collect()).await, [201, 409, 409, 409]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_simultaneous_credential_rotations_one_wins_and_only_its_credential_lives() {
    let world = World::new().await;
    for round in 0..20 {
        let credential = world.account(&format!("race-{round}")).await;
        let rotate = || world.post(&format!("/v1/accounts/race-{round}/credential/rotate")).bearer(&credential);
        let (one, two) = tokio::join!(rotate().into_future(), rotate().into_future());
        let (won, lost) = if one.status == 200 { (one, two) } else { (two, one) };
        assert_eq!((won.status.as_u16(), lost.refusal()), (200, (401, "invalid_credential".into())));
        let list = world.get(&format!("/v1/race-{round}/conversations")).bearer(&won.text("credential")).await;
        assert_eq!(list.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simultaneous_changes_of_a_link_all_happen_one_after_the_other() {
    let world = World::new().await;
    let credential = world.account("demo").await;
    world.conversation("demo", &credential, r#"{"alias":"a"}"#).await;
    let rotate = |_| world.post("/v1/demo/conversations/a/link/rotate").bearer(&credential);
    assert_eq!(statuses((0..4).map(rotate).collect()).await, [200; 4]);
    let last = world.post("/v1/demo/conversations/a/link/rotate").bearer(&credential).await;
    assert_eq!(last.json()["link_generation"], 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_conversation_outlives_its_accounts_deletion() {
    let world = World::new().await;
    for round in 0..20 {
        let namespace = format!("race-{round}");
        let credential = world.account(&namespace).await;
        let mint = || world.post(&format!("/v1/{namespace}/conversations")).bearer(&credential).into_future();
        let delete = world.ask(Method::DELETE, &format!("/v1/accounts/{namespace}")).bearer(&credential).into_future();
        let (one, gone, two) = tokio::join!(mint(), delete, mint());
        assert_eq!(gone.status, 204, "{gone:?}");
        assert!([&one, &two].iter().all(|minted| [201, 401].contains(&minted.status.as_u16())));
        let next = world.account(&namespace).await;
        let list = world.get(&format!("/v1/{namespace}/conversations")).bearer(&next).await;
        assert_eq!(list.json()["conversations"], serde_json::json!([]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twins_of_a_deletion_leave_a_successor_alone() {
    let world = World::new().await;
    let credential = world.account("demo").await;
    for _ in 0..20 {
        world.conversation("demo", &credential, r#"{"alias":"a"}"#).await;
        let delete = || world.ask(Method::DELETE, "/v1/demo/conversations/a").bearer(&credential).into_future();
        let (one, two) = tokio::join!(delete(), delete());
        assert!([&one, &two].iter().all(|gone| [204, 404].contains(&gone.status.as_u16())));
        let next = world.conversation("demo", &credential, r#"{"alias":"a"}"#).await;
        assert_eq!(world.get(&next.link()).await.status, 200);
        assert_eq!(delete().await.status, 204);
    }
}

#[tokio::test]
async fn what_was_begun_is_finished_though_its_client_goes_away() {
    let world = World::new().await;
    let credential = world.account("demo").await;
    let made = world.conversation("demo", &credential, r#"{"alias":"a"}"#).await;
    let rotate = world.post("/v1/demo/conversations/a/link/rotate").bearer(&credential).into_future();
    assert!(rotate.now_or_never().is_none(), "the request is dropped in the middle");
    let mut said = Vec::new();
    for _ in 0..100 {
        tokio::task::yield_now().await;
        said.extend(world.live.said());
    }
    assert_eq!(said, [format!("end {} 4001 invalid_magic_link", made.text("conversation_id"))]);
    assert_eq!(world.get(&made.link()).await.status, 404);
}
