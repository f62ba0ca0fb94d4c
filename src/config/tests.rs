//! The configuration as tables: what is given, what comes of it.

use std::io::Write;

use secrecy::ExposeSecret;

use super::*;

/// 24 and 64 bytes in base64.
const WHSEC: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";
const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n";

fn written(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().prefix("settings").suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load(toml: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let file = written(toml);
    Config::load(Some(file.path()), env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
}

/// Every part must be in one and the same line of the error.
fn refused(toml: &str, env: &[(&str, &str)], parts: &[&str]) {
    let error = load(toml, env).expect_err(&format!("accepted: {toml} {env:?}"));
    let found = error.problems.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(found, "{toml} {env:?}\nexpected {parts:?}\nfound {error}");
}

#[test]
fn defaults_are_those_of_the_file_and_survive_a_round_trip() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.sync.retry_cap, Duration::from_secs(900));
    assert_eq!(config.retention.history, Duration::from_secs(400 * 86_400));
    assert_eq!(config.limits.salesforce.daily_share, 0.5);
    assert_eq!(config.sync.defaults.conflict, "furthest_progress");
    assert_eq!(config.marketo.identity_url(), None);
    let printed: toml::Table = config.effective().unwrap().parse().unwrap();
    let mut defaults: toml::Table = include_str!("defaults.toml").parse().unwrap();
    // Durations are printed in the longest unit that loses nothing.
    for (section, key, text) in [("sync", "poll_interval", "1m"), ("delivery", "max_age", "3d")] {
        defaults[section][key] = text.into();
    }
    assert_eq!(printed, defaults);
}

