//! The error catalogue holds what the sources say, no more and no less, and the reference page is made of it.
//! `UPDATE_ERRORS=1` writes the page anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use campaign_sync::domain::catalogue::{CATALOGUE, Subject, page};
use campaign_sync::domain::flow_action::Skip;

/// Rooms that answer requests.
const ANSWERING: &[&str] = &["src/http", "src/webhook"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(room: &str) -> Vec<(PathBuf, String)> {
    let mut folders = vec![root().join(room)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                // The last module of a file.
                let text = fs::read_to_string(&path).unwrap();
                let product = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned();
                found.push((path, product));
            }
        }
    }
    found.retain(|(path, _)| !path.to_str().unwrap().contains("/tests/"));
    assert!(!found.is_empty(), "nothing in {room}");
    found
}

fn is_slug(text: &str) -> bool {
    !text.is_empty() && text.split('-').all(|word| !word.is_empty() && word.bytes().all(|c| c.is_ascii_lowercase()))
}

/// Codes of problems in a source: a slug that is followed by its title, which begins with the same word.
fn problems(source: &str) -> BTreeSet<&str> {
    let texts: Vec<&str> = source.split('"').collect();
    let literal = |n: usize| texts.get(n).copied().filter(|_| n % 2 == 1);
    let pairs = (1..texts.len()).step_by(2).filter_map(|n| Some((literal(n)?, texts.get(n + 1)?, literal(n + 2)?)));
    let titled = |slug: &str, title: &str| {
        let word = slug.split('-').next().unwrap_or_default();
        title.starts_with(|c: char| c.is_ascii_uppercase()) && title.to_lowercase().starts_with(word)
    };
    pairs
        .filter(|(slug, between, title)| is_slug(slug) && between.trim() == "," && titled(slug, title))
        .map(|(slug, ..)| slug)
        .collect()
}

/// Reasons for which a mapping fails, by the way they are named.
fn mapping_failures(source: &str) -> BTreeSet<&str> {
    source.split('"').skip(1).step_by(2).filter(|text| text.ends_with("_gone") && !text.contains(' ')).collect()
}

fn catalogued(subject: Subject) -> BTreeSet<&'static str> {
    CATALOGUE.iter().filter(|entry| entry.subject == subject).map(|entry| entry.code).collect()
}

fn in_sources<'a>(texts: &'a [(PathBuf, String)], codes: fn(&'a str) -> BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    texts.iter().flat_map(|(_, text)| codes(text)).collect()
}

#[test]
fn every_problem_that_can_be_answered_is_in_it_and_nothing_else() {
    let texts: Vec<_> = ANSWERING.iter().flat_map(|room| sources(room)).collect();
    assert_eq!(in_sources(&texts, problems), catalogued(Subject::Request));
}

#[test]
fn every_reason_for_which_a_mapping_fails_is_in_it_and_nothing_else() {
    let texts = sources("src/worker");
    assert_eq!(in_sources(&texts, mapping_failures), catalogued(Subject::Mapping));
}

#[test]
fn what_a_flow_action_skips_and_a_webhook_ignores_is_in_it_and_nothing_else() {
    assert_eq!(catalogued(Subject::FlowAction), Skip::ALL.iter().map(|skip| skip.as_str()).collect());
    assert_eq!(catalogued(Subject::Webhook), BTreeSet::from(["unmapped"]));
}

#[test]
fn the_rules_that_read_sources_can_find_something() {
    let source = r#"Refusal::new(409, "already-mapped", "Already mapped", detail); ("not-found", "Not found");
        Refusal::field("name", "invalid", "has to be"); fail_lane(pass, &lane, "campaign_gone"); x("gone")"#;
    assert_eq!(problems(source), BTreeSet::from(["already-mapped", "not-found"]));
    assert_eq!(mapping_failures(source), BTreeSet::from(["campaign_gone"]));
}

#[test]
fn the_reference_page_is_up_to_date() {
    let path = root().join("docs/reference/errors.md");
    let page = page();
    if std::env::var("UPDATE_ERRORS").is_ok_and(|value| value == "1") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &page).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "docs/reference/errors.md is old: run this test with UPDATE_ERRORS=1 and commit it");
}
