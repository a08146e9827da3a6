//! `ams account`: the owner of a namespace.

use ams_client::Credential;
use clap::Subcommand;
use serde_json::json;

use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::profile::{self, Profile, Store};
use crate::{target, values};

/// Register a namespace and manage its credential
///
/// An account owns one namespace, in which it opens conversations. Its credential says whose a stream is; it is shown
/// once and kept in a profile.
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
  ams account create acme                        registers acme and keeps its credential in profile acme
  ams account create acme --no-save > acme.json  only prints it
  ams account rotate                             a new credential; the old one is dead
  ams account delete --yes                       with all its conversations";

#[derive(Debug, Subcommand)]
enum Action {
    /// Register a namespace; its credential is shown this once and kept in a profile
    Create(Create),
    /// Show the account in use, without its credential
    Show(target::Options),
    /// Replace the credential; the old one is dead at once
    Rotate(target::Options),
    /// Delete the account with all its conversations
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Create {
    /// 1 to 63 of a-z, 0-9 and -
    #[arg(value_name = "NS", value_parser = values::label)]
    namespace: String,
    /// Do not keep the credential; whoever reads the output has to
    #[arg(long)]
    no_save: bool,
    #[command(flatten)]
    server: target::ServerOptions,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Delete {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    target: target::Options,
}

pub(crate) async fn run(options: Options, output: &Output) -> Result<(), Failure> {
    match options.action {
        Action::Create(create) => create.run(output).await,
        Action::Show(target) => show(&target, output),
        Action::Rotate(target) => rotate(&target, output).await,
        Action::Delete(delete) => delete.run(output).await,
    }
}

impl Create {
    /// Makes the account; the profile has the namespace's name unless `--profile` says otherwise.
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let store = self.server.profiles.store()?;
        let name = self.server.profiles.profile.clone().unwrap_or_else(|| self.namespace.clone());
        if !self.no_save && store.ready()?.profiles.contains_key(&name) {
            let message = format!("there is a profile {name:?} already, and its credential would be lost");
            let hint = format!("name another with --profile, or `ams profile remove {name}` first");
            return Err(Failure::new(Exit::Conflict, "profile_exists", message).hint(hint));
        }
        let api = self.server.api_for_new_account()?;
        let answer = api.create_account(&self.namespace).await?;
        let (created, credential) = (&answer.value, Credential::new(&answer.value.credential));
        output.result(&answer.body, || {
            format!(
                "Account {} ({}) is registered.\n\n  {}\n\nThis is its credential. It is not shown again.",
                created.namespace, created.account_id, created.credential
            )
        })?;
        if !self.no_save {
            let id = Some(created.account_id.clone());
            let profile = Profile::new(api.base().clone(), self.namespace.clone(), id, &credential);
            save(&store, &name, profile, output)?;
        }
        Ok(())
    }
}

/// Keeps a profile; the first one is in use from now on.
fn save(store: &Store, name: &str, profile: Profile, output: &Output) -> Result<(), Failure> {
    let in_use = store.update(|all| {
        all.profiles.insert(name.to_owned(), profile);
        Ok(all.current.get_or_insert_with(|| name.to_owned()) == name)
    })?;
    let path = store.path().display();
    output.notice(&if in_use {
        format!("kept as profile {name}, which is in use, in {path}")
    } else {
        format!("kept as profile {name} in {path}; `ams profile use {name}` makes it the one in use")
    });
    Ok(())
}

fn show(target: &target::Options, output: &Output) -> Result<(), Failure> {
    let account = target.account()?;
    let base = account.api.base().as_str().trim_end_matches('/');
    let body = json!({"namespace": account.namespace, "base": base, "profile": account.profile}).to_string();
    output.result(&body, || {
        let profile = account.profile.as_deref().unwrap_or("none: the credential was given");
        format!("namespace  {}\nserver     {base}\nprofile    {profile}", account.namespace)
    })
}

async fn rotate(target: &target::Options, output: &Output) -> Result<(), Failure> {
    let account = target.account()?;
    let answer = account.api.rotate_credential(&account.namespace, &account.credential).await?;
    // Shown before it is kept: if keeping fails, it is not lost.
    output.result(&answer.body, || {
        format!(
            "{}\n\nThis is the new credential. It is not shown again; the old one is dead.",
            answer.value.credential
        )
    })?;
    let Some(name) = account.profile else { return Ok(()) };
    let credential = Credential::new(&answer.value.credential);
    target.server.profiles.store()?.update(|all| {
        let profile = all.profiles.get_mut(&name).ok_or_else(|| profile::missing(&name))?;
        profile.set_credential(&credential);
        Ok(())
    })?;
    output.notice(&format!("kept in profile {name}"));
    Ok(())
}

impl Delete {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let account = self.target.account()?;
        let question = format!("Delete account {} with all its conversations?", account.namespace);
        super::confirm(&question, self.yes)?;
        account.api.delete_account(&account.namespace, &account.credential).await?;
        output.notice(&format!("account {} is deleted", account.namespace));
        let Some(name) = account.profile else { return Ok(()) };
        self.target.server.profiles.store()?.update(|all| all.remove(&name))?;
        output.notice(&format!("profile {name} is removed"));
        Ok(())
    }
}
