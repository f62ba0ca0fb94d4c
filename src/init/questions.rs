//! What has to be known, in the order in which it is asked: the key that it becomes, the flag that answers it.
//!
//! An answer is the flag, else the variable of the environment, else what a person says, else what is in the file.

use std::path::Path;

use anyhow::{Context, bail};

use super::Init;
use super::ask::Asker;
use super::file::Draft;

/// One question.
pub struct Question {
    /// Of the configuration: `marketo.base_url`.
    pub key: &'static str,
    /// Without it somebody without a terminal cannot answer.
    flag: &'static str,
    ask: &'static str,
    kind: Kind,
    /// What is taken when nothing is said; empty where there is nothing to take.
    default: &'static str,
    /// Whether it may stay empty, given the other answers.
    optional: fn(&Draft) -> bool,
    /// Whether it is asked at all, given the other answers.
    matters: fn(&Draft) -> bool,
    given: fn(&Init) -> anyhow::Result<Option<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// Not shown while it is typed.
    Secret,
    /// The name of a file is asked for; its content is the answer.
    Content,
}

const NEVER: fn(&Draft) -> bool = |_| false;
const ALWAYS: fn(&Draft) -> bool = |_| true;
/// The JWT bearer flow, since there is no secret.
const BY_KEY: fn(&Draft) -> bool = |draft| draft.text("salesforce.client_secret").is_empty();
/// Another way of logging in was named by flag or is there.
const HAS_KEY: fn(&Draft) -> bool = |draft| !draft.text("salesforce.private_key").is_empty();

/// About the service itself.
pub const SERVICE: [Question; 3] = [
    Question {
        key: "server.public_url",
        flag: "--public-url",
        ask: "Where Marketo and Salesforce will reach this service (https://...; empty when not known yet)",
        kind: Kind::Text,
        default: "",
        optional: ALWAYS,
        matters: ALWAYS,
        given: |init| Ok(init.public_url.clone()),
    },
    Question {
        key: "server.listen",
        flag: "--listen",
        ask: "Address and port to listen on",
        kind: Kind::Text,
        default: "127.0.0.1:8080",
        optional: NEVER,
        matters: ALWAYS,
        given: |init| Ok(init.listen.clone()),
    },
    Question {
        key: "database.url",
        flag: "--database-url",
        ask: "Database (sqlite://FILE, or postgres://USER:PASSWORD@HOST/NAME)",
        kind: Kind::Text,
        default: "sqlite://campaign-sync.db",
        optional: NEVER,
        matters: ALWAYS,
        given: |init| Ok(init.database_url.clone()),
    },
];

/// About Marketo.
pub const MARKETO: [Question; 3] = [
    Question {
        key: "marketo.base_url",
        flag: "--marketo-base-url",
        ask: "Marketo: REST endpoint (Admin > Web Services > REST API)",
        kind: Kind::Text,
        default: "",
        optional: NEVER,
        matters: ALWAYS,
        given: |init| Ok(init.marketo_base_url.clone()),
    },
    Question {
        key: "marketo.client_id",
        flag: "--marketo-client-id",
        ask: "Marketo: client id (Admin > LaunchPoint > the service > View Details)",
        kind: Kind::Text,
        default: "",
        optional: NEVER,
        matters: ALWAYS,
        given: |init| Ok(init.marketo_client_id.clone()),
    },
    Question {
        key: "marketo.client_secret",
        flag: "--marketo-client-secret-file",
        ask: "Marketo: client secret",
        kind: Kind::Secret,
        default: "",
        optional: NEVER,
        matters: ALWAYS,
        given: |init| content(init.marketo_client_secret_file.as_deref()),
    },
];

