//! Layers over the defaults: a file, the environment.
//!
//! Owns which keys exist, of what kind each value is, and where it came from. The kind of a value is that of its default,
//! so a key is added in one place. Must not know what values mean together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use toml::{Table, Value};
use url::Url;

use super::{Config, ConfigError, parse_duration};
use crate::domain::ids::{SalesforceId, SalesforceObject};

const DEFAULTS: &str = include_str!("defaults.toml");
const PREFIX: &str = "CAMPAIGN_SYNC__";

/// Values that are never repeated in a message, and may be read from a file named by `..._FILE`.
pub(super) const SECRETS: [&str; 8] = [
    "auth.bootstrap_key",
    "database.url",
    "marketo.client_secret",
    "salesforce.client_secret",
    "salesforce.private_key",
    "webhooks.marketo_tokens",
    "webhooks.salesforce_path_tokens",
    "webhooks.salesforce_secrets",
];

/// Where each value that is no default came from: a file or a variable.
pub(super) type Origins = BTreeMap<String, String>;

/// What is expected of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Whole,
    Fraction,
    Switch,
    List,
    Duration,
    Url,
    Address,
    Organization,
}

impl Kind {
    fn of(key: &str, default: &Value) -> Self {
        match default {
            Value::Integer(_) => Self::Whole,
            Value::Float(_) => Self::Fraction,
            Value::Boolean(_) => Self::Switch,
            Value::Array(_) => Self::List,
            _ if key == "server.listen" => Self::Address,
            _ if key == "salesforce.organization_id" => Self::Organization,
            _ if key.ends_with("_url") => Self::Url,
            Value::String(text) if parse_duration(text).is_ok() => Self::Duration,
            _ => Self::Text,
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Text => r#"text, such as "abc""#,
            Self::Whole => "a whole number from 0 to 4294967295, such as 10",
            Self::Fraction => "a number, such as 0.5",
            Self::Switch => "true or false",
            Self::List => r#"a list of texts, such as ["one", "two"] (in a variable: one,two)"#,
            Self::Duration => r#"a duration above zero and at most 3650d, such as "500ms", "2s", "15m", "24h" or "7d""#,
            Self::Url => r#"an http or https URL without credentials or query, such as "https://example.com""#,
            Self::Address => r#"an address and a port, such as "127.0.0.1:8080""#,
            Self::Organization => r#"a Salesforce organisation id, such as "00D4S000000oz4eUAA""#,
        }
    }

    fn accepts(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text, Value::String(_))
            | (Self::Switch, Value::Boolean(_))
            | (Self::Fraction, Value::Integer(_)) => true,
            (Self::Fraction, Value::Float(number)) => number.is_finite(),
            (Self::Whole, Value::Integer(number)) => u32::try_from(*number).is_ok(),
            (Self::List, Value::Array(items)) => items.iter().all(Value::is_str),
            (Self::Duration, Value::String(text)) => parse_duration(text).is_ok(),
            (Self::Url, Value::String(text)) => text.is_empty() || is_web_url(text),
            (Self::Address, Value::String(text)) => text.parse::<SocketAddr>().is_ok(),
            (Self::Organization, Value::String(text)) => {
                text.is_empty()
                    || text.parse::<SalesforceId>().is_ok_and(|id| id.object() == Some(SalesforceObject::Organization))
            }
            _ => false,
        }
    }

    /// From the text of a variable; text that does not fit stays text, and is then not accepted.
    fn read(self, text: &str) -> Value {
        let text = if self == Self::Text { text } else { text.trim() };
        let items = || text.split([',', '\n']).map(str::trim).filter(|item| !item.is_empty());
        let read = match self {
            Self::Whole => text.parse().ok().map(Value::Integer),
            Self::Fraction => text.parse().ok().map(Value::Float),
            Self::Switch => text.parse().ok().map(Value::Boolean),
            Self::List => Some(Value::Array(items().map(Value::from).collect())),
            _ => None,
        };
        read.unwrap_or_else(|| Value::from(text))
    }
}

fn is_web_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

/// The defaults with what was laid over them, and what went wrong.
pub(super) struct Layers {
    kinds: BTreeMap<String, Kind>,
    values: BTreeMap<String, Value>,
    origins: Origins,
    problems: Vec<String>,
}

impl Layers {
    pub(super) fn new() -> Self {
        let mut values = BTreeMap::new();
        let mut problems = Vec::new();
        match DEFAULTS.parse::<Table>() {
            Ok(table) => flatten("", table, &mut values),
            Err(error) => problems.push(format!("the built-in defaults: {}", error.message())),
        }
        let kinds = values.iter().map(|(key, default)| (key.clone(), Kind::of(key, default))).collect();
        Self { kinds, values, origins: Origins::new(), problems }
    }

