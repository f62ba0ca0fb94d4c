//! People who change rather than their statuses: merged, converted, deleted and brought back; and how they are told apart.
//!
//! `first_sync` has those who are hard to tell apart when a mapping is made, `merge_rows` the rows for people who stay as they are.

use campaign_sync::sandbox::marketo::NewPerson;
use campaign_sync::sandbox::salesforce::{Id, Webhooks};
use serde_json::{Value, json};

use crate::support::{Api, Tables, eventually, on_both};

use super::rows::{cast, lines};
use super::running::Running;
use super::storm;
use super::world::{SOON, TOKEN, World, address};

impl World {
    /// These people, agreed on by both sides.
    pub fn agreed(&self, people: &[(&str, &str)]) {
        let table: Vec<_> = people.iter().map(|(who, status)| format!("4|{who}|{status}|- -| | | ")).collect();
        cast(self, &lines(&table.join("\n")));
    }

    pub fn delete_in_salesforce(&self, person: Id) {
        self.emulators.salesforce.with(|org| {
            let actor = org.as_person();
            org.atomically(|org| org.delete(&actor, person)).unwrap();
        });
    }

    /// Merges two leads; the first stays.
    pub fn merge_leads(&self, winner: &str, loser: &str) {
        let (winner, loser) = (self.lead_named(winner), self.lead_named(loser));
        self.emulators.salesforce.with(|org| {
            let actor = org.as_person();
            org.atomically(|org| org.merge(&actor, winner, loser)).unwrap();
        });
    }

    /// Merges two people; the first stays.
    pub fn merge_in_marketo(&self, winner: &str, loser: &str) {
        let (winner, loser) = (self.marketo_id(winner).unwrap(), self.marketo_id(loser).unwrap());
        self.emulators.marketo.with(|world| world.merge(winner, &[loser]).unwrap());
    }
}

impl Running {
    /// The member with the address that the name makes, as the API shows it; null when there is none.
    pub async fn member(&self, name: &str) -> Value {
        let members = self.members().await;
        let found = members["data"].as_array().unwrap().iter().find(|m| m["person"]["email"] == address(name));
        found.cloned().unwrap_or_default()
    }

    /// Reconciled until nothing is written any more; merges and deletions are found by looking, whatever webhook told of them.
    pub async fn comes_to_rest(&self) {
        self.settle().await;
        self.reconcile().await;
        let writes = self.world.writes();
        self.reconcile().await;
        assert_eq!(self.world.writes(), writes, "written though nothing changed");
    }

    /// The guard that waits, with how many it holds.
    pub async fn guard(&self) -> (String, i64) {
        let path = format!("mappings/{}/guards?limit=500", self.mapping);
        let waiting = eventually("a guard", SOON, async || {
            let guards = self.api.get(&path).await.expect(200).json();
            guards["data"].as_array().unwrap().iter().find(|guard| guard["state"] == "waiting").cloned()
        });
        let guard = waiting.await;
        (guard["id"].as_str().unwrap().to_owned(), guard["count"].as_i64().unwrap())
    }
}

