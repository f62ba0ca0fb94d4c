//! Both vendors emulated, for the demo, the tests and anybody who has no Marketo or Salesforce at hand.
//!
//! Owns the start of the two emulators on three listeners: one each, and one for control, which has `/marketo`, `/salesforce`,
//! `/faults` and `/clock`, and at its root a page of all that for people. Imports nothing from the rest of the crate: were it to share wire types with the connectors, a misread
//! field would be misread on both ends and every test would be green.
//!
//! A seed file is JSON, `{"clock": {...}, "marketo": {...}, "salesforce": [...]}`, all optional. `clock` is as in `/clock`. `marketo` has lists `fields`, `channels`,
//! `programs`, `people`, `webhooks`, `campaigns` and `members` in the forms of its control API ([`marketo::Seed`]), a member being
//! `{"program": NAME, "lead_id" or "email", "status"}`. `salesforce` is a list of calls of its control API, carried out in order:
//! `{"method": "POST", "path": "/...", "body": {...}}`. What `/saved` answers is a seed file too.

pub mod clock;
pub mod fault;
pub mod marketo;
mod page;
pub mod salesforce;
pub mod saved;
pub mod storm;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, header};
use axum::routing::get;
use axum::{Json, Router};
use clock::Clock;
use fault::{Faults, Vendor};
use jiff::Timestamp;
use marketo::Marketo;
use page::Page;
use salesforce::Salesforce;
use saved::Worlds;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower::ServiceExt;

/// Where the emulators listen and what they begin with.
#[derive(Clone, Debug)]
pub struct EmulateOptions {
    pub marketo_listen: SocketAddr,
    pub salesforce_listen: SocketAddr,
    pub control_listen: SocketAddr,
    pub marketo: marketo::Options,
    pub salesforce: salesforce::Options,
    /// Seed file.
    pub seed: Option<PathBuf>,
}

impl Default for EmulateOptions {
    /// Free ports on the loopback address, and empty worlds.
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            marketo_listen: any,
            salesforce_listen: any,
            control_listen: any,
            marketo: marketo::Options::default(),
            salesforce: salesforce::Options::default(),
            seed: None,
        }
    }
}

