//! The reference pages are what the program says of itself: its configuration, its commands, its metrics.
//! `UPDATE_REFERENCE=1` writes them anew.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

const MADE: &str = "`UPDATE_REFERENCE=1 cargo test --features sandbox --test it -- reference` writes it anew.";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_up_to_date(name: &str, page: &str) {
    let path = root().join("docs/reference").join(name);
    if std::env::var("UPDATE_REFERENCE").is_ok_and(|value| value == "1") {
        fs::write(&path, page).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "docs/reference/{name} is old: run this test with UPDATE_REFERENCE=1 and commit it");
}

/// One key of the defaults.
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    section: String,
    key: String,
    default: String,
    about: String,
}

/// Keys with the comments above them, and what is said of each section.
fn settings(defaults: &str) -> (Vec<Setting>, Vec<(String, String)>) {
    let (mut settings, mut sections) = (Vec::new(), Vec::new());
    let mut about = Vec::new();
    for line in defaults.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            about.push(comment);
        } else if let Some(section) = line.strip_prefix('[') {
            sections.push((section.trim_end_matches(']').to_owned(), about.join(" ")));
        } else if let Some((key, default)) = line.split_once(" = ") {
            let section = sections.last().map(|(name, _)| name.clone()).unwrap_or_default();
            let (key, default) = (key.to_owned(), default.to_owned());
            settings.push(Setting { section, key, default, about: about.join(" ") });
        }
        if !line.starts_with('#') {
            about.clear();
        }
    }
    (settings, sections)
}

fn configuration_page(defaults: &str) -> String {
    let (settings, sections) = settings(defaults);
    let mut page = format!(
        "# Configuration\n\nGenerated from `src/config/defaults.toml`: {MADE}\n\n\
         Defaults, then the TOML file (`--config`, else `campaign-sync.toml` when there is one), then the environment. A key is set\n\
         there as `CAMPAIGN_SYNC__SECTION__KEY`, nested sections with two underscores more\n\
         (`CAMPAIGN_SYNC__SYNC__DEFAULTS__DIRECTION`), lists by comma. A secret can be read from a file: the same name with `_FILE` at the end.\n\
         A key that does not exist is an error that names the nearest one; `campaign-sync config` prints what is in force, secrets\n\
         hidden. Durations are texts: `500ms`, `2s`, `15m`, `24h`, `7d`. The service reads all of it once, when it starts.\n"
    );
    for (section, about) in sections {
        write!(page, "\n## `[{section}]`\n\n{about}\n\n| key | default | |\n|---|---|---|\n").unwrap();
        for setting in settings.iter().filter(|setting| setting.section == section) {
            let default = if setting.default == "\"\"" { "empty".to_owned() } else { format!("`{}`", setting.default) };
            writeln!(page, "| `{}` | {default} | {} |", setting.key, setting.about).unwrap();
        }
    }
    page
}

/// What the program prints for `--help`.
#[cfg(feature = "sandbox")]
fn help(path: &[String]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_campaign-sync")).args(path).arg("--help").output().unwrap();
    assert!(output.status.success(), "{path:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Names of the commands that a help lists.
#[cfg(feature = "sandbox")]
fn commands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let first = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    first.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

#[cfg(feature = "sandbox")]
fn cli_page() -> String {
    let mut page = format!(
        "# Command line\n\nWhat `--help` says, generated: {MADE} `demo` and `emulate` are there when it is built with `--features sandbox`.\n\n\
         Exit codes: 0 good, 1 a check or comparison failed, 2 usage or configuration. What a command prints on standard output is\n\
         its result; logs and questions go to standard error.\n\n\
         Completions: `campaign-sync completions bash > /etc/bash_completion.d/campaign-sync`; for zsh into a directory of `$fpath` as\n\
         `_campaign-sync`; for fish into `~/.config/fish/completions/campaign-sync.fish`.\n"
    );
    let mut paths: Vec<Vec<String>> = vec![Vec::new()];
    while !paths.is_empty() {
        let path = paths.remove(0);
        let help = help(&path);
        let name = [&["campaign-sync".to_owned()], &path[..]].concat().join(" ");
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        write!(page, "\n## `{name}`\n\n```text\n{}\n```\n", lines.join("\n").trim_end()).unwrap();
        let below = commands(&help).into_iter().map(|command| [&path[..], &[command]].concat());
        paths.splice(0..0, below);
    }
    page
}

/// Names of metrics in the sources: texts that begin as all of ours do.
fn metrics(source: &str) -> BTreeSet<String> {
    let texts = source.split('"').skip(1).step_by(2);
    let is_metric =
        |text: &&str| text.starts_with("campaign_sync_") && text.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
    texts.filter(is_metric).map(str::to_owned).collect()
}

fn sources(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                vec![fs::read_to_string(path).unwrap()]
            } else {
                Vec::new()
            }
        })
        .collect()
}

#[test]
fn the_page_of_the_configuration_is_up_to_date_and_says_something_of_each_key() {
    let sample = "# About.\n\n# Of a.\n[a]\n# One.\n# Two.\nb = 1\nc = \"\"\n";
    let (found, sections) = settings(sample);
    assert_eq!(sections, [("a".to_owned(), "Of a.".to_owned())]);
    assert_eq!(found[0].about, "One. Two.");
    assert_eq!(found[1].about, "");

    let defaults = fs::read_to_string(root().join("src/config/defaults.toml")).unwrap();
    let (found, _) = settings(&defaults);
    let silent: Vec<&Setting> = found.iter().filter(|setting| setting.about.is_empty()).collect();
    assert!(found.len() > 40 && silent.is_empty(), "a comment is missing above {silent:?}");
    is_up_to_date("configuration.md", &configuration_page(&defaults));
}

#[cfg(feature = "sandbox")]
#[test]
fn the_page_of_the_commands_is_up_to_date() {
    assert_eq!(commands("Usage: x\n\nCommands:\n  a   A\n        more\n  help  H\n\nOptions:\n  b"), ["a"]);
    is_up_to_date("cli.md", &cli_page());
}

#[test]
fn every_metric_is_told_of_and_no_other() {
    let told = metrics(r#"counter!("campaign_sync_x_total", "a" => "campaign_sync x"); use campaign_sync::x;"#);
    assert_eq!(told, BTreeSet::from(["campaign_sync_x_total".to_owned()]));
    let in_sources: BTreeSet<String> = sources(&root().join("src")).iter().flat_map(|text| metrics(text)).collect();
    let page = fs::read_to_string(root().join("docs/reference/metrics.md")).unwrap_or_default();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<String> = rows.map(|name| name.split('{').next().unwrap().to_owned()).collect();
    assert!(!in_sources.is_empty());
    assert_eq!(documented, in_sources, "docs/reference/metrics.md has a row for each metric");
}

#[test]
fn shells_are_told_how_to_complete() {
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(env!("CARGO_BIN_EXE_campaign-sync")).args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("campaign-sync") && script.contains("init"), "{shell}");
    }
}