/// About Salesforce.
pub const SALESFORCE: [Question; 5] = [
    Question {
        key: "salesforce.login_url",
        flag: "--salesforce-login-url",
        ask: "Salesforce: My Domain (https://acme.my.salesforce.com)",
        kind: Kind::Text,
        default: "",
        optional: NEVER,
        matters: ALWAYS,
        given: |init| Ok(init.salesforce_login_url.clone()),
    },
    Question {
        key: "salesforce.client_id",
        flag: "--salesforce-client-id",
        ask: "Salesforce: consumer key of the external client app",
        kind: Kind::Text,
        default: "",
        optional: NEVER,
        matters: ALWAYS,
        given: |init| Ok(init.salesforce_client_id.clone()),
    },
    Question {
        key: "salesforce.client_secret",
        flag: "--salesforce-client-secret-file (or --salesforce-username and --salesforce-private-key-file)",
        ask: "Salesforce: consumer secret (empty to sign in with a private key)",
        kind: Kind::Secret,
        default: "",
        optional: HAS_KEY,
        matters: ALWAYS,
        given: |init| content(init.salesforce_client_secret_file.as_deref()),
    },
    Question {
        key: "salesforce.username",
        flag: "--salesforce-username",
        ask: "Salesforce: name of the user to act as",
        kind: Kind::Text,
        default: "",
        optional: NEVER,
        matters: BY_KEY,
        given: |init| Ok(init.salesforce_username.clone()),
    },
    Question {
        key: "salesforce.private_key",
        flag: "--salesforce-private-key-file",
        ask: "Salesforce: file of the private key (PEM)",
        kind: Kind::Content,
        default: "",
        optional: NEVER,
        matters: BY_KEY,
        given: |init| content(init.salesforce_private_key_file.as_deref()),
    },
];

