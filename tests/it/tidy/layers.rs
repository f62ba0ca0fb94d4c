//! The rooms of the house and who may know whom; the same table as in ARCHITECTURE.md.
//!
//! Reads the product, not its test modules, which may stand on anything. `sandbox` is read wholly.

use super::source::{code, paths, tokens, without_tests};

/// A foreign crate that is named in these rooms only.
const HOMES: &[(&str, &[&str])] = &[
    ("sqlx", &["src/store"]),
    // The emulators post webhooks, as the vendors do, and `init` tries them; the demo is a user of the REST API.
    ("reqwest", &["src/connector", "src/worker/deliver", "src/sandbox", "src/demo", "src/init"]),
    ("opentelemetry", &["src/telemetry"]),
    ("opentelemetry_sdk", &["src/telemetry"]),
    ("opentelemetry_otlp", &["src/telemetry"]),
    ("hyper_util", &["src/app"]),
    ("axum", &["src/http", "src/webhook", "src/dashboard", "src/app", "src/sandbox"]),
];

/// A room, and the rooms that it does not know.
///
/// That `store` and `connector` are strangers is what keeps a transaction from being open while a vendor is called: the one never
/// gets at a vendor, the other never at a transaction.
const STRANGERS: &[(&str, &[&str])] = &[
    ("connector", &["store", "diagnosis", "dashboard"]),
    ("store", &["connector", "diagnosis", "dashboard"]),
    ("webhook", &["http", "worker", "dashboard"]),
    ("http", &["webhook", "worker", "dashboard"]),
    ("worker", &["webhook", "http", "diagnosis", "dashboard"]),
    // Pages show what the API answers: they are handed its router, and get at nothing else.
    ("dashboard", &["store", "connector", "webhook", "http", "worker", "diagnosis", "config"]),
    ("diagnosis", &["webhook", "http", "worker", "dashboard"]),
];

/// A room that knows no other. Were the emulators to share a type with the connectors, a misread field would be misread on both
/// ends and every test would be green.
const ALONE: &[&str] = &["domain", "door", "sandbox"];

/// What `domain` may name of the crates in the manifest.
const DOMAIN_CRATES: &[&str] = &["serde", "jiff", "uuid", "thiserror"];

