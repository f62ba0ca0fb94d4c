//! The real process beside the emulated vendors: started, mapped, and asked what it knows.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::storm;
use super::world::{KEY, SOON, Side, World};
use crate::support::{Api, Launch, Service, TestDatabase, eventually};

/// After this long without a look at the logs nobody looks at them.
const UNREAD: Duration = Duration::from_secs(10);

/// A world with the service running in it.
pub struct Running {
    pub world: World,
    pub service: Service,
    pub api: Api,
    pub mapping: String,
}

impl Running {
    /// The service started, the program mapped, the first sync over, nobody in it but some bystanders.
    pub async fn new(database: &TestDatabase) -> Self {
        let world = World::new().await;
        world.bystanders(8);
        Self::start(world, database).await
    }

    /// The same in a world that was prepared.
    pub async fn start(world: World, database: &TestDatabase) -> Self {
        let launch = world.launch(database);
        Self::launch(world, launch).await
    }

    /// The same with a service that was configured.
    pub async fn launch(world: World, launch: Launch) -> Self {
        Self::launch_mapped(world, launch, &json!({})).await
    }

    /// The same with more in the body of the mapping.
    pub async fn mapped(world: World, database: &TestDatabase, more: &Value) -> Self {
        let launch = world.launch(database);
        Self::launch_mapped(world, launch, more).await
    }

    pub async fn launch_mapped(world: World, launch: Launch, more: &Value) -> Self {
        let service = launch.start().await;
        world.send_webhooks_to(service.url());
        let api = Api::new(service.url()).with_key(KEY);
        let mut body = json!({"program_id": world.program, "campaign_id": world.campaign});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        // A vendor that is slow on a busy machine is asked again, as a person would.
        let made = eventually("the mapping", SOON, async || {
            let answer = api.post("mappings", &body).await;
            (answer.status != 503).then_some(answer)
        });
        let mapping = made.await.expect(201).json()["id"].as_str().unwrap().to_owned();
        let running = Self { world, service, api, mapping };
        running.runs_end().await;
        running.settle().await;
        running
    }

    /// Goes on with a service that was started again, on another port.
    pub fn again(self) -> Self {
        self.world.send_webhooks_to(self.service.url());
        let api = Api::new(self.service.url()).with_key(KEY);
        Self { api, ..self }
    }

    /// Waits until no run of the mapping goes on.
    pub async fn runs_end(&self) {
        let path = format!("mappings/{}/runs?limit=500", self.mapping);
        eventually("the runs to end", SOON, async || {
            let runs = self.api.get(&path).await.expect(200).json();
            let goes_on = |run: &Value| run["state"] == "running";
            (!runs["data"].as_array().unwrap().iter().any(goes_on)).then_some(())
        })
        .await;
    }

    /// Waits until nothing is on its way: no webhook to be sent, no change to be worked. What a lost webhook was about is on its way
    /// until the logs were read.
    pub async fn settle(&self) {
        self.quiet().await;
        if storm::seed().is_none() {
            return;
        }
        loop {
            let heard = self.received().await;
            self.logs_are_read().await;
            self.quiet().await;
            if self.received().await == heard {
                return;
            }
        }
    }

    async fn quiet(&self) {
        eventually("everything to settle", SOON, async || {
            if !self.world.all_sent() {
                return None;
            }
            let outbox = &self.api.get("stats").await.expect(200).json()["outbox"];
            let open = ["available", "running", "retryable"].iter().map(|state| outbox[state].as_i64().unwrap());
            (open.sum::<i64>() == 0).then_some(())
        })
        .await;
    }

    /// Waits until each log was read from beginning to end after now. Nobody reads them while nothing is mapped or all is switched off:
    /// nothing is waited for then.
    async fn logs_are_read(&self) {
        // One that was being read already does not count.
        let rounds =
            [("activities", 2), ("deleted_leads", 2), ("changed_members", 2), ("departed_people", 4), ("deleted", 6)];
        let count = async || {
            let metrics = self.api.get("/metrics").await.expect(200).text;
            rounds.map(|(endpoint, _)| calls_of(&metrics, endpoint))
        };
        let before = count().await;
        let read = async || {
            let now = count().await;
            let all =
                rounds.iter().zip(before.iter().zip(now)).all(|((_, times), (before, now))| now >= before + times);
            all.then_some(())
        };
        let _ = tokio::time::timeout(UNREAD, eventually("the logs to be read", UNREAD * 2, read)).await;
    }