on_both! {
    async fn a_converted_lead_is_followed_and_nobody_is_told(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        world.agreed(&[("Converted", "Invited")]);
        let running = Running::start(world, &database).await;
        let lead = running.world.lead_named("Converted");
        running.world.emulators.salesforce.with(|org| org.convert_lead(lead).unwrap());
        running.comes_to_rest().await;
        assert_eq!(running.member("Converted").await["person"]["salesforce_type"], "Contact");
        assert!(running.all_events().await.is_empty());
        assert_eq!(running.world.writes(), (0, 0));
        running.world.change_in_salesforce("Converted", "Registered");
        running.both_have("Converted", Some("Registered")).await;
        running.world.set_in_marketo("Converted", "Attended");
        running.both_have("Converted", Some("Attended")).await;
        running.at_rest().await;
        assert_eq!(running.transitions_of("Converted").await, ["Invited Registered", "Registered Attended"]);
        assert_eq!(running.world.people("Converted"), 1);
    }

    async fn merged_people_become_one_and_the_further_status_counts(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        world.agreed(&[("Whole", "Attended"), ("Other", "Invited"), ("Main", "Registered"), ("First", "Invited"), ("Second", "Registered")]);
        // Salesforce keeps the status of the record that goes, Marketo the further one.
        world.set_options(|options| options.merge_keeps_winner_status = false);
        let running = Running::start(world, &database).await;
        let world = &running.world;
        // A second record of somebody who is there already: on one side each.
        world.add_in_salesforce(world.lead_with("WholeAgain", &address("Whole")), "Invited");
        let again = world.lead_with("OtherAgain", &address("Other"));
        world.add_in_salesforce(again, "Registered");
        world.marketo_person_with("MainAgain", &address("Main"));
        world.set_in_marketo("MainAgain", "Attended");
        running.settle().await;
        let reasons = async || {
            let members = running.members().await;
            let mut held: Vec<_> = members["data"].as_array().unwrap().iter().filter_map(|m| m["reason"].as_str().map(str::to_owned)).collect();
            held.sort();
            held
        };
        eventually("the second records", SOON, async || (reasons().await == ["ambiguous_person", "second_record", "second_record"]).then_some(())).await;

        world.merge_leads("Whole", "WholeAgain");
        world.merge_leads("OtherAgain", "Other");
        world.merge_in_marketo("Main", "MainAgain");
        assert_eq!(world.in_salesforce()["Whole"], ["Invited"], "the merge changed nothing");
        running.comes_to_rest().await;
        let (marketo, salesforce) = (world.in_marketo(), world.in_salesforce());
        for (name, there, status) in [("Whole", "Whole", "Attended"), ("Other", "OtherAgain", "Invited"), ("Main", "Main", "Attended")] {
            assert_eq!((&*marketo[name], &*salesforce[there]), (&[status.to_owned()][..], &[status.to_owned()][..]), "{name}");
            let member = running.member(name).await;
            assert_eq!((&member["sync_state"], &member["reason"]), (&json!("in_sync"), &Value::Null), "{name}: {member:#}");
        }
        assert_eq!(running.member("Other").await["person"]["salesforce_id"], json!(again));
        assert_eq!(reasons().await, [""; 0]);
        let rules = running.rules_of(running.member("Whole").await["id"].as_str().unwrap()).await;
        assert!(rules.contains(&"P3".to_owned()), "{rules:?}");
        assert_eq!((marketo.len(), salesforce.len()), (13, 13));

        // Two whom each side knows as two, merged in Salesforce only: one has no record of its own there, and neither is removed.
        world.merge_leads("First", "Second");
        running.comes_to_rest().await;
        assert_eq!(running.member("Second").await["reason"], "second_record");
        assert!(["First", "Second"].iter().all(|name| world.in_marketo().contains_key(*name)));
        assert_eq!(world.leads("Second"), 0, "a second lead was made");
    }

    async fn two_whom_both_sides_know_and_both_have_merged_become_one(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        world.agreed(&[("Stays", "Invited"), ("Goes", "Attended"), ("Cross", "Registered"), ("Over", "Invited"), ("Late", "Registered"), ("Later", "Invited")]);
        let running = Running::start(world, &database).await;
        let world = &running.world;
        let ids = |marketo: &str, salesforce: &str| (json!(world.marketo_id(marketo)), json!(world.lead_named(salesforce)));
        let (stays, over, late) = (ids("Stays", "Stays"), ids("Over", "Cross"), ids("Late", "Late"));
        let known = async |(marketo, salesforce): &(Value, Value)| {
            let members = running.members().await;
            let is = |m: &&Value| m["person"]["marketo_id"] == *marketo || m["person"]["salesforce_id"] == *salesforce;
            let found: Vec<_> = members["data"].as_array().unwrap().iter().filter(is).cloned().collect();
            assert_eq!(found.len(), 1, "{found:#?}");
            assert_eq!((&found[0]["person"]["marketo_id"], &found[0]["person"]["salesforce_id"]), (marketo, salesforce));
            found[0].clone()
        };
        let set = async |what: &str| running.api.post(&format!("mappings/{}/{what}", running.mapping), &Value::Null).await.expect(200);

        set("pause").await;
        world.merge_leads("Stays", "Goes");
        world.merge_in_marketo("Stays", "Goes");
        // Each side keeps the record of another.
        world.merge_leads("Cross", "Over");
        world.merge_in_marketo("Over", "Cross");
        set("resume").await;
        running.comes_to_rest().await;
        // One side first, and looked at in between.
        world.merge_leads("Late", "Later");
        running.comes_to_rest().await;
        assert_eq!(running.member("Later").await["reason"], "second_record");
        world.merge_in_marketo("Late", "Later");
        running.comes_to_rest().await;

        let (marketo, salesforce) = (world.in_marketo(), world.in_salesforce());
        for (of, there, here, status) in [(&stays, "Stays", "Stays", "Attended"), (&over, "Over", "Cross", "Registered"), (&late, "Late", "Late", "Registered")] {
            assert_eq!((&*marketo[there], &*salesforce[here]), (&[status.to_owned()][..], &[status.to_owned()][..]));
            let member = known(of).await;
            assert_eq!((&member["sync_state"], &member["base"]), (&json!("in_sync"), &json!({"marketo": status, "salesforce": status})));
        }
        assert_eq!((marketo.len(), salesforce.len()), (11, 11), "{marketo:?} {salesforce:?}");
        assert!(["Goes", "Over", "Later"].iter().all(|name| world.leads(name) == 0), "a second lead was made");
        assert!(["Goes", "Cross", "Later"].iter().all(|name| world.people(name) == 0), "somebody was made a second time");
        let rules = running.rules_of(known(&stays).await["id"].as_str().unwrap()).await;
        assert!(rules.contains(&"P3".to_owned()), "{rules:?}");
        for (name, told) in [("Goes", vec!["Attended -"]), ("Stays", vec!["Invited Attended"]), ("Over", vec!["Invited -"]), ("Cross", vec![]), ("Later", vec!["Invited -"]), ("Late", vec![])] {
            assert_eq!(running.transitions_of(name).await, told, "{name}");
        }
        running.ledger_balances().await;
    }

    async fn who_is_deleted_leaves_salesforce_and_is_parked_in_marketo(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        world.agreed(&[("FromMarketo", "Registered"), ("Undeleted", "Registered"), ("Dropped", "Registered"), ("Neither", "Invited"), ("Kept", "Invited")]);
        let running = Running::start(world, &database).await;
        let world = &running.world;
        let mut ids = std::collections::BTreeMap::new();
        for name in ["FromMarketo", "Undeleted", "Neither", "Kept"] {
            ids.insert(name, running.member(name).await["id"].as_str().unwrap().to_owned());
        }
        let gone = |name: &str| world.emulators.marketo.with(|m| m.delete_person(m.people.find("email", &address(name))[0]).unwrap());
        let undeleted = world.lead_named("Undeleted");
        gone("FromMarketo");
        world.delete_in_salesforce(undeleted);
        world.delete_in_salesforce(world.lead_named("Dropped"));
        world.delete_in_salesforce(world.lead_named("Neither"));
        gone("Neither");
        running.comes_to_rest().await;
        assert!(!world.in_salesforce().contains_key("FromMarketo"));
        assert_eq!(world.leads("FromMarketo"), 1, "the lead was deleted too");
        assert_eq!(running.transitions_of("FromMarketo").await, ["Registered -"]);
        for name in ["Undeleted", "Dropped"] {
            let member = running.member(name).await;
            assert_eq!((&member["reason"], &member["base"]), (&json!("person_deleted"), &json!({"marketo": "Registered", "salesforce": null})), "{name}");
            assert_eq!((world.leads(name), &*world.in_marketo()[name]), (0, &["Registered".to_owned()][..]));
            assert_eq!(running.transitions_of(name).await, ["Registered -"], "{name}");
        }
        assert_eq!(running.member("Neither").await, Value::Null, "closed");
        for (name, rule) in [("FromMarketo", "P4"), ("Undeleted", "P5"), ("Neither", "P6")] {
            let rules = running.rules_of(&ids[name]).await;
            assert!(rules.iter().any(|decided| decided == rule), "{name}: {rules:?}");
        }
        world.emulators.salesforce.with(|org| org.undelete(&org.as_person(), undeleted).unwrap());
        world.set_in_marketo("Dropped", "Not in Program");
        running.comes_to_rest().await;
        running.both_have("Undeleted", Some("Registered")).await;
        assert_eq!(running.member("Undeleted").await["sync_state"], "in_sync");
        assert_eq!(running.member("Dropped").await, Value::Null, "closed");
        assert_eq!(running.transitions_of("Undeleted").await, ["Registered -", "- Registered"]);

        running.api.patch(&format!("mappings/{}", running.mapping), &json!({"policies": {"removal": "keep"}})).await.expect(200);
        running.runs_end().await;
        gone("Kept");
        running.comes_to_rest().await;
        assert_eq!(running.member("Kept").await["reason"], "kept_apart");
        assert!(running.rules_of(&ids["Kept"]).await.contains(&"P4".to_owned()));
        assert_eq!(world.in_salesforce()["Kept"], ["Invited"]);
        running.ledger_balances().await;
    }

    async fn a_person_is_known_by_ids_before_addresses_and_contacts_before_leads(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        let (lead, contact) = (world.lead("NamedLead"), world.emulators.salesforce.with(|org| org.add_contact("Ada", "NamedContact", "else@people.example").unwrap()));
        let named = |name: &str, ids: Value| {
            let mut fields = json!({"firstName": "Ada", "lastName": name, "company": "Acme", "email": address(name)});
            fields.as_object_mut().unwrap().extend(ids.as_object().unwrap().clone());
            let fields = fields.as_object().unwrap().clone().into_iter().collect();
            world.emulators.marketo.with(|m| m.add_person(NewPerson { id: None, fields }));
        };
        named("ByLead", json!({"sfdcLeadId": lead}));
        let other = world.lead("ByBoth");
        named("ByBoth", json!({"sfdcContactId": contact, "sfdcLeadId": other}));
        world.emulators.salesforce.with(|org| org.add_contact("Ada", "MailContact", &address("ByMail")).unwrap());
        world.lead("ByMail");
        world.marketo_person("ByMail");
        let running = Running::start(world, &database).await;
        for name in ["ByLead", "ByBoth", "ByMail"] {
            running.world.set_in_marketo(name, "Registered");
        }
        eventually("all three", SOON, async || (running.world.in_salesforce().len() == 11).then_some(())).await;
        running.comes_to_rest().await;
        let salesforce = running.world.in_salesforce();
        let found: Vec<_> = salesforce.keys().filter(|name| !name.starts_with("Bystander")).collect();
        assert_eq!(found, ["MailContact", "NamedContact", "NamedLead"]);
        assert_eq!(running.world.in_marketo().len(), 11, "somebody was made a second time");

        // With every webhook lost a change is found by looking, and told of all the same.
        running.world.emulators.salesforce.set_webhooks(Webhooks::default());
        running.world.change_in_salesforce("Bystander0", "Attended");
        running.comes_to_rest().await;
        assert_eq!(running.world.in_marketo()["Bystander0"], ["Attended"]);
        assert_eq!(running.transitions_of("Bystander0").await, ["Registered Attended"]);
        if storm::seed().is_none() {
            assert_eq!(running.events_of("Bystander0").await, ["Registered Attended salesforce reconciliation"]);
        }
    }

    async fn an_announced_deletion_is_looked_at_again(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        world.agreed(&[("Leaving", "Registered")]);
        let running = Running::start(world, &database).await;
        let world = &running.world;
        let person = world.marketo_id("Leaving").unwrap();
        // Nothing tells of the deletion itself.
        world.emulators.marketo.with(|world| world.options.webhook_mishaps.drop_per_mille = 1000);
        let announced = json!({"v": 1, "event": "person.deleting", "leadId": person});
        let hook = Api::new(running.service.url()).with_key(TOKEN);
        assert_eq!(hook.post("/webhooks/marketo", &announced).await.expect(200).json(), json!({"accepted": true, "events": 1}));
        running.settle().await;
        assert!(world.in_salesforce().contains_key("Leaving"));
        world.emulators.marketo.with(|m| m.delete_person(person).unwrap());
        // A minute after the announcement.
        eventually("the second look", SOON, async || (!world.in_salesforce().contains_key("Leaving")).then_some(())).await;
        running.settle().await;
        assert_eq!(running.transitions_of("Leaving").await, ["Registered -"]);
        assert_eq!(world.leads("Leaving"), 1);
    }

    async fn a_deletion_that_takes_its_time_is_found_ten_minutes_after_its_announcement(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        world.agreed(&[("Slow", "Registered")]);
        let running = Running::start(world, &database).await;
        let world = &running.world;
        let tables = Tables::open(&database.url).await;
        let person = world.marketo_id("Slow").unwrap();
        world.emulators.marketo.with(|world| world.options.webhook_mishaps.drop_per_mille = 1000);
        let hook = Api::new(running.service.url()).with_key(TOKEN);
        hook.post("/webhooks/marketo", &json!({"v": 1, "event": "person.deleting", "leadId": person})).await.expect(200);
        running.settle().await;
        let due = async |nth: usize| tables.texts(&format!("SELECT CAST(due_at AS TEXT) FROM later_looks WHERE nth = {nth}")).await;
        let (first, second) = (due(1).await, due(2).await);
        let at = |due: &[String]| due[0].parse::<i64>().unwrap();
        assert_eq!((first.len(), second.len(), at(&second) - at(&first)), (1, 1, 9 * 60_000), "one after a minute, one after ten");
        // Time is moved for each look; at the first the person is still there.
        let looked = async |nth: usize| {
            tables.execute(&format!("UPDATE later_looks SET due_at = 0 WHERE nth = {nth}")).await;
            eventually("the look", SOON, async || due(nth).await.is_empty().then_some(())).await;
            running.settle().await;
        };
        looked(1).await;
        assert!(world.in_salesforce().contains_key("Slow"));
        assert_eq!(due(2).await, second);
        world.emulators.marketo.with(|m| m.delete_person(person).unwrap());
        looked(2).await;
        assert!(!world.in_salesforce().contains_key("Slow"));
        assert_eq!((running.transitions_of("Slow").await, world.leads("Slow")), (vec!["Registered -".to_owned()], 1));
        running.ledger_balances().await;
    }

    async fn a_side_that_reads_as_empty_removes_nobody_unasked(database: TestDatabase) {
        let world = World::new().await;
        world.agreed(&[("One", "Registered"), ("Two", "Registered"), ("Three", "Registered")]);
        let running = Running::start(world, &database).await;
        // One of three is nothing special.
        running.world.set_in_marketo("One", "Not in Program");
        running.both_have("One", None).await;
        // Found at once, by comparing.
        running.world.emulators.marketo.with(|world| world.options.webhook_mishaps.drop_per_mille = 1000);
        for name in ["Two", "Three"] {
            running.world.set_in_marketo(name, "Not in Program");
        }
        running.reconcile().await;
        let (guard, count) = running.guard().await;
        assert_eq!(count, 2);
        running.settle().await;
        assert_eq!(running.world.in_salesforce().len(), 2, "an empty side has emptied the other");
        assert_eq!(running.member("Two").await["reason"], "removal_waiting");
        running.api.post(&format!("guards/{guard}/approve"), &Value::Null).await.expect(200);
        running.both_hold("nobody left", |side| side.is_empty()).await;
    }

    async fn removals_that_wait_are_approved_kept_apart_or_restored(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        world.agreed(&[("Approved", "Registered"), ("Apart", "Registered"), ("Restored", "Registered")]);
        let launch = world.launch(&database).set("sync.removal_guard_members", "0").set("sync.removal_guard_percent", "0");
        let running = Running::launch(world, launch).await;
        for (name, verdict, body) in [("Approved", "approve", json!({})), ("Apart", "discard", json!({})), ("Restored", "discard", json!({"restore": true}))] {
            running.world.set_in_marketo(name, "Not in Program");
            let (guard, count) = running.guard().await;
            assert_eq!(count, 1, "{name}");
            running.settle().await;
            assert_eq!(running.member(name).await["reason"], "removal_waiting");
            assert!(running.world.in_salesforce().contains_key(name));
            running.api.post(&format!("guards/{guard}/{verdict}"), &body).await.expect(200);
            running.settle().await;
        }
        running.comes_to_rest().await;
        let held = |name: &str| (running.world.in_marketo().contains_key(name), running.world.in_salesforce().contains_key(name));
        assert_eq!(["Approved", "Apart", "Restored"].map(held), [(false, false), (false, true), (true, true)]);
        assert_eq!(running.member("Apart").await["reason"], "kept_apart");
        assert_eq!(running.transitions_of("Approved").await, ["Registered -"]);
        assert_eq!(running.transitions_of("Restored").await, [""; 0]);
        running.ledger_balances().await;
    }
}
