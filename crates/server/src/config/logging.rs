//! What the server says about itself, on standard error.

use super::values;

/// Filter and shape of the log.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Log")]
pub struct Logging {
    /// What to log: error, warn, info, debug, trace, or a filter such as info,ams_engine=debug
    #[arg(long, env = "AMS_LOG", value_name = "FILTER", default_value = "info", value_parser = values::log_filter)]
    pub log: String,
    /// Shape of log lines; without it text on a terminal and JSON elsewhere
    #[arg(long, env = "AMS_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// Shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, one object a line.
    Json,
}
