//! `ams backup`: a copy of a server's data, taken while it runs.

use std::path::PathBuf;

use ams_server::maintenance::{self, OpenError, Progress, Verified};
use serde_json::{Value, json};

use crate::failure::{Exit, Failure};
use crate::output::{self, Output};

/// Copy a server's data, also while it runs, and look the copy through
///
/// Everything that was acknowledged before the command began is in the copy. The copy is a data directory itself: it
/// appears under its name only once it is complete, only its owner may read it, and it holds the server's secrets if
/// they are in the data directory. `ams restore` puts it back.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Data directory to copy
    #[arg(long, env = "AMS_DATA", value_name = "DIRECTORY", default_value = "./ams-data")]
    data: PathBuf,
    /// Where the copy goes; must not exist or be empty
    #[arg(long, value_name = "DIRECTORY")]
    to: PathBuf,
    /// How this command speaks
    #[command(flatten)]
    pub(crate) output: output::Options,
}

pub(crate) fn run(options: &Options, out: &Output) -> Result<(), Failure> {
    let mut steps = Steps::new(out);
    let copy = maintenance::backup(&options.data, &options.to, |step| steps.show("copied", step))?;
    let verified = maintenance::verify(&options.to, |step| steps.show("checked", step))?;
    if !copy.secrets {
        out.notice("the peppers are not in the copy: they came from the configuration; keep them with it");
    }
    let mut answer = found(&verified);
    answer["path"] = json!(copy.path);
    answer["secrets"] = json!(copy.secrets);
    out.result(&answer.to_string(), || format!("{}: {}", copy.path.display(), counts(&verified)))
}

/// What is in a directory that was looked through, for programs.
pub(super) fn found(verified: &Verified) -> Value {
    let Verified { epoch, rooms, entries, in_journal, records, bytes } = verified;
    json!({
        "epoch": epoch, "rooms": rooms, "entries": entries, "entries_in_journal": in_journal,
        "records": records, "bytes": bytes,
    })
}

/// The same for people.
pub(super) fn counts(verified: &Verified) -> String {
    let Verified { rooms, entries, in_journal, records, bytes, .. } = verified;
    format!("{} entries in {rooms} rooms, {records} records, {bytes} bytes", entries + in_journal)
}

/// Says now and then how far it is: at the end of each file, and at each tenth of a large one.
pub(super) struct Steps<'a> {
    out: &'a Output,
    file: PathBuf,
    tenth: u64,
}

/// Pages from which a file is large enough to be told of before it is done; a moment's work.
const LARGE_PAGES: u64 = 16_384;

impl<'a> Steps<'a> {
    pub(super) fn new(out: &'a Output) -> Self {
        Steps { out, file: PathBuf::new(), tenth: 0 }
    }

    pub(super) fn show(&mut self, done: &str, step: &Progress) {
        if self.file != step.file {
            self.file.clone_from(&step.file);
            self.tenth = 0;
        }
        let name = step.file.file_name().unwrap_or_default().to_string_lossy();
        let tenth = (10 * step.done).checked_div(step.total).unwrap_or(10);
        if step.done == step.total {
            self.out.notice(&format!("{done} {name}"));
        } else if LARGE_PAGES <= step.total && self.tenth < tenth {
            self.out.notice(&format!("{done} {}0 % of {name}", tenth));
        }
        self.tenth = tenth;
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let (exit, code) = match &error {
            OpenError::InUse { .. } => (Exit::Conflict, "in_use"),
            OpenError::Occupied { .. } => (Exit::Conflict, "occupied"),
            OpenError::NotData { .. } => (Exit::NotFound, "not_data"),
            OpenError::Missing { .. } => (Exit::NotFound, "missing"),
            OpenError::NewerSchema { .. } => (Exit::Other, "newer_schema"),
            OpenError::Damaged { .. } => (Exit::Other, "damaged"),
            OpenError::Io { .. } => (Exit::Other, "io"),
            OpenError::Sqlite { .. } => (Exit::Other, "storage"),
        };
        Failure::new(exit, code, error.to_string())
    }
}
