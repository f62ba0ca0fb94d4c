//! Reads the sources and holds them to the rules of the house: layers, sizes, names, no loose ends, documents that tell the truth.
//!
//! Every rule is a function from text to findings, tried on a bad sample first: a rule that cannot fail guards nothing.
//! `source` reads Rust, `layers` has the table of who may know whom.

mod layers;
mod links;
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Above this a file has more than one owner.
const LINES: usize = 400;
/// Names that say nothing about what is behind them.
const EMPTY_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "common", "manager", "managers"];
/// Not ours, not text, or made by whoever runs the service.
const NOT_READ: &[&str] = &["target", ".git", "node_modules", "campaign-sync.toml", ".env", "Cargo.lock"];
/// Where a path that a document mentions may begin.
const ROOMS: &[&str] = &[
    "src",
    "tests",
    "benches",
    "scripts",
    "migrations",
    "openapi",
    "docs",
    "integrations",
    ".ci",
    ".github",
    ".cargo",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file of the package, with its path from the root.
fn files() -> Vec<(String, String)> {
    let mut dirs = vec![root().to_owned()];
    let mut files = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            if NOT_READ.iter().any(|skipped| name == *skipped) {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                dirs.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                files.push((path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(), text));
            }
        }
    }
    files.sort();
    files
}

fn rust_files(rooms: &[&str]) -> Vec<(String, String)> {
    let is_ours = |path: &str| path.ends_with(".rs") && rooms.iter().any(|room| path.starts_with(&format!("{room}/")));
    let files: Vec<_> = files().into_iter().filter(|(path, _)| is_ours(path)).collect();
    assert!(!files.is_empty(), "no sources in {rooms:?}: the rules would hold of nothing");
    files
}

fn assert_none(findings: impl IntoIterator<Item = String>) {
    let findings: Vec<_> = findings.into_iter().collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

fn shape(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > LINES {
        found.push(format!("{file}: {lines} lines, more than {LINES}"));
    }
    if !text.starts_with("//! ") {
        found.push(format!("{file}: does not open with a module doc"));
    }
    found
}

fn loose_ends(file: &str, text: &str) -> Vec<String> {
    let code: String = source::code(text).split_whitespace().collect();
    let in_code = ["todo!", "unimplemented!", "#[allow(", "#![allow("].into_iter().filter(|end| code.contains(end));
    // Assembled here, so that this file can be read by its own rule.
    let marker = concat!("FIX", "ME");
    let in_text = text.contains(marker).then_some(marker);
    in_code.chain(in_text).map(|end| format!("{file}: {end}")).collect()
}

fn empty_names(file: &str, text: &str) -> Vec<String> {
    let code = source::code(text);
    let tokens = source::tokens(&code);
    let declared = tokens.windows(2).filter(|pair| matches!(pair[0], "mod" | "struct" | "enum" | "trait" | "type"));
    let parts = file.trim_end_matches(".rs").split('/').chain(declared.map(|pair| pair[1]));
    let says_nothing = |name: &&str| words(name).iter().any(|word| EMPTY_NAMES.contains(&word.as_str()));
    parts.filter(says_nothing).map(|name| format!("{file}: {name} says nothing about what it is")).collect()
}

/// `lane_manager` and `LaneManager` are both lane, manager.
fn words(name: &str) -> Vec<String> {
    let spread: String = name.chars().flat_map(|c| [c.is_uppercase().then_some('_'), Some(c)]).flatten().collect();
    spread.split('_').map(str::to_lowercase).collect()
}

/// A case runs on every database, so it does not know which.
fn named_databases(file: &str, text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let named = ["postgres", "sqlite"].into_iter().filter(|name| text.contains(name));
    named.map(|name| format!("{file}: names {name}; write the case with on_both!")).collect()
}

/// A pause of a guessed length is either too long or a failure on a slow machine.
fn guessed_pauses(file: &str, text: &str) -> Vec<String> {
    let code = source::code(text);
    let pauses = source::tokens(&code).into_iter().filter(|token| matches!(*token, "sleep" | "interval"));
    pauses.map(|pause| format!("{file}: {pause}; wait for a condition with eventually")).collect()
}

fn machine_paths(file: &str, text: &str) -> Vec<String> {
    let homes = ["root", "home", "work"].map(|dir| format!("/{dir}/"));
    let begins = |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.}*~".contains(c));
    let found = homes.iter().filter(|home| text.match_indices(home.as_str()).any(|(at, _)| begins(at)));
    found.map(|home| format!("{file}: a path of one machine, {home}")).collect()
}

