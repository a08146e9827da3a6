//! Request bodies: whole, up to a limit, and not for ever.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;

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

/// Reads the whole body, at most `bytes_max` bytes of it.
///
/// # Errors
/// See [`BodyError`]; a body that announces too large a length is refused before it is read.
pub async fn collect(body: Body, bytes_max: usize) -> Result<Bytes, BodyError> {
    let announced = body.size_hint().lower();
    if usize::try_from(announced).map_or(true, |announced| bytes_max < announced) {
        return Err(BodyError::TooLarge { bytes_max });
    }
    match tokio::time::timeout(BODY_TIME_MAX, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge { bytes_max }),
        Ok(Err(_)) => Err(BodyError::Broken),
        Err(_) => Err(BodyError::TooSlow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt as _, stream};

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
}
