//! How people are found on the other side, and made there: by a key of ours, with what a lead must have; and who cannot be found out
//! about.

use campaign_sync::sandbox::fault::{Action, Fault, Vendor};
use campaign_sync::sandbox::marketo::NewPerson;
use campaign_sync::sandbox::salesforce::{Cell, Object, Webhooks};
use serde_json::json;

use crate::support::{eventually, on_both};

use super::running::Running;
use super::world::{SOON, World, address};

const KEY: &str = "Sync_Key__c";

impl World {
    /// A field of the living lead with this last name.
    fn field_of(&self, name: &str, field: &str) -> String {
        let lead = self.lead_named(name);
        self.emulators.salesforce.with(|org| org.row(lead).unwrap().text_of(field).to_owned())
    }
}

impl Running {
    async fn is_in_salesforce(&self, name: &str, status: &str) {
        eventually(name, SOON, async || (self.world.in_salesforce().get(name)? == &[status.to_owned()]).then_some(()))
            .await;
    }
}

on_both! {
    async fn a_configured_external_id_links_people_and_makes_creating_an_upsert(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        world.set_options(|options| options.person_external_id_field = KEY.to_owned());
        // Known by the key alone: neither address nor ids say so.
        let known = world.marketo_person_with("Known", "new@people.example");
        let lead = world.lead_with("KnownThere", "old@people.example");
        let fields = json!({KEY: known.to_string()}).as_object().unwrap().clone();
        world.emulators.salesforce.with(|org| org.update(&org.as_person(), lead, &fields).unwrap());
        let launch = world.launch(&database).set("salesforce.person_external_id_field", KEY);
        let running = Running::launch(world, launch).await;
        let world = &running.world;
        world.set_in_marketo("Known", "Registered");
        running.is_in_salesforce("KnownThere", "Registered").await;
        assert_eq!(world.leads("Known"), 0, "a second lead was made");

        // The answer is lost, and whoever asks again makes no second lead.
        let fresh = world.marketo_person("Fresh");
        let path = format!("/composite/sobjects/Lead/{KEY}");
        let lost = Fault::next(Vendor::Salesforce, &path, Action::AppliedButLost);
        world.emulators.faults.add(lost);
        world.set_in_marketo("Fresh", "Registered");
        running.is_in_salesforce("Fresh", "Registered").await;
        running.settle().await;
        assert!(world.emulators.faults.waiting().is_empty(), "leads were not made by the key");
        assert_eq!((world.leads("Fresh"), world.field_of("Fresh", KEY)), (1, fresh.to_string()));
        assert_eq!(running.transitions_of("Fresh").await, ["- Registered"]);
        let keyed = world.emulators.salesforce.with(|org| org.find(Object::Lead, "Email", &Cell::text(&address("Fresh"))).count());
        assert_eq!(keyed, 1);
    }

    async fn a_lead_without_a_company_gets_the_configured_one(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        let fields = json!({"lastName": "Alone", "email": address("Alone")}).as_object().unwrap().clone().into_iter().collect();
        world.emulators.marketo.with(|m| m.add_person(NewPerson { id: None, fields }));
        world.marketo_person("Employed");
        let launch = world.launch(&database).set("sync.lead_company", "(no company)");
        let running = Running::launch(world, launch).await;
        for name in ["Alone", "Employed"] {
            running.world.set_in_marketo(name, "Registered");
            running.both_have(name, Some("Registered")).await;
        }
        let companies = ["Alone", "Employed"].map(|name| running.world.field_of(name, "Company"));
        assert_eq!(companies, ["(no company)", "Acme"]);
        running.at_rest().await;
    }

    async fn who_cannot_be_found_out_about_fails_until_a_comparison_finds_them(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        world.agreed(&[("Chain", "Registered")]);
        let launch = world.launch(&database).set("sync.max_attempts", "2");
        let running = Running::launch(world, launch).await;
        let world = &running.world;
        // Merged seven times before anybody looks: more than is followed at once.
        world.emulators.salesforce.set_webhooks(Webhooks::default());
        let mut loser = "Chain".to_owned();
        for n in 1..=7 {
            let winner = format!("Chain{n}");
            world.lead(&winner);
            world.merge_leads(&winner, &loser);
            loser = winner;
        }
        let writes = world.writes();
        world.set_in_marketo("Chain", "Attended");
        running.has_state("Chain", "failed", "unreadable").await;
        running.settle().await;
        let held = running.api.get("changes?limit=500").await.expect(200).json();
        let given_up = |change: &&serde_json::Value| change["reason"] == "unreadable" && change["state"] == "discarded";
        assert_eq!(held["data"].as_array().unwrap().iter().filter(given_up).count(), 1, "{held:#}");
        assert_eq!(world.writes(), writes, "written without knowing");
        running.reconcile().await;
        running.is_in_salesforce("Chain7", "Attended").await;
        running.comes_to_rest().await;
        let member = running.member("Chain").await;
        assert_eq!((&member["sync_state"], &member["person"]["salesforce_id"]), (&json!("in_sync"), &json!(world.lead_named("Chain7"))));
        assert_eq!(world.leads("Chain"), 0);
        running.ledger_balances().await;
    }
}
