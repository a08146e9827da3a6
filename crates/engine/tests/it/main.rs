//! The embedded engine from outside: the suite that every engine passes, and what is special about files.

mod suite;
