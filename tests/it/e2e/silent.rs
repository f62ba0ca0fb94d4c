//! The process with every log that it and its libraries have, through whatever may go wrong: nothing that it tells anybody has a
//! secret in it, or says what a person is called.

use std::sync::Mutex;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use campaign_sync::sandbox::fault::{Action, Fault, Vendor};
use campaign_sync::sandbox::salesforce::Options;
use serde_json::{Value, json};

use super::limits::log_in;
use super::running::Running;
use super::subscriber::received;
use super::world::{KEY, SECRET, SOON, TOKEN, World, address};
use crate::support::{Answer, Api, Launch, Receiver, eventually, on_both};

const PATH_TOKEN: &str = "a-path-token-of-these-tests";
const REFUSED: &str = "cs_0123456789abcdefghijABCDEFGHIJ0123456789";
const NAME: &str = "Silenced";

/// Everything that was told, and by whom.
#[derive(Default)]
struct Told(Mutex<Vec<(String, String)>>);

impl Told {
    fn heard(&self, by: &str, text: &str) {
        self.0.lock().unwrap().push((by.to_owned(), text.to_owned()));
    }

    /// A refusal, of which every word is kept.
    fn problem(&self, answer: &Answer) {
        assert!(!answer.status.is_success(), "{}", answer.text);
        self.heard("a problem", &answer.text);
    }

    fn assert_silent(&self, of: &[(&str, &str)]) {
        let told = self.0.lock().unwrap();
        for (what, secret) in of {
            assert!(secret.len() > 5, "{what} is too short to be looked for: {secret}");
            for (by, text) in told.iter() {
                let line = text.lines().find(|line| line.contains(secret));
                assert!(line.is_none(), "{what} is told by {by}: {line:?}");
            }
        }
    }
}

/// A vendor that repeats what it was asked for.
fn repeating(vendor: Vendor, part: &str, times: u32) -> Fault {
    let said = address(NAME);
    let (status, body) = match vendor {
        Vendor::Marketo => {
            let error = json!({"code": "1003", "message": format!("value '{said}' is not valid for filterValues")});
            (200, json!({"requestId": "1", "success": false, "errors": [error]}))
        }
        Vendor::Salesforce => {
            let message = format!("SELECT Id FROM Lead WHERE Email IN ('{said}')\n^ ERROR at Row:1:Column:20");
            (400, json!([{"errorCode": "INVALID_FIELD", "message": message}]))
        }
    };
    let action = Action::Answer { status, content_type: "application/json".to_owned(), body: body.to_string() };
    Fault { times, ..Fault::next(vendor, part, action) }
}

