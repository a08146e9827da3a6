//! What was given on the command line and in the environment, joined with the file.
//!
//! Flags, environment and help are clap's. Its answer alone could not tell what a file may still set, so the values
//! are kept as they were written, with their origin; [`Given::load`] adds those of the file below them and parses the
//! whole once more.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{error, fmt};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::file::{self, File};
use super::secrets::ENVIRONMENT_ALIASES;
use super::{Config, ConfigError};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `--listen …`
    Flag,
    /// The variable of this name.
    Environment(String),
    /// A line of the file, counted from one.
    File(PathBuf, usize),
    /// Nobody said otherwise.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag => f.write_str("flag"),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// One setting as it stands, for `ams config show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// As in the file and, after two hyphens, on the command line.
    pub name: String,
    /// As it was written; a secret shows only that it is set. `None` when it is not set.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
    /// Its environment variable.
    pub variable: String,
    /// What it does.
    pub help: String,
}

/// The settings as types, and how they came about.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Checked: every value is possible and they go together.
    pub config: Config,
    /// Every setting in the order of the help.
    pub settings: Vec<Setting>,
}

#[derive(Debug, Clone)]
struct Value {
    origin: Origin,
    written: Vec<OsString>,
}

/// The serve options as arguments of any command: flags with their environment variables, and `--config`.
#[derive(Debug, Clone, Default)]
pub struct Given {
    file: Option<PathBuf>,
    values: BTreeMap<String, Value>,
}

