//! Two weeks of the vendors' time with the real process: stretches in which no webhook arrives, people merged, converted and deleted, a
//! status that gets another name and its old one again, and processes that are killed. In the end both sides are equal, or each
//! difference has its reason.

use campaign_sync::sandbox::salesforce::Webhooks;
use serde_json::{Value, json};

use crate::support::{Api, Tables, eventually, on_both};

use super::running::Running;
use super::world::{KEY, SOON, World};

const DAYS: i64 = 86_400;
const ROUNDS: usize = 7;
/// Rounds in which webhooks arrive; the others are two days without any.
const HEARD: [usize; 3] = [0, 3, 6];
/// Where the process dies that compares at the end of a round.
const DEATHS: [Option<&str>; ROUNDS] =
    [None, Some("unrecorded:1"), Some("read:0"), None, Some("claimed:2"), Some("recorded:1"), None];

fn named(round: usize, who: &str) -> String {
    format!("R{round}{who}")
}

/// Everybody of all rounds, as they are at the beginning.
fn cast(world: &World) {
    let members =
        ["MovesM", "MovesS", "LeavesM", "LeavesS", "Both", "Converted", "GoneM", "GoneS", "MergedM", "MergedS"];
    let all: Vec<String> = (0..ROUNDS).flat_map(|round| members.map(|who| named(round, who))).collect();
    world.agreed(&all.iter().map(|name| (name.as_str(), "Invited")).collect::<Vec<_>>());
}

/// What people do in two days; `attended` is what the campaign calls it in this round.
fn act(world: &World, round: usize, attended: &str) {
    let name = |who: &str| named(round, who);
    world.marketo_person(&name("JoinsM"));
    world.set_in_marketo(&name("JoinsM"), "Registered");
    world.add_in_salesforce(world.lead(&name("JoinsS")), "Registered");
    world.set_in_marketo(&name("MovesM"), "Attended");
    world.change_in_salesforce(&name("MovesS"), attended);
    world.set_in_marketo(&name("Both"), "Registered");
    world.change_in_salesforce(&name("Both"), attended);
    world.set_in_marketo(&name("LeavesM"), "Not in Program");
    world.remove_in_salesforce(&name("LeavesS"));
    let converted = world.lead_named(&name("Converted"));
    world.emulators.salesforce.with(|org| org.convert_lead(converted).unwrap());
    let gone = world.marketo_id(&name("GoneM")).unwrap();
    world.emulators.marketo.with(|marketo| marketo.delete_person(gone).unwrap());
    world.delete_in_salesforce(world.lead_named(&name("GoneS")));
    world.marketo_person_with(&name("MergedMAgain"), &format!("again{round}@people.example"));
    world.merge_in_marketo(&name("MergedM"), &name("MergedMAgain"));
    world.lead_with(&name("MergedSAgain"), &format!("other{round}@people.example"));
    world.merge_leads(&name("MergedS"), &name("MergedSAgain"));
}

fn fall_silent(world: &World) {
    world.emulators.marketo.with(|marketo| marketo.options.webhook_mishaps.drop_per_mille = 1000);
    world.emulators.salesforce.set_webhooks(Webhooks::default());
}

impl Running {
    /// The service of this round dies at a point of a comparison; another one goes on.
    async fn dies_comparing(self, launch: &crate::support::Launch, point: &str) -> Self {
        let Self { world, service, mapping, .. } = self;
        drop(service.kill());
        let mut dying = launch.clone().env("CAMPAIGN_SYNC_KILL_AT", point).start().await;
        let api = Api::new(dying.url()).with_key(KEY);
        // Its answer may be lost with it.
        api.post(&format!("mappings/{mapping}/reconcile"), &json!({})).await;
        eventually(&format!("the death at {point}"), SOON, async || dying.has_ended().then_some(())).await;
        drop(dying);
        let service = launch.clone().start().await;
        let api = Api::new(service.url()).with_key(KEY);
        Self { world, service, mapping, api }
    }

