//! Clients that others wrote, against the emulated vendors: pinned, and unmodified but for the address.
//!
//! A suite is a directory of `tests/clients`, in the client's own language; `tests/clients/README.md` says what it is given and
//! what it answers. Here each gets emulators of its own, is run, and must have passed at least one test: a suite that finds
//! nothing to do would be green for ever.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use campaign_sync::sandbox::{self, EmulateOptions};

/// A test for each suite, and the list of them.
macro_rules! suites {
    ($($name:ident => $directory:literal),+ $(,)?) => {
        const SUITES: &[&str] = &[$($directory),+];
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            passes($directory).await;
        })+
    };
}

suites! {
    jsforce => "jsforce",
    marketorestpython => "marketorestpython",
    node_marketo_rest => "node-marketo-rest",
    simple_salesforce => "simple-salesforce",
}

fn directories() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// How a suite is started; none when its client is not installed and not required.
fn command(name: &str) -> Option<Command> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients").join(name);
    if !installed.join("installed").exists() {
        let required = ["REQUIRE_CLIENTS", "CI"].into_iter().any(|name| std::env::var_os(name).is_some());
        assert!(!required, "{name} is not in {}: run tests/clients/install", installed.display());
        eprintln!("SKIPPED: {name} is not installed; tests/clients/install does so");
        return None;
    }
    let suite = |file: &str| directories().join(name).join(file);
    let python = suite("suite.py");
    let mut command = if python.exists() {
        let mut command = Command::new(installed.join("bin/python"));
        // Without bytecode, which would lie about in the sources.
        command.arg("-B").arg(python);
        command
    } else {
        let mut command = Command::new("node");
        command.args(["--test-reporter=tap"]).arg(suite("suite.mjs"));
        command
    };
    command.env("CLIENT", installed);
    Some(command)
}

async fn passes(name: &str) {
    let Some(mut command) = command(name) else { return };
    let emulators = sandbox::start(EmulateOptions::default()).await.unwrap();
    command.env("EMULATORS", emulators.listening().to_string());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned()).concat();
    assert!(output.status.success(), "{name} has failed:\n{said}");
    assert!(passed(&output) > 0, "{name} has run no test:\n{said}");
}

/// How many tests have passed, as `unittest` and `node:test` say it.
fn passed(output: &Output) -> u32 {
    let said = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned()).concat();
    let number = |line: &str, before: &str| line.strip_prefix(before)?.split(' ').next()?.parse().ok();
    said.lines().find_map(|line| number(line, "# pass ").or_else(|| number(line, "Ran "))).unwrap_or(0)
}

/// The samples of the guide in one language, which must each connect: with what comes before a sample in a program of somebody's, and
/// what has to come of it.
const SAMPLES: [(&str, &str, &str, &str, &str); 4] = [
    (
        "jsforce",
        "js",
        "jsforce.Connection",
        "const jsforce = require(\"jsforce\");",
        "if (leads.totalSize !== 1) throw new Error(JSON.stringify(leads));",
    ),
    (
        "node-marketo-rest",
        "js",
        "new Marketo",
        "const Marketo = require(\"node-marketo-rest\");",
        "if (people.result.length !== 1) throw new Error(JSON.stringify(people));",
    ),
    ("simple-salesforce", "python", "simple_salesforce", "", "assert leads['totalSize'] == 1, leads"),
    ("marketorestpython", "python", "marketorestpython", "", "assert len(people) == 1, people"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_samples_of_the_guide_are_run_as_they_stand() {
    let guide =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guides/emulators.md")).unwrap();
    let of = |language: &str, word: &str| -> String {
        let found: Vec<&str> =
            guide.split(&format!("```{language}\n")).skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        found.into_iter().find(|block| block.contains(word)).unwrap_or_else(|| panic!("no sample of {word}")).to_owned()
    };
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/quick-start/world.json");
    let emulators = sandbox::start(EmulateOptions { seed: Some(seed), ..EmulateOptions::default() }).await.unwrap();
    emulators.salesforce.with(|org| org.add_lead("Ada", "Lovelace", "ada@example.com", "Analytical").unwrap());
    for (name, language, word, before, after) in SAMPLES {
        let sample = of(language, word);
        let sample = sample.replace("http://127.0.0.1:8071", &emulators.salesforce_url);
        let sample = sample.replace("http://127.0.0.1:8072", &emulators.marketo_url);
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients").join(name);
        if command(name).is_none() {
            continue;
        }
        let mut command = if language == "python" {
            let mut python = Command::new(installed.join("bin/python"));
            python.args(["-B", "-c", &format!("{before}\n{sample}\n{after}")]);
            python
        } else {
            let require = format!(
                "import {{ createRequire }} from \"node:module\";\nconst require = createRequire(\"{}/\");",
                installed.display()
            );
            let mut node = Command::new("node");
            node.args(["--input-type=module", "-e", &format!("{require}\n{before}\n{sample}\n{after}")]);
            node
        };
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the sample of {name} has failed:\n{said}");
    }
}

#[test]
fn every_directory_is_run() {
    let entries = std::fs::read_dir(directories()).unwrap().map(Result::unwrap);
    let mut found: Vec<String> =
        entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, SUITES);
}
