//! `ams`: the server and the command line in one program.

mod command;
mod failure;
mod output;
mod profile;
mod stream;
mod target;
mod values;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    command::main()
}