fn content(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let Some(file) = file else { return Ok(None) };
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Answers one question and puts the answer into the draft.
pub fn answer(question: &Question, init: &Init, draft: &mut Draft, asker: &mut Asker) -> anyhow::Result<()> {
    // The private key is not asked for while there is a secret, but may be what makes the secret needless.
    if question.key == "salesforce.client_secret"
        && let Some(key) = (SALESFORCE[4].given)(init)?
    {
        draft.set(SALESFORCE[4].key, key);
    }
    if !(question.matters)(draft) {
        return Ok(());
    }
    let there = draft.text(question.key);
    let there = if there.is_empty() { question.default.to_owned() } else { there };
    // What was refused once is asked for, wherever it came from.
    let given =
        if draft.asked_again { None } else { (question.given)(init)?.or_else(|| from_environment(question.key)) };
    let found = match given {
        Some(given) => Some(given),
        None => match question.kind {
            Kind::Text => asker.text(question.ask, &there)?,
            Kind::Secret => asker.secret(question.ask, &there)?,
            Kind::Content => match asker.text(question.ask, "")? {
                Some(name) if !name.is_empty() => content(Some(Path::new(&name)))?,
                other => other.map(|_| there.clone()),
            },
        },
    };
    let value = tidied(question.key, found.unwrap_or(there));
    if value.is_empty() && !(question.optional)(draft) {
        if !asker.asks() {
            bail!(
                "{} is missing: give {}, or {} in the environment",
                question.key,
                question.flag,
                variable(question.key)
            );
        }
        // An empty secret of Salesforce means the other way of logging in, whose questions come next.
        if question.key != "salesforce.client_secret" {
            asker.say(&format!("{} is needed", question.key));
            return answer(question, init, draft, asker);
        }
    }
    draft.set(question.key, value);
    Ok(())
}

/// As it is copied from the vendor's page to what is wanted of it.
fn tidied(key: &str, value: String) -> String {
    let value = value.trim();
    if !key.ends_with("_url") || key == "database.url" {
        return value.to_owned();
    }
    let bare = value.trim_end_matches('/');
    let bare =
        if key == "marketo.base_url" { bare.trim_end_matches("/rest").trim_end_matches("/identity") } else { bare };
    bare.to_owned()
}

fn variable(key: &str) -> String {
    format!("CAMPAIGN_SYNC__{}", key.replace('.', "__").to_uppercase())
}

/// Whether a variable answers one of the questions.
pub fn is_answer(name: &str) -> bool {
    let keys = SERVICE.iter().chain(&MARKETO).chain(&SALESFORCE).map(|question| variable(question.key));
    keys.into_iter().any(|variable| name.strip_prefix(&variable).is_some_and(|rest| matches!(rest, "" | "_FILE")))
}

/// The variable that `serve` would read as well, or the content of the file that it names.
fn from_environment(key: &str) -> Option<String> {
    let name = variable(key);
    let file = || std::fs::read_to_string(std::env::var(format!("{name}_FILE")).ok()?).ok();
    std::env::var(&name).ok().or_else(file).map(|value| value.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::ask::typing;
    use super::*;

    fn answered(init: &Init, typed: &str, questions: &[Question]) -> (Draft, anyhow::Result<()>) {
        let mut draft = Draft::new(Path::new("campaign-sync.toml"));
        let mut asker = if typed.is_empty() { Asker::nobody() } else { typing(typed) };
        let outcome = questions.iter().try_for_each(|question| answer(question, init, &mut draft, &mut asker));
        (draft, outcome)
    }

    #[test]
    fn without_a_terminal_the_missing_flag_is_named() {
        for (init, questions, flag) in [
            (Init::default(), &MARKETO[..], "--marketo-base-url"),
            (
                Init { marketo_base_url: Some("https://a.example".into()), ..Init::default() },
                &MARKETO[..],
                "--marketo-client-id, or CAMPAIGN_SYNC__MARKETO__CLIENT_ID",
            ),
            (
                Init {
                    salesforce_login_url: Some("https://a.example".into()),
                    salesforce_client_id: Some("x".into()),
                    ..Init::default()
                },
                &SALESFORCE[..],
                "--salesforce-client-secret-file (or --salesforce-username and --salesforce-private-key-file)",
            ),
        ] {
            let error = answered(&init, "", questions).1.unwrap_err().to_string();
            assert!(error.contains(flag), "{error}");
        }
    }

    #[test]
    fn a_person_is_asked_for_what_is_not_given_and_addresses_are_tidied() {
        let init = Init { marketo_client_id: Some("id".into()), ..Init::default() };
        let (draft, outcome) = answered(&init, "\nhttps://123.mktorest.com/rest/\nsecret\n", &MARKETO);
        outcome.unwrap();
        assert_eq!(draft.text("marketo.base_url"), "https://123.mktorest.com");
        assert_eq!(draft.text("marketo.client_id"), "id");
        assert_eq!(draft.text("marketo.client_secret"), "secret");
    }

    #[test]
    fn who_has_no_secret_is_asked_for_a_key() {
        let key = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(key.path(), "PEM\n").unwrap();
        let typed = format!("https://acme.my.salesforce.com\nid\n\nsync@acme.example\n{}\n", key.path().display());
        let (draft, outcome) = answered(&Init::default(), &typed, &SALESFORCE);
        outcome.unwrap();
        assert_eq!(draft.text("salesforce.username"), "sync@acme.example");
        assert_eq!(draft.text("salesforce.private_key"), "PEM");
        // With a secret the other two are not asked for.
        let (draft, outcome) = answered(&Init::default(), "https://a.example\nid\nsecret\n", &SALESFORCE);
        outcome.unwrap();
        assert_eq!(draft.text("salesforce.username"), "");
    }

    #[test]
    fn flags_alone_choose_the_key() {
        let key = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(key.path(), "PEM").unwrap();
        let init = Init {
            salesforce_login_url: Some("https://a.example".into()),
            salesforce_client_id: Some("id".into()),
            salesforce_username: Some("sync@acme.example".into()),
            salesforce_private_key_file: Some(key.path().to_owned()),
            ..Init::default()
        };
        let (draft, outcome) = answered(&init, "", &SALESFORCE);
        outcome.unwrap();
        assert_eq!(draft.text("salesforce.private_key"), "PEM");
        assert_eq!(draft.text("salesforce.client_secret"), "");
    }
}