/// Whether a file is a room's: `src/app` is `src/app.rs` and all of `src/app/`.
fn is_in(file: &str, room: &str) -> bool {
    file.strip_prefix(room).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// What one file of `src/` names and should not; `crates` are the dependencies of the manifest.
pub fn findings(file: &str, text: &str, crates: &[String]) -> Vec<String> {
    let whole = code(text);
    let product = if is_in(file, "src/sandbox") { &whole } else { without_tests(&whole) };
    let mut found: Vec<String> = paths(file, product)
        .iter()
        .filter_map(|path| broken_rule(file, path, crates).map(|rule| format!("{file}: {}: {rule}", path.join("::"))))
        .collect();
    if is_in(file, "src/domain") && tokens(product).contains(&"async") {
        found.push(format!("{file}: domain is not async"));
    }
    if is_in(file, "src/store") {
        found.extend(
            handed_out_transactions(product)
                .into_iter()
                .map(|item| format!("{file}: {item} lets a transaction out of the store")),
        );
    }
    found
}

fn broken_rule(file: &str, path: &[String], crates: &[String]) -> Option<String> {
    let room_of = |room: &str| is_in(file, &format!("src/{room}"));
    let home = HOMES.iter().find(|(name, _)| path.iter().any(|part| part == name));
    if let Some((name, homes)) = home.filter(|(_, homes)| !homes.iter().any(|home| is_in(file, home))) {
        return Some(format!("{name} is for {}", homes.join(", ")));
    }
    if room_of("domain") && crates.contains(&path[0]) && !DOMAIN_CRATES.contains(&path[0].as_str()) {
        return Some(format!("domain names only std, {}", DOMAIN_CRATES.join(", ")));
    }
    let other = path.get(1).filter(|_| path[0] == "crate")?.as_str();
    if let Some(room) = ALONE.iter().find(|room| room_of(room) && **room != other) {
        return Some(format!("{room} knows no other room"));
    }
    let (room, _) = STRANGERS.iter().find(|(room, strangers)| room_of(room) && strangers.contains(&other))?;
    Some(format!("{room} does not know {other}"))
}

/// Names of functions that everybody may call and whose signature has a transaction.
fn handed_out_transactions(code: &str) -> Vec<String> {
    let tokens = tokens(code);
    let public = tokens.windows(2).enumerate().filter(|(_, pair)| pair[0] == "pub" && pair[1] != "(");
    let signatures =
        public.map(|(at, _)| tokens[at..].split(|token| matches!(*token, "{" | ";")).next().unwrap_or_default());
    let handing_out = signatures.filter(|signature| signature.contains(&"Transaction"));
    let name =
        |signature: &[&str]| signature.iter().skip_while(|token| **token != "fn").nth(1).map(ToString::to_string);
    handing_out.filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crates() -> Vec<String> {
        ["serde", "jiff", "tokio", "sqlx", "reqwest", "axum"].map(str::to_owned).to_vec()
    }

    #[test]
    fn each_rule_can_be_broken() {
        for (file, text) in [
            ("src/http/mappings.rs", "use sqlx::Row;"),
            ("src/worker/sync.rs", "fn f(db: &mut sqlx::PgConnection) {}"),
            ("src/worker/deliver_fast.rs", "use reqwest::Client;"),
            ("src/store/mod.rs", "use ::axum;"),
            ("src/domain/merge.rs", "use tokio::sync::Mutex;"),
            ("src/domain/merge.rs", "#[derive(sqlx::Type)] struct A;"),
            ("src/domain/merge.rs", "pub async fn decide() {}"),
            ("src/domain/merge.rs", "use crate::store::Store;"),
            ("src/connector/marketo.rs", "use crate::{domain::ids, store::Store};"),
            ("src/store/outbox.rs", "use super::super::connector::Marketo;"),
            ("src/store/mod.rs", "pub async fn begin(&self) -> Result<Transaction<'_, Sqlite>, E> {}"),
            ("src/webhook/mod.rs", "use crate::http::problem;"),
            ("src/webhook/mod.rs", "use crate::worker;"),
            ("src/http/mod.rs", "fn f() { crate::worker::wake() }"),
            ("src/worker/mod.rs", "use crate::webhook;"),
            ("src/dashboard/overview.rs", "use crate::store::Store;"),
            ("src/dashboard/overview.rs", "fn f() { crate::http::router() }"),
            ("src/sandbox/marketo.rs", "use crate::connector::marketo::Envelope;"),
            ("src/sandbox/marketo.rs", "#[cfg(test)] mod tests { use campaign_sync::domain::ids; }"),
        ] {
            assert_eq!(findings(file, text, &crates()).len(), 1, "{file}: {text}");
        }
    }

    #[test]
    fn what_is_allowed_is_not_found() {
        for (file, text) in [
            ("src/store/outbox.rs", "use sqlx::Row; pub(super) fn f(t: &mut Transaction<'_>) {}"),
            ("src/worker/deliver.rs", "use reqwest::Client;"),
            ("src/dashboard/overview.rs", "use axum::Router; use crate::domain::clock::Clock;"),
            ("src/app.rs", "use axum::Router; use crate::{http, webhook, worker};"),
            (
                "src/domain/merge.rs",
                "//! No sqlx, no async.\nuse serde::Serialize; use super::ids; const A: &str = \"tokio::x\";",
            ),
            ("src/domain/merge.rs", "#[cfg(test)]\nmod tests { use tokio::x; }"),
            ("src/sandbox/marketo.rs", "use super::world; use crate::sandbox::clock;"),
        ] {
            assert_eq!(findings(file, text, &crates()), [""; 0], "{file}: {text}");
        }
    }
}
