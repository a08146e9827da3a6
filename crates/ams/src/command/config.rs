//! `ams config`: what the server would run with, and why.

use ams_server::config::{Given, Loaded, Setting};
use clap::Subcommand;
use owo_colors::Style;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{self, Output};

/// Show or check the server's configuration
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print every setting: its value, where that came from, and what it does; secrets only as set or not
    Show {
        #[command(flatten)]
        given: Given,
        #[command(flatten)]
        output: output::Options,
    },
    /// Say whether the server could run with this; exit code 2 if not
    Check {
        #[command(flatten)]
        given: Given,
        #[command(flatten)]
        output: output::Options,
    },
}

impl Options {
    /// How this command speaks.
    pub(crate) fn output(&self) -> &output::Options {
        match &self.action {
            Action::Show { output, .. } | Action::Check { output, .. } => output,
        }
    }
}

pub(crate) fn run(options: Options, out: &Output) -> Result<(), Failure> {
    match options.action {
        Action::Show { given, .. } => show(&load(given)?, out),
        Action::Check { given, .. } => check(&load(given)?, out),
    }
}

fn load(given: Given) -> Result<Loaded, Failure> {
    Ok(given.load(|name| std::env::var_os(name))?)
}

fn show(loaded: &Loaded, out: &Output) -> Result<(), Failure> {
    if out.json {
        let settings: Vec<Value> = loaded.settings.iter().map(as_json).collect();
        return out.line(&json!(settings).to_string());
    }
    for setting in &loaded.settings {
        let value = setting.value.as_deref().unwrap_or("(not set)");
        let (name, origin) = (out.paint(&setting.name, Style::new().bold()), setting.origin.to_string());
        out.line(&format!("{name} = {value}  [{}]", out.paint(&origin, Style::new().dimmed())))?;
        out.line(&format!("    {} ({})", setting.help, setting.variable))?;
    }
    Ok(())
}

fn as_json(setting: &Setting) -> Value {
    let Setting { name, value, origin, variable, help } = setting;
    json!({ "name": name, "value": value, "origin": origin.to_string(), "variable": variable, "help": help })
}

fn check(loaded: &Loaded, out: &Output) -> Result<(), Failure> {
    loaded.config.probe()?;
    let warnings = loaded.config.warnings();
    for warning in &warnings {
        out.notice(&format!("warning: {warning}"));
    }
    out.result(&json!({ "ok": true, "warnings": warnings }).to_string(), || "the configuration is good".to_owned())
}
