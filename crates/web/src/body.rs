//! Request bodies: whole, up to a limit, and not for ever.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

/// How long a body may take to arrive; whoever is slower is not read further.
pub const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// Why a body could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the limit came, or were announced.
    #[error("the body is larger than {bytes_max} bytes")]
    TooLarge {
        /// The limit that was given.
        bytes_max: usize,
    },
    /// It did not arrive within [`BODY_TIME_MAX`].
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The connection ended in the middle.
    #[error("the body broke off")]
    Broken,
}

/// Bytes over the limit that are read and thrown away before the refusal is sent. Many clients write their whole body
/// before they read a word; a connection that is closed on them meanwhile is reset, and they never see the `413`. Who
/// sends even more than this is not waited for.
const EXCESS_BYTES_MAX: usize = 8 << 20;

/// Reads the whole body, at most `bytes_max` bytes of it, without spoiling the answer of whoever sent more.
///
/// # Errors
/// When it has more than `bytes_max` bytes, does not arrive in time, or breaks off.
pub async fn collect(body: Body, bytes_max: usize) -> Result<Bytes, BodyError> {
    let mut chunks = body.into_data_stream();
    let (mut kept, mut seen) = (BytesMut::new(), 0usize);
    let read = async {
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| BodyError::Broken)?;
            seen = seen.saturating_add(chunk.len());
            if seen <= bytes_max {
                kept.extend_from_slice(&chunk);
            } else if EXCESS_BYTES_MAX < seen - bytes_max {
                break;
            }
        }
        Ok(())
    };
    let done = tokio::time::timeout(BODY_TIME_MAX, read).await.unwrap_or(Err(BodyError::TooSlow));
    if bytes_max < seen { Err(BodyError::TooLarge { bytes_max }) } else { done.map(|()| kept.freeze()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn parts(parts: &[&'static [u8]]) -> Body {
        let parts: Vec<Result<Bytes, std::io::Error>> = parts.iter().map(|part| Ok(Bytes::from_static(part))).collect();
        Body::from_stream(stream::iter(parts))
    }

    #[tokio::test]
    async fn a_body_up_to_the_limit_comes_whole() {
        assert_eq!(collect(parts(&[b"ab", b"cd"]), 4).await, Ok(Bytes::from_static(b"abcd")));
        assert_eq!(collect(Body::empty(), 0).await, Ok(Bytes::new()));
    }

    #[tokio::test]
    async fn one_byte_more_is_too_large_announced_or_not() {
        let too_large = Err(BodyError::TooLarge { bytes_max: 3 });
        assert_eq!(collect(parts(&[b"ab", b"cd"]), 3).await, too_large);
        assert_eq!(collect(Body::from("abcd"), 3).await, too_large);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_body() {
        let broken = stream::iter([Ok(Bytes::from_static(b"a")), Err(std::io::Error::other("gone"))]);
        assert_eq!(collect(Body::from_stream(broken), 9).await, Err(BodyError::Broken));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let stalled = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"a"))]).chain(stream::pending());
        assert_eq!(collect(Body::from_stream(stalled), 9).await, Err(BodyError::TooSlow));
    }

    /// A body of chunks of one MiB, and how many of them have been taken.
    fn chunks(count: usize) -> (Body, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = taken.clone();
        let chunks = stream::iter(0..count).map(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 1 << 20]))
        });
        (Body::from_stream(chunks), taken)
    }

    #[tokio::test]
    async fn what_is_too_much_is_read_to_its_end_before_it_is_refused() {
        let (body, taken) = chunks(5);
        assert_eq!(collect(body, 1 << 20).await, Err(BodyError::TooLarge { bytes_max: 1 << 20 }));
        assert_eq!(taken.load(Ordering::Relaxed), 5);
        let (body, _) = chunks(5);
        assert_eq!(collect(body, 5 << 20).await.map(|bytes| bytes.len()), Ok(5 << 20));
    }

    #[tokio::test]
    async fn what_is_far_too_much_is_not_waited_for() {
        let (body, taken) = chunks(1_000);
        assert_eq!(collect(body, 10).await, Err(BodyError::TooLarge { bytes_max: 10 }));
        assert_eq!(taken.load(Ordering::Relaxed), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_or_breaks_is_no_body() {
        let start = || stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"ab"))]);
        let stalls = || Body::from_stream(start().chain(stream::pending()));
        assert_eq!(collect(stalls(), 9).await, Err(BodyError::TooSlow));
        assert_eq!(collect(stalls(), 1).await, Err(BodyError::TooLarge { bytes_max: 1 }));
        let breaks = start().chain(stream::iter([Err(std::io::Error::other("gone"))]));
        assert_eq!(collect(Body::from_stream(breaks), 9).await, Err(BodyError::Broken));
    }
}