/// Links and paths in a document that lead nowhere; `dir` is where the document is.
fn dead_mentions(file: &str, text: &str, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let dir = Path::new(file).parent().unwrap();
    let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next());
    let links = links
        .filter(|link| !link.is_empty() && !link.contains(':') && !link.starts_with('/'))
        .map(|link| dir.join(link));
    let is_path = |word: &&str| word.chars().all(|c| c.is_alphanumeric() || "_-./".contains(c));
    let starts_in_a_room = |word: &&str| word.split_once('/').is_some_and(|(first, _)| ROOMS.contains(&first));
    let is_document = |word: &&str| word.ends_with(".md") && !word.contains('/');
    let words = text
        .split(|c: char| c.is_whitespace() || "`\"'()[]<>,;|=".contains(c))
        .map(|word| word.trim_start_matches("./"));
    let words = words.map(|word| word.trim_end_matches(['.', ':'])).filter(is_path);
    let mentioned = words.filter(|word| starts_in_a_room(word) || is_document(word)).map(PathBuf::from);
    // A document may be named from the root, or from beside it.
    let mentioned = mentioned.filter(|path| !exists(&dir.join(path)));
    let dead: BTreeSet<_> = links.chain(mentioned).filter(|path| !exists(path)).collect();
    dead.into_iter().map(|path| format!("{file}: {} is not there", path.display())).collect()
}

/// Cases that the table of features names and nobody wrote; `sources` has the text of each module of end-to-end cases.
fn unwritten_cases(text: &str, sources: &[(String, String)]) -> Vec<String> {
    let named = text.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::"));
    let written = |module: &str, case: &str| {
        let is_module = |file: &str| file.ends_with(&format!("/{module}.rs"));
        sources.iter().any(|(file, source)| is_module(file) && source.contains(&format!("async fn {case}(")))
    };
    named.filter(|(module, case)| !written(module, case)).map(|(module, case)| format!("{module}::{case}")).collect()
}

fn unpaired(sqlite: &BTreeSet<String>, postgres: &BTreeSet<String>) -> Vec<String> {
    sqlite.symmetric_difference(postgres).map(|name| format!("migrations: {name} is for one database only")).collect()
}

#[test]
fn rooms_keep_to_themselves() {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let crates: Vec<_> =
        manifest["dependencies"].as_table().unwrap().keys().map(|name| name.replace('-', "_")).collect();
    assert!(crates.iter().any(|name| name == "sqlx"));
    assert_none(rust_files(&["src"]).iter().flat_map(|(file, text)| layers::findings(file, text, &crates)));
}

#[test]
fn files_are_small_and_say_what_they_are() {
    assert_eq!(shape("a.rs", &"x\n".repeat(LINES + 1)).len(), 2);
    assert_none(rust_files(&["src", "tests", "benches"]).iter().flat_map(|(file, text)| shape(file, text)));
}

#[test]
fn there_are_no_loose_ends() {
    let sample = concat!("#[allow(x)]\n#![allow (y)]\nfn f() { todo!() } // FIX", "ME\nfn g() { unimplemented!() }");
    assert_eq!(loose_ends("a.rs", sample).len(), 5);
    assert_none(rust_files(&["src", "tests", "benches"]).iter().flat_map(|(file, text)| loose_ends(file, text)));
}

#[test]
fn names_say_what_is_behind_them() {
    assert_eq!(empty_names("src/store/utils.rs", "mod lane_helpers; struct LaneManager;").len(), 3);
    assert_eq!(empty_names("src/store/outbox.rs", "// a common case\nfn f() { let manager = 1; }"), [""; 0]);
    assert_none(rust_files(&["src", "tests", "benches"]).iter().flat_map(|(file, text)| empty_names(file, text)));
}

#[test]
fn no_case_names_a_database() {
    assert_eq!(named_databases("tests/it/x.rs", "TestDatabase::sqlite()").len(), 1);
    let is_ground = |file: &str| {
        ["tests/it/support/", "tests/it/tidy", "tests/it/harness.rs", "tests/it/main.rs"]
            .iter()
            .any(|ground| file.starts_with(ground))
    };
    let cases = rust_files(&["tests/it"]).into_iter().filter(|(file, _)| !is_ground(file));
    assert_none(cases.flat_map(|(file, text)| named_databases(&file, &text)));
}

