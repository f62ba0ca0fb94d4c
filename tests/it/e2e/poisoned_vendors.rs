//! Answers that never end, drip, bomb, redirect or are no answers, for one of two mappings: the other one goes on, the memory of the
//! process stays bounded, and who waits is shown with the reason. So is what cannot be read in our own database.

use std::sync::{Arc, Mutex};

use campaign_sync::sandbox::marketo::NewProgram;
use campaign_sync::sandbox::salesforce::Id;
use serde_json::{Value, json};

use crate::support::{Between, Mischief, Tables, TestDatabase, eventually, on_both};

use super::running::Running;
use super::storm::calm_only;
use super::world::{SOON, World};

/// More than this the process may never hold: five calls at a time, each with the largest answer that is read and what is made of it.
const MEMORY: u64 = 512 << 20;

impl World {
    /// Another program and campaign of the same kind.
    pub fn another_pair(&self, name: &str) -> (i64, Id) {
        let program = NewProgram { name: name.to_owned(), channel: "Webinar".to_owned(), ..NewProgram::default() };
        let program = self.emulators.marketo.with(|m| m.add_program(program).unwrap());
        let campaign = self.emulators.salesforce.with(|org| {
            let campaign = org.add_campaign(name, "Webinar").unwrap();
            let found: Vec<_> =
                org.statuses(campaign).into_iter().map(|row| (row.id, row.text_of("Label").to_owned())).collect();
            for (id, label) in found {
                org.rename_status(id, if label == "Sent" { "Invited" } else { "Attended" }).unwrap();
            }
            org.add_status(campaign, "Registered", false).unwrap();
            campaign
        });
        (program, campaign)
    }
}

/// Two mappings, of which the second one is to go on.
struct Two {
    running: Running,
    other: (i64, Id),
    mapping: String,
}

impl Two {
    async fn of(running: Running) -> Self {
        let other = running.world.another_pair("Autumn");
        let body = json!({"program_id": other.0, "campaign_id": other.1});
        let made = running.api.post("mappings", &body).await.expect(201).json();
        let mapping = made["id"].as_str().unwrap().to_owned();
        running.settle().await;
        running.runs_end().await;
        Self { running, other, mapping }
    }

    /// Somebody joins each campaign in Salesforce; the one of the second arrives in Marketo.
    async fn the_other_goes_on(&self, name: &str) -> String {
        let world = &self.running.world;
        let (stuck, free) = (format!("{name}Stuck"), format!("{name}Free"));
        self.running
            .at_once(1, || {
                world.add_in_salesforce(world.lead(&stuck), "Invited");
                let free = world.lead(&free);
                world.emulators.salesforce.with(|org| org.add_member(self.other.1, free, Some("Invited")).unwrap());
            })
            .await;
        eventually(&format!("{free} in the other program"), SOON, async || {
            let id = world.marketo_id(&free)?;
            let members = world.emulators.marketo.with(|m| m.members(self.other.0));
            members.into_iter().any(|(member, status)| member == id && status == "Invited").then_some(())
        })
        .await;
        stuck
    }
}

/// What a door does to the calls whose path and body have this in them.
type Plan = Arc<Mutex<Option<(Mischief, String)>>>;

async fn door(upstream: &str) -> (Between, Plan) {
    let plan = Plan::default();
    let told = Arc::clone(&plan);
    let door = Between::start(upstream, move |request| match &*told.lock().unwrap() {
        Some((mischief, part)) if request.path.contains(part.as_str()) => *mischief,
        _ => Mischief::Pass,
    })
    .await;
    (door, plan)
}

async fn waiting(running: &Running) -> Value {
    running.api.get("changes?state=retryable").await.expect(200).json()
}