on_both! {
    async fn nothing_that_is_told_has_a_secret_in_it_or_a_person(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(4);
        let receiver = Receiver::good().await;
        let launch = world.launch(&database).env("RUST_LOG", "trace").set("limits.allow_private_targets", "true");
        let launch = launch.set("webhooks.salesforce_path_tokens", PATH_TOKEN).set("sync.poll_interval", "1s");
        let running = Running::launch(world, launch).await;
        let (told, api) = (Told::default(), &running.api);
        let (_, signing) = running.subscribe(&receiver, json!({})).await;
        let emulators = &running.world.emulators;
        let stranger = Api::new(running.service.url());

        // What goes well.
        running.world.marketo_person(NAME);
        running.world.set_in_marketo(NAME, "Registered");
        running.both_have(NAME, Some("Registered")).await;
        received(&receiver, 1).await;
        let made = api.post("keys", &json!({"name": "n", "scopes": ["read"]})).await.expect(201).json();
        let made = made["key"].as_str().unwrap().to_owned();
        stranger.with_key(&made).get("mappings").await.expect(200);
        let page = log_in(&stranger, &made).await.expect(303);
        let cookie = page.headers.get_all("set-cookie").iter().find_map(|cookie| cookie.to_str().ok()?.split(';').next()?.split_once("session=")).unwrap();
        let session = cookie.1.to_owned();
        stranger.with_header("cookie", &format!("campaign_sync_session={session}")).get("/mappings").await.expect(200);

        // Who is refused.
        told.problem(&stranger.with_key(REFUSED).get("mappings").await.expect(401));
        told.problem(&log_in(&stranger, REFUSED).await.expect(401));
        told.problem(&stranger.with_key(REFUSED).post_bytes("/webhooks/marketo", format!("{{\"email\":\"{}\"}}", address(NAME)), "text/plain").await.expect(401));
        told.problem(&stranger.post_bytes("/webhooks/salesforce", "{}", "application/json").await.expect(401));
        told.problem(&stranger.post_bytes(&format!("/webhooks/salesforce/outbound-message/{REFUSED}"), "<", "text/xml").await.expect(401));
        told.problem(&stranger.post_bytes(&format!("/webhooks/salesforce/outbound-message/{PATH_TOKEN}"), "<", "text/xml").await.expect(400));
        let webhook = stranger.with_key(TOKEN);
        let broken = format!(r#"{{"v":1,"event":"program_member.changed","leadId":"{0}","programId":"x","email":"{0}"}}"#, address(NAME));
        told.problem(&webhook.post_bytes("/webhooks/marketo", broken.clone(), "text/plain").await.expect(422));
        told.problem(&webhook.post_bytes("/webhooks/marketo", broken + "}", "text/plain").await.expect(400));
        told.problem(&api.post("mappings", &json!({"program_id": address(NAME), "campaign_id": address(NAME)})).await.expect(422));
        told.problem(&api.get(&format!("mappings?email={}", address(NAME))).await.expect(422));
        told.problem(&api.get(&format!("people/{}/campaigns", address(NAME))).await);

        // Vendors that fail, and say whom they were asked about.
        for (vendor, part) in [(Vendor::Salesforce, "/query"), (Vendor::Marketo, "/rest/v1/")] {
            emulators.faults.add(repeating(vendor, part, 12));
        }
        let program = running.world.program;
        for path in [format!("programs/{}", program + 7), "campaigns?q=spring".to_owned(), "campaigns/7014S00000097HcQAI".to_owned()] {
            let answer = api.get(&path).await;
            told.heard("a vendor's error", &answer.text);
        }
        running.world.set_in_marketo(NAME, "Attended");
        let people = json!({"campaign_id": running.world.campaign, "status": "Attended", "people": [{"email": address("Unknown")}]});
        told.heard("a flow action", &api.post("flow-actions/change-status", &people).await.text.replace(&address("Unknown"), "as it was named"));
        told.heard("the checklist", &api.get("diagnostics").await.text);
        eventually("the faults to be met", SOON, async || {
            // Some calls are made only now and then.
            let _ = api.get("programs?q=nothing").await;
            let _ = api.get("campaigns?q=nothing").await;
            emulators.faults.waiting().is_empty().then_some(())
        })
        .await;
        emulators.marketo.with(|world| world.identity.expire_all(world.now()));
        let refused = |body: Value| Action::Answer { status: 401, content_type: "application/json".to_owned(), body: body.to_string() };
        let secret = emulators.marketo_client_secret.clone();
        let said = json!({"error": "invalid_client", "error_description": format!("Bad client credentials {}", address(NAME))});
        emulators.faults.add(Fault { times: 2, ..Fault::next(Vendor::Marketo, "/oauth/token", refused(said)) });
        told.heard("a login that failed", &api.get(&format!("programs/{program}")).await.text);
        told.heard("the checklist", &api.get("diagnostics").await.text);
        emulators.faults.clear();
        running.both_have(NAME, Some("Attended")).await;
        running.settle().await;

        for path in ["stats", "diagnostics", "/metrics", "/healthz", "/readyz", "audit", "keys"] {
            told.heard(path, &api.get(path).await.text);
        }
        let (made_short, signing) = (&made[3..], &signing[6..]);
        let (salesforce_secret, url) = (emulators.salesforce_client_secret.clone(), database.url.clone());
        let log = running.service.stderr();
        assert!(log.contains("\"TRACE\""), "not all that there is was logged");
        told.heard("the log", &log);
        let (_, _) = running.service.terminate().await;
        let password = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')?.0.split_once(':')).map(|(_, password)| password.to_owned());
        let mut secrets = vec![
            ("an address", "@people.example"), ("an address, escaped", "%40people.example"), ("a key", KEY), ("a key that was made", made_short),
            ("a key that was refused", &REFUSED[3..]), ("a session", session.as_str()), ("a webhook token", TOKEN), ("a path token", PATH_TOKEN),
            ("a webhook secret", &SECRET[6..]), ("the secret of a subscription", signing), ("Marketo's secret", secret.as_str()),
            ("Salesforce's secret", salesforce_secret.as_str()),
        ];
        if let Some(password) = password.as_deref().filter(|password| password.len() > 5) {
            secrets.push(("the password of the database", password));
        }
        told.assert_silent(&secrets);
    }

    async fn the_key_that_signs_logins_is_told_by_nobody(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(2);
        let (private, public) = keys();
        let user = world.emulators.salesforce.with(|org| {
            let jwt_audiences = vec![world.emulators.salesforce_url.clone()];
            org.set_options(Options { jwt_public_key_pem: Some(public), jwt_audiences, ..org.options.clone() });
            org.options.api_user_name.clone()
        });
        let launch = world.launch(&database).env("RUST_LOG", "trace");
        let launch = launch.set("salesforce.username", &user).set("salesforce.private_key", &private);
        let running = Running::launch(world, launch).await;
        let told = Told::default();
        running.world.marketo_person(NAME);
        running.world.set_in_marketo(NAME, "Registered");
        running.both_have(NAME, Some("Registered")).await;

        // The certificate is replaced on the other side: no login is taken any more.
        let (_, another) = keys();
        running.world.emulators.salesforce.with(|org| {
            org.set_options(Options { jwt_public_key_pem: Some(another), ..org.options.clone() });
        });
        running.world.excused.add(&["dead_tokens"]);
        Api::new(&running.world.emulators.control_url).post("/salesforce/tokens/expire", &json!({})).await.expect(200);
        let refused = running.api.get("campaigns?q=spring").await;
        told.problem(&refused);
        for path in ["stats", "diagnostics", "/metrics", "/readyz"] {
            told.heard(path, &running.api.get(path).await.text);
        }
        let log = running.service.stderr();
        assert!(log.contains("\"TRACE\""), "not all that there is was logged");
        told.heard("the log", &log);
        // What an operator is shown of the configuration, and of one with a key that is none.
        for key in [private.as_str(), &private.replace("MII", "NII")] {
            let mut config = running.world.configured(Launch::campaign_sync(&["config"])).command();
            config.env("CAMPAIGN_SYNC__SALESFORCE__USERNAME", &user).env("CAMPAIGN_SYNC__SALESFORCE__PRIVATE_KEY", key);
            let shown = config.output().unwrap();
            told.heard("config", &String::from_utf8_lossy(&[shown.stdout, shown.stderr].concat()));
        }
        let lines: Vec<&str> = private.lines().filter(|line| line.len() == 64).collect();
        assert!(lines.len() > 20, "no key: {private}");
        let mut secrets: Vec<(&str, &str)> = lines.into_iter().map(|line| ("a line of the key", line)).collect();
        // How each assertion begins, and the way in which it is sent.
        secrets.extend([("an assertion", "eyJ0eXAiOiJKV1Qi"), ("an assertion", "assertion=ey"), ("a key", "PRIVATE KEY")]);
        told.assert_silent(&secrets);
    }
}

/// A key in PEM, and the public half of it.
fn keys() -> (String, String) {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let pem = |kind: &str, der: &[u8]| {
        let text = STANDARD.encode(der);
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
    };
    let private: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    (pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", public.as_ref()))
}
