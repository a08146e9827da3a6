//! `ams man`: the manual.

use std::path::PathBuf;

use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Print the manual page, or write one per command
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Where to write the pages: one per command; must exist
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  ams man | man -l -
  mkdir -p ~/.local/share/man/man1 && ams man ~/.local/share/man/man1";

pub(crate) fn run(options: &Options, output: &Output) -> Result<(), Failure> {
    let Some(directory) = &options.directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(super::cli()).render(&mut page)?;
        return output.bytes(&page);
    };
    clap_mangen::generate_to(super::cli(), directory)
        .map_err(|error| Failure::new(Exit::Other, "io", format!("{}: {error}", directory.display())))
}
