//! `ams profile`: which account is in use.

use clap::Subcommand;
use owo_colors::Style;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{self, Output};
use crate::profile::Profile;
use crate::target::{self, ProfileOptions};

/// Switch between accounts and servers
///
/// A profile is an account on a server, with its credential, kept in ~/.config/ams/config.toml, which only you can read.
/// `ams account create` makes one.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    pub(crate) output: output::Options,
}

const EXAMPLES: &str = "\
Examples:
  ams profile list
  ams profile use acme
  ams conversation create --profile other     another one, this once";

#[derive(Debug, Subcommand)]
enum Action {
    /// List the profiles; the one in use has a star
    List(Place),
    /// Use this profile from now on
    Use(Named),
    /// Show the profile in use, or a named one, without its credential
    Show(Show),
    /// Forget a profile and its credential; the account stays on its server
    Remove(Named),
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Place {
    /// File with the profiles, instead of ~/.config/ams/config.toml
    #[arg(long, env = "AMS_CONFIG", value_name = "FILE")]
    config: Option<std::path::PathBuf>,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Named {
    /// The profile
    name: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Show {
    /// The profile [default: AMS_PROFILE, else the one in use]
    #[arg(env = "AMS_PROFILE")]
    name: Option<String>,
    #[command(flatten)]
    place: Place,
}

impl Place {
    fn with(&self, name: Option<&str>) -> ProfileOptions {
        ProfileOptions { profile: name.map(str::to_owned), config: self.config.clone() }
    }
}

pub(crate) fn run(options: &Options, output: &Output) -> Result<(), Failure> {
    match &options.action {
        Action::List(place) => list(place, output),
        Action::Use(Named { name, place }) => {
            place.with(None).store()?.update(|all| all.choose(name))?;
            output.notice(&format!("profile {name} is in use"));
            Ok(())
        }
        Action::Show(Show { name, place }) => show(&place.with(name.as_deref()), output),
        Action::Remove(Named { name, place }) => {
            place.with(None).store()?.update(|all| all.remove(name))?;
            output.notice(&format!("profile {name} is removed"));
            Ok(())
        }
    }
}

fn list(place: &Place, output: &Output) -> Result<(), Failure> {
    let all = place.with(None).store()?.load()?;
    let in_use = |name: &str| all.current.as_deref() == Some(name);
    if output.wants_json() {
        let list: Vec<_> = all.profiles.iter().map(|(name, profile)| described(name, profile, in_use(name))).collect();
        return output.line(&Value::from(list).to_string());
    }
    if all.profiles.is_empty() {
        output.notice("there are none; `ams account create NAME` makes one");
    }
    for (name, profile) in &all.profiles {
        let star = if in_use(name) { "*" } else { " " };
        let base = profile.base.as_str().trim_end_matches('/');
        let name = output.paint(&format!("{name:<20}"), Style::new().bold());
        output.line(&format!("{star} {name} {:<20} {base}", profile.namespace))?;
    }
    Ok(())
}

fn show(options: &ProfileOptions, output: &Output) -> Result<(), Failure> {
    let Some((name, profile)) = options.find()? else { return Err(target::no_account()) };
    let current = options.store()?.load()?.current;
    let in_use = current.as_deref() == Some(&name);
    output.result(&described(&name, &profile, in_use).to_string(), || {
        let id = profile.account_id.as_deref().unwrap_or("not known");
        let base = profile.base.as_str().trim_end_matches('/');
        format!("profile    {name}\nnamespace  {}\naccount    {id}\nserver     {base}", profile.namespace)
    })
}

/// A profile without its secret.
fn described(name: &str, profile: &Profile, in_use: bool) -> Value {
    json!({
        "name": name,
        "in_use": in_use,
        "base": profile.base.as_str().trim_end_matches('/'),
        "namespace": profile.namespace,
        "account_id": profile.account_id,
    })
}
