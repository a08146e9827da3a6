//! An account's secret, kept out of logs.

use std::fmt;

/// An account's credential. `Debug` does not show it and there is no `Display`; [`Credential::expose`] is the one way out.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(String);

impl Credential {
    /// Takes a credential; white space around it, such as a file's last newline, is dropped.
    pub fn new(text: impl AsRef<str>) -> Self {
        Credential(text.as_ref().trim().to_owned())
    }

    /// The credential in plain, for a header, a frame or a profile.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}
