//! What `join`, `say` and `listen` share: who joins, what comes in, what goes out.

pub(crate) mod input;
pub(crate) mod options;
pub(crate) mod printer;
pub(crate) mod screen;
pub(crate) mod signals;
pub(crate) mod split;
