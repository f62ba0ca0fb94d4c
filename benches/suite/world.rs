//! A service of its own database beside two emulated vendors, with one program mapped to one campaign.

use std::time::Duration;

use campaign_sync::app::{self, Options, Role, Service};
use campaign_sync::config::Config;
use campaign_sync::sandbox::marketo::{NewChannel, NewPerson, NewProgram, ProgressionStatus};
use campaign_sync::sandbox::salesforce::Id;
use campaign_sync::sandbox::{EmulateOptions, Emulators, start};
use campaign_sync::worker::points::Points;
use serde_json::{Value, json};

pub const TOKEN: &str = "marketo-token-of-the-benchmark";
/// Of Salesforce's signatures.
pub const SALESFORCE_SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";
pub const KEY: &str = "bootstrap-key-of-the-benchmark";
const STATUSES: [(&str, i64); 3] = [("Invited", 10), ("Registered", 20), ("Attended", 30)];

pub struct Bench {
    pub emulators: Emulators,
    pub service: Service,
    pub program: i64,
    pub campaign: Id,
    pub people: Vec<i64>,
    pub http: reqwest::Client,
}

impl Bench {
    /// On a database; `people` are members of both sides beforehand, linked by the first sync.
    pub async fn over(people: usize, role: Role, database: &str) -> Self {
        let mut options = EmulateOptions::default();
        options.marketo.rate_limit = None;
        options.marketo.concurrency_limit = None;
        options.marketo.daily_quota = None;
        options.salesforce.daily_calls = 100_000_000;
        let emulators = start(options).await.unwrap();
        let (program, campaign, people) = seed(&emulators, people).await;
        let config = Config::load(None, settings(&emulators, database).into_iter()).unwrap();
        let options = Options { role, migrate: true, announce: false, points: Points::default() };
        let service = app::start(&config, options).await.unwrap();
        Self { emulators, service, program, campaign, people, http: reqwest::Client::new() }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.service.address)
    }

    pub async fn get(&self, path: &str) -> Value {
        self.http.get(self.url(path)).bearer_auth(KEY).send().await.unwrap().json().await.unwrap()
    }

    /// Maps the program to the campaign; returns when the first sync is over, where there is a worker for it.
    pub async fn map(&self, wait: bool) -> String {
        let body = json!({"program_id": self.program, "campaign_id": self.campaign.to_string()});
        let answer = self.http.post(self.url("/api/v1/mappings")).bearer_auth(KEY).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
        let mapping: Value = answer.json().await.unwrap();
        let id = mapping["id"].as_str().unwrap().to_owned();
        while wait && !self.first_sync_is_over(&id).await {
            pause(Duration::from_millis(50)).await;
        }
        id
    }

    async fn first_sync_is_over(&self, mapping: &str) -> bool {
        let runs = self.get(&format!("/api/v1/mappings/{mapping}/runs")).await;
        assert_ne!(runs["data"][0]["state"], "failed", "{runs}");
        runs["data"][0]["state"] == "completed"
    }

    /// Logs in to the dashboard; the cookie of the session.
    pub async fn log_in(&self) -> String {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let cookie = |answer: &reqwest::Response, name: &str| {
            let set = answer.headers().get_all("set-cookie").iter().filter_map(|set| set.to_str().ok());
            let mut pairs = set.filter_map(|set| set.split(';').next());
            pairs.find(|pair| pair.contains(name)).unwrap_or_else(|| panic!("no cookie {name}")).to_owned()
        };
        let form = http.get(self.url("/login")).send().await.unwrap();
        let visit = cookie(&form, "visit");
        let page = form.text().await.unwrap();
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
        let fields = [("csrf", rest.split('"').next().unwrap()), ("key", KEY), ("next", "/")];
        let answer = http.post(self.url("/login")).header("cookie", visit).form(&fields).send().await.unwrap();
        cookie(&answer, "session")
    }
}

