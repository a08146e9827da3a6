//! Where rooms and records live.

use std::path::PathBuf;

use super::values::switch;

/// The engine and its place.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Storage")]
pub struct Storage {
    /// Directory of everything that survives a restart; made if it is not there
    #[arg(long, env = "AMS_DATA", value_name = "DIRECTORY", default_value = "./ams-data")]
    pub data: PathBuf,
    /// Keep everything in memory and forget it at the end, for tests and demos
    #[arg(long, env = "AMS_EPHEMERAL", value_name = "YES|NO", num_args = 0..=1, require_equals = true,
          default_value = "no", default_missing_value = "yes", value_parser = switch(), action = clap::ArgAction::Set)]
    pub ephemeral: bool,
}
