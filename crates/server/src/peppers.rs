//! The peppers: taken from configuration, or made once and kept in the data directory.
//!
//! Everything that was handed out hangs on them, so the records remember their fingerprints, and a server that finds
//! others does not start: it would refuse every link and credential ever made.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ams_core::clock::Entropy;
use ams_core::engine::{Records, Stored, StoredError, TransactError, Transaction};
use ams_core::secret::{Pepper, Secret, SecretHash};
use ams_door_streams::Peppers;
use serde::{Deserialize, Serialize};

use crate::config::{Config, DEV_CREDENTIAL_PEPPER, DEV_LINK_PEPPER};

/// Beside the engine's files; a backup takes it along.
const FILE_NAME: &str = "secrets.toml";
const HEADER: &str = "\
# The secrets of this AMS server. Whoever has them and a copy of the data can test guesses of links and credentials;
# without them no link and no credential that was ever handed out works. Keep a copy where your backups are.
";
const CREDENTIAL: &str = "credential_pepper";
const LINK: &str = "link_pepper";

/// Why there are no peppers to start with.
#[derive(Debug, thiserror::Error)]
pub enum PepperError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no TOML, or a pepper in it is no text.
    #[error("{} cannot be understood: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never what is in it.
        reason: String,
    },
    /// The file is gone, or what is in it.
    #[error("{} holds no `{key}`, and the data was made with one: put the file back", path.display())]
    Lost {
        /// The file.
        path: PathBuf,
        /// Which of the two.
        key: &'static str,
    },
    /// The data was made with another pepper.
    #[error(
        "the {name} is not the one this data was made with, and every link or credential would be refused: put back \
         secrets.toml or the configured value, or start with a new data directory"
    )]
    Different {
        /// Which of the two.
        name: &'static str,
    },
    /// The records could not be read or written.
    #[error(transparent)]
    Records(#[from] StoredError),
    /// The records could not be written.
    #[error(transparent)]
    Transact(#[from] TransactError),
}

/// Fingerprints of the peppers that this data was made with.
#[derive(Serialize, Deserialize)]
struct Fingerprints {
    credential: SecretHash,
    link: SecretHash,
}

impl Stored for Fingerprints {
    const KIND: &'static str = "server.peppers";
}

impl Fingerprints {
    fn of(peppers: &Peppers) -> Self {
        let print = |pepper: &Pepper| pepper.hash("fingerprint");
        Fingerprints { credential: print(&peppers.credentials), link: print(&peppers.links) }
    }
}

/// The peppers to start with. Missing ones are made and kept, unless nothing is kept at all.
///
/// # Errors
/// See [`PepperError`].
pub(crate) async fn take(config: &Config, records: &Records, entropy: &dyn Entropy) -> Result<Peppers, PepperError> {
    let known = records.get::<Fingerprints>("").await?.map(|(known, _)| known);
    let secrets = &config.secrets;
    let peppers = match (&secrets.credential_pepper, &secrets.link_pepper) {
        _ if secrets.dev => pair(Secret::presented(DEV_CREDENTIAL_PEPPER), Secret::presented(DEV_LINK_PEPPER)),
        (Some(credential), Some(link)) => pair(credential.clone(), link.clone()),
        (credential, link) => {
            let mut file = if config.storage.ephemeral { None } else { Some(Kept::read(&config.storage.data)?) };
            // Nothing is made for data that was made with something else.
            let fresh = known.is_none();
            let mut or_kept = |given: &Option<Secret>, key: &'static str| match given {
                Some(given) => Ok(given.clone()),
                None => file.as_mut().map_or_else(|| Ok(mint(entropy)), |file| file.get(key, fresh, entropy)),
            };
            let peppers = pair(or_kept(credential, CREDENTIAL)?, or_kept(link, LINK)?);
            file.map_or(Ok(()), Kept::write)?;
            peppers
        }
    };
    let found = Fingerprints::of(&peppers);
    match known {
        Some(known) if known.credential != found.credential => {
            Err(PepperError::Different { name: "credential pepper" })
        }
        Some(known) if known.link != found.link => Err(PepperError::Different { name: "link pepper" }),
        Some(_) => Ok(peppers),
        None => {
            let first = Transaction::default().absent(Fingerprints::key("")).put("", &found)?;
            records.transact(first).await?;
            Ok(peppers)
        }
    }
}

fn pair(credential: Secret, link: Secret) -> Peppers {
    Peppers { credentials: Pepper::new(credential), links: Pepper::new(link) }
}

fn mint(entropy: &dyn Entropy) -> Secret {
    Secret::mint("", entropy)
}