    /// Waits until both sides hold this.
    pub async fn both_hold(&self, what: &str, expected: impl Fn(&Side) -> bool) {
        let mut sides = None;
        let holds = async || {
            let (marketo, salesforce) = (self.world.in_marketo(), self.world.in_salesforce());
            let holds = marketo == salesforce && expected(&marketo);
            sides = Some((marketo, salesforce));
            holds.then_some(())
        };
        let within = tokio::time::timeout(SOON, eventually(what, SOON * 2, holds)).await;
        assert!(within.is_ok(), "{what}: {sides:#?} and {:#}", self.outbox_left().await);
    }

    /// Waits until both sides have a person in a status, or not at all.
    pub async fn both_have(&self, name: &str, status: Option<&str>) {
        let wanted = status.map(|status| vec![status.to_owned()]);
        self.both_hold(&format!("{name} {status:?}"), |side| side.get(name) == wanted.as_ref()).await;
    }

    /// Compares once more as the service does it, after which both sides are the same and nothing was written.
    pub async fn at_rest(&self) {
        self.settle().await;
        self.reconcile().await;
        let writes = self.world.writes();
        self.reconcile().await;
        assert_eq!(self.world.writes(), writes, "written though nothing changed");
        let (marketo, salesforce) = (self.world.in_marketo(), self.world.in_salesforce());
        assert_eq!(marketo, salesforce, "{:#}", self.members().await);
    }

    pub async fn reconcile(&self) {
        self.api.post(&format!("mappings/{}/reconcile", self.mapping), &json!({})).await.expect(202);
        self.runs_end().await;
        self.settle().await;
    }

    pub async fn members(&self) -> Value {
        self.api.get(&format!("mappings/{}/members?limit=500", self.mapping)).await.expect(200).json()
    }

    /// State and reason of one person's member.
    pub async fn state_of(&self, email: &str) -> (String, String) {
        let members = self.members().await;
        let found = members["data"].as_array().unwrap().iter().find(|m| m["person"]["email"] == email);
        let found = found.unwrap_or_else(|| panic!("{email} is not in {members:#}"));
        let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        (text("sync_state"), text("reason"))
    }

    /// Changes that are not completed.
    pub async fn outbox_left(&self) -> Value {
        let changes = self.api.get("changes?limit=500").await.expect(200).json();
        changes["data"].as_array().unwrap().iter().filter(|c| c["state"] != "completed").cloned().collect()
    }

    /// Every trigger event, oldest first.
    pub async fn all_events(&self) -> Vec<Value> {
        let (mut events, mut path) = (Vec::new(), "trigger-events?limit=500".to_owned());
        loop {
            let page = self.api.get(&path).await.expect(200).json();
            events.extend(page["data"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("trigger-events?limit=500&cursor={cursor}"),
                None => break,
            }
        }
        let mut ids = BTreeSet::new();
        assert!(events.iter().all(|event| ids.insert(event["id"].as_str().unwrap().to_owned())), "an id twice");
        events
    }

    /// What receivers are told of one person: old and new status, origin, how it was noticed. The numbers are checked here.
    pub async fn events_of(&self, name: &str) -> Vec<String> {
        let events = self.all_events().await;
        let of_person = |event: &&Value| {
            self.world.name_of(event["data"]["person"]["salesforce_id"].as_str().unwrap_or_default()) == name
        };
        let mut told = Vec::new();
        for (n, event) in events.iter().filter(of_person).enumerate() {
            let data = &event["data"];
            assert_eq!(data["sequence"], n + 1, "{event:#}");
            let kind = match (data["old_status"].is_null(), data["new_status"].is_null()) {
                (true, false) => "campaign.member.added",
                (false, true) => "campaign.member.removed",
                _ => "campaign.member.status_changed",
            };
            assert_eq!(event["type"], kind, "{event:#}");
            let text = |name: &str| data[name].as_str().unwrap_or("-").to_owned();
            told.push(["old_status", "new_status", "origin", "detected_by"].map(text).join(" "));
        }
        told
    }

    /// What receivers are told of one person, without who noticed it how.
    pub async fn transitions_of(&self, name: &str) -> Vec<String> {
        let short = |told: String| told.split(' ').take(2).collect::<Vec<_>>().join(" ");
        self.events_of(name).await.into_iter().map(short).collect()
    }
}

/// How many calls of an endpoint have gone well, by the metrics of the service.
fn calls_of(metrics: &str, endpoint: &str) -> u64 {
    let of = |line: &&str| {
        let named = line.contains(&format!("endpoint=\"{endpoint}\"")) && line.contains("outcome=\"ok\"");
        line.starts_with("campaign_sync_vendor_calls_total{") && named
    };
    let counts = metrics.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    counts.sum()
}
