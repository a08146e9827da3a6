//! Seen only by those who are here now, and never stored.

pub mod presence;
pub mod signal;