/// `secrets.toml`. What it holds beside the peppers stays as it is.
struct Kept {
    path: PathBuf,
    table: toml::Table,
    changed: bool,
}

impl Kept {
    fn read(data: &Path) -> Result<Kept, PepperError> {
        let path = data.join(FILE_NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(PepperError::Io { path, source }),
        };
        match text.parse::<toml::Table>() {
            Ok(table) => Ok(Kept { path, table, changed: false }),
            // The parser's own text would quote the line, which holds a secret.
            Err(_) => Err(PepperError::Malformed { path, reason: "it is no TOML".to_owned() }),
        }
    }

    fn get(&mut self, key: &'static str, fresh: bool, entropy: &dyn Entropy) -> Result<Secret, PepperError> {
        match self.table.get(key) {
            Some(toml::Value::String(text)) if !text.is_empty() => Ok(Secret::presented(text.as_str())),
            None if fresh => {
                let made = mint(entropy);
                self.table.insert(key.to_owned(), toml::Value::String(made.expose().to_owned()));
                self.changed = true;
                Ok(made)
            }
            None => Err(PepperError::Lost { path: self.path.clone(), key }),
            Some(_) => Err(PepperError::Malformed { path: self.path.clone(), reason: format!("`{key}` is no text") }),
        }
    }

    /// Writes the file anew if something was added: whole or not at all, and only for its owner.
    fn write(self) -> Result<(), PepperError> {
        if !self.changed {
            return Ok(());
        }
        let text = format!("{HEADER}{}", self.table);
        replace(&self.path, &text).map_err(|source| PepperError::Io { path: self.path.clone(), source })?;
        tracing::info!(
            path = %self.path.display(),
            "made the peppers that links and credentials hang on; keep a copy of this file with your backups"
        );
        Ok(())
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let fresh = path.with_extension("toml.new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    if cfg!(unix) { std::fs::File::open(directory)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ams_core::clock::CountingEntropy;
    use ams_core::engine::MemoryEngine;

    use super::*;
    use crate::config::Given;

    fn config(data: &Path, words: &[&str]) -> Config {
        let data = ["--data".to_owned(), data.display().to_string()];
        let words = data.into_iter().chain(words.iter().map(ToString::to_string));
        Given::from_words(words).unwrap().load(|_| None).unwrap().config
    }

    fn records() -> Records {
        Records::new(Arc::new(MemoryEngine::new()))
    }

    fn link(peppers: &Peppers) -> String {
        peppers.links.hash("x").as_str().to_owned()
    }

    #[tokio::test]
    async fn the_first_start_makes_peppers_and_the_second_finds_them() {
        let (data, records, entropy) = (tempfile::tempdir().unwrap(), records(), CountingEntropy::default());
        let config = config(data.path(), &[]);
        let first = take(&config, &records, &entropy).await.unwrap();
        let second = take(&config, &records, &entropy).await.unwrap();
        assert_eq!(link(&first), link(&second));
        assert_ne!(link(&first), first.credentials.hash("x").as_str(), "the two are made apart");

        let mode =
            std::os::unix::fs::PermissionsExt::mode(&data.path().join(FILE_NAME).metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn data_without_its_peppers_does_not_start() {
        let (data, records, entropy) = (tempfile::tempdir().unwrap(), records(), CountingEntropy::default());
        let kept = config(data.path(), &[]);
        take(&kept, &records, &entropy).await.unwrap();
        let development = config(data.path(), &["--dev"]);
        assert!(matches!(take(&development, &records, &entropy).await, Err(PepperError::Different { .. })));
        std::fs::remove_file(data.path().join(FILE_NAME)).unwrap();
        assert!(matches!(take(&kept, &records, &entropy).await, Err(PepperError::Lost { .. })));
        assert!(!data.path().join(FILE_NAME).exists(), "nothing is made in place of what is lost");
    }

    #[tokio::test]
    async fn an_ephemeral_server_keeps_no_file() {
        let (data, entropy) = (tempfile::tempdir().unwrap(), CountingEntropy::default());
        take(&config(data.path(), &["--ephemeral"]), &records(), &entropy).await.unwrap();
        assert!(std::fs::read_dir(data.path()).unwrap().next().is_none());
    }

    #[tokio::test]
    async fn a_damaged_file_is_named_and_not_quoted() {
        let (data, entropy) = (tempfile::tempdir().unwrap(), CountingEntropy::default());
        std::fs::write(data.path().join(FILE_NAME), "link_pepper = s3cret").unwrap();
        let error = take(&config(data.path(), &[]), &records(), &entropy).await.unwrap_err().to_string();
        assert!(error.contains(FILE_NAME) && !error.contains("s3cret"), "{error}");
    }
}