#[test]
fn tests_wait_in_one_place() {
    assert_eq!(guessed_pauses("tests/it/x.rs", "// sleep\ntokio::time::sleep(D).await; \"sleep\"").len(), 1);
    let one = "tests/it/support/wait.rs";
    let tests = rust_files(&["tests"]);
    assert!(tests.iter().any(|(file, text)| file == one && !guessed_pauses(file, text).is_empty()));
    assert_none(tests.iter().filter(|(file, _)| file != one).flat_map(|(file, text)| guessed_pauses(file, text)));
}

#[test]
fn nothing_is_bound_to_one_machine() {
    for bad in [concat!("cd /wo", "rk/x"), concat!("\"/ro", "ot/.cargo\""), concat!("/ho", "me/me/x")] {
        assert_eq!(machine_paths("a", bad).len(), 1, "{bad}");
    }
    assert_eq!(machine_paths("a", "https://host/work/item and ../work/x"), [""; 0]);
    assert_none(files().iter().flat_map(|(file, text)| machine_paths(file, text)));
}

#[test]
fn documents_mention_what_exists() {
    let text = "[here](gone.md#x) `scripts/none` and ABSENT.md, https://example.org/src/x.md, [web](https://a.b/c) /docs, target/x";
    assert_eq!(dead_mentions("docs/a.md", text, |_| false).len(), 3);
    let documents = files().into_iter().filter(|(file, _)| file.ends_with(".md") && file != "CHANGELOG.md");
    assert_none(documents.flat_map(|(file, text)| dead_mentions(&file, &text, |path| root().join(path).exists())));
}

#[test]
fn links_within_documents_lead_to_headings() {
    let documents: Vec<_> = files().into_iter().filter(|(file, _)| file.ends_with(".md")).collect();
    assert_none(links::dead_anchors(&documents));
}

/// A guide that nobody finds is not there.
#[test]
fn the_index_names_every_document() {
    let index = fs::read_to_string(root().join("docs/README.md")).unwrap();
    let unnamed = files().into_iter().filter_map(|(file, _)| {
        let name = file.strip_prefix("docs/").filter(|name| name.ends_with(".md") && *name != "README.md")?;
        (!index.contains(&format!("]({name})"))).then(|| format!("docs/README.md does not name {name}"))
    });
    assert_none(unnamed);
}

#[test]
fn features_name_cases_that_are_written() {
    let sources = [("tests/it/e2e/live.rs".to_owned(), "async fn one(".to_owned())];
    let text = "`live::one` and `live::on`, `lives::one`, `live`";
    assert_eq!(unwritten_cases(text, &sources), ["live::on", "lives::one"]);
    let features = fs::read_to_string(root().join("docs/features.md")).unwrap();
    let cases = rust_files(&["tests/it/e2e"]);
    assert!(features.contains("`live::"));
    assert_none(unwritten_cases(&features, &cases));
}

/// Tests that a page names between backticks, by their names alone, and nobody wrote.
fn unwritten_tests(page: &str, sources: &[(String, String)]) -> Vec<String> {
    let is_name = |code: &&str| {
        code.split('_').count() > 3 && code.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c))
    };
    let rows = page
        .lines()
        .filter(|line| line.starts_with('|'))
        .filter_map(|line| line.trim_end_matches('|').rsplit('|').next());
    let named = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).filter(is_name);
    let written = |name: &str| {
        sources
            .iter()
            .any(|(_, source)| source.contains(&format!("fn {name}(")) || source.contains(&format!("def {name}(")))
    };
    named.filter(|name| !written(name)).map(str::to_owned).collect()
}

#[test]
fn the_pages_of_the_emulators_name_tests_that_are_written() {
    let sources = [("a.rs".to_owned(), "fn one_two_three_four() {".to_owned())];
    assert_eq!(
        unwritten_tests("| `a_b_c_d` | `one_two_three_four`, `one_two_three_fou` |", &sources),
        ["one_two_three_fou"]
    );
    let all: Vec<_> = files().into_iter().filter(|(file, _)| file.ends_with(".rs") || file.ends_with(".py")).collect();
    for page in ["docs/reference/emulators.md", "docs/reference/emulators-marketo.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        assert_none(unwritten_tests(&text, &all).into_iter().map(|name| format!("{page}: nobody wrote {name}")));
    }
}

#[test]
fn both_databases_have_the_same_migrations() {
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    assert_eq!(unpaired(&set(&["0001_a.sql"]), &set(&["0001_a.sql", "0002_b.sql"])).len(), 1);
    let names = |database: &str| {
        let dir = root().join("migrations").join(database);
        // A tree that is missing is an empty one: the store does not compile without those it needs.
        fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_none(unpaired(&names("sqlite"), &names("postgres")));
}