on_both! {
    async fn a_vendor_that_misbehaves_for_one_mapping_delays_no_other(database: TestDatabase) {
        calm_only!("one fault at a time");
        let world = World::new().await;
        world.bystanders(2);
        let (marketo, in_marketo) = door(&world.emulators.marketo_url).await;
        let (salesforce, in_salesforce) = door(&world.emulators.salesforce_url).await;
        // The instance is where the door is, whatever the token answer says.
        // Nobody is given up here, however long it takes.
        let launch = world.launch(&database).set("sync.max_attempts", "1000").set("marketo.base_url", &marketo.url);
        let launch = launch.set("salesforce.login_url", &salesforce.url).set("salesforce.instance_url", &salesforce.url);
        let two = Two::of(Running::launch(world, launch).await).await;
        let (program, campaign) = (two.running.world.program, two.running.world.campaign);
        let places =
            [("Marketo", &in_marketo, format!("/programs/{program}/")), ("Salesforce", &in_salesforce, campaign.to_string())];
        for (vendor, plan, part) in places {
            for mischief in Mischief::ALL {
                // Not yet made is who will be asked for: the first calls find nobody and write.
                *plan.lock().unwrap() = Some((mischief, part.clone()));
                let stuck = two.the_other_goes_on(&format!("{vendor}{mischief:?}")).await;
                let error = eventually("the vendor's words", SOON, async || {
                    let waiting = waiting(&two.running).await;
                    let of_vendor = |change: &&Value| change["error"]["vendor"] == vendor.to_lowercase().as_str();
                    waiting["data"].as_array().unwrap().iter().find(of_vendor).map(|change| change["error"].clone())
                })
                .await;
                assert_eq!(error["code"], "unavailable", "{mischief:?}: {error:#}");
                *plan.lock().unwrap() = None;
                two.running.both_have(&stuck, Some("Invited")).await;
            }
        }
        two.running.at_rest().await;
        assert!(marketo.sent() + salesforce.sent() > 0, "nothing went wrong");
        if let Some(most) = two.running.service.most_memory() {
            eprintln!("most memory: {} MiB", most >> 20);
            assert!(most < MEMORY, "{} MiB", most >> 20);
        }
    }

    async fn a_mapping_that_cannot_be_read_from_the_database_stops_alone(database: TestDatabase) {
        calm_only!("one fault at a time");
        let two = unreadable(&database).await;
        // What was heard of it while it could not be worked off is worked off once it can.
        let tables = Tables::open(&database.url).await;
        let (running, broken) = (&two.running, &two.running.mapping);
        let kept = tables.texts(&format!("SELECT policies FROM mappings WHERE id = '{broken}'")).await;
        tables.execute(&format!("UPDATE mappings SET policies = '{{' WHERE id = '{broken}'")).await;
        let world = &running.world;
        for n in 0..3 {
            world.add_in_salesforce(world.lead(&format!("Stuck{n}")), "Invited");
            let free = world.lead(&format!("Free{n}"));
            world.emulators.salesforce.with(|org| org.add_member(two.other.1, free, Some("Invited")).unwrap());
        }
        eventually("the other mapping to go on", SOON, async || {
            let members = world.emulators.marketo.with(|m| m.members(two.other.0));
            (members.len() == 3).then_some(())
        })
        .await;
        let error = eventually("what cannot be read to be told", SOON, async || {
            let waiting = waiting(running).await;
            let found = waiting["data"].as_array().unwrap().iter().find(|c| c["error"]["code"] == "not_storable").cloned();
            found.map(|change| change["error"].clone())
        })
        .await;
        assert_eq!(error["vendor"], "campaign-sync", "{error:#}");
        tables.execute(&format!("UPDATE mappings SET policies = '{}' WHERE id = '{broken}'", kept[0])).await;
        for n in 0..3 {
            running.both_have(&format!("Stuck{n}"), Some("Invited")).await;
        }
        assert!(!two.mapping.is_empty());
        running.at_rest().await;
    }
}

async fn unreadable(database: &TestDatabase) -> Two {
    let world = World::new().await;
    world.bystanders(2);
    let launch = world.launch(database).set("sync.max_attempts", "1000");
    Two::of(Running::launch(world, launch).await).await
}