/// The emulators as they run; they stop when this is dropped.
pub struct Emulators {
    pub marketo_url: String,
    pub salesforce_url: String,
    pub control_url: String,
    pub marketo: Arc<Marketo>,
    pub salesforce: Arc<Salesforce>,
    pub faults: Faults,
    pub clock: Clock,
    pub marketo_client_id: String,
    pub marketo_client_secret: String,
    pub salesforce_client_id: String,
    pub salesforce_client_secret: String,
    pub salesforce_org_id: String,
    pub salesforce_username: String,
    pub salesforce_password: String,
    pub salesforce_security_token: String,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Emulators {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Emulators {
    /// What `emulate` prints as its first line.
    #[must_use]
    pub fn listening(&self) -> Value {
        json!({
            "marketo": self.marketo_url, "salesforce": self.salesforce_url, "control": self.control_url,
            "page": format!("{}/", self.control_url),
            "marketo_client_id": self.marketo_client_id, "marketo_client_secret": self.marketo_client_secret,
            "salesforce_client_id": self.salesforce_client_id, "salesforce_client_secret": self.salesforce_client_secret,
            "salesforce_org_id": self.salesforce_org_id,
            "salesforce_username": self.salesforce_username, "salesforce_password": self.salesforce_password,
            "salesforce_security_token": self.salesforce_security_token,
        })
    }

    /// Runs until one of the listeners fails.
    pub async fn run(mut self) {
        while let Some(task) = self.tasks.pop() {
            task.await.ok();
        }
    }
}

/// Starts both emulators.
///
/// # Errors
/// When an address cannot be bound or the seed file cannot be loaded.
pub async fn start(options: EmulateOptions) -> anyhow::Result<Emulators> {
    let (clock, faults) = (Clock::default(), Faults::default());
    let seed = match &options.seed {
        Some(path) => Some(read(path).await.with_context(|| format!("seed file {}", path.display()))?),
        None => None,
    };
    if let Some(File::Seed(file)) = &seed
        && let Some(act) = file.clock
    {
        act.carry_out(&clock);
    }
    let marketo = Marketo::new(options.marketo.clone(), clock.reader());
    let salesforce = Salesforce::new(options.salesforce.clone(), clock.reader());
    let worlds = Worlds { marketo: marketo.clone(), salesforce: salesforce.clone(), clock: clock.clone() };
    match seed {
        Some(File::Saved(saved)) => worlds.load(*saved).map_err(anyhow::Error::msg)?,
        Some(File::Seed(seed)) => load(*seed, &worlds).await?,
        None => {}
    }
    let control = Router::new()
        .nest("/marketo", marketo.control())
        .nest("/salesforce", salesforce.control())
        .nest("/faults", faults.control())
        .nest("/saved", worlds.control())
        .route("/clock", get(read_clock).post(move_clock).with_state(clock.clone()));
    let page = Page {
        marketo: marketo.clone(),
        salesforce: salesforce.clone(),
        clock: clock.clone(),
        faults: faults.clone(),
        control: control.clone(),
    };
    let control = control.merge(page::router(page));
    let mut tasks = vec![marketo.start(), salesforce.start()];
    let around = |vendor, router| faults.around(vendor, router);
    let marketo_url = serve(options.marketo_listen, around(Vendor::Marketo, marketo.router()), &mut tasks).await?;
    let salesforce_url =
        serve(options.salesforce_listen, around(Vendor::Salesforce, salesforce.router()), &mut tasks).await?;
    let control_url = serve(options.control_listen, control, &mut tasks).await?;
    marketo.set_base_url(&marketo_url);
    salesforce.set_base_url(&salesforce_url);
    Ok(Emulators {
        marketo_url,
        salesforce_url,
        control_url,
        marketo,
        salesforce,
        faults,
        clock,
        marketo_client_id: options.marketo.client_id,
        marketo_client_secret: options.marketo.client_secret,
        salesforce_client_id: options.salesforce.client_id,
        salesforce_client_secret: options.salesforce.client_secret,
        salesforce_org_id: options.salesforce.organization_id,
        salesforce_username: options.salesforce.api_user_name,
        salesforce_password: options.salesforce.api_user_password,
        salesforce_security_token: options.salesforce.security_token,
        tasks,
    })
}

async fn serve(address: SocketAddr, router: Router, tasks: &mut Vec<JoinHandle<()>>) -> anyhow::Result<String> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let url = format!("http://{}", listener.local_addr()?);
    tasks.push(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, %address, "an emulator stopped");
        }
    }));
    Ok(url)
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    #[serde(default)]
    stopped_at: Option<Timestamp>,
    #[serde(default)]
    advance_seconds: i64,
}

impl Move {
    fn carry_out(self, clock: &Clock) {
        if let Some(time) = self.stopped_at {
            clock.stop_at(time);
        }
        clock.advance(self.advance_seconds);
    }
}

async fn read_clock(State(clock): State<Clock>) -> Json<Value> {
    Json(json!({"now": clock.now(), "offset_seconds": clock.offset_seconds()}))
}

