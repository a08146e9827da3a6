//! `ams restore`: a backup in the place of a server's data.

use std::path::PathBuf;

use ams_server::maintenance::{self, Existing};
use serde_json::json;

use super::backup::{Steps, counts, found};
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};

/// Put a backup in the place of a server's data; the server must not run
///
/// The backup is looked through first and stays as it is. Clients that saw entries from after the backup learn that the
/// logs are others now, and read anew.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What `ams backup` made
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// Data directory to make
    #[arg(long, env = "AMS_DATA", value_name = "DIRECTORY", default_value = "./ams-data")]
    data: PathBuf,
    /// If there is a data directory already, keep it under another name
    #[arg(long)]
    move_aside: bool,
    /// How this command speaks
    #[command(flatten)]
    pub(crate) output: output::Options,
}

pub(crate) fn run(options: &Options, out: &Output) -> Result<(), Failure> {
    let existing = if options.move_aside { Existing::MoveAside } else { Existing::Refuse };
    let mut steps = Steps::new(out);
    let restored = maintenance::restore(&options.backup, &options.data, existing, |step| steps.show("done with", step));
    let restored = restored.map_err(|error| {
        let failure = Failure::from(error);
        let occupied = failure.exit == Exit::Conflict && failure.code == "occupied";
        if occupied { failure.hint("--move-aside keeps it under another name") } else { failure }
    })?;
    if let Some(moved_to) = &restored.moved_to {
        out.notice(&format!("what was there before is in {}", moved_to.display()));
    }
    if !restored.secrets {
        out.notice("the backup holds no peppers: the server needs those it had from its configuration");
    }
    let mut answer = found(&restored.verified);
    answer["path"] = json!(options.data);
    answer["epoch"] = json!(restored.epoch);
    answer["moved_to"] = json!(restored.moved_to);
    answer["secrets"] = json!(restored.secrets);
    out.result(&answer.to_string(), || format!("{}: {}", options.data.display(), counts(&restored.verified)))
}
