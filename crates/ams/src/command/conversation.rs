//! `ams conversation`: open one, look at it, and decide who its link admits.

use std::time::Duration;

use ams_client::wire::{ConversationCreated, ConversationInspected, ConversationListed, CreateConversation};
use ams_core::clock::{Clock, SystemClock, Timestamp};
use clap::Subcommand;
use owo_colors::Style;
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::output::{self, Output, harmless};
use crate::target::{self, Account};
use crate::values::{self, Place};

/// Open conversations and manage their links
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
  ams conversation create --durable --alias standup
  ams conversation list
  LINK=$(ams conversation create --json | jq -r .magic_link)
  ams conversation show standup
  ams conversation expire standup --in 2h        admits for two hours more
  ams conversation rotate-link standup           a new link; who came by the old one alone leaves
  ams conversation delete standup --yes";

#[derive(Debug, Subcommand)]
enum Action {
    /// Open a conversation and print its link
    Create(Box<Create>),
    /// List one's own conversations
    List(target::Options),
    /// Show a conversation: one's own by its alias, any by its link
    Show(Which),
    /// Make the link dead: who came by it alone is sent away, and nobody enters until it is rotated
    Revoke(Which),
    /// Replace the link; the old one is dead, and who came by it alone is sent away
    RotateLink(Which),
    /// Set when the link stops admitting
    Expire(Expire),
    /// Delete a conversation with everything said in it
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Create {
    /// Its name in the link: 1 to 63 of a-z, 0-9 and - [default: one is made up]
    #[arg(long, value_parser = values::label)]
    alias: Option<String>,
    /// Keep what is said on disk, so that it can be read later and survives restarts
    #[arg(long)]
    durable: bool,
    /// What it is about, for those who join: a JSON object or @FILE; fixed for its life
    #[arg(long, value_name = "JSON", value_parser = values::json_object)]
    metadata: Option<Box<RawValue>>,
    /// The name of one's own stream in it [default: one is made up]
    #[arg(long, value_name = "NAME", value_parser = values::stream_name)]
    stream_name: Option<String>,
    /// The link admits for this long, such as 1h or 7d [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    target: target::Options,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Which {
    /// The alias, or the link (@FILE reads the link from a file)
    #[arg(value_name = "ALIAS|LINK")]
    place: Place,
    #[command(flatten)]
    target: target::Options,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Expire {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    when: When,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct When {
    /// This long from now, such as 1h
    #[arg(long = "in", value_name = "TIME", value_parser = humantime::parse_duration)]
    after: Option<Duration>,
    /// At this time, such as 2026-05-02T18:00:00Z
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    at: Option<Timestamp>,
    /// Never
    #[arg(long)]
    never: bool,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Delete {
    #[command(flatten)]
    which: Which,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn run(options: Options, output: &Output) -> Result<(), Failure> {
    match options.action {
        Action::Create(create) => create.run(&SystemClock, output).await,
        Action::List(target) => list(&target, output).await,
        Action::Show(which) => which.show(output).await,
        Action::Revoke(which) => which.revoke(output).await,
        Action::RotateLink(which) => which.rotate_link(output).await,
        Action::Expire(expire) => expire.run(&SystemClock, output).await,
        Action::Delete(delete) => delete.run(output).await,
    }
}

impl Create {
    async fn run(self, clock: &dyn Clock, output: &Output) -> Result<(), Failure> {
        let Account { api, namespace, credential, .. } = self.target.account()?;
        let wanted = CreateConversation {
            alias: self.alias,
            stream_name: self.stream_name,
            metadata: self.metadata.map(|metadata| serde_json::from_str(metadata.get()).unwrap_or_default()),
            durable: self.durable.then_some(true),
            link_expires_at: self.expires_in.map(|after| clock.now().after(after).to_string()),
            ..CreateConversation::default()
        };
        let answer = api.create_conversation(&namespace, &credential, &wanted).await?;
        output.result(&answer.body, || welcome(&answer.value, output))
    }
}

/// All pages: one conversation per line.
async fn list(target: &target::Options, output: &Output) -> Result<(), Failure> {
    let Account { api, namespace, credential, .. } = target.account()?;
    let mut after = None;
    loop {
        let page = api.conversations(&namespace, &credential, after.as_deref()).await?.value;
        for conversation in &page.conversations {
            output.line(&listed(conversation, output)?)?;
        }
        let Some(next) = page.next else { return Ok(()) };
        after = Some(next);
    }
}

fn listed(conversation: &ConversationListed, output: &Output) -> Result<String, Failure> {
    if output.wants_json() {
        return serde_json::to_string(conversation).map_err(|error| Failure::from(std::io::Error::from(error)));
    }
    let ConversationListed { alias, created_at, durable, link_expires_at, link_revoked, .. } = conversation;
    let kept = if *durable { "kept on disk" } else { "not kept" };
    let link = match link_expires_at {
        _ if *link_revoked => ", link revoked".to_owned(),
        Some(at) => format!(", link until {at}"),
        None => String::new(),
    };
    let alias = output.paint(&format!("{alias:<24}"), Style::new().bold());
    Ok(format!("{alias} {created_at}  {kept}{link}"))
}

/// What a person who just opened a conversation wants to know.
fn welcome(created: &ConversationCreated, output: &Output) -> String {
    let kept = if created.durable { "what is said is kept" } else { "what is said is not kept" };
    let expiry = created.link_expires_at.as_ref().map(|at| format!(" until {at}")).unwrap_or_default();
    let link = output.paint(&created.magic_link, Style::new().bold());
    let quoted = &created.magic_link;
    format!(
        "Conversation {} is open; {kept}.\n\n  {link}\n\nWho has this link can read and write{expiry}. For instance:\n  \
         ams join '{quoted}'\n  ams say '{quoted}' hello\n  ams listen '{quoted}'",
        created.alias
    )
}

impl Which {
    /// One's own account and the conversation's alias in it.
    fn own(&self) -> Result<(Account, String), Failure> {
        let account = self.target.account()?;
        match &self.place {
            Place::Alias(alias) => Ok((account, alias.clone())),
            Place::Link(link) if link.namespace() == account.namespace => Ok((account, link.alias().to_owned())),
            Place::Link(link) => {
                let (theirs, own) = (link.namespace(), &account.namespace);
                Err(Failure::usage(format!("the link is of namespace {theirs}, the account in use of {own}")))
            }
        }
    }

    async fn show(self, output: &Output) -> Result<(), Failure> {
        let answer = match &self.place {
            Place::Link(link) => self.target.server.api_of(link)?.inspect_by_link(link).await?,
            Place::Alias(alias) => {
                let Account { api, namespace, credential, .. } = self.target.account()?;
                api.inspect(&namespace, alias, &credential).await?
            }
        };
        output.result(&answer.body, || described(&answer.value))
    }

    async fn revoke(self, output: &Output) -> Result<(), Failure> {
        let (account, alias) = self.own()?;
        account.api.revoke_link(&account.namespace, &alias, &account.credential).await?;
        output.notice(&format!("the link of {alias} is dead; `ams conversation rotate-link {alias}` makes a new one"));
        Ok(())
    }

    async fn rotate_link(self, output: &Output) -> Result<(), Failure> {
        let (account, alias) = self.own()?;
        let answer = account.api.rotate_link(&account.namespace, &alias, &account.credential).await?;
        output.result(&answer.body, || answer.value.magic_link.clone().unwrap_or_default())?;
        output.notice("the old link is dead");
        Ok(())
    }
}

fn described(conversation: &ConversationInspected) -> String {
    let kept = if conversation.durable { "kept on disk" } else { "not kept" };
    let expiry = match conversation.link_revoked {
        Some(true) => "nobody: it is revoked",
        _ => &conversation.link_expires_at.as_ref().map_or("for ever".to_owned(), |at| format!("until {at}")),
    };
    let here = match conversation.streams.as_slice() {
        [] => "nobody".to_owned(),
        streams => streams.iter().map(|peer| harmless(&peer.stream_name)).collect::<Vec<_>>().join(", "),
    };
    let place = format!("{}/{}", conversation.namespace, conversation.alias);
    let mut text = format!(
        "conversation  {place} ({})\nopened        {}\ntokens        {} so far, {kept}\nlink admits   {expiry}\nhere now      {here}",
        conversation.conversation_id, conversation.created_at, conversation.head_seq
    );
    if conversation.metadata.as_object().is_some_and(|object| !object.is_empty()) {
        text.push_str(&format!("\nmetadata      {}", harmless(&conversation.metadata.to_string())));
    }
    text
}

impl Expire {
    async fn run(self, clock: &dyn Clock, output: &Output) -> Result<(), Failure> {
        let (account, alias) = self.which.own()?;
        let at = self.when.moment(clock).map(|at| at.to_string());
        let answer =
            account.api.set_link_expiry(&account.namespace, &alias, &account.credential, at.as_deref()).await?;
        output.result(&answer.body, || match &answer.value.link_expires_at {
            Some(at) => format!("the link of {alias} admits until {at}"),
            None => format!("the link of {alias} admits for ever"),
        })
    }
}

impl When {
    /// When the link stops admitting; `None` = never.
    fn moment(&self, clock: &dyn Clock) -> Option<Timestamp> {
        self.at.or_else(|| self.after.map(|after| clock.now().after(after))).filter(|_| !self.never)
    }
}

impl Delete {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let (account, alias) = self.which.own()?;
        super::confirm(&format!("Delete conversation {alias} with everything said in it?"), self.yes)?;
        account.api.delete_conversation(&account.namespace, &alias, &account.credential).await?;
        output.notice(&format!("conversation {alias} is deleted"));
        Ok(())
    }
}