    pub(super) fn file(&mut self, path: &Path) {
        let origin = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return self.problems.push(format!("{origin} cannot be read: {error}")),
        };
        match text.parse::<Table>() {
            Ok(table) => self.table("", table, &origin),
            // The parser's own rendering quotes the line, which may hold a secret.
            Err(error) => {
                let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
                self.problems.push(format!("{origin} is not TOML: line {line}: {}", error.message()));
            }
        }
    }

    pub(super) fn table(&mut self, section: &str, table: Table, origin: &str) {
        for (name, value) in table {
            let key = join(section, &name);
            match value {
                Value::Table(inner) if self.is_section(&key) => self.table(&key, inner, origin),
                _ if self.is_section(&key) => {
                    self.problems.push(format!("{key} in {origin}: expected a section, written [{key}]"));
                }
                value => self.set(&key, value, origin),
            }
        }
    }

    fn is_section(&self, key: &str) -> bool {
        let inside = format!("{key}.");
        self.kinds.keys().any(|known| known.starts_with(&inside))
    }

    fn set(&mut self, key: &str, value: Value, origin: &str) {
        let Some(kind) = self.kinds.get(key) else {
            let sections = self.kinds.keys().filter_map(|known| known.rsplit_once('.')).map(|(section, _)| section);
            let nearest = nearest(key, self.kinds.keys().map(String::as_str).chain(sections));
            return self.problems.push(format!("unknown key {key} in {origin}; the nearest known one is {nearest}"));
        };
        if !kind.accepts(&value) {
            let found = if SECRETS.contains(&key) { value.type_str().to_owned() } else { value.to_string() };
            return self.problems.push(format!("{key} in {origin}: expected {}; found {found}", kind.expected()));
        }
        let value = match value {
            Value::Integer(number) if *kind == Kind::Fraction => Value::try_from(number as f64).unwrap_or(value),
            value => value,
        };
        self.values.insert(key.to_owned(), value);
        self.origins.insert(key.to_owned(), origin.to_owned());
    }

    pub(super) fn environment(&mut self, env: impl Iterator<Item = (String, String)>) {
        let known: BTreeMap<String, String> = self.kinds.keys().map(|key| (variable(key), key.clone())).collect();
        let given: BTreeMap<String, String> = env.filter(|(name, _)| name.starts_with(PREFIX)).collect();
        for (name, text) in &given {
            if let Some(key) = known.get(name) {
                self.set_text(key, text, name);
                continue;
            }
            let secret = name.strip_suffix("_FILE").and_then(|base| known.get_key_value(base));
            match secret.filter(|(_, key)| SECRETS.contains(&key.as_str())) {
                Some((base, _)) if given.contains_key(base) => {
                    self.problems.push(format!("{base} and {name} are both set; set one of them"));
                }
                Some((_, key)) => match std::fs::read_to_string(text) {
                    Ok(content) => self.set_text(key, content.trim_end_matches(['\r', '\n']), name),
                    Err(error) => self.problems.push(format!("{name}: {text} cannot be read: {error}")),
                },
                None => {
                    let nearest = nearest(name, known.keys().map(String::as_str));
                    self.problems.push(format!("unknown variable {name}; the nearest known one is {nearest}"));
                }
            }
        }
    }

    fn set_text(&mut self, key: &str, text: &str, origin: &str) {
        if let Some(kind) = self.kinds.get(key) {
            self.set(key, kind.read(text), origin);
        }
    }

    pub(super) fn finish(mut self) -> Result<(Config, Origins), ConfigError> {
        if self.problems.is_empty() {
            match unflatten(self.values).try_into() {
                Ok(config) => return Ok((config, self.origins)),
                Err(error) => self.problems.push(error.message().to_owned()),
            }
        }
        Err(ConfigError { problems: self.problems })
    }
}

fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> &'a str {
    let distance = |known: &&str| strsim::damerau_levenshtein(name, known);
    known.min_by_key(distance).unwrap_or_default()
}

fn flatten(section: &str, table: Table, into: &mut BTreeMap<String, Value>) {
    for (name, value) in table {
        let key = join(section, &name);
        match value {
            Value::Table(inner) => flatten(&key, inner, into),
            value => {
                into.insert(key, value);
            }
        }
    }
}

fn unflatten(values: BTreeMap<String, Value>) -> Table {
    let mut root = Table::new();
    for (key, value) in values {
        let mut sections: Vec<&str> = key.split('.').collect();
        let name = sections.pop().unwrap_or_default();
        let mut table = Some(&mut root);
        for section in sections {
            let inner = table.map(|t| t.entry(section).or_insert_with(|| Value::Table(Table::new())));
            table = inner.and_then(Value::as_table_mut);
        }
        if let Some(table) = table {
            table.insert(name.to_owned(), value);
        }
    }
    root
}
