//! The configuration: defaults, then a TOML file, then the environment.
//!
//! Owns the names, the defaults (`config/defaults.toml`) and what may be written for each. A `Config` that was loaded is
//! valid; nobody checks it again. Secrets are never printed. Must not know what a setting is used for.

mod layers;
mod validate;
mod values;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::domain::ids::SalesforceId;
pub use values::{Invalid, parse_duration, signing_key};

/// Where settings are looked for when no file is named.
pub const DEFAULT_FILE: &str = "campaign-sync.toml";

/// Everything that an operator can set.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Config {
    pub server: Server,
    pub database: Database,
    pub salesforce: Salesforce,
    pub marketo: Marketo,
    pub webhooks: Webhooks,
    pub auth: Auth,
    pub sync: Sync,
    pub limits: Limits,
    pub delivery: Delivery,
    pub retention: Retention,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Server {
    pub listen: SocketAddr,
    /// Where the outside reaches us.
    #[serde(with = "values::optional")]
    pub public_url: Option<Url>,
    /// Origins, or `*`.
    pub cors_origins: Vec<String>,
    /// Addresses, or ranges such as `10.0.0.0/8`.
    pub trusted_proxies: Vec<String>,
}

/// `[database]`
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Database {
    /// May hold a password.
    #[serde(serialize_with = "values::without_password")]
    pub url: SecretString,
    pub max_connections: u32,
    #[serde(with = "values::duration")]
    pub statement_timeout: Duration,
}

/// `[salesforce]`
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Salesforce {
    #[serde(with = "values::optional")]
    pub login_url: Option<Url>,
    #[serde(with = "values::optional")]
    pub instance_url: Option<Url>,
    pub client_id: String,
    /// Client credentials flow; empty when not used.
    #[serde(serialize_with = "values::hidden")]
    pub client_secret: SecretString,
    pub username: String,
    /// PEM, JWT bearer flow; empty when not used.
    #[serde(serialize_with = "values::hidden")]
    pub private_key: SecretString,
    pub api_version: String,
    #[serde(with = "values::optional")]
    pub organization_id: Option<SalesforceId>,
    /// API name of a field, or empty.
    pub person_external_id_field: String,
}

/// `[marketo]`
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Marketo {
    /// Origin of the REST API.
    #[serde(with = "values::optional")]
    pub base_url: Option<Url>,
    #[serde(with = "values::optional")]
    identity_url: Option<Url>,
    pub client_id: String,
    #[serde(serialize_with = "values::hidden")]
    pub client_secret: SecretString,
    pub salesforce_lead_field: String,
    pub salesforce_contact_field: String,
}

impl Marketo {
    /// The identity endpoint: as configured, else the base plus `/identity`; without a slash at the end.
    #[must_use]
    pub fn identity_url(&self) -> Option<String> {
        let trimmed = |url: &Url| url.as_str().trim_end_matches('/').to_owned();
        let of_base = || self.base_url.as_ref().map(|base| trimmed(base) + "/identity");
        self.identity_url.as_ref().map(trimmed).or_else(of_base)
    }
}

/// `[webhooks]`
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Webhooks {
    #[serde(serialize_with = "values::all_hidden")]
    pub marketo_tokens: Vec<SecretString>,
    /// `whsec_` and base64; see [`signing_key`].
    #[serde(serialize_with = "values::all_hidden")]
    pub salesforce_secrets: Vec<SecretString>,
    #[serde(serialize_with = "values::all_hidden")]
    pub salesforce_path_tokens: Vec<SecretString>,
    /// In which a trusted proxy tells the certificate of the client; empty for none.
    pub certificate_header: String,
    /// SHA-256 of the certificates that Salesforce may show; empty for any, and none.
    pub salesforce_certificates: Vec<String>,
    /// How far the time of a signed delivery may be from ours, either way.
    #[serde(with = "values::duration")]
    pub tolerance: Duration,
}

/// `[auth]`
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Auth {
    /// An admin key while it is set; empty when not.
    #[serde(serialize_with = "values::hidden")]
    pub bootstrap_key: SecretString,
}

