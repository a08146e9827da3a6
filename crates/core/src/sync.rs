//! Locks that outlive a panic of their holder.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex. A holder that panicked left data that is still consistent: each critical section here either only
/// reads, or changes plain fields in an order that is safe to stop in; the connection that panicked is closed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