#[test]
fn the_environment_lies_over_the_file() {
    let toml = "[sync]\npoll_interval = \"5s\"\nmax_attempts = 3\n[limits.salesforce]\ndaily_share = 1\n[marketo]\nbase_url = \"http://127.0.0.1:9\"\n";
    let config = load(
        toml,
        &[
            ("CAMPAIGN_SYNC__SYNC__MAX_ATTEMPTS", "7"),
            ("CAMPAIGN_SYNC__SYNC__DEFAULTS__DIRECTION", "observe"),
            ("CAMPAIGN_SYNC__LIMITS__SALESFORCE__CONCURRENCY", "2"),
            ("CAMPAIGN_SYNC__WEBHOOKS__MARKETO_TOKENS", "one, two,"),
            ("CAMPAIGN_SYNC__SYNC__LEAD_ASSIGNMENT_RULES", "true"),
            ("CAMPAIGN_SYNC__SALESFORCE__ORGANIZATION_ID", "00D4S000000oz4e"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.sync.poll_interval, Duration::from_secs(5));
    assert_eq!(config.sync.max_attempts, 7);
    assert_eq!(config.sync.defaults.direction, "observe");
    assert_eq!(config.limits.salesforce.concurrency, 2);
    assert_eq!(config.limits.salesforce.daily_share, 1.0);
    assert!(config.sync.lead_assignment_rules);
    let tokens: Vec<&str> = config.webhooks.marketo_tokens.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(tokens, ["one", "two"]);
    assert_eq!(config.salesforce.organization_id.unwrap().as_str(), "00D4S000000oz4eUAA");
    assert_eq!(config.marketo.identity_url().unwrap(), "http://127.0.0.1:9/identity");
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let key = written(PEM);
    let config = load(
        "[salesforce]\nclient_id = \"id\"\nusername = \"u\"\n[database]\nurl = \"postgres://u:hunter2@db/x\"\n",
        &[
            ("CAMPAIGN_SYNC__SALESFORCE__PRIVATE_KEY_FILE", key.path().to_str().unwrap()),
            ("CAMPAIGN_SYNC__AUTH__BOOTSTRAP_KEY", "correct horse battery staple"),
            ("CAMPAIGN_SYNC__WEBHOOKS__SALESFORCE_SECRETS", WHSEC),
        ],
    )
    .unwrap();
    assert_eq!(config.salesforce.private_key.expose_secret(), PEM.trim_end());
    let shown = format!("{config:?}\n{config:#?}\n{}", config.effective().unwrap());
    for secret in ["hunter2", "horse", "MIIE", "MDEyMz"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    let effective = config.effective().unwrap();
    for line in [
        "url = \"postgres://u:***@db/x\"",
        "private_key = \"***\"",
        "client_secret = \"\"",
        "salesforce_secrets = [\"***\"]",
    ] {
        assert!(effective.contains(line), "{line} in {effective}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let file_cases: &[(&str, &[&str])] = &[
        ("[limits]\nmax_body_byte = 1", &["unknown key limits.max_body_byte", "settings", "limits.max_body_bytes"]),
        ("[salesfroce]\nclient_id = \"x\"", &["unknown key salesfroce", "nearest known one is salesforce"]),
        ("sync = 1", &["sync", "[sync]"]),
        ("[limits]\nmax_body_bytes = \"1\"", &["limits.max_body_bytes", "whole number", "such as 10", "\"1\""]),
        ("[limits]\nmax_body_bytes = -1", &["limits.max_body_bytes", "whole number"]),
        ("[sync]\nlease = 30", &["sync.lease", "duration", "15m"]),
        ("[sync]\nlease = \"30\"", &["sync.lease", "duration"]),
        ("[sync]\nlease = \"0s\"", &["sync.lease", "above zero"]),
        ("[sync]\nlease = \"99999999999999999999d\"", &["sync.lease", "duration"]),
        ("[sync]\nlead_assignment_rules = \"yes\"", &["sync.lead_assignment_rules", "true or false"]),
        ("[server]\ncors_origins = \"*\"", &["server.cors_origins", "list"]),
        ("[server]\ncors_origins = [\"https://a.b/c\"]", &["server.cors_origins", "origins"]),
        ("[server]\ntrusted_proxies = [\"10.0.0.0/33\"]", &["server.trusted_proxies", "10.0.0.0/8"]),
        ("[server]\nlisten = \"here\"", &["server.listen", "127.0.0.1:8080"]),
        ("[server]\npublic_url = \"ftp://a\"", &["server.public_url", "http or https"]),
        ("[database]\nurl = \"mysql://a\"", &["database.url", "sqlite:"]),
        ("[auth]\nbootstrap_key = \"nineteen characters\"", &["auth.bootstrap_key", "20 characters"]),
        ("[webhooks]\nsalesforce_secrets = [\"whsec_c2hvcnQ=\"]", &["webhooks.salesforce_secrets", "24 to 64 bytes"]),
        ("[webhooks]\nsalesforce_secrets = [\"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz\"]", &["webhooks.salesforce_secrets"]),
        ("[webhooks]\nmarketo_tokens = [\"a b\"]", &["webhooks.marketo_tokens", "visible"]),
        ("[webhooks]\nsalesforce_path_tokens = [\"a/b\"]", &["webhooks.salesforce_path_tokens", "part of a path"]),
        ("[salesforce]\nprivate_key = \"MIIE\"\nclient_id=\"c\"\nusername=\"u\"", &["salesforce.private_key", "PEM"]),
        ("[salesforce]\nprivate_key = \"x\"", &["salesforce.private_key", "salesforce.username"]),
        ("[salesforce]\nclient_secret = \"x\"", &["salesforce.client_secret", "salesforce.client_id"]),
        ("[salesforce]\napi_version = \"60\"", &["salesforce.api_version", "60.0"]),
        ("[salesforce]\napi_version = \"v60.0\"", &["salesforce.api_version", "60.0"]),
        ("[salesforce]\norganization_id = \"7014S00000097HcQAI\"", &["salesforce.organization_id", "organisation id"]),
        ("[salesforce]\nperson_external_id_field = \"a' OR\"", &["salesforce.person_external_id_field", "API name"]),
        (
            "[salesforce]\nlogin_url = \"https://user:pw@login.salesforce.com\"",
            &["salesforce.login_url", "credentials"],
        ),
        ("[marketo]\nbase_url = \"https://a.mktorest.com/rest\"", &["marketo.base_url", "without /rest"]),
        ("[sync]\nretry_base = \"1h\"", &["sync.retry_cap", "sync.retry_base"]),
        ("[sync]\nremoval_guard_percent = 101", &["sync.removal_guard_percent", "0 to 100"]),
        ("[sync]\nlead_company = \"\"", &["sync.lead_company", "1 to 255"]),
        (
            "[sync.defaults]\nconflict = \"marketo_win\"",
            &["sync.defaults.conflict", "settings", "nearest", "marketo_wins"],
        ),
        ("[limits.salesforce]\ndaily_share = 1.5", &["limits.salesforce.daily_share", "at most 1"]),
        ("[limits.salesforce]\ndaily_share = nan", &["limits.salesforce.daily_share", "a number"]),
        ("[limits.marketo]\nconcurrency = 0", &["limits.marketo.concurrency", "at least 1"]),
        ("[marketo]\nclient_secret = \"hunter2", &["line 2", "not TOML"]),
    ];
    for (toml, parts) in file_cases {
        refused(toml, &[], parts);
    }
    let variables: &[(&str, &str, &[&str])] = &[
        ("CAMPAIGN_SYNC__SYNC__LEASES", "1s", &["unknown variable", "CAMPAIGN_SYNC__SYNC__LEASE"]),
        ("CAMPAIGN_SYNC__SYNC__MAX_ATTEMPTS", "many", &["CAMPAIGN_SYNC__SYNC__MAX_ATTEMPTS", "whole number"]),
        ("CAMPAIGN_SYNC__SYNC__MAX_ATTEMPTS_FILE", "/x", &["unknown variable", "CAMPAIGN_SYNC__SYNC__MAX_ATTEMPTS"]),
        ("CAMPAIGN_SYNC__AUTH__BOOTSTRAP_KEY_FILE", "/not/there", &["BOOTSTRAP_KEY_FILE", "/not/there"]),
        ("CAMPAIGN_SYNC__AUTH__BOOTSTRAP_KEY", "short", &["in CAMPAIGN_SYNC__AUTH__BOOTSTRAP_KEY", "20 characters"]),
    ];
    for (name, value, parts) in variables {
        refused("", &[(name, value)], parts);
    }
    let both = [("CAMPAIGN_SYNC__AUTH__BOOTSTRAP_KEY", "x"), ("CAMPAIGN_SYNC__AUTH__BOOTSTRAP_KEY_FILE", "y")];
    refused("", &both, &["both set"]);
    let missing = Config::load(Some(Path::new("/not/there.toml")), std::iter::empty()).unwrap_err();
    assert!(missing.to_string().contains("/not/there.toml cannot be read"));
}

#[test]
fn messages_never_hold_a_secret() {
    for toml in [
        "[marketo]\nclient_secret = \"hunter2",
        "[marketo]\nclient_secret = [\"hunter2\"]",
        "[webhooks]\nmarketo_tokens = \"hunter2\"",
        "[webhooks]\nsalesforce_secrets = [\"hunter2\"]",
        "[salesforce]\nprivate_key = \"hunter2\"",
        "[database]\nurl = \"mysql://u:hunter2@db\"",
    ] {
        let error = load(toml, &[]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let error = load("[sync]\nlease = 1\n[limits]\nx = 1", &[("CAMPAIGN_SYNC__Y", "1")]).unwrap_err();
    assert_eq!(error.problems.len(), 3, "{error}");
}

#[test]
fn durations_and_signing_keys() {
    for (text, millis) in [("500ms", 500), ("2s", 2_000), ("15m", 900_000), ("24h", 86_400_000), ("7d", 604_800_000)] {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "s", "5", "-5s", "1.5s", "5 s", "5S", "1h30m", "0ms", "3651d", "18446744073709551615d", "５s"] {
        assert_eq!(parse_duration(text), Err(Invalid::Duration), "{text}");
    }
    assert_eq!(signing_key(WHSEC).unwrap().len(), 24);
    assert_eq!(signing_key("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNA").unwrap().len(), 25);
    assert!(signing_key("whsec_!").is_err());
}
