//! The one list of doors. Adding a protocol is one folder and one line here.

use ams_core::engine::Records;
use ams_core::room::Rooms;
use ams_door_streams::Peppers;
use ams_web::{Door, Environment};

use crate::config::Config;

/// What doors are built from.
pub(crate) struct Foundation {
    pub peppers: Peppers,
    pub rooms: Rooms,
    pub records: Records,
    pub environment: Environment,
}

/// Every door of this server.
pub(crate) fn all(config: &Config, foundation: Foundation) -> Vec<Door> {
    let Foundation { peppers, rooms, records, environment } = foundation;
    vec![ams_door_streams::door(config.streams.door(), peppers, rooms, records, environment)]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use ams_core::clock::{CountingEntropy, SystemClock};
    use ams_core::engine::{Engine, MemoryEngine};
    use ams_core::limits::RoomLimits;
    use ams_core::secret::{Pepper, Secret};
    use ams_door_streams::names::Namespace;
    use ams_web::door::Reserved;
    use axum::Router;

    use super::*;
    use crate::config::Given;
    use crate::router;

    fn doors() -> Vec<Door> {
        let config = Given::from_words::<_, &str>([]).unwrap().load(|_| None).unwrap().config;
        let pepper = || Pepper::new(Secret::presented("pepper"));
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        let foundation = Foundation {
            peppers: Peppers { credentials: pepper(), links: pepper() },
            rooms: Rooms::new(engine.clone(), Arc::new(SystemClock), RoomLimits::default()),
            records: Records::new(engine),
            environment: router::tests::environment(Arc::new(SystemClock), Arc::new(CountingEntropy::default())),
        };
        all(&config, foundation)
    }

    /// The paths of a router. It has no way to ask for them, so they are read from what it prints for debugging.
    fn paths(routes: &Router) -> Vec<String> {
        let printed = format!("{routes:?}");
        let quoted = printed.split('"').filter(|text| text.starts_with('/'));
        let found: HashSet<String> = quoted.map(str::to_owned).collect();
        found.into_iter().collect()
    }

    /// What a path occupies: its first segment, or the second under `/v1/`; `None` if that is a pattern.
    fn claim(path: &str) -> Option<String> {
        let mut segments = path.split('/').skip(1);
        let first = segments.next().unwrap_or_default();
        let (prefix, segment) = if first == "v1" { ("/v1/", segments.next()?) } else { ("/", first) };
        (!segment.is_empty() && !segment.starts_with('{')).then(|| format!("{prefix}{segment}"))
    }

    fn claims(reserved: &Reserved) -> impl Iterator<Item = String> {
        let roots = reserved.roots.iter().map(|root| format!("/{root}"));
        roots.chain(reserved.v1.iter().map(|second| format!("/v1/{second}")))
    }

    #[tokio::test]
    async fn every_route_of_a_door_is_in_its_reserved_list() {
        for door in doors() {
            let reserved: HashSet<String> = claims(&door.reserved).collect();
            let paths = paths(&door.routes);
            assert!(!paths.is_empty(), "the routes of {} could not be read", door.name);
            for path in paths {
                if let Some(claim) = claim(&path) {
                    assert!(reserved.contains(&claim), "{}: {path} is not reserved as {claim}", door.name);
                }
            }
        }
    }

    /// What the server itself occupies.
    const OWN: Reserved = Reserved { roots: &["healthz", "readyz", "metrics", "version"], v1: &[] };

    #[tokio::test]
    async fn what_is_claimed_is_no_namespace() {
        for reserved in doors().iter().map(|door| door.reserved).chain([OWN]) {
            for segment in reserved.roots.iter().chain(reserved.v1) {
                // Namespaces hold no other characters, so that nothing else can meet.
                let possible = segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                assert!(!possible || Namespace::is_reserved(segment), "a namespace could be called {segment}");
            }
        }
    }

    #[tokio::test]
    async fn no_two_doors_claim_the_same() {
        let mut seen = HashSet::new();
        for (name, reserved) in doors().iter().map(|door| (door.name, door.reserved)).chain([("server", OWN)]) {
            for claim in claims(&reserved) {
                assert!(seen.insert(claim.clone()), "{name} claims {claim}, which is taken");
            }
        }
    }

    #[test]
    fn the_walk_finds_what_a_router_holds() {
        let routes = Router::new()
            .route("/healthz", axum::routing::get(async || ""))
            .route("/v1/{namespace}/conversations", axum::routing::get(async || ""))
            .merge(Router::new().route("/v1/accounts", axum::routing::post(async || "")));
        let mut found: Vec<_> = paths(&routes).iter().filter_map(|path| claim(path)).collect();
        found.sort();
        assert_eq!(found, ["/healthz", "/v1/accounts"]);
    }
}
