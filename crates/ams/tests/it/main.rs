//! The program as it is run: one file per topic.

mod cli;
mod operation;
mod server;
mod streams;
mod talk;
