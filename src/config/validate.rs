//! What values must be beyond their kind, and what they mean together.
//!
//! Owns the limits and closed lists of the configuration. Each check is a line: a key, whether it holds, what must hold.
//! A message never repeats a secret.

use std::net::IpAddr;
use std::time::Duration;

use secrecy::ExposeSecret;
use url::Url;

use super::layers::Origins;
use super::{Config, signing_key};
use crate::door::fingerprint;

/// The closed lists of `[sync.defaults]`.
const DIRECTION: &[&str] = &["both", "marketo_to_salesforce", "salesforce_to_marketo", "observe"];
const CONFLICT: &[&str] = &["furthest_progress", "marketo_wins", "salesforce_wins", "hold"];
const REGRESSION: &[&str] = &["hold", "revert", "readd"];
const REMOVAL: &[&str] = &["propagate", "keep"];
const AMBIGUOUS_PERSON: &[&str] = &["park", "oldest"];

/// Checks, in the order of the file.
pub(super) fn problems(config: &Config, origins: &Origins) -> Vec<String> {
    let mut checks = Checks { origins, problems: Vec::new() };
    server(config, &mut checks);
    salesforce(config, &mut checks);
    marketo(config, &mut checks);
    webhooks(config, &mut checks);
    sync(config, &mut checks);
    limits(config, &mut checks);
    checks.problems
}

struct Checks<'a> {
    origins: &'a Origins,
    problems: Vec<String>,
}

impl Checks<'_> {
    fn must(&mut self, key: &str, holds: bool, what: &str) {
        if !holds {
            let origin = self.origins.get(key).map(|origin| format!(" in {origin}")).unwrap_or_default();
            self.problems.push(format!("{key}{origin}: {what}"));
        }
    }

    fn one_of(&mut self, key: &str, value: &str, known: &[&str]) {
        let nearest = known.iter().min_by_key(|known| strsim::damerau_levenshtein(value, known)).unwrap_or(&"");
        let what = format!("must be one of {}; the nearest to {value:?} is {nearest}", known.join(", "));
        self.must(key, known.contains(&value), &what);
    }

    fn at_least_one(&mut self, key: &str, value: u32) {
        self.must(key, value >= 1, "must be at least 1");
    }
}

