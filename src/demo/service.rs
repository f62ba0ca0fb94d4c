//! The service that the demo shows: configured for the emulators, started in this process, reached over its REST API.
//!
//! Owns the folder of a run and the secrets made for it. Everything else is as for anybody who runs the service: a
//! configuration file, webhooks entered at the vendors, a mapping posted. Must not know what the traffic is.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use aws_lc_rs::rand;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::world::Scene;
use crate::app::{self, Options, Role};
use crate::config::Config;
use crate::domain::clock::Clock;
use crate::http::{self, Scope};
use crate::sandbox::Emulators;
use crate::sandbox::marketo::{
    Encoding, Mishaps, SmartCampaign, Trigger, Webhook, person_template, program_member_template,
};
use crate::sandbox::salesforce::{JsonHook, Noise, OutboundMessageHook, Webhooks};
use crate::store::Store;
use crate::store::changes::ChangeFilter;
use crate::store::mappings::MappingFilter;
use crate::worker::points::Points;

/// Between two looks at whether all is done.
const LOOK: Duration = Duration::from_millis(50);
/// Milliseconds that a webhook may be late.
const LONGEST_DELAY: u64 = 200;
/// Looks in a row that must find nothing: more than the longest delay of a webhook.
const QUIET_LOOKS: u32 = 10;

/// What the vendors show when they call, made anew for each run.
struct Secrets {
    marketo_token: String,
    signing: String,
    path_token: String,
}

impl Secrets {
    fn new() -> anyhow::Result<Self> {
        let bytes = || {
            let mut bytes = [0; 32];
            rand::fill(&mut bytes).ok().context("no randomness")?;
            anyhow::Ok(bytes)
        };
        Ok(Self {
            marketo_token: BASE64_URL_SAFE_NO_PAD.encode(bytes()?),
            signing: format!("whsec_{}", BASE64_STANDARD.encode(bytes()?)),
            path_token: BASE64_URL_SAFE_NO_PAD.encode(bytes()?),
        })
    }
}

/// A folder that only we may read, and that goes with this value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("campaign-sync-demo-{}", uuid::Uuid::now_v7().simple()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind is a temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The running service.
pub struct Service {
    pub url: String,
    /// For reading and changing.
    pub key: SecretString,
    pub store: Store,
    client: reqwest::Client,
    stop: oneshot::Sender<()>,
    task: JoinHandle<bool>,
    _folder: Folder,
}

impl Service {
    /// Starts it against the emulators, and enters its webhooks there.
    pub async fn start(emulators: &Emulators, listen: SocketAddr, database: Option<&str>) -> anyhow::Result<Self> {
        let (secrets, folder) = (Secrets::new()?, Folder::new()?);
        let file = folder.0.join("campaign-sync.toml");
        let database =
            database.map_or_else(|| format!("sqlite://{}", folder.0.join("campaign-sync.db").display()), str::to_owned);
        std::fs::write(&file, toml::to_string(&configuration(emulators, &secrets, listen, &database))?)?;
        let config = Config::load(Some(&file), std::iter::empty())?;
        let store = app::connect(&config, Clock::system()).await?;
        store.migrate().await.context("the schema cannot be brought up to date")?;
        if !store.list_mappings(&MappingFilter::default(), "", 1).await?.is_empty() {
            bail!("the database has mappings; the demo needs an empty one");
        }
        let (_, key) =
            http::create_key(&store, "demo", &[Scope::Read, Scope::Write, Scope::Admin], None, "demo").await?;
        let options = Options { role: Role::All, migrate: false, announce: false, points: Points::default() };
        let service = app::start(&config, options).await?;
        let url = format!("http://{}", service.address);
        let (stop, told) = oneshot::channel::<()>();
        let task = tokio::spawn(service.run_until(async { drop(told.await) }));
        enter_webhooks(emulators, &secrets, &url);
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { url, key, store, client, stop, task, _folder: folder })
    }

    /// Maps the program to the campaign, and gives the id of the mapping.
    pub async fn map(&self, scene: &Scene) -> anyhow::Result<String> {
        let new = json!({"program_id": scene.program, "campaign_id": scene.campaign});
        let sending = self.client.post(format!("{}/api/v1/mappings", self.url)).json(&new);
        let answer = sending.bearer_auth(self.key.expose_secret()).send().await?;
        let (status, body) = (answer.status(), answer.json::<Value>().await?);
        ensure!(status.is_success(), "POST /mappings answered {status}: {body}");
        Ok(body["id"].as_str().context("a mapping without id")?.to_owned())
    }

    /// Waits until nothing is under way: no webhook to be sent, no run, no change to be worked off. False when that has not
    /// come within `limit`.
    pub async fn settled(&self, emulators: &Emulators, mapping: &str, limit: Duration) -> anyhow::Result<bool> {
        let looking = async {
            let mut looks = tokio::time::interval(LOOK);
            let (mut quiet, mut received) = (0, -1);
            while quiet < QUIET_LOOKS {
                looks.tick().await;
                let heard = self.received(mapping).await?;
                let idle = emulators.marketo.with(|world| world.outgoing.is_empty()) && !self.is_busy(mapping).await?;
                quiet = if idle && heard == received { quiet + 1 } else { 0 };
                received = heard;
            }
            anyhow::Ok(())
        };
        Ok(tokio::time::timeout(limit, looking).await.ok().transpose()?.is_some())
    }

    async fn received(&self, mapping: &str) -> anyhow::Result<i64> {
        Ok(self.store.ledger(mapping).await?.iter().map(|window| window.received).sum())
    }

    async fn is_busy(&self, mapping: &str) -> anyhow::Result<bool> {
        let states = ["available", "running", "retryable"].map(str::to_owned).into();
        let filter = ChangeFilter { states, ..ChangeFilter::default() };
        let runs = self.store.runs(mapping, None, 1).await?;
        Ok(runs.iter().any(|run| run.state == "running") || !self.store.changes(&filter, None, 1).await?.is_empty())
    }

    /// Stops it; what is in hand is finished.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// As an operator would write it.
