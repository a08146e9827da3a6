//! Profiles: which account on which server, kept in one file that only its owner can read.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use ams_client::Credential;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::failure::{Exit, Failure};

/// The file's contents. Fields that this program does not know are kept.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Profiles {
    /// The one in use when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, Profile>,
    #[serde(flatten)]
    other: toml::Table,
}

impl Profiles {
    /// Some other program's settings, such as the server's own; credentials do not belong there.
    fn is_something_else(&self) -> bool {
        self.profiles.is_empty() && self.current.is_none() && !self.other.is_empty()
    }

    /// Uses a profile from now on.
    pub(crate) fn choose(&mut self, name: &str) -> Result<(), Failure> {
        if !self.profiles.contains_key(name) {
            return Err(missing(name));
        }
        self.current = Some(name.to_owned());
        Ok(())
    }

    /// Forgets a profile.
    pub(crate) fn remove(&mut self, name: &str) -> Result<(), Failure> {
        self.profiles.remove(name).ok_or_else(|| missing(name))?;
        if self.current.as_deref() == Some(name) {
            self.current = None;
        }
        Ok(())
    }
}

pub(crate) fn missing(name: &str) -> Failure {
    let message = format!("there is no profile {name:?}");
    Failure::new(Exit::NotFound, "no_profile", message).hint("`ams profile list` shows those there are")
}

/// One account on one server.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) base: Url,
    pub(crate) namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) account_id: Option<String>,
    credential: String,
    #[serde(flatten)]
    other: toml::Table,
}

impl Profile {
    pub(crate) fn new(base: Url, namespace: String, account_id: Option<String>, credential: &Credential) -> Self {
        Profile { base, namespace, account_id, credential: credential.expose().to_owned(), other: toml::Table::new() }
    }

    pub(crate) fn credential(&self) -> Credential {
        Credential::new(&self.credential)
    }

    pub(crate) fn set_credential(&mut self, credential: &Credential) {
        credential.expose().clone_into(&mut self.credential);
    }
}

/// The file with the profiles.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    path: PathBuf,
}

impl Store {
    /// The file that was named, or else `${XDG_CONFIG_HOME:-~/.config}/ams/config.toml`.
    pub(crate) fn open(named: Option<&Path>) -> Result<Self, Failure> {
        if let Some(path) = named {
            return Ok(Store { path: path.to_owned() });
        }
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let directory = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
        let directory = directory
            .ok_or_else(|| Failure::usage("there is no HOME to keep profiles in; name a file with --config"))?;
        Ok(Store { path: directory.join("ams").join("config.toml") })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is there; no file is no profiles.
    pub(crate) fn load(&self) -> Result<Profiles, Failure> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Profiles::default()),
            Err(error) => return Err(self.failed(&error)),
        };
        // The parser's own message would quote the line, and the line may hold a credential.
        toml::from_str(&text).map_err(|error| {
            let line =
                error.span().map_or(1, |span| 1 + text.get(..span.start).unwrap_or_default().matches('\n').count());
            let path = self.path.display();
            Failure::new(
                Exit::Other,
                "config",
                format!("{path}: line {line} is not as a profile file has it: {}", error.message()),
            )
        })
    }

    /// What is there, once it is clear that more could be kept: asked before something is made that has to be kept.
    pub(crate) fn ready(&self) -> Result<Profiles, Failure> {
        self.locked().map(|(_lock, profiles)| profiles)
    }

    /// Changes the file, all or nothing; two programs that do so at once take turns.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Profiles) -> Result<T, Failure>) -> Result<T, Failure> {
        let (_lock, mut profiles) = self.locked()?;
        let result = change(&mut profiles)?;
        self.replace(&profiles)?;
        Ok(result)
    }

    fn locked(&self) -> Result<(File, Profiles), Failure> {
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        make_private_directory(directory).map_err(|error| self.failed(&error))?;
        let lock = private_file(&self.path.with_extension("lock")).map_err(|error| self.failed(&error))?;
        lock.lock().map_err(|error| self.failed(&error))?;
        let profiles = self.load()?;
        if profiles.is_something_else() {
            let message = format!("{} has settings but no profiles: it is another program's file", self.path.display());
            return Err(Failure::new(Exit::Usage, "config", message).hint("name a file for profiles with --config"));
        }
        Ok((lock, profiles))
    }

    fn replace(&self, profiles: &Profiles) -> Result<(), Failure> {
        let text = toml::to_string(profiles).map_err(|error| Failure::new(Exit::Other, "config", error.to_string()))?;
        let new = self.path.with_extension("new");
        let write = || {
            let mut file = private_file(&new)?;
            file.set_len(0)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.path)
        };
        write().map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> Failure {
        Failure::new(Exit::Other, "config", format!("{}: {error}", self.path.display()))
    }
}

fn make_private_directory(path: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str) -> Profile {
        let base = "http://127.0.0.1:8787".parse().unwrap();
        Profile::new(base, name.to_owned(), None, &Credential::new("ams_sk_x"))
    }

    #[test]
    fn what_is_saved_is_there_and_only_for_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(Some(&directory.path().join("deep/config.toml"))).unwrap();
        assert!(store.load().unwrap().profiles.is_empty());
        let save = |name: &str| store.update(|all| Ok(all.profiles.insert(name.to_owned(), profile(name)).is_some()));
        assert!(!save("a").unwrap());
        assert!(!save("b").unwrap());
        let all = store.load().unwrap();
        assert_eq!(all.profiles.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(all.profiles["a"].credential().expose(), "ams_sk_x");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(store.path()).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn what_others_wrote_into_the_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let text = "theme = \"dark\"\n[profiles.a]\nbase = \"http://h\"\nnamespace = \"a\"\ncredential = \"c\"\ntoken = \"wat_1\"\n";
        fs::write(&path, text).unwrap();
        let store = Store::open(Some(&path)).unwrap();
        store.update(|all| all.choose("a")).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for kept in ["theme = \"dark\"", "token = \"wat_1\"", "current = \"a\""] {
            assert!(text.contains(kept), "{text}");
        }
    }

    #[test]
    fn the_file_of_another_program_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ams.toml");
        fs::write(&path, "listen = \"127.0.0.1:8787\"\n").unwrap();
        let saved = Store::open(Some(&path)).unwrap().update(|all| {
            all.profiles.insert("a".to_owned(), profile("a"));
            Ok(())
        });
        assert_eq!(saved.unwrap_err().exit, Exit::Usage);
        assert_eq!(fs::read_to_string(&path).unwrap(), "listen = \"127.0.0.1:8787\"\n");
    }

    #[test]
    fn a_broken_file_is_told_without_its_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        fs::write(&path, "current = \"a\"\ncredential = ams_sk_SECRET\n").unwrap();
        let Err(failure) = Store::open(Some(&path)).unwrap().load() else { panic!("it is broken") };
        assert!(failure.message.contains("line 2"), "{}", failure.message);
        assert!(!failure.message.contains("SECRET"), "{}", failure.message);
    }
}
