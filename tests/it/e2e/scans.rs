//! Whole reads that cannot be believed: cut short, refused in the middle, empty, in a circle. Nobody is removed for it, and
//! whoever looks is told.

use campaign_sync::sandbox::fault::{Action, Fault, Vendor};
use campaign_sync::sandbox::salesforce::{Options, Webhooks};
use serde_json::{Value, json};

use crate::support::{Api, eventually, on_both};

use super::running::Running;
use super::storm::calm_only;
use super::world::{KEY, SOON, Side, World};

const LISTING: &str = "/rest/v1/leads/programs/";
const BY_NAME: &str = "/members.json";

fn answer(body: &Value) -> Action {
    Action::Answer { status: 200, content_type: "application/json".to_owned(), body: body.to_string() }
}

fn refused(code: &str) -> Action {
    answer(&json!({"requestId": "1#1", "success": false, "errors": [{"code": code, "message": "Access denied"}]}))
}

fn nobody() -> Action {
    answer(&json!({"requestId": "1#1", "success": true, "result": []}))
}

impl Running {
    fn faults(&self, vendor: Vendor, part: &str, times: u32, action: Action) {
        self.world.emulators.faults.add(Fault { times, ..Fault::next(vendor, part, action) });
    }

    /// Nobody hears of anything but by looking.
    pub fn deaf(&self) {
        self.world.emulators.marketo.with(|world| world.options.webhook_mishaps.drop_per_mille = 1000);
        self.world.emulators.salesforce.set_webhooks(Webhooks::default());
    }

    pub async fn begin_run(&self) -> String {
        let path = format!("mappings/{}/reconcile", self.mapping);
        self.api.post(&path, &json!({})).await.expect(202).json()["run_id"].as_str().unwrap().to_owned()
    }

    /// The run once it is as wanted.
    async fn run_is(&self, id: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let asked = eventually(what, SOON * 2, async || {
            last = self.api.get(&format!("runs/{id}")).await.expect(200).json();
            wanted(&last).then_some(())
        });
        let within = tokio::time::timeout(SOON, asked).await;
        assert!(within.is_ok(), "{what}: {last:#}");
        last
    }

    pub async fn completes(&self, id: &str) -> Value {
        self.run_is(id, "the run to complete", |run| run["state"] == "completed").await
    }

    fn sides(&self) -> (Side, Side) {
        (self.world.in_marketo(), self.world.in_salesforce())
    }
}