/// `[sync]`
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Sync {
    #[serde(with = "values::duration")]
    pub poll_interval: Duration,
    #[serde(with = "values::duration")]
    pub reconcile_interval: Duration,
    #[serde(with = "values::duration")]
    pub lease: Duration,
    pub max_attempts: u32,
    #[serde(with = "values::duration")]
    pub retry_base: Duration,
    #[serde(with = "values::duration")]
    pub retry_cap: Duration,
    pub removal_guard_members: u32,
    pub removal_guard_percent: u32,
    #[serde(with = "values::duration")]
    pub removal_guard_window: Duration,
    pub loop_breaker_flips: u32,
    #[serde(with = "values::duration")]
    pub loop_breaker_window: Duration,
    pub lead_last_name: String,
    pub lead_company: String,
    pub lead_assignment_rules: bool,
    pub defaults: PolicyDefaults,
}

/// `[sync.defaults]`: policies of a mapping that says nothing else. Each text is of its closed list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PolicyDefaults {
    pub direction: String,
    pub conflict: String,
    pub regression: String,
    pub removal: String,
    pub create_leads: bool,
    pub ambiguous_person: String,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Limits {
    /// Whether subscriptions may be delivered to private addresses, and over http.
    pub allow_private_targets: bool,
    pub max_body_bytes: u32,
    /// Webhooks taken per second by one process; 0 for no limit.
    pub inbound_per_second: u32,
    /// Requests of one key; 0 for no limit.
    pub requests_per_second: u32,
    /// Keys, tokens and signatures that are not ours, from one address; 0 for no limit.
    pub failed_attempts_per_minute: u32,
    pub max_connections: u32,
    /// From the beginning of a connection, or the end of a request, to the end of the headers of the next.
    #[serde(with = "values::duration")]
    pub header_timeout: Duration,
    /// From the headers of a request to the end of its body.
    #[serde(with = "values::duration")]
    pub body_timeout: Duration,
    pub salesforce: SalesforceLimits,
    pub marketo: MarketoLimits,
}

/// `[limits.salesforce]`
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SalesforceLimits {
    pub concurrency: u32,
    /// Part of the organisation's daily calls that we may use, above 0 and at most 1.
    pub daily_share: f64,
}

/// `[limits.marketo]`
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct MarketoLimits {
    pub calls_per_window: u32,
    #[serde(with = "values::duration")]
    pub window: Duration,
    pub concurrency: u32,
    pub daily_calls: u32,
}

/// `[delivery]`
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Delivery {
    #[serde(with = "values::duration")]
    pub timeout: Duration,
    #[serde(with = "values::duration")]
    pub max_age: Duration,
    pub concurrency: u32,
}

/// `[retention]`
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Retention {
    #[serde(with = "values::duration")]
    pub bodies: Duration,
    #[serde(with = "values::duration")]
    pub history: Duration,
    #[serde(with = "values::duration")]
    pub completed: Duration,
}

/// Why there is no configuration: all that is wrong, so that it can be mended in one go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct ConfigError {
    /// A line each; none holds the value of a secret.
    pub problems: Vec<String>,
}

impl Config {
    /// Reads `file`, else [`DEFAULT_FILE`] when there is one, then `env`.
    ///
    /// # Errors
    /// With everything that is wrong, each with the file or variable that it came from.
    pub fn load(file: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut layers = layers::Layers::new();
        match file {
            Some(path) => layers.file(path),
            None if Path::new(DEFAULT_FILE).exists() => layers.file(Path::new(DEFAULT_FILE)),
            None => {}
        }
        layers.environment(env);
        Self::of(layers)
    }

    /// Reads what is about to be a file; `origin` names it in messages.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn proposed(
        table: toml::Table,
        origin: &str,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut layers = layers::Layers::new();
        layers.table("", table, origin);
        layers.environment(env);
        Self::of(layers)
    }

    fn of(layers: layers::Layers) -> Result<Self, ConfigError> {
        let (config, origins) = layers.finish()?;
        let problems = validate::problems(&config, &origins);
        if problems.is_empty() { Ok(config) } else { Err(ConfigError { problems }) }
    }

    /// The whole configuration as TOML; a secret is `"***"` when set and `""` when not.
    ///
    /// # Errors
    /// Never for a configuration that was loaded.
    pub fn effective(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

#[cfg(test)]
mod tests;
