//! Around every request: its id, its span, its line in the log, its counts, and an answer if the handler panicked.

use std::any::Any;
use std::sync::Arc;

use ams_core::code::Code;
use ams_web::request_id::{REQUEST_ID, RequestId};
use ams_web::{Environment, answer};
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use http::Method;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use crate::counters::{Counters, RequestLabels};

#[derive(Clone)]
struct Observer {
    environment: Environment,
    counters: Arc<Counters>,
}

/// Wraps every route, the fallback included.
pub(crate) fn observed(routes: Router, environment: Environment, counters: Arc<Counters>) -> Router {
    let panics = counters.clone();
    routes
        .layer(CatchPanicLayer::custom(move |panic: Box<dyn Any + Send>| {
            panics.panics.inc();
            panicked(&*panic)
        }))
        .layer(middleware::from_fn_with_state(Observer { environment, counters }, observe))
}

async fn observe(State(observer): State<Observer>, mut request: Request, next: Next) -> Response {
    let Environment { clock, entropy, minter, .. } = &observer.environment;
    let id = RequestId::of(request.headers(), minter, &**clock, &**entropy);
    request.extensions_mut().insert(id.clone());
    let method = method_name(request.method());
    // The template, never the path: a path can hold a name, and a query a secret.
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", request.id = id.as_str());
    let start = clock.monotonic();
    async {
        let mut response = next.run(request).await;
        response.headers_mut().insert(REQUEST_ID, id.header());
        let (status, took) = (response.status().as_u16(), clock.monotonic() - start);
        let code = response.extensions().get::<Code>().map(|code| code.as_str());
        // Whole microseconds: more digits would be noise.
        let duration_ms = took.as_micros() as f64 / 1e3;
        if status < 500 {
            tracing::info!(method, route, status, duration_ms, code, "request");
        } else {
            tracing::warn!(method, route, status, duration_ms, code, "request failed");
        }
        observer.counters.durations.observe(took.as_secs_f64());
        observer.counters.requests.get_or_create(&RequestLabels { method, route, status }).inc();
        response
    }
    .instrument(span)
    .await
}

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("without a text"), "a request handler panicked");
    answer::error(Code::ServerError, "something unexpected happened; the server's log says what")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Mutex, PoisonError};

    use ams_core::clock::{CountingEntropy, SystemClock};
    use ams_web::PeerAddress;
    use axum::body::Body;
    use axum::routing::post;
    use tower::ServiceExt as _;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::config::LogFormat;
    use crate::router::tests::environment;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        fn lines(&self) -> Vec<String> {
            let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8(bytes.clone()).unwrap().lines().map(str::to_owned).collect()
        }
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Page {
        type Writer = Page;

        fn make_writer(&'a self) -> Page {
            self.clone()
        }
    }

    async fn logged(format: LogFormat, path: &str) -> Vec<String> {
        let routes = Router::new().route("/{namespace}/conversations/{alias}", post(async || "minted: s3cret"));
        let environment = environment(Arc::new(SystemClock), Arc::new(CountingEntropy::default()));
        let router = observed(routes, environment, Arc::new(Counters::default()));
        let page = Page::default();
        // Everything that libraries say is searched, too.
        let subscriber = crate::logging::subscriber("trace", format, false, page.clone());
        let guard = tracing::subscriber::set_default(subscriber);
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("authorization", "Bearer s3cret")
            .header("x-forwarded-for", "203.0.113.9")
            .header("x-request-id", "mine-1")
            .extension(PeerAddress("203.0.113.9:4711".parse().unwrap()))
            .body(Body::from("s3cret"))
            .unwrap();
        router.oneshot(request).await.unwrap();
        drop(guard);
        page.lines()
    }

    #[tokio::test]
    async fn a_request_is_one_line_without_anything_secret() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let lines = logged(format, "/team/conversations/s3cret?t=s3cret").await;
            assert!(lines.iter().all(|line| !line.contains("s3cret") && !line.contains("203.0.113.9")), "{lines:#?}");
            let told: Vec<_> =
                lines.iter().filter(|line| line.contains("/{namespace}/conversations/{alias}")).collect();
            assert_eq!(told.len(), 1, "{lines:#?}");
            for word in ["POST", "200", "duration_ms", "mine-1"] {
                assert!(told[0].contains(word), "{word}: {}", told[0]);
            }
        }
    }

    #[tokio::test]
    async fn a_path_that_no_route_knows_is_not_repeated() {
        let lines = logged(LogFormat::Json, "/s3cret/s3cret/s3cret").await;
        let line: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
        assert_eq!((line["route"].as_str(), line["status"].as_u64()), (Some("unmatched"), Some(404)));
        assert_eq!(line["span"]["request.id"], "mine-1");
        assert!(lines.iter().all(|line| !line.contains("s3cret")), "{lines:#?}");
    }
}
