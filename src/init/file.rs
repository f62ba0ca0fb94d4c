//! The configuration as a file: what is there, what it becomes, and written so that nobody else reads it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use toml::{Table, Value};

use super::questions::{self, Question};
use crate::config::Config;

const HEAD: &str = "\
# Written by campaign-sync init. docs/reference/configuration.md has every key; campaign-sync config prints what is in force.
# Holds secrets: readable by its owner alone.

";

/// The configuration while it is made.
pub struct Draft {
    path: PathBuf,
    /// Whether there is a file already.
    pub exists: bool,
    /// What was given was refused, so that it is asked for.
    pub asked_again: bool,
    table: Table,
}

impl Draft {
    /// With nothing in it.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), exists: false, asked_again: false, table: Table::new() }
    }

    /// Of the file that is there, or with nothing in it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let mut draft = Self::new(path);
        match fs::read_to_string(path) {
            Ok(text) => {
                draft.exists = true;
                // The parser's own rendering quotes the line, which may hold a secret.
                let parsed = text.parse::<Table>().map_err(|error| error.message().to_owned());
                draft.table = parsed.map_err(|problem| anyhow::anyhow!("{} is not TOML: {problem}", path.display()))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
        Ok(draft)
    }

    /// The text of a key, empty when there is none.
    pub fn text(&self, key: &str) -> String {
        let (section, name) = key.split_once('.').unwrap_or(("", key));
        let value = self.table.get(section).and_then(|section| section.get(name));
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Sets a key; what is empty is left out.
    pub fn set(&mut self, key: &str, value: String) {
        let (section, name) = key.split_once('.').unwrap_or(("", key));
        if !value.is_empty() {
            self.put(section, name, Value::String(value));
        } else if let Some(Value::Table(section)) = self.table.get_mut(section) {
            section.remove(name);
        }
    }

    fn put(&mut self, section: &str, name: &str, value: Value) {
        let table = self.table.entry(section).or_insert_with(|| Value::Table(Table::new()));
        if let Some(table) = table.as_table_mut() {
            table.insert(name.to_owned(), value);
        }
    }

    /// These were refused: whatever was given for them is only what is proposed the next time.
    pub fn again(&mut self, questions: &[Question]) {
        self.asked_again = !questions.is_empty();
    }

    /// Makes the secrets of the webhooks that are not there yet; those that are in use on the other side stay.
    pub fn make_secrets(&mut self) -> anyhow::Result<()> {
        let webhooks = self.config()?.webhooks;
        let list = |text: String| Value::Array(vec![Value::String(text)]);
        if webhooks.marketo_tokens.is_empty() {
            self.put("webhooks", "marketo_tokens", list(URL_SAFE_NO_PAD.encode(random::<32>()?)));
        }
        if webhooks.salesforce_secrets.is_empty() {
            self.put("webhooks", "salesforce_secrets", list(format!("whsec_{}", STANDARD.encode(random::<32>()?))));
        }
        if webhooks.salesforce_path_tokens.is_empty() {
            self.put("webhooks", "salesforce_path_tokens", list(URL_SAFE_NO_PAD.encode(random::<32>()?)));
        }
        Ok(())
    }

    /// What the service would make of it. Of the environment only what is not asked for: the rest is answers, which are in the file as
    /// soon as it is their turn.
    pub fn config(&self) -> anyhow::Result<Config> {
        let env = std::env::vars().filter(|(name, _)| !questions::is_answer(name));
        Ok(Config::proposed(self.table.clone(), &self.path.display().to_string(), env)?)
    }

    /// Writes it beside the file and puts it in its place, so that there is never half a configuration.
    pub fn write(&self) -> anyhow::Result<()> {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let beside = PathBuf::from(name);
        let text = format!("{HEAD}{}", toml::to_string(&self.table)?);
        let written = (|| {
            // What a broken attempt left behind may have other permissions.
            if beside.exists() {
                fs::remove_file(&beside)?;
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &self.path)
        })();
        written.with_context(|| format!("{} cannot be written", self.path.display()))
    }
}

fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).ok().context("there is no randomness")?;
    Ok(bytes)
}

/// A database for the moment in a directory of its own; gone with it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("campaign-sync-init-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        Ok(Self(dir))
    }

    pub fn database(&self) -> String {
        format!("sqlite://{}", self.0.join("check.db").display())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is a few empty tables in the directory for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn other_settings_and_secrets_in_use_stay_and_nobody_else_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("campaign-sync.toml");
        fs::write(&path, "[sync]\nlease = \"20s\"\n[webhooks]\nmarketo_tokens = [\"in-use\"]\n").unwrap();
        let mut draft = Draft::open(&path).unwrap();
        assert!(draft.exists);
        draft.set("marketo.client_id", "id".to_owned());
        draft.make_secrets().unwrap();
        draft.write().unwrap();
        let config = Config::load(Some(&path), std::iter::empty()).unwrap();
        assert_eq!(config.marketo.client_id, "id");
        assert_eq!(config.sync.lease, std::time::Duration::from_secs(20));
        let tokens = |secrets: &[secrecy::SecretString]| {
            secrets.iter().map(|secret| secrecy::ExposeSecret::expose_secret(secret).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(tokens(&config.webhooks.marketo_tokens), ["in-use"]);
        assert_eq!(config.webhooks.salesforce_secrets.len(), 1);
        assert_eq!(config.webhooks.salesforce_path_tokens.len(), 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // Once more: nothing is made anew.
        let before = fs::read_to_string(&path).unwrap();
        let mut draft = Draft::open(&path).unwrap();
        draft.make_secrets().unwrap();
        draft.write().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
    }

    #[test]
    fn what_is_no_toml_is_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("campaign-sync.toml");
        fs::write(&path, "client_secret = hunter2\n").unwrap();
        let error = Draft::open(&path).err().unwrap().to_string();
        assert!(error.contains("is not TOML") && !error.contains("hunter2"), "{error}");
    }
}