fn server(config: &Config, checks: &mut Checks) {
    let server = &config.server;
    let origins = server.cors_origins.iter().all(|origin| origin == "*" || is_origin(origin));
    checks.must("server.cors_origins", origins, r#"must be origins such as "https://app.example.com", or "*""#);
    let ranges = server.trusted_proxies.iter().all(|range| is_range(range));
    checks.must("server.trusted_proxies", ranges, r#"must be addresses or ranges such as "10.0.0.0/8""#);
    let url = config.database.url.expose_secret();
    let database = ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    checks.must("database.url", database, "must begin with sqlite:, postgres:// or postgresql://");
    checks.at_least_one("database.max_connections", config.database.max_connections);
    let enough = config.database.statement_timeout >= Duration::from_millis(100);
    checks.must("database.statement_timeout", enough, "must be at least 100ms");
    let key = config.auth.bootstrap_key.expose_secret();
    let long = key.is_empty() || key.chars().count() >= 20;
    checks.must("auth.bootstrap_key", long, "must have 20 characters or more");
}

fn salesforce(config: &Config, checks: &mut Checks) {
    let salesforce = &config.salesforce;
    let version = salesforce.api_version.strip_suffix(".0").is_some_and(|major| {
        matches!(major.len(), 2 | 3) && major.bytes().all(|c| c.is_ascii_digit()) && !major.starts_with('0')
    });
    checks.must("salesforce.api_version", version, r#"must be a version such as "60.0""#);
    let field = &salesforce.person_external_id_field;
    checks.must("salesforce.person_external_id_field", field.is_empty() || is_name(field), FIELD_NAME);
    let key = salesforce.private_key.expose_secret();
    checks.must(
        "salesforce.private_key",
        key.is_empty() || is_pem(key),
        "must be a private key in PEM, with its BEGIN and END lines",
    );
    let user = key.is_empty() || !(salesforce.username.is_empty() || salesforce.client_id.is_empty());
    checks.must("salesforce.private_key", user, "also needs salesforce.client_id and salesforce.username");
    let client = salesforce.client_secret.expose_secret().is_empty() || !salesforce.client_id.is_empty();
    checks.must("salesforce.client_secret", client, "also needs salesforce.client_id");
    for (key, url) in
        [("salesforce.login_url", &salesforce.login_url), ("salesforce.instance_url", &salesforce.instance_url)]
    {
        checks.must(key, is_bare(url.as_ref()), "must be an origin, without a path");
    }
}

const FIELD_NAME: &str = "must be the API name of a field: a letter, then letters, digits and underscores";

fn marketo(config: &Config, checks: &mut Checks) {
    let marketo = &config.marketo;
    checks.must("marketo.base_url", is_bare(marketo.base_url.as_ref()), "must be the origin, without /rest");
    checks.must("marketo.salesforce_lead_field", is_name(&marketo.salesforce_lead_field), FIELD_NAME);
    checks.must("marketo.salesforce_contact_field", is_name(&marketo.salesforce_contact_field), FIELD_NAME);
    let client = marketo.client_secret.expose_secret().is_empty() || !marketo.client_id.is_empty();
    checks.must("marketo.client_secret", client, "also needs marketo.client_id");
}

fn webhooks(config: &Config, checks: &mut Checks) {
    let webhooks = &config.webhooks;
    let visible = |token: &str| !token.is_empty() && token.bytes().all(|c| c.is_ascii_graphic());
    let tokens = webhooks.marketo_tokens.iter().all(|token| visible(token.expose_secret()));
    checks.must("webhooks.marketo_tokens", tokens, "each must be of visible ASCII characters, without spaces");
    let secrets = webhooks.salesforce_secrets.iter().all(|secret| signing_key(secret.expose_secret()).is_ok());
    checks.must("webhooks.salesforce_secrets", secrets, "each must be whsec_ followed by base64 of 24 to 64 bytes");
    let paths = webhooks.salesforce_path_tokens.iter().map(ExposeSecret::expose_secret);
    let paths = paths.into_iter().all(|token| visible(token) && !token.contains(['/', '?', '#', '%']));
    checks.must(
        "webhooks.salesforce_path_tokens",
        paths,
        "each must be one part of a path: visible ASCII without / ? # %",
    );
    let header = &webhooks.certificate_header;
    let name = header.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_');
    checks.must("webhooks.certificate_header", name, "must be the name of a header, such as X-Client-Cert");
    let proxied = header.is_empty() || !config.server.trusted_proxies.is_empty();
    checks.must(
        "webhooks.certificate_header",
        proxied,
        "also needs server.trusted_proxies, since only they are believed",
    );
    let certificates = webhooks.salesforce_certificates.iter().all(|text| fingerprint(text).is_some());
    let what = "each must be a SHA-256: 64 hexadecimal digits, with or without colons";
    checks.must("webhooks.salesforce_certificates", certificates, what);
    let named = webhooks.salesforce_certificates.is_empty() || !header.is_empty();
    checks.must("webhooks.salesforce_certificates", named, "also needs webhooks.certificate_header");
}

fn sync(config: &Config, checks: &mut Checks) {
    let sync = &config.sync;
    checks.at_least_one("sync.max_attempts", sync.max_attempts);
    checks.must("sync.retry_cap", sync.retry_cap >= sync.retry_base, "must not be below sync.retry_base");
    checks.must("sync.removal_guard_percent", sync.removal_guard_percent <= 100, "must be from 0 to 100");
    checks.must("sync.loop_breaker_flips", sync.loop_breaker_flips >= 2, "must be at least 2");
    // Lengths of Lead.LastName and Lead.Company; Salesforce refuses a lead without either.
    checks.must("sync.lead_last_name", is_text(&sync.lead_last_name, 80), "must have 1 to 80 characters");
    checks.must("sync.lead_company", is_text(&sync.lead_company, 255), "must have 1 to 255 characters");
    let defaults = &sync.defaults;
    checks.one_of("sync.defaults.direction", &defaults.direction, DIRECTION);
    checks.one_of("sync.defaults.conflict", &defaults.conflict, CONFLICT);
    checks.one_of("sync.defaults.regression", &defaults.regression, REGRESSION);
    checks.one_of("sync.defaults.removal", &defaults.removal, REMOVAL);
    checks.one_of("sync.defaults.ambiguous_person", &defaults.ambiguous_person, AMBIGUOUS_PERSON);
}

fn limits(config: &Config, checks: &mut Checks) {
    let limits = &config.limits;
    checks.at_least_one("limits.max_body_bytes", limits.max_body_bytes);
    checks.at_least_one("limits.max_connections", limits.max_connections);
    checks.at_least_one("limits.salesforce.concurrency", limits.salesforce.concurrency);
    let share = limits.salesforce.daily_share;
    checks.must("limits.salesforce.daily_share", share > 0.0 && share <= 1.0, "must be above 0 and at most 1");
    checks.at_least_one("limits.marketo.calls_per_window", limits.marketo.calls_per_window);
    checks.at_least_one("limits.marketo.concurrency", limits.marketo.concurrency);
    checks.at_least_one("limits.marketo.daily_calls", limits.marketo.daily_calls);
    checks.at_least_one("delivery.concurrency", config.delivery.concurrency);
}

fn is_text(text: &str, longest: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= longest
}

/// Field names go into queries, so nothing else is let in.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

fn is_pem(text: &str) -> bool {
    let mut lines = text.trim().lines();
    let first = lines.next().unwrap_or_default().trim_end();
    let last = lines.next_back().unwrap_or_default();
    first.starts_with("-----BEGIN ") && first.ends_with("PRIVATE KEY-----") && last.starts_with("-----END ")
}

fn is_bare(url: Option<&Url>) -> bool {
    url.is_none_or(|url| url.path() == "/")
}

fn is_origin(text: &str) -> bool {
    Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text)
}

fn is_range(text: &str) -> bool {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u8>().is_ok_and(|bits| bits <= most))
}