async fn move_clock(State(clock): State<Clock>, Json(act): Json<Move>) -> Json<Value> {
    act.carry_out(&clock);
    read_clock(State(clock)).await
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SeedFile {
    /// As in `/clock`; before anything is made.
    clock: Option<Move>,
    marketo: marketo::Seed,
    salesforce: Vec<ControlCall>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ControlCall {
    method: String,
    path: String,
    #[serde(default)]
    body: Value,
}

/// What a seed file may be.
enum File {
    Seed(Box<SeedFile>),
    Saved(Box<saved::Saved>),
}

async fn read(path: &Path) -> anyhow::Result<File> {
    let file: Value = serde_json::from_slice(&tokio::fs::read(path).await?)?;
    Ok(match file.get(saved::MARK) {
        Some(_) => File::Saved(Box::new(serde_json::from_value(file)?)),
        None => File::Seed(Box::new(serde_json::from_value(file)?)),
    })
}

async fn load(seed: SeedFile, worlds: &Worlds) -> anyhow::Result<()> {
    let Worlds { marketo, salesforce, .. } = worlds;
    if let Err(refusal) = marketo.with(|world| world.load(seed.marketo)) {
        bail!("marketo: {} {}", refusal.code, refusal.message);
    }
    for call in seed.salesforce {
        let request = Request::builder()
            .method(call.method.as_str())
            .uri(&call.path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(call.body.to_string()))?;
        let status = salesforce.control().oneshot(request).await?.status();
        ensure!(status.is_success(), "salesforce: {} {} gave {status}", call.method, call.path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use marketo::NOT_IN_PROGRAM;

    #[tokio::test]
    async fn a_seeded_world_is_served_and_controlled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed.json");
        let seed = json!({"marketo": {
            "channels": [{"name": "Webinar", "statuses": [{"name": "Registered", "step": 10}, {"name": "Attended", "step": 20, "success": true}]}],
            "programs": [{"id": 1044, "name": "Spring", "channel": "Webinar"}],
            "people": [{"id": 1, "email": "a@b.c"}],
            "members": [{"program": "Spring", "email": "a@b.c", "status": "Registered"}]}});
        std::fs::write(&path, seed.to_string()).unwrap();
        let sandbox = start(EmulateOptions { seed: Some(path), ..EmulateOptions::default() }).await.unwrap();
        let line = sandbox.listening();
        let http = reqwest::Client::new();
        let control = |path: &str| format!("{}{path}", line["control"].as_str().unwrap());
        let token = format!(
            "{}/identity/oauth/token?grant_type=client_credentials&client_id={}&client_secret={}",
            sandbox.marketo_url,
            line["marketo_client_id"].as_str().unwrap(),
            line["marketo_client_secret"].as_str().unwrap()
        );
        assert_eq!(http.get(&token).send().await.unwrap().status(), 200);

        let fault = json!({"vendor": "marketo", "path_contains": "/identity", "action": {"answer": {"status": 503}}});
        assert_eq!(http.post(control("/faults")).json(&fault).send().await.unwrap().status(), 200);
        assert_eq!(http.get(&token).send().await.unwrap().status(), 503);
        assert_eq!(http.get(&token).send().await.unwrap().status(), 200);

        let act = async |method: reqwest::Method, path: &str, body: Value| {
            let answer = http.request(method, control(path)).json(&body).send().await.unwrap();
            let status = answer.status().as_u16();
            (status, answer.json::<Value>().await.unwrap_or_default())
        };
        let post = reqwest::Method::POST;
        let person = act(post.clone(), "/marketo/people", json!({"email": "new@b.c", "sfdcContactId": "003"})).await.1
            ["id"]
            .clone();
        let join = json!({"lead_ids": [1, person], "status": "Attended"});
        let joined = act(post.clone(), "/marketo/programs/1044/members", join).await;
        assert_eq!(joined, (200, json!({"created": 1, "updated": 1, "skipped": 0})));
        let back = json!({"lead_ids": [1], "status": "Registered"});
        assert_eq!(act(post.clone(), "/marketo/programs/1044/members", back).await.1["skipped"], 1);
        let unknown = json!({"lead_ids": [1], "status": "Nowhere"});
        assert_eq!(act(post.clone(), "/marketo/programs/1044/members", unknown).await.0, 422);
        let out = json!({"lead_ids": [1], "status": NOT_IN_PROGRAM});
        assert_eq!(act(post.clone(), "/marketo/programs/1044/members", out).await.0, 200);
        assert_eq!(
            sandbox.marketo.with(|world| world.members(1044)),
            [(person.as_i64().unwrap(), "Attended".to_owned())]
        );

        let rename = json!({"rename": {"from": "Attended", "to": "Was there"}});
        let channel = sandbox.marketo.with(|world| *world.channels.keys().next().unwrap());
        assert_eq!(act(reqwest::Method::PATCH, &format!("/marketo/channels/{channel}"), rename).await.0, 200);
        let members = act(reqwest::Method::GET, "/marketo/programs/1044/members", Value::Null).await.1;
        assert_eq!(members["members"][0]["status"], "Attended", "members keep the old name");
        assert_eq!(
            act(reqwest::Method::PATCH, "/marketo/options", json!({"rate_limit": null})).await.1["rate_limit"],
            Value::Null
        );
        assert_eq!(act(reqwest::Method::PATCH, "/marketo/options", json!({"rate_limits": 3})).await.0, 422);
        assert_eq!(act(post, "/clock", json!({"advance_seconds": 3600})).await.1["offset_seconds"], 3600);
        assert!(
            act(reqwest::Method::GET, "/marketo/state", Value::Null).await.1["activities"].as_array().unwrap().len()
                >= 4
        );
        assert_eq!(act(reqwest::Method::GET, "/marketo/counters", Value::Null).await.1["identity_calls"], 2);
    }
}