fn configuration(emulators: &Emulators, secrets: &Secrets, listen: SocketAddr, database: &str) -> Value {
    json!({
        "server": {"listen": listen},
        "database": {"url": database},
        "marketo": {
            "base_url": emulators.marketo_url,
            "client_id": emulators.marketo_client_id, "client_secret": emulators.marketo_client_secret,
        },
        "salesforce": {
            "login_url": emulators.salesforce_url, "organization_id": emulators.salesforce_org_id,
            "client_id": emulators.salesforce_client_id, "client_secret": emulators.salesforce_client_secret,
        },
        "webhooks": {
            "marketo_tokens": [secrets.marketo_token], "salesforce_secrets": [secrets.signing],
            "salesforce_path_tokens": [secrets.path_token],
        },
        "limits": {"allow_private_targets": true},
    })
}

/// What an administrator of each side sets up once. On their way webhooks are doubled, late and out of order at times.
fn enter_webhooks(emulators: &Emulators, secrets: &Secrets, url: &str) {
    let calls = [
        ("changed", program_member_template("program_member.changed", Encoding::JsonQuoted), status_changed()),
        ("removed", program_member_template("program_member.removed", Encoding::JsonQuoted), Trigger::Removed),
        ("deleted", person_template("person.deleting", Encoding::JsonQuoted), Trigger::PersonDeleted),
    ];
    emulators.marketo.with(|world| {
        world.options.webhook_mishaps = Mishaps {
            duplicate_per_mille: 100,
            delay_per_mille: 100,
            delay_ms: LONGEST_DELAY,
            reorder_per_mille: 100,
            ..Mishaps::default()
        };
        for (name, template, trigger) in calls {
            let token = format!("Bearer {}", secrets.marketo_token);
            world.add_webhook(Webhook {
                name: name.to_owned(),
                url: format!("{url}/webhooks/marketo"),
                method: "POST".to_owned(),
                template,
                encoding: Encoding::JsonQuoted,
                headers: [("Authorization".to_owned(), token)].into(),
            });
            // A smart campaign listens to the program it lives in; whoever is deleted is deleted from all.
            let program_id = world.programs.keys().next().copied().filter(|_| trigger != Trigger::PersonDeleted);
            world.add_campaign(SmartCampaign {
                id: 0,
                name: format!("Tell campaign-sync: {name}"),
                program_id,
                trigger: Some(trigger),
                active: true,
                webhook: Some(name.to_owned()),
            });
        }
    });
    emulators.salesforce.set_webhooks(Webhooks {
        json: Some(JsonHook {
            url: format!("{url}/webhooks/salesforce"),
            secret: secrets.signing.clone(),
            concurrency: 4,
        }),
        // Members are told of both ways, as where a package is being rolled out and the old workflow is still there.
        outbound_message: Some(OutboundMessageHook {
            url: format!("{url}/webhooks/salesforce/outbound-message/{}", secrets.path_token),
            objects: vec!["CampaignMember".to_owned()],
            concurrency: 1,
            retry_base_millis: 1_000,
            retry_cap_millis: 10_000,
            give_up_millis: 86_400_000,
        }),
        noise: Noise { duplicate: 0.1, delay: 0.1, delay_millis: LONGEST_DELAY, reorder: 0.1, drop: 0.0 },
    });
}

fn status_changed() -> Trigger {
    Trigger::StatusChanged { new_status: None }
}
