//! When webhooks fail: every one of them lost, and both sides come together all the same, by polls, and by comparing on a schedule.

use std::collections::BTreeSet;

use campaign_sync::sandbox::salesforce::Webhooks;
use serde_json::{Value, json};

use crate::support::{Api, Launch, Tables, TestDatabase, eventually, on_both};

use super::running::Running;
use super::storm::calm_only;
use super::world::{KEY, SOON, World};

impl World {
    /// Neither vendor calls us any more: trigger campaigns switched off for being idle, callouts that fail.
    pub fn fall_silent(&self) {
        self.emulators.marketo.with(|world| world.campaigns.clear());
        self.emulators.salesforce.set_webhooks(Webhooks::default());
    }

    /// A service that looks for changes all the time, and has the calls for it: polls take a fifth of those that are left of a day.
    pub fn polled(&self, database: &TestDatabase) -> Launch {
        self.emulators.salesforce.with(|org| org.options.daily_calls = 1_000_000_000);
        self.emulators.marketo.with(|world| world.options.daily_quota = None);
        self.launch(database).set("sync.poll_interval", "200ms").set("limits.marketo.daily_calls", "1000000000")
    }
}

/// Waits until every log was read to its end once, from when on it is known what is new.
async fn places(tables: &Tables) {
    eventually("a place in every log", SOON, async || {
        let read = tables.texts("SELECT name FROM polls WHERE covered_at IS NOT NULL AND name <> 'maintenance'").await;
        (read.len() == 9).then_some(())
    })
    .await;
}

/// Runs of a kind that the mapping has had.
async fn runs_of(running: &Running, kind: &str) -> usize {
    let runs = running.api.get(&format!("mappings/{}/runs?limit=500", running.mapping)).await.expect(200).json();
    runs["data"].as_array().unwrap().iter().filter(|run| run["kind"] == kind).count()
}