on_both! {
    async fn a_page_that_is_cut_or_empty_or_repeated_removes_nobody(database: TestDatabase) {
        let running = Running::new(&database).await;
        running.deaf();
        let (sides, writes) = (running.sides(), running.world.writes());
        running.faults(Vendor::Marketo, LISTING, 2, Action::Truncate { bytes: 60 });
        running.faults(Vendor::Salesforce, "FROM+CampaignMember+WHERE+CampaignId", 2, Action::Truncate { bytes: 60 });
        let run = running.begin_run().await;
        running.completes(&run).await;
        assert!(running.world.emulators.faults.waiting().is_empty());

        // Pages without anybody that promise more, for as long as it takes somebody to see that the run waits.
        running.world.emulators.marketo.with(|world| world.options.empty_pages = 1_000_000);
        let run = running.begin_run().await;
        let waits = running.run_is(&run, "the run to say why it waits", |run| !run["message"].is_null()).await;
        assert_eq!((&waits["state"], &waits["stage"]), (&json!("running"), &json!("marketo")), "{waits:#}");
        running.world.emulators.marketo.with(|world| world.options.empty_pages = 0);
        running.completes(&run).await;

        // The second page is the first one again, under another token.
        let id = running.world.marketo_id("Bystander0").unwrap();
        let page = |token: &str| answer(&json!({
            "requestId": "1#1", "success": true, "nextPageToken": token,
            "result": [{"id": id, "email": null, "membership": {"id": running.world.program, "progressionStatus": "Registered"}}],
        }));
        for token in ["ONE=", "TWO="] {
            running.faults(Vendor::Marketo, LISTING, 1, page(token));
        }
        let run = running.begin_run().await;
        let ended = running.completes(&run).await;
        assert_eq!(ended["counts"]["marketo_restarted"], 1, "{ended:#}");
        assert_eq!(ended["counts"]["marketo_read"], 8, "{ended:#}");
        assert_eq!((running.sides(), running.world.writes()), (sides, writes));
        let members = running.members().await;
        assert!(members["data"].as_array().unwrap().iter().all(|m| m["sync_state"] == "in_sync"), "{members:#}");
    }

    async fn a_permission_that_is_lost_in_the_middle_removes_and_parks_nobody(database: TestDatabase) {
        calm_only!("polls find what the run is to find");
        let running = Running::new(&database).await;
        running.deaf();
        let sides = running.sides();
        let writes = running.world.writes();
        // Of the listing, for good.
        running.faults(Vendor::Marketo, LISTING, 1_000, refused("603"));
        let run = running.begin_run().await;
        let failed = running.run_is(&run, "the run to fail", |run| run["state"] == "failed").await;
        assert!(failed["message"].as_str().unwrap().contains("603"), "{failed:#}");
        running.world.emulators.faults.clear();

        // Of the members by name, when somebody has to be looked at; then it comes back.
        running.world.set_in_marketo("Bystander0", "Attended");
        running.world.set_in_marketo("Bystander1", "Not in Program");
        running.faults(Vendor::Marketo, BY_NAME, 2, refused("603"));
        let run = running.begin_run().await;
        let waited = running.completes(&run).await;
        assert!(running.world.emulators.faults.waiting().is_empty());
        assert_eq!(waited["differences"], json!({"salesforce": {"different": 1, "surplus": 1}}), "{waited:#}");
        running.settle().await;
        assert_eq!(running.world.in_salesforce().get("Bystander0"), Some(&vec!["Attended".to_owned()]));
        assert_eq!(running.world.in_salesforce().get("Bystander1"), None);

        // The object itself vanishes from the user's eyes.
        let hide = |objects: Vec<String>| running.world.emulators.salesforce.with(|org| {
            org.set_options(Options { hidden_objects: objects, ..org.options.clone() });
        });
        hide(vec!["CampaignMember".to_owned()]);
        let run = running.begin_run().await;
        let failed = running.run_is(&run, "the run to fail", |run| run["state"] == "failed").await;
        assert!(failed["message"].as_str().unwrap().contains("INVALID_TYPE"), "{failed:#}");
        hide(Vec::new());
        running.reconcile().await;
        running.at_rest().await;
        assert_eq!(running.world.in_marketo().len(), sides.0.len() - 1);
        assert!(running.world.writes().1 > writes.1);
        let members = running.members().await;
        assert!(members["data"].as_array().unwrap().iter().all(|m| m["sync_state"] == "in_sync"), "{members:#}");
    }

    async fn a_vendor_that_shows_nobody_any_more_is_not_believed(database: TestDatabase) {
        let world = World::new().await;
        // Fewer than the removal guard looks at otherwise.
        world.bystanders(3);
        let running = Running::start(world, &database).await;
        running.deaf();
        let sides = running.sides();
        running.faults(Vendor::Marketo, LISTING, 1_000, nobody());
        running.faults(Vendor::Marketo, BY_NAME, 1_000, nobody());
        let run = running.begin_run().await;
        let ended = running.completes(&run).await;
        assert_eq!(ended["differences"], json!({"both": {"removal_waiting": 3}}), "{ended:#}");
        assert_eq!(running.sides(), sides);
        let guards = running.api.get(&format!("mappings/{}/guards", running.mapping)).await.expect(200).json();
        assert_eq!((&guards["data"][0]["state"], &guards["data"][0]["count"]), (&json!("waiting"), &json!(3)), "{guards:#}");
        // A plan says so beforehand.
        let plan = running.api.post(&format!("mappings/{}/plan", running.mapping), &json!({})).await.expect(201).json();
        assert_eq!((&plan["counts"]["remove_from_salesforce"], &plan["removals_wait"]), (&json!(3), &json!(true)), "{plan:#}");

        running.world.emulators.faults.clear();
        running.at_rest().await;
        assert_eq!(running.sides(), sides);
    }

    async fn live_changes_do_not_wait_for_a_whole_read(database: TestDatabase) {
        calm_only!("measures what comes first");
        let world = World::new().await;
        world.bystanders(8);
        for n in 0..600 {
            let name = format!("Many{n}");
            world.marketo_person(&name);
            world.set_in_marketo(&name, "Invited");
        }
        world.emulators.marketo.with(|world| world.options.latency_ms = 200);
        let service = world.launch(&database).start().await;
        world.send_webhooks_to(service.url());
        let api = Api::new(service.url()).with_key(KEY);
        let body = json!({"program_id": world.program, "campaign_id": world.campaign});
        let made = api.post("mappings", &body).await.expect(201).json();
        let [mapping, run] = ["id", "run_id"].map(|name| made[name].as_str().unwrap().to_owned());
        let running = Running { world, service, mapping, api };
        running.run_is(&run, "the first sync to decide", |run| run["progress"]["decided"].as_i64() > Some(0)).await;
        running.world.change_in_salesforce("Bystander0", "Attended");
        running.both_have_soon("Bystander0", "Attended", &run).await;
        running.completes(&run).await;
        running.world.emulators.marketo.with(|world| world.options.latency_ms = 0);
        running.at_rest().await;
    }

    async fn a_first_sync_that_is_killed_goes_on_at_the_page_where_it_was(database: TestDatabase) {
        let world = World::new().await;
        for n in 0..60 {
            let name = format!("Paged{n}");
            world.marketo_person(&name);
            world.add_in_salesforce(world.lead(&name), "Registered");
            world.set_in_marketo(&name, "Registered");
        }
        world.emulators.salesforce.with(|org| org.options.page_size = Some(10));
        // On the fourth page: what it read is not recorded.
        let launch = world.launch(&database).set("sync.lease", "1s");
        let mut service = launch.clone().env("CAMPAIGN_SYNC_KILL_AT", "unrecorded:3").start().await;
        let api = Api::new(service.url()).with_key(KEY);
        let body = json!({"program_id": world.program, "campaign_id": world.campaign});
        let made = api.post("mappings", &body).await.expect(201).json();
        eventually("the death", SOON, async || service.has_ended().then_some(())).await;
        drop(service);
        let pages = |world: &World| world.emulators.salesforce.with(|org| org.counters.endpoints.values().sum::<u64>());
        let before = pages(&world);
        let service = launch.start().await;
        let mapping = made["id"].as_str().unwrap().to_owned();
        let running = Running { world, service, mapping, api }.again();
        let ended = running.completes(made["run_id"].as_str().unwrap()).await;
        // One page again, and not those before it: their rows are counted once.
        assert_eq!((&ended["counts"]["salesforce_read"], &ended["counts"]["marketo_read"]), (&json!(60), &json!(60)), "{ended:#}");
        assert_eq!(ended["counts"].get("salesforce_restarted"), None, "{ended:#}");
        assert!(pages(&running.world) > before);
        assert_eq!(running.members().await["data"].as_array().unwrap().len(), 60);
        running.at_rest().await;
    }
}

impl Running {
    /// Both sides have it while the run still goes on.
    async fn both_have_soon(&self, name: &str, status: &str, run: &str) {
        let wanted = vec![status.to_owned()];
        eventually(name, SOON, async || {
            let there = self.world.in_marketo().get(name) == Some(&wanted);
            let run = self.api.get(&format!("runs/{run}")).await.expect(200).json();
            assert!(there || run["state"] == "running", "the change came after the run: {run:#}");
            there.then_some(())
        })
        .await;
    }
}
