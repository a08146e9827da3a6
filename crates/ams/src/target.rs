//! Which server, which account: flag, then environment, then profile, then default.

use std::path::PathBuf;

use ams_client::{Api, Credential, MagicLink, Tls};
use url::Url;

use crate::failure::{Exit, Failure};
use crate::profile::{self, Profile, Store};
use crate::values;

/// The server when nothing else is said.
const DEFAULT_BASE: &str = "http://127.0.0.1:8787";
/// The variable that holds a credential, so that it need not be on the command line.
const CREDENTIAL_VARIABLE: &str = "AMS_CREDENTIAL";

/// Where profiles are, and which to use.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct ProfileOptions {
    /// Use this profile
    #[arg(long, env = "AMS_PROFILE", value_name = "NAME", help_heading = "Server")]
    pub(crate) profile: Option<String>,
    /// File with the profiles, instead of ~/.config/ams/config.toml
    #[arg(long, env = "AMS_CONFIG", value_name = "FILE", help_heading = "Server")]
    pub(crate) config: Option<PathBuf>,
}

/// How to trust a server.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct TrustOptions {
    /// Also trust the certificates in this PEM file
    #[arg(long, env = "AMS_CA_CERT", value_name = "FILE", help_heading = "Server")]
    ca_cert: Option<PathBuf>,
}

impl TrustOptions {
    pub(crate) fn tls(&self) -> Result<Tls, Failure> {
        Ok(self.ca_cert.as_deref().map(Tls::trusting).transpose()?.unwrap_or_default())
    }
}

/// Which server a command is for.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct ServerOptions {
    #[command(flatten)]
    pub(crate) profiles: ProfileOptions,
    /// The server's address [default: the profile's, else http://127.0.0.1:8787]
    #[arg(long, env = "AMS_BASE", value_name = "URL", value_parser = values::base, help_heading = "Server")]
    base: Option<Url>,
    #[command(flatten)]
    trust: TrustOptions,
}

/// Which account on which server a command is for.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// The account's namespace [default: the profile's]
    #[arg(long, env = "AMS_NAMESPACE", value_name = "NS", value_parser = values::label, help_heading = "Server")]
    namespace: Option<String>,
    /// File with the account's credential [default: the variable AMS_CREDENTIAL, else the profile's]
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    credential_file: Option<PathBuf>,
}

/// An account on a server, ready to be used.
pub(crate) struct Account {
    pub(crate) api: Api,
    pub(crate) namespace: String,
    pub(crate) credential: Credential,
    /// The profile it came from, if it did.
    pub(crate) profile: Option<String>,
}

impl ServerOptions {
    /// The server for registering a new account: a profile that is in use says where, but the one that is named is the
    /// one to be made.
    pub(crate) fn api_for_new_account(&self) -> Result<Api, Failure> {
        let in_use = ProfileOptions { profile: None, ..self.profiles.clone() };
        let base = match &self.base {
            Some(base) => base.clone(),
            None => in_use.find()?.map_or_else(default_base, |(_, profile)| Ok(profile.base))?,
        };
        Ok(Api::new(base, &self.trust.tls()?)?)
    }

    /// The server that a link names.
    pub(crate) fn api_of(&self, link: &MagicLink) -> Result<Api, Failure> {
        Ok(Api::new(link.origin().clone(), &self.trust.tls()?)?)
    }

    /// A credential is not sent to another server than its own because of a variable that happens to be set: only a
    /// profile that was named goes where `--base` says.
    fn may_use(&self, profile: &Profile) -> bool {
        self.profiles.profile.is_some() || self.base.as_ref().is_none_or(|base| *base == profile.base)
    }
}

impl Options {
    /// The account.
    pub(crate) fn account(&self) -> Result<Account, Failure> {
        let given = given_credential(self.credential_file.as_ref())?;
        let found = self.server.profiles.find()?.filter(|(_, profile)| self.server.may_use(profile));
        let (name, profile) = found.unzip();
        let (credential, from_profile) = match (given, &profile) {
            (Some(credential), _) => (credential, false),
            (None, Some(profile)) => (profile.credential(), true),
            (None, None) => return Err(no_account()),
        };
        let namespace = self.namespace.clone().or_else(|| Some(profile.as_ref()?.namespace.clone()));
        let namespace = namespace.ok_or_else(|| Failure::usage("which namespace? name it with --namespace"))?;
        let base = match (&self.server.base, profile) {
            (Some(base), _) => base.clone(),
            (None, Some(profile)) => profile.base,
            (None, None) => default_base()?,
        };
        let api = Api::new(base, &self.server.trust.tls()?)?;
        Ok(Account { api, namespace, credential, profile: name.filter(|_| from_profile) })
    }
}

impl ProfileOptions {
    pub(crate) fn store(&self) -> Result<Store, Failure> {
        Store::open(self.config.as_deref())
    }

    /// The profile that was named, else the one in use, if any.
    pub(crate) fn find(&self) -> Result<Option<(String, Profile)>, Failure> {
        let mut all = self.store()?.load()?;
        let Some(name) = self.profile.clone().or(all.current.take()) else { return Ok(None) };
        match all.profiles.remove(&name) {
            Some(profile) => Ok(Some((name, profile))),
            None => Err(profile::missing(&name)),
        }
    }
}

pub(crate) fn no_account() -> Failure {
    Failure::new(Exit::NotAuthenticated, "no_account", "this needs an account, and there is no profile in use")
        .hint("`ams account create NAME` makes one; or `ams profile use NAME`; or set AMS_CREDENTIAL and AMS_NAMESPACE")
}

pub(crate) fn default_base() -> Result<Url, Failure> {
    values::base(DEFAULT_BASE).map_err(Failure::usage)
}

/// A credential from a file, else from the environment.
pub(crate) fn given_credential(file: Option<&PathBuf>) -> Result<Option<Credential>, Failure> {
    match file {
        Some(path) => read_credential(path).map(Some),
        None => Ok(variable_credential()),
    }
}

pub(crate) fn read_credential(path: &PathBuf) -> Result<Credential, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(Exit::Other, "io", format!("{}: {error}", path.display())))?;
    let credential = Credential::new(&text);
    if credential.expose().is_empty() {
        return Err(Failure::usage(format!("{} is empty", path.display())));
    }
    Ok(credential)
}

pub(crate) fn variable_credential() -> Option<Credential> {
    let text = std::env::var(CREDENTIAL_VARIABLE).ok()?;
    (!text.trim().is_empty()).then(|| Credential::new(text))
}
