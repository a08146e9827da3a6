//! `ams completions`: what a shell completes.

use clap_complete::Shell;

use crate::failure::Failure;
use crate::output::Output;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// The shell
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  ams completions bash > ~/.local/share/bash-completion/completions/ams
  ams completions zsh > ~/.zfunc/_ams
  ams completions fish > ~/.config/fish/completions/ams.fish";

pub(crate) fn run(options: &Options, output: &Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut super::cli(), "ams", &mut script);
    output.bytes(&script)
}