/// What was asked of the vendors so far, by endpoint.
async fn asked(running: &Running) -> BTreeSet<(String, u64)> {
    let text = running.api.get("/metrics").await.expect(200).text;
    let calls = text.lines().filter(|line| line.starts_with("campaign_sync_vendor_calls_total{"));
    let read = |line: &str| {
        let endpoint = line.split("endpoint=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        (endpoint, line.rsplit(' ').next().unwrap().parse().unwrap())
    };
    calls.map(read).collect()
}

on_both! {
    async fn with_every_webhook_lost_polls_bring_both_sides_together(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(12);
        world.agreed(&[
            ("MovesM", "Invited"), ("LeavesM", "Invited"), ("MovesS", "Invited"), ("LeavesS", "Invited"), ("Converted", "Invited"),
            ("GoneM", "Registered"), ("GoneS", "Registered"),
        ]);
        let launch = world.polled(&database);
        let running = Running::launch(world, launch).await;
        running.world.fall_silent();
        places(&Tables::open(&database.url).await).await;
        let world = &running.world;
        world.marketo_person("JoinsM");
        world.set_in_marketo("JoinsM", "Invited");
        world.set_in_marketo("MovesM", "Attended");
        world.set_in_marketo("LeavesM", "Not in Program");
        world.add_in_salesforce(world.lead("JoinsS"), "Invited");
        world.change_in_salesforce("MovesS", "Attended");
        world.remove_in_salesforce("LeavesS");
        let converted = world.lead_named("Converted");
        world.emulators.salesforce.with(|org| org.convert_lead(converted).unwrap());
        let gone = world.marketo_id("GoneM").unwrap();
        world.emulators.marketo.with(|m| m.delete_person(gone).unwrap());
        world.delete_in_salesforce(world.lead_named("GoneS"));
        for (name, status) in [
            ("JoinsM", Some("Invited")), ("MovesM", Some("Attended")), ("LeavesM", None),
            ("JoinsS", Some("Invited")), ("MovesS", Some("Attended")), ("LeavesS", None), ("GoneM", None),
        ] {
            let wanted = status.map(|status| vec![status.to_owned()]);
            eventually(name, SOON, async || {
                let (m, s) = (world.in_marketo(), world.in_salesforce());
                (m.get(name) == wanted.as_ref() && s.get(name) == wanted.as_ref()).then_some(())
            }).await;
        }
        eventually("the converted and the deleted", SOON, async || {
            let (converted, gone) = (running.member("Converted").await, running.member("GoneS").await);
            (converted["person"]["salesforce_type"] == "Contact" && gone["reason"] == "person_deleted").then_some(())
        }).await;
        running.settle().await;
        assert_eq!(runs_of(&running, "reconciliation").await, 0, "compared, not polled");
        for (name, told) in [
            ("JoinsM", "- Invited marketo write"), ("MovesM", "Invited Attended marketo write"), ("LeavesM", "Invited - marketo write"),
            ("JoinsS", "- Invited salesforce poll"), ("MovesS", "Invited Attended salesforce poll"), ("LeavesS", "Invited - salesforce poll"),
            ("GoneM", "Registered - marketo write"), ("GoneS", "Registered - salesforce poll"),
        ] {
            assert_eq!(running.events_of(name).await, [told], "{name}");
        }
        assert_eq!(running.all_events().await.len(), 8, "others were told of");
        let changes = running.api.get("changes?limit=500").await.expect(200).json();
        let sources: BTreeSet<&str> = changes["data"].as_array().unwrap().iter().map(|c| c["source"].as_str().unwrap()).collect();
        assert!(sources.is_subset(&["marketo_poll", "salesforce_poll", "policy"].into()), "{sources:?}");
        running.ledger_balances().await;
        let writes = world.writes();
        running.reconcile().await;
        assert_eq!(world.writes(), writes, "comparing found what polls had not");
        let stats = running.api.get("stats").await.expect(200).json();
        assert_eq!((&stats["vendors"]["marketo"]["last_event_at"], &stats["vendors"]["salesforce"]["silent"]), (&Value::Null, &json!(false)));
    }

    async fn who_is_merged_or_deleted_unheard_is_found_by_polls(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(12);
        world.agreed(&[("Main", "Registered"), ("Whole", "Registered")]);
        let launch = world.polled(&database);
        let running = Running::launch(world, launch).await;
        running.world.fall_silent();
        places(&Tables::open(&database.url).await).await;
        let world = &running.world;
        // Second records that were never members, merged into those that are: whoever they were, nobody is told of it.
        world.marketo_person_with("MainAgain", "other@people.example");
        world.merge_in_marketo("MainAgain", "Main");
        world.lead_with("WholeAgain", "another@people.example");
        world.merge_leads("WholeAgain", "Whole");
        let winner = world.marketo_id("MainAgain").unwrap();
        let lead = world.lead_named("WholeAgain");
        eventually("the winners", SOON, async || {
            let members = running.members().await;
            let members = members["data"].as_array().unwrap();
            let known = |field: &str, id: Value| members.iter().any(|member| member["person"][field] == id);
            (known("marketo_id", json!(winner)) && known("salesforce_id", json!(lead))).then_some(())
        }).await;
        running.settle().await;
        assert_eq!(runs_of(&running, "reconciliation").await, 0, "compared, not polled");
        assert!(running.all_events().await.is_empty(), "{:#?}", running.all_events().await);
        let writes = world.writes();
        running.reconcile().await;
        assert_eq!(world.writes(), writes);
        assert_eq!((world.in_marketo().len(), world.in_salesforce().len()), (14, 14));
    }

    async fn killed_between_a_page_and_its_place(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(12);
        let names: Vec<String> = (0..4).map(|round| format!("Round{round}")).collect();
        let people: Vec<_> = names.iter().flat_map(|name| [(format!("{name}M"), "Invited"), (format!("{name}S"), "Invited")]).collect();
        world.agreed(&people.iter().map(|(name, status)| (name.as_str(), *status)).collect::<Vec<_>>());
        let launch = world.polled(&database).set("sync.lease", "1s");
        let mut running = Running::launch(world, launch.clone()).await;
        running.world.fall_silent();
        let tables = Tables::open(&database.url).await;
        places(&tables).await;
        for (round, name) in names.iter().enumerate() {
            let Running { world, service, mapping, .. } = running;
            service.terminate().await;
            world.set_in_marketo(&format!("{name}M"), "Attended");
            world.change_in_salesforce(&format!("{name}S"), "Attended");
            // A different page each time.
            let mut dying = launch.clone().env("CAMPAIGN_SYNC_KILL_AT", &format!("polled:{}", round * 2)).start().await;
            eventually("the death", SOON, async || dying.has_ended().then_some(())).await;
            drop(dying);
            let service = launch.clone().start().await;
            let api = Api::new(service.url()).with_key(KEY);
            running = Running { world, service, mapping, api };
            for person in [format!("{name}M"), format!("{name}S")] {
                running.both_have(&person, Some("Attended")).await;
            }
        }
        running.settle().await;
        for name in &names {
            assert_eq!(running.transitions_of(&format!("{name}M")).await, ["Invited Attended"]);
            assert_eq!(running.events_of(&format!("{name}S")).await, ["Invited Attended salesforce poll"]);
        }
        assert_eq!(runs_of(&running, "reconciliation").await, 0);
        running.ledger_balances().await;
    }

    async fn a_place_that_is_lost_is_made_good_by_comparing(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(12);
        world.agreed(&[("InMarketo", "Invited"), ("InSalesforce", "Invited")]);
        let launch = world.polled(&database);
        let running = Running::launch(world, launch.clone()).await;
        running.world.fall_silent();
        let tables = Tables::open(&database.url).await;
        places(&tables).await;
        let Running { world, service, mapping, .. } = running;
        service.terminate().await;
        // While nobody looks: Marketo gives out other tokens, and Salesforce's recycle bin has been emptied for weeks.
        world.set_in_marketo("InMarketo", "Attended");
        world.change_in_salesforce("InSalesforce", "Attended");
        tables.execute("UPDATE polls SET place = '{\"next\":\"ABC=\",\"then\":\"ABC=\"}' WHERE name = 'marketo_activities'").await;
        tables.execute("UPDATE polls SET covered_at = covered_at - 16 * 86400000 WHERE name = 'salesforce_members'").await;
        let service = launch.start().await;
        let api = Api::new(service.url()).with_key(KEY);
        let running = Running { world, service, mapping, api };
        for name in ["InMarketo", "InSalesforce"] {
            running.both_have(name, Some("Attended")).await;
        }
        eventually("a comparison", SOON, async || (runs_of(&running, "reconciliation").await > 0).then_some(())).await;
        running.runs_end().await;
        running.settle().await;
        let lost = tables.texts("SELECT target FROM audit WHERE action = 'poll.place_lost' ORDER BY target").await;
        assert_eq!(lost, ["marketo_activities", "salesforce_members"]);
        for name in ["InMarketo", "InSalesforce"] {
            assert_eq!(running.transitions_of(name).await, ["Invited Attended"], "{name}");
        }
        // The logs are read on from new places.
        running.world.set_in_marketo("InSalesforce", "Attended");
        running.world.change_in_salesforce("Bystander0", "Attended");
        running.both_have("Bystander0", Some("Attended")).await;
        running.settle().await;
        assert_eq!(running.events_of("Bystander0").await, ["Registered Attended salesforce poll"]);
    }

    async fn a_quiet_system_asks_for_changes_and_nothing_else(database: TestDatabase) {
        calm_only!("counts calls");
        let world = World::new().await;
        world.bystanders(12);
        let service = world.polled(&database).start().await;
        let tables = Tables::open(&database.url).await;
        // Nobody is mapped: the logs are due again and again, and nobody is asked.
        eventually("idle rounds", SOON, async || {
            let looked = tables.texts("SELECT name FROM polls WHERE fence >= 3 AND name <> 'maintenance'").await;
            (looked.len() == 9).then_some(())
        }).await;
        let launch = world.polled(&database);
        let api = Api::new(service.url()).with_key(KEY);
        let running = Running { world, service, api, mapping: String::new() };
        assert!(asked(&running).await.is_empty(), "{:?}", asked(&running).await);
        let Running { world, service, .. } = running;
        service.terminate().await;
        let running = Running::launch(world, launch).await;
        running.world.fall_silent();
        places(&tables).await;
        running.settle().await;
        // What happened within the overlap before the mapping was made is looked at once.
        let seen = running.api.get("changes?limit=500").await.expect(200).json();
        let before = asked(&running).await;
        let polls = |calls: &BTreeSet<(String, u64)>| calls.iter().filter(|(endpoint, _)| endpoint == "changed_members").map(|(_, n)| n).sum::<u64>();
        eventually("more polls", SOON, async || (polls(&asked(&running).await) > polls(&before) + 10).then_some(())).await;
        let after = asked(&running).await;
        let more: BTreeSet<&str> = after.difference(&before).map(|(endpoint, _)| endpoint.as_str()).collect();
        assert!(more.is_subset(&["activities", "deleted_leads", "changed_members", "changed_campaigns", "departed_people", "deleted"].into()), "{more:?}");
        assert_eq!(running.world.writes(), (0, 0));
        let changes = running.api.get("changes?limit=500").await.expect(200).json();
        assert_eq!(changes, seen, "what was seen became work again");
    }

    async fn without_polls_each_mapping_is_compared_within_the_interval(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(12);
        world.agreed(&[("InMarketo", "Invited"), ("InSalesforce", "Invited"), ("Leaves", "Invited")]);
        let launch = world.launch(&database).set("sync.reconcile_interval", "3s");
        let running = Running::launch(world, launch).await;
        running.world.fall_silent();
        running.world.set_in_marketo("InMarketo", "Attended");
        running.world.change_in_salesforce("InSalesforce", "Attended");
        running.world.remove_in_salesforce("Leaves");
        running.both_have("InMarketo", Some("Attended")).await;
        running.both_have("InSalesforce", Some("Attended")).await;
        running.both_have("Leaves", None).await;
        eventually("the events", SOON, async || (running.all_events().await.len() == 3).then_some(())).await;
        assert_eq!(running.events_of("InSalesforce").await, ["Invited Attended salesforce reconciliation"]);
        assert_eq!(running.events_of("Leaves").await, ["Invited - salesforce reconciliation"]);
        let before = runs_of(&running, "reconciliation").await;
        let writes = running.world.writes();
        eventually("further comparisons", SOON, async || (runs_of(&running, "reconciliation").await > before + 1).then_some(())).await;
        assert_eq!(running.world.writes(), writes, "written though nothing changed");
    }
}