/// What the service is told of these vendors: no limits of its own.
pub fn settings(emulators: &Emulators, database: &str) -> Vec<(String, String)> {
    let set = |section: &str, value: &str| (format!("CAMPAIGN_SYNC__{section}"), value.to_owned());
    vec![
        set("MARKETO__BASE_URL", &emulators.marketo_url),
        set("MARKETO__CLIENT_ID", &emulators.marketo_client_id),
        set("MARKETO__CLIENT_SECRET", &emulators.marketo_client_secret),
        set("SALESFORCE__LOGIN_URL", &emulators.salesforce_url),
        set("SALESFORCE__CLIENT_ID", &emulators.salesforce_client_id),
        set("SALESFORCE__CLIENT_SECRET", &emulators.salesforce_client_secret),
        set("WEBHOOKS__MARKETO_TOKENS", TOKEN),
        set("WEBHOOKS__SALESFORCE_SECRETS", SALESFORCE_SECRET),
        set("AUTH__BOOTSTRAP_KEY", KEY),
        set("DATABASE__URL", database),
        set("SERVER__LISTEN", "127.0.0.1:0"),
        set("LIMITS__INBOUND_PER_SECOND", "0"),
        set("LIMITS__REQUESTS_PER_SECOND", "0"),
        set("LIMITS__MARKETO__CALLS_PER_WINDOW", "1000000"),
        set("LIMITS__MARKETO__DAILY_CALLS", "100000000"),
        set("LIMITS__SALESFORCE__DAILY_SHARE", "1"),
    ]
}

#[expect(clippy::disallowed_methods, reason = "a benchmark waits in real time")]
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

async fn seed(emulators: &Emulators, people: usize) -> (i64, Id, Vec<i64>) {
    let campaign = emulators.salesforce.with(|world| {
        let campaign = world.add_campaign("Benchmark", "Webinar").unwrap();
        for (label, step) in STATUSES {
            world.add_status(campaign, label, step == 30).unwrap();
        }
        campaign
    });
    only_our_statuses(emulators).await;
    let leads: Vec<Id> = emulators.salesforce.with(|world| {
        (0..people)
            .map(|n| {
                let lead =
                    world.add_lead("First", &format!("Last{n}"), &format!("p{n}@example.com"), "Company").unwrap();
                world.add_member(campaign, lead, Some("Invited")).unwrap();
                lead
            })
            .collect()
    });
    let (program, people) = emulators.marketo.with(|world| {
        world.add_channel(NewChannel {
            id: None,
            name: "Webinar".to_owned(),
            applicable_program_type: Some("event".to_owned()),
            statuses: STATUSES
                .map(|(name, step)| ProgressionStatus {
                    id: 0,
                    name: name.to_owned(),
                    step,
                    success: step == 30,
                    hidden: false,
                })
                .to_vec(),
        });
        let program = NewProgram {
            name: "Benchmark".to_owned(),
            channel: "Webinar".to_owned(),
            kind: Some("Event".to_owned()),
            ..NewProgram::default()
        };
        let program = world.add_program(program).unwrap();
        let people: Vec<i64> = leads
            .iter()
            .enumerate()
            .map(|(n, lead)| {
                let fields = [("email", json!(format!("p{n}@example.com"))), ("sfdcLeadId", json!(lead.to_string()))];
                world.add_person(NewPerson { id: None, fields: fields.map(|(k, v)| (k.to_owned(), v)).into() })
            })
            .collect();
        world.set_status_of_all(program, &people, "Invited").unwrap();
        (program, people)
    });
    (program, campaign, people)
}

/// A new campaign comes with `Sent` and `Responded`, which the program does not have.
async fn only_our_statuses(emulators: &Emulators) {
    let http = reqwest::Client::new();
    let control = format!("{}/salesforce", emulators.control_url);
    let state = format!("{control}/state?object=CampaignMemberStatus");
    let state: Value = http.get(state).send().await.unwrap().json().await.unwrap();
    let rows = state["CampaignMemberStatus"].as_array().or_else(|| state.as_array()).unwrap().clone();
    let record = |row: &Value| format!("{control}/record/{}", row["Id"].as_str().unwrap());
    let ours = |row: &Value| STATUSES.iter().any(|(name, _)| row["Label"] == *name);
    let first = rows.iter().find(|row| ours(row)).unwrap();
    let answer = http.patch(record(first)).json(&json!({"IsDefault": true})).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    for row in rows.iter().filter(|row| !ours(row)) {
        let answer = http.delete(record(row)).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }
}