    /// Each member is the same on both sides, or says why it is not; and both sides hold nobody else.
    async fn equal_or_explained(&self) {
        let members = self.members().await;
        let members = members["data"].as_array().unwrap();
        let count = |side: &str| members.iter().filter(|member| !member[side].is_null()).count();
        let held = |side: super::world::Side| side.values().map(Vec::len).sum::<usize>();
        assert_eq!(count("marketo_status"), held(self.world.in_marketo()), "{members:#?}");
        assert_eq!(count("salesforce_status"), held(self.world.in_salesforce()), "{members:#?}");
        for member in members {
            match member["sync_state"].as_str().unwrap() {
                "in_sync" => assert_eq!(member["marketo_status"], member["salesforce_status"], "{member:#}"),
                _ => assert!(member["reason"].is_string(), "{member:#}"),
            }
        }
        let (mut marketo, mut salesforce) = (self.world.in_marketo(), self.world.in_salesforce());
        let reasons: std::collections::BTreeSet<&str> =
            members.iter().filter_map(|member| member["reason"].as_str()).collect();
        for round in 0..ROUNDS {
            // Deleted in Salesforce alone: parked until somebody undeletes or removes.
            for side in [&mut marketo, &mut salesforce] {
                side.remove(&named(round, "GoneS"));
            }
        }
        assert_eq!((marketo, reasons), (salesforce, ["person_deleted"].into()), "{members:#?}");
    }
}

on_both! {
    async fn two_weeks_end_equal_or_explained(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(20);
        cast(&world);
        // The vendors' clock runs ahead of ours, and signs with its time.
        let launch = world.launch(&database).set("webhooks.tolerance", "30d").set("sync.lease", "1s");
        // Sessions end as weeks go by, and a client learns of it by a call.
        world.excused.add(&["dead_tokens"]);
        let mut running = Running::launch(world, launch.clone()).await;
        let mut attended = "Attended";
        for (round, death) in DEATHS.iter().enumerate() {
            if HEARD.contains(&round) {
                running.world.send_webhooks_to(running.service.url());
            } else {
                fall_silent(&running.world);
            }
            if [3, 5].contains(&round) {
                let new = if round == 3 { "Was there" } else { "Attended" };
                running.world.rename_campaign_status(attended, new);
                attended = new;
            }
            act(&running.world, round, attended);
            running.world.emulators.clock.advance(2 * DAYS);
            if let Some(point) = death {
                running = running.dies_comparing(&launch, point).await;
            }
            running.settle().await;
            running.reconcile().await;
        }
        assert!(running.world.emulators.clock.offset_seconds() >= 14 * DAYS);
        running.settle().await;
        running.reconcile().await;
        let writes = running.world.writes();
        running.reconcile().await;
        running.settle().await;
        assert_eq!(running.world.writes(), writes, "written though nothing changed");
        running.equal_or_explained().await;
        let received = running.ledger_is_recounted(&Tables::open(&database.url).await, true).await;
        assert!(received > 30, "{received}");
        for (who, last) in [("MovesM", "Attended"), ("MovesS", "Attended"), ("Both", "Attended"), ("JoinsM", "Registered"), ("JoinsS", "Registered")] {
            // While the campaign calls it otherwise, what sales chose has no translation, and loses where both have chosen.
            for round in (0..ROUNDS).filter(|round| who != "Both" || ![3, 4].contains(round)) {
                let wanted = vec![last.to_owned()];
                assert_eq!(running.world.in_salesforce().get(&named(round, who)), Some(&wanted), "{who} of round {round}");
            }
        }
        let misuse = running.world.emulators.salesforce.with(|org| org.counters.misuse.coerced_statuses);
        assert_eq!(misuse, 0);
        let leads: Vec<Value> = (0..ROUNDS).map(|round| json!(running.world.leads(&named(round, "JoinsM")))).collect();
        assert!(leads.iter().all(|n| *n == json!(1)), "a lead twice: {leads:?}");
    }
}
