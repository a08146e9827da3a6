//! Who joins which conversation, and how long to try.

use std::path::PathBuf;
use std::time::Duration;

use ams_client::session::{self, Patience};
use ams_client::{Credential, Handshake, Identity, MagicLink, Wish};
use ams_core::clock::Entropy;
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::output::Output;
use crate::target::{self, ProfileOptions, TrustOptions};
use crate::values;

/// Who joins.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// The conversation's magic link (@FILE reads it from a file, out of the process list)
    #[arg(value_name = "LINK", value_parser = values::link)]
    pub(crate) link: MagicLink,
    /// Name of the own stream, such as reviewer; a name keeps its stream across calls [default: one is made up]
    #[arg(long, value_name = "NAME", value_parser = values::stream_name)]
    name: Option<String>,
    /// What the stream says of itself: a JSON object, or @FILE
    #[arg(long, value_name = "JSON", value_parser = values::json_object)]
    metadata: Option<Box<RawValue>>,
    /// Join by the link alone, also when a profile is in use
    #[arg(long, conflicts_with = "credential_file")]
    anonymous: bool,
    /// File with a credential, sent to whatever server the link names [default: AMS_CREDENTIAL or the profile's, sent
    /// only to its own server]
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
    /// Say who joins in headers instead of a first frame, for other servers of the protocol; needs a credential
    #[arg(long)]
    headers: bool,
    /// How long to wait for a server that cannot be reached at first, such as 30s [default: not at all]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
    /// How long to try to come back after the connection was lost [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    retry_for: Option<Duration>,
    #[command(flatten)]
    profiles: ProfileOptions,
    #[command(flatten)]
    trust: TrustOptions,
}

impl Options {
    /// Joins; `wish` says what is to be read.
    pub(crate) fn start(
        &self,
        wish: Wish,
        entropy: &dyn Entropy,
        output: &Output,
    ) -> Result<session::Session, Failure> {
        let identity = Identity {
            credential: self.credential(output)?,
            stream_name: self.name.clone(),
            stream_metadata: self.metadata.clone(),
            peer_identity: None,
        };
        let handshake = if self.headers { Handshake::Headers } else { Handshake::Attach };
        let mut seed = [0; 16];
        entropy.fill(&mut seed);
        let options = session::Options {
            wish: Wish { identity, handshake, ..wish },
            patience: Patience { first: self.wait.unwrap_or_default(), again: self.retry_for, ..Patience::default() },
            ..session::Options::new(seed)
        };
        Ok(session::Session::start(self.link.clone(), self.trust.tls()?, options))
    }

    /// Whose stream it is. A link can come from anybody and name any server, so a credential goes only to the server it
    /// is of, unless its file was named in the same breath as the link.
    fn credential(&self, output: &Output) -> Result<Option<Credential>, Failure> {
        if self.anonymous {
            return Ok(None);
        }
        if let Some(path) = &self.credential_file {
            return target::read_credential(path).map(Some);
        }
        if let Some(credential) = target::variable_credential() {
            let base =
                std::env::var("AMS_BASE").ok().map(|base| values::base(&base)).transpose().map_err(Failure::usage)?;
            let base = base.map_or_else(target::default_base, Ok)?;
            if self.link.is_on(&base) {
                return Ok(Some(credential));
            }
            output.notice("the link is on another server than AMS_BASE: joining without AMS_CREDENTIAL");
            return Ok(None);
        }
        match self.profiles.find()? {
            Some((_, profile)) if self.link.is_on(&profile.base) => Ok(Some(profile.credential())),
            Some((name, _)) if self.profiles.profile.is_some() => {
                let message =
                    format!("profile {name} is of another server than the link; its credential is not sent there");
                Err(Failure::usage(message).hint("join with --anonymous, or name a profile of that server"))
            }
            Some((name, _)) => {
                output.notice(&format!("the link is on another server than profile {name}: joining by the link alone"));
                Ok(None)
            }
            None => Ok(None),
        }
    }
}
