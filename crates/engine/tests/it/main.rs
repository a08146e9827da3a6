//! The embedded engine from outside: the suite that every engine passes, and what is special about files.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod copies;
mod crash;
mod directory;
mod limits;
mod suite;
mod support;
