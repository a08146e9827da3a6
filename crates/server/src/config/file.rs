//! `ams.toml`: the same settings by the names of their flags. Tables only group: `[tls] cert = …` is `tls-cert = …`.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ConfigError;

/// The file that is read when it is there and no other is named.
pub(super) const DEFAULT_PATH: &str = "ams.toml";
/// Bytes of the file; a configuration is a page, not a book.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One setting of the file, as text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// With hyphens: `tls-cert`.
    pub key: String,
    /// One, or several of a list.
    pub values: Vec<String>,
    /// Counted from one.
    pub line: usize,
}

/// A file and what it sets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    pub path: PathBuf,
    pub entries: Vec<Entry>,
}

impl File {
    /// Reads the named file, or the one at the default path if it is there.
    pub(super) fn read(named: Option<&Path>) -> Result<File, ConfigError> {
        let path = named.unwrap_or(Path::new(DEFAULT_PATH)).to_owned();
        match read_text(&path) {
            Ok(text) => File::parse(path, &text),
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(File::default()),
            Err(source) => Err(ConfigError::Unreadable { path, source }),
        }
    }

    fn parse(path: PathBuf, text: &str) -> Result<File, ConfigError> {
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let line = line_of(text, error.span().map_or(0, |span| span.start));
                return Err(ConfigError::Syntax { path, line, reason: error.message().to_owned() });
            }
        };
        let mut entries = Vec::new();
        match flatten(text, "", table.get_ref(), &mut entries) {
            Ok(()) => Ok(File { path, entries }),
            Err(Unusable { line, reason }) => Err(ConfigError::Syntax { path, line, reason }),
        }
    }
}

fn read_text(path: &Path) -> std::io::Result<String> {
    if FILE_BYTES_MAX < std::fs::metadata(path)?.len() {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    std::fs::read_to_string(path)
}

struct Unusable {
    line: usize,
    reason: String,
}

fn flatten(text: &str, prefix: &str, table: &DeTable<'_>, entries: &mut Vec<Entry>) -> Result<(), Unusable> {
    for (name, value) in table {
        let line = line_of(text, name.span().start);
        let key = format!("{prefix}{}", name.get_ref().replace('_', "-"));
        let values = match value.get_ref() {
            DeValue::Table(inner) => {
                flatten(text, &format!("{key}-"), inner, entries)?;
                continue;
            }
            DeValue::Array(list) => list.iter().map(scalar).collect(),
            _ => scalar(value).map(|value| vec![value]),
        };
        let Some(values) = values else {
            return Err(Unusable { line, reason: format!("`{key}` wants a text, a number, true or false, or a list") });
        };
        if entries.iter().any(|entry| entry.key == key) {
            return Err(Unusable { line, reason: format!("`{key}` is set twice") });
        }
        entries.push(Entry { key, values, line });
    }
    Ok(())
}

fn scalar(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Boolean(switch) => Some(switch.to_string()),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// The known name that takes the fewest edits to reach, if it takes few.
pub(super) fn nearest<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, name) = known.into_iter().map(|name| (edits(key, name), name)).min()?;
    (distance <= 1 + key.len() / 4).then_some(name)
}

/// Levenshtein's distance, one row at a time.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (removed, wanted) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], removed + 1);
        for (column, letter) in to.iter().enumerate() {
            let changed = diagonal + usize::from(*letter != wanted);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<File, ConfigError> {
        File::parse("ams.toml".into(), text)
    }

    #[test]
    fn tables_only_group() {
        let file = parse("listen = '127.0.0.1:1'\nmax_connections = 9\n\n[tls]\ncert = 'c'\nkey = 'k'\n").unwrap();
        let found: Vec<_> = file.entries.iter().map(|entry| (entry.key.as_str(), entry.line)).collect();
        assert!(found.contains(&("listen", 1)) && found.contains(&("max-connections", 2)), "{found:?}");
        assert!(found.contains(&("tls-cert", 5)) && found.contains(&("tls-key", 6)), "{found:?}");
    }

    #[test]
    fn a_list_gives_several_values() {
        let file = parse("trusted-proxy = ['10.0.0.0/8', '::1']").unwrap();
        assert_eq!(file.entries[0].values, ["10.0.0.0/8", "::1"]);
    }

    #[test]
    fn what_cannot_be_read_names_its_line() {
        for (text, line) in [("a = 1\nb = ", 2), ("a = 1.5", 1), ("x = 1\n\na-b = 1\na_b = 2", 4), ("a = [[1]]", 1)] {
            match parse(text) {
                Err(ConfigError::Syntax { line: found, .. }) => assert_eq!(found, line, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_nearest_name_is_near_or_none() {
        let known = ["listen", "tls-cert", "max-connections"];
        assert_eq!(nearest("lisen", known), Some("listen"));
        assert_eq!(nearest("max-conections", known), Some("max-connections"));
        assert_eq!(nearest("colour", known), None);
    }
}
