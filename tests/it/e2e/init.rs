//! From nothing to a service that both vendors talk to, with what `init` writes and prints and what `integrations` ships.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;

use campaign_sync::sandbox::marketo::{Encoding, SmartCampaign, Trigger, Webhook};
use serde_json::json;
use tempfile::TempDir;

use super::running::Running;
use super::storm::calm_only;
use super::world::{KEY, SOON, World, address};
use crate::support::{Api, Launch, TestDatabase, eventually, on_both};

const TEMPLATES: [(&str, &str); 2] = [
    ("changed", include_str!("../../../integrations/marketo/templates/program-member-changed.txt")),
    ("removed", include_str!("../../../integrations/marketo/templates/program-member-removed.txt")),
];

/// A directory to set up in, and the vendors.
struct Setup {
    world: World,
    database: String,
    dir: TempDir,
}

impl Setup {
    async fn new(database: &TestDatabase) -> Self {
        Self { world: World::new().await, database: database.url.clone(), dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("made.toml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    fn command(&self, args: &[&str]) -> Launch {
        let file = self.file();
        Launch::campaign_sync(&[&["--config", file.to_str().unwrap()], args].concat())
    }

    /// Everything that is asked for, as a script gives it.
    fn init(&self, more: &[&str]) -> Launch {
        let emulators = &self.world.emulators;
        let secret = |name: &str, text: &str| {
            let path = self.dir.path().join(name);
            fs::write(&path, format!("{text}\n")).unwrap();
            path.to_str().unwrap().to_owned()
        };
        self.command(&[&["init"], more].concat())
            .arg("--database-url", &self.database)
            .arg("--marketo-base-url", &format!("{}/rest", emulators.marketo_url))
            .arg("--marketo-client-id", &emulators.marketo_client_id)
            .arg("--marketo-client-secret-file", &secret("marketo", &emulators.marketo_client_secret))
            .arg("--salesforce-login-url", &emulators.salesforce_url)
            .arg("--salesforce-client-id", &emulators.salesforce_client_id)
            .set("salesforce.client_secret", &emulators.salesforce_client_secret)
    }
}

/// Exit code, standard output, standard error.
async fn run(launch: Launch) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        tokio::task::spawn_blocking(move || launch.command().stdin(std::process::Stdio::null()).output().unwrap())
            .await
            .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

on_both! {
    async fn a_script_sets_it_up_and_nothing_is_overwritten_unasked(database: TestDatabase) {
        calm_only!("tries each login once");
        let setup = Setup::new(&database).await;
        let (code, shown, told) = run(setup.init(&["--public-url", "https://sync.example.com/"])).await;
        assert_eq!(code, 0, "{shown}\n{told}");
        assert_eq!(fs::metadata(setup.file()).unwrap().permissions().mode() & 0o777, 0o600);
        let made: toml::Table = setup.text().parse().unwrap();
        let emulators = &setup.world.emulators;
        assert_eq!(made["salesforce"]["organization_id"].as_str(), Some(emulators.salesforce_org_id.as_str()));
        assert_eq!(made["marketo"]["base_url"].as_str(), Some(emulators.marketo_url.as_str()));
        assert_eq!(made["marketo"]["client_secret"].as_str(), Some(emulators.marketo_client_secret.as_str()));
        for part in ["marketo_tokens", "salesforce_secrets", "salesforce_path_tokens"] {
            let secret = made["webhooks"][part][0].as_str().unwrap();
            assert!(secret.len() >= 40 && shown.contains(secret), "{part} is not told in {shown}");
        }
        assert!(shown.contains("https://sync.example.com/webhooks/marketo"), "{shown}");
        assert!(shown.contains("skip  http://127.0.0.1:8080: nothing listens there") || shown.contains("to http://127.0.0.1:8080"), "{shown}");
        assert!(shown.contains("ok    marketing_user"), "the checklist is not shown: {shown}");
        assert!(!told.contains(&emulators.marketo_client_secret), "{told}");

        let before = setup.text();
        let (code, _, told) = run(setup.init(&[])).await;
        assert_eq!((code, setup.text() == before), (2, true), "{told}");
        assert!(told.contains("--force"), "{told}");
        let (code, _, told) = run(setup.init(&["--force", "--listen", "127.0.0.1:9999"])).await;
        assert_eq!(code, 0, "{told}");
        let again: toml::Table = setup.text().parse().unwrap();
        assert_eq!(again["server"]["listen"].as_str(), Some("127.0.0.1:9999"));
        assert_eq!(again["server"]["public_url"], made["server"]["public_url"]);
        assert_eq!(again["webhooks"], made["webhooks"], "secrets that are in use on the other side stay");
    }

    async fn what_is_missing_is_named_and_a_login_that_is_refused_writes_nothing(database: TestDatabase) {
        let setup = Setup::new(&database).await;
        let (code, _, told) = run(setup.command(&["init"])).await;
        assert_eq!(code, 2);
        assert!(told.contains("--marketo-base-url, or CAMPAIGN_SYNC__MARKETO__BASE_URL"), "{told}");
        let (code, _, told) = run(setup.init(&[]).set("salesforce.client_secret", "wrong")).await;
        assert_eq!(code, 2);
        assert!(told.contains("ok    marketo_credentials") && told.contains("salesforce_credentials: "), "{told}");
        assert!(!setup.file().exists());
        let (code, _, told) = run(setup.init(&["--marketo-base-url-typo"])).await;
        assert_eq!(code, 2, "{told}");
        // A machine that reaches nobody can still make the file.
        let (code, _, told) = run(setup.init(&["--no-check"]).set("salesforce.client_secret", "wrong")).await;
        assert_eq!(code, 0, "{told}");
        assert!(setup.file().exists());
    }

    async fn the_service_runs_on_it_and_takes_the_test_webhooks(database: TestDatabase) {
        calm_only!("tries each login once");
        let setup = Setup::new(&database).await;
        assert_eq!(run(setup.init(&[])).await.0, 0);
        let service = setup.command(&["serve", "--listen", "127.0.0.1:0"]).start().await;
        let listen = service.url().trim_start_matches("http://").to_owned();
        let trial = || setup.command(&["init", "--test-only"]).set("server.listen", &listen);
        let (code, shown, told) = run(trial()).await;
        assert_eq!(code, 0, "{shown}\n{told}");
        for name in ["Marketo's", "Salesforce's"] {
            assert!(shown.contains(&format!("ok    {name} to {}", service.url())), "{shown}");
        }
        // The vendors themselves were not heard.
        assert!(shown.contains("warn  marketo_webhooks") && shown.contains("warn  salesforce_webhooks"), "{shown}");
        let (code, shown, _) = run(trial().set("webhooks.marketo_tokens", "another")).await;
        assert_eq!(code, 1, "{shown}");
        assert!(shown.contains("fail  Marketo's") && shown.contains("ok    Salesforce's"), "{shown}");
        drop(service);
        let (code, shown, _) = run(trial()).await;
        assert!(code == 1 && shown.contains("nothing listens there"), "{shown}");
    }

    async fn the_templates_that_users_copy_reach_it_in_every_encoding(database: TestDatabase) {
        calm_only!("tries each login once");
        let setup = Setup::new(&database).await;
        setup.world.bystanders(8);
        assert_eq!(run(setup.init(&[])).await.0, 0);
        let service = setup.command(&["serve", "--listen", "127.0.0.1:0"]).set("auth.bootstrap_key", KEY).start().await;
        let made: toml::Table = setup.text().parse().unwrap();
        let token = made["webhooks"]["marketo_tokens"][0].as_str().unwrap();
        let api = Api::new(service.url()).with_key(KEY);
        let body = json!({"program_id": setup.world.program, "campaign_id": setup.world.campaign});
        let mapping = api.post("mappings", &body).await.expect(201).json();
        let running = Running { mapping: mapping["id"].as_str().unwrap().to_owned(), world: setup.world, service, api };
        running.runs_end().await;
        for (n, encoding) in [Encoding::JsonQuoted, Encoding::JsonBare, Encoding::None].into_iter().enumerate() {
            running.world.emulators.marketo.with(|world| {
                for (name, template) in TEMPLATES {
                    let removed = name == "removed";
                    world.add_webhook(Webhook {
                        name: name.to_owned(),
                        url: format!("{}/webhooks/marketo", running.service.url()),
                        method: "POST".to_owned(),
                        template: template.to_owned(),
                        encoding,
                        headers: [("Authorization".to_owned(), format!("Bearer {token}"))].into(),
                    });
                    if n == 0 {
                        let trigger = if removed { Trigger::Removed } else { Trigger::StatusChanged { new_status: None } };
                        world.add_campaign(SmartCampaign {
                            id: 0,
                            name: name.to_owned(),
                            program_id: Some(running.world.program),
                            trigger: Some(trigger),
                            active: true,
                            webhook: Some(name.to_owned()),
                        });
                    }
                }
            });
            let name = format!("Templated{n}");
            running.world.marketo_person(&name);
            running.world.set_in_marketo(&name, "Registered");
            let both = async || (running.world.in_marketo() == running.world.in_salesforce()).then_some(());
            eventually("the member in Salesforce", SOON, both).await;
            assert_eq!(running.world.in_salesforce()[&name], ["Registered"], "{}", address(&name));
            running.world.set_in_marketo(&name, "Not in Program");
            eventually("the member gone from Salesforce", SOON, both).await;
            assert!(!running.world.in_salesforce().contains_key(&name));
        }
    }
}
