//! Secrets: made, hashed, compared and redacted here and nowhere else.
//!
//! A door chooses only the prefix and the length. What is stored is a peppered hash; the secret itself is shown once,
//! to whom it was made for.

use std::fmt;

use base64::Engine as _;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::clock::Entropy;

/// Something that opens a door. It cannot be printed, logged or serialized by accident; [`Secret::expose`] is the one
/// way out, and easy to search for.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret as somebody presented it; nothing is checked.
    pub fn presented(text: impl Into<String>) -> Self {
        Secret(Zeroizing::new(text.into()))
    }

    /// Makes a fresh secret: the prefix, then 32 random bytes as 43 characters of unpadded base64url.
    pub fn mint(prefix: &str, entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        entropy.fill(bytes.as_mut());
        Secret(Zeroizing::new(format!("{prefix}{}", base64url(bytes.as_ref()))))
    }

    /// The secret in plain, for the one answer that shows it and for links.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A secret of the server that stands in front of everything it hashes, so that a stolen table opens nothing.
#[derive(Debug, Clone)]
pub struct Pepper(Secret);

impl Pepper {
    /// Takes a pepper from configuration or from the data directory.
    pub fn new(secret: Secret) -> Self {
        Pepper(secret)
    }

    /// Lowercase hex of `SHA-256(pepper ":" text)` (token streams §2.2). Links and credentials hold 256 random bits, so
    /// a fast hash is enough.
    pub fn hash(&self, text: &str) -> SecretHash {
        let digest = self.digest(text);
        SecretHash(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The bytes of the same hash, for ids that are derived from it.
    pub fn digest(&self, text: &str) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.0.expose().as_bytes());
        hasher.update(b":");
        hasher.update(text.as_bytes());
        hasher.finalize().into()
    }
}

/// What is stored of a secret: 64 lowercase hexadecimal digits. Compared in constant time.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct SecretHash(Box<str>);

impl SecretHash {
    /// The digits, as the name of a reverse index.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for SecretHash {}

/// Unpadded base64url (RFC 4648 §5).
pub fn base64url(bytes: &[u8]) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::CountingEntropy;

    #[test]
    fn a_secret_has_its_shape_and_never_prints_itself() {
        let secret = Secret::mint("ams_sk_", &CountingEntropy::default());
        assert_eq!(secret.expose().len(), 50);
        assert!(secret.expose()[7..].bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn the_hash_is_sha256_of_pepper_colon_secret() {
        let pepper = Pepper::new(Secret::presented("pepper"));
        // printf 'pepper:secret' | sha256sum
        assert_eq!(pepper.hash("secret").as_str(), "5ed133c9447f144157b338fdcd0bf71240948ca354cb98010bd60a142b0cbaf8");
        assert_ne!(pepper.hash("secret"), pepper.hash("Secret"));
    }
}