#[derive(Debug, clap::Args)]
struct FileOption {
    /// Configuration file; without it ams.toml, if it is there
    #[arg(long, env = "AMS_SERVER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Args for Given {
    fn augment_args(command: Command) -> Command {
        Config::augment_args(FileOption::augment_args(command))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Given::augment_args(command)
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Given { file: FileOption::from_arg_matches(matches)?.config, values: BTreeMap::new() };
        for setting in every().get_arguments() {
            let name = setting.get_id().as_str();
            let origin = match matches.value_source(name) {
                Some(ValueSource::CommandLine) if setting.is_hide_env_values_set() => {
                    return Err(on_command_line(setting));
                }
                Some(ValueSource::CommandLine) => Origin::Flag,
                Some(ValueSource::EnvVariable) => Origin::Environment(variable(setting)),
                _ => continue,
            };
            let written = matches.get_raw(name).into_iter().flatten().map(Into::into).collect();
            given.values.insert(name.to_owned(), Value { origin, written });
        }
        Ok(given)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Given::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Given {
    /// Adds the file and makes types of everything. `environment` looks up a variable, such as [`std::env::var_os`].
    ///
    /// # Errors
    /// [`ConfigError`], which names the place.
    pub fn load(mut self, environment: impl Fn(&str) -> Option<OsString>) -> Result<Loaded, ConfigError> {
        for (name, variable) in ENVIRONMENT_ALIASES {
            if let Some(value) = environment(variable) {
                let origin = Origin::Environment((*variable).to_owned());
                self.values.entry((*name).to_owned()).or_insert(Value { origin, written: vec![value] });
            }
        }
        let file = File::read(self.file.as_deref())?;
        self.add_file(&file)?;

        let command = every();
        for setting in command.get_arguments() {
            if let Some(value) = self.values.get(setting.get_id().as_str()) {
                parse(&command, [(setting, value)]).map_err(|reason| refused(setting, value, reason))?;
            }
        }
        let given =
            command.get_arguments().filter_map(|setting| Some((setting, self.values.get(setting.get_id().as_str())?)));
        let matches = parse(&command, given).map_err(ConfigError::Conflict)?;
        let config = Config::from_arg_matches(&matches).map_err(|error| ConfigError::Conflict(first_line(&error)))?;
        config.check()?;
        let settings = command.get_arguments().map(|setting| self.describe(setting)).collect();
        Ok(Loaded { config, settings })
    }

    fn add_file(&mut self, file: &File) -> Result<(), ConfigError> {
        let command = every();
        let known = || command.get_arguments().filter_map(Arg::get_long);
        for entry in &file.entries {
            if !known().any(|name| name == entry.key) {
                let nearest = file::nearest(&entry.key, known()).map(str::to_owned);
                let (path, line, key) = (file.path.clone(), entry.line, entry.key.clone());
                return Err(ConfigError::UnknownKey { path, line, key, nearest });
            }
            let origin = Origin::File(file.path.clone(), entry.line);
            let written = entry.values.iter().map(OsString::from).collect();
            self.values.entry(entry.key.replace('-', "_")).or_insert(Value { origin, written });
        }
        Ok(())
    }

    fn describe(&self, setting: &Arg) -> Setting {
        let given = self.values.get(setting.get_id().as_str());
        let default = || setting.get_default_values().iter().map(Into::into).collect::<Vec<OsString>>();
        let written = given.map_or_else(default, |value| value.written.clone());
        let text = written.iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(",");
        let secret = setting.is_hide_env_values_set();
        Setting {
            name: name(setting).to_owned(),
            value: (!written.is_empty()).then(|| if secret { "(set)".to_owned() } else { text }),
            origin: given.map_or(Origin::Default, |value| value.origin.clone()),
            variable: variable(setting),
            help: setting.get_help().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

/// A command that knows every setting and nothing else.
fn every() -> Command {
    Config::augment_args(Command::new("ams").no_binary_name(true).disable_help_flag(true))
}

fn name(setting: &Arg) -> &str {
    setting.get_long().expect("every setting has a long flag")
}

fn variable(setting: &Arg) -> String {
    setting.get_env().expect("every setting has a variable").to_string_lossy().into_owned()
}

fn parse<'a>(command: &Command, given: impl IntoIterator<Item = (&'a Arg, &'a Value)>) -> Result<ArgMatches, String> {
    let words = given.into_iter().flat_map(|(setting, value)| {
        value.written.iter().map(|written| {
            let mut word = OsString::from(format!("--{}=", name(setting)));
            word.push(written);
            word
        })
    });
    command.clone().try_get_matches_from(words).map_err(|error| first_line(&error))
}

/// What a parser of ours said, or else clap's own first line.
fn first_line(error: &clap::Error) -> String {
    if let Some(source) = error::Error::source(error) {
        return source.to_string();
    }
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn refused(setting: &Arg, value: &Value, reason: String) -> ConfigError {
    ConfigError::Value { origin: value.origin.clone(), name: name(setting).to_owned(), reason }
}

fn on_command_line(setting: &Arg) -> clap::Error {
    let text = format!(
        "--{} would be seen by every process of this machine: set {} or put it into the configuration file\n",
        name(setting),
        variable(setting)
    );
    clap::Error::raw(clap::error::ErrorKind::ArgumentConflict, text)
}

/// Reads settings as a command line would give them, for tests and tools; the file is named or none.
impl Given {
    /// # Errors
    /// What clap says of words that are no settings.
    pub fn from_words<I: IntoIterator<Item = W>, W: Into<OsString> + Clone>(words: I) -> Result<Given, clap::Error> {
        let command = Given::augment_args(Command::new("ams").no_binary_name(true));
        Given::from_arg_matches(&command.try_get_matches_from(words)?)
    }

    /// The same settings with this file in place of the one that is looked for.
    #[must_use]
    pub fn with_file(mut self, path: &Path) -> Given {
        self.file = Some(path.to_owned());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody(_: &str) -> Option<OsString> {
        None
    }

    fn load(words: &[&str], file: &str) -> Result<Loaded, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ams.toml");
        std::fs::write(&path, file).unwrap();
        Given::from_words(words).unwrap().with_file(&path).load(nobody)
    }

    fn setting<'a>(loaded: &'a Loaded, name: &str) -> &'a Setting {
        loaded.settings.iter().find(|setting| setting.name == name).unwrap()
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_beats_the_default() {
        let loaded = load(&["--listen", "127.0.0.1:1"], "listen = '127.0.0.1:2'\ndrain-timeout = '3s'").unwrap();
        assert_eq!(loaded.config.listen.listen.port(), 1);
        assert_eq!(loaded.config.listen.drain_timeout.as_secs(), 3);
        assert_eq!(loaded.config.limits.header_timeout.as_secs(), 10);
        assert_eq!(setting(&loaded, "listen").origin, Origin::Flag);
        assert!(matches!(setting(&loaded, "drain-timeout").origin, Origin::File(_, 2)));
        assert_eq!(setting(&loaded, "header-timeout").origin, Origin::Default);
    }

    #[test]
    fn a_name_fixed_by_a_spec_counts_as_environment() {
        let pepper = |name: &str| (name == "TOKEN_PEPPER").then(|| OsString::from("0123456789abcdef"));
        let loaded = Given::from_words::<_, &str>([]).unwrap().load(pepper).unwrap();
        let shown = setting(&loaded, "credential-pepper");
        assert_eq!(shown.origin, Origin::Environment("TOKEN_PEPPER".into()));
        assert_eq!(shown.value.as_deref(), Some("(set)"));
        assert_eq!(loaded.config.secrets.credential_pepper.unwrap().expose(), "0123456789abcdef");
        assert!(!format!("{:?}", loaded.settings).contains("0123456789abcdef"));
    }

    #[test]
    fn an_unknown_key_names_its_line_and_the_nearest_setting() {
        let error = load(&[], "[tls]\ncrt = 'x'").unwrap_err().to_string();
        assert!(error.ends_with("ams.toml:2: there is no setting `tls-crt`; did you mean `tls-cert`?"), "{error}");
        let error = load(&[], "colour = 'x'").unwrap_err().to_string();
        assert!(error.ends_with("ams.toml:1: there is no setting `colour`"), "{error}");
    }

    #[test]
    fn a_value_that_is_none_names_its_place() {
        let error = load(&[], "\nlisten = 'here'").unwrap_err().to_string();
        assert!(error.contains("ams.toml:2: listen: "), "{error}");
        let error = load(&[], "trusted-proxy = ['10.0.0.0/8', 'x']").unwrap_err().to_string();
        assert!(error.contains("ams.toml:1: trusted-proxy: a network"), "{error}");
    }

    #[test]
    fn switches_are_read_in_every_way_people_write_them() {
        assert!(load(&["--ephemeral"], "").unwrap().config.storage.ephemeral);
        assert!(load(&[], "ephemeral = true").unwrap().config.storage.ephemeral);
        assert!(!load(&["--ephemeral=no"], "ephemeral = true").unwrap().config.storage.ephemeral);
    }

    #[test]
    fn several_proxies_come_from_flags_or_a_list() {
        let flags = load(&["--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "::1"], "").unwrap();
        let file = load(&[], "trusted-proxy = ['10.0.0.0/8', '::1']").unwrap();
        assert_eq!(flags.config.network.trusted_proxy, file.config.network.trusted_proxy);
        assert_eq!(flags.config.network.trusted_proxy.len(), 2);
    }

    #[test]
    fn a_secret_on_the_command_line_is_refused() {
        let error = Given::from_words(["--link-pepper", "0123456789abcdef"]).unwrap_err().to_string();
        assert!(error.contains("AMS_LINK_PEPPER") && !error.contains("0123456789abcdef"), "{error}");
    }

    #[test]
    fn published_peppers_stay_on_loopback() {
        assert!(load(&["--dev"], "").is_ok());
        let refused = [
            (&["--dev", "--listen", "0.0.0.0:0"][..], ""),
            (&["--listen", "0.0.0.0:0"], "link-pepper = 'ams-development-link-pepper'"),
        ];
        for (words, file) in refused {
            assert!(matches!(load(words, file), Err(ConfigError::Conflict(_))), "{words:?}");
        }
    }

    #[test]
    fn half_a_certificate_and_a_short_pepper_are_refused() {
        for file in ["tls-cert = 'x'", "link-pepper = 'short'", "metrics-token = ''", "streams-silence-max = '1s'"] {
            assert!(matches!(load(&[], file), Err(ConfigError::Conflict(_))), "{file}");
        }
    }

    #[test]
    fn every_setting_has_a_flag_a_variable_and_help() {
        for setting in every().get_arguments() {
            let expected = format!("AMS_{}", setting.get_id().as_str().to_uppercase());
            assert_eq!(variable(setting), expected);
            assert_eq!(name(setting), setting.get_id().as_str().replace('_', "-"));
            assert!(setting.get_help().is_some(), "{expected}");
        }
    }

    #[test]
    fn the_manual_names_every_setting() {
        let manual = include_str!("../../../../docs/operation.md");
        for setting in every().get_arguments() {
            let (name, variable) = (format!("`{}`", name(setting)), format!("`{}`", variable(setting)));
            assert!(manual.contains(&name) && manual.contains(&variable), "{name} or {variable} is missing");
        }
    }

    #[test]
    fn the_doors_defaults_are_the_printed_ones() {
        let loaded = load(&[], "").unwrap();
        assert_eq!(format!("{:?}", loaded.config.streams.door()), format!("{:?}", ams_door_streams::Config::default()));
    }
}
