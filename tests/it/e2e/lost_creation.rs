//! Calls that were to make somebody and whose answers are lost, with people of one address around: who is who does not depend on which
//! call failed.

use campaign_sync::sandbox::fault::{Action, Vendor};
use serde_json::{Value, json};

use crate::support::{TestDatabase, eventually, on_both};

use super::running::Running;
use super::storm::calm_only;
use super::world::{SOON, World, address};

const FAMILY: &str = "family@people.example";

impl Running {
    /// A service that tries again after two leases what has failed, so that others come first.
    async fn in_no_hurry(database: &TestDatabase) -> Running {
        let world = World::new().await;
        world.bystanders(8);
        let launch = world.launch(database).set("sync.lease", "10s");
        let launch = launch.set("sync.retry_base", "1h").set("sync.retry_cap", "1h");
        Running::launch(world, launch).await
    }

    /// How somebody with this id of a side stands, once it is so.
    async fn comes_to(&self, side: &str, id: Value, state: &str, reason: Value) {
        let mut last = Value::Null;
        let stands = async || {
            let members = self.members().await;
            let member = members["data"].as_array().unwrap().iter().find(|m| m["person"][side] == id)?;
            last = json!([member["sync_state"], member["reason"]]);
            (last == json!([state, reason])).then_some(())
        };
        let within = tokio::time::timeout(SOON, eventually("the member", SOON * 2, stands)).await;
        assert!(within.is_ok(), "{side} {id} is {last}, not {state} {reason}");
    }

    async fn faults_are_met(&self) {
        let faults = &self.world.emulators.faults;
        eventually("the faults to be met", SOON, async || faults.waiting().is_empty().then_some(())).await;
    }
}

on_both! {
    async fn a_lead_is_theirs_for_whom_it_was_made_whoever_comes_next(database: TestDatabase) {
        calm_only!("chooses which call fails");
        let running = Running::in_no_hurry(&database).await;
        let world = &running.world;
        let [first, second] = ["First", "Second"].map(|name| world.marketo_person_with(name, FAMILY));
        running.fault(Vendor::Salesforce, "POST", "/composite/sobjects", 1, Action::AppliedButLost);
        world.set_in_marketo("First", "Registered");
        running.faults_are_met().await;
        running.comes_to("marketo_id", json!(first), "pending", json!("retrying")).await;
        assert_eq!(world.leads("First"), 1);

        world.set_in_marketo("Second", "Attended");
        running.comes_to("marketo_id", json!(second), "parked", json!("ambiguous_person")).await;
        running.comes_to("marketo_id", json!(first), "in_sync", Value::Null).await;
        running.settle().await;
        assert_eq!(world.in_salesforce()["First"], ["Registered"]);
        assert_eq!((world.leads("First"), world.leads("Second")), (1, 0));
        running.comes_to("marketo_id", json!(second), "parked", json!("ambiguous_person")).await;
        assert_eq!(running.transitions_of("First").await, ["- Registered"]);
    }

    async fn the_second_of_two_with_one_address_is_ambiguous_whichever_call_fails(database: TestDatabase) {
        let running = Running::new(&database).await;
        let world = &running.world;
        for (n, fault) in [Action::Drop, Action::AppliedButLost, Action::Truncate { bytes: 10 }].into_iter().enumerate() {
            let (first, second, email) = (format!("First{n}"), format!("Second{n}"), address(&format!("shared{n}")));
            let [one, two] = [&first, &second].map(|name| world.marketo_person_with(name, &email));
            world.set_in_marketo(&first, "Registered");
            running.comes_to("marketo_id", json!(one), "in_sync", Value::Null).await;
            running.settle().await;
            // The lead of the first is younger than the intent by the clocks that vendors may have.
            running.fault(Vendor::Salesforce, "POST", "/composite/sobjects", 1, fault.clone());
            world.set_in_marketo(&second, "Registered");
            running.faults_are_met().await;
            running.comes_to("marketo_id", json!(two), "parked", json!("ambiguous_person")).await;
            assert_eq!((world.leads(&first), world.leads(&second)), (1, 0), "{fault:?}");
        }
        running.comes_to_rest().await;
    }

    async fn a_person_is_theirs_for_whom_it_was_made_whoever_comes_next(database: TestDatabase) {
        calm_only!("chooses which call fails");
        let running = Running::in_no_hurry(&database).await;
        let world = &running.world;
        let [first, second] = ["First", "Second"].map(|name| world.lead_with(name, FAMILY));
        running.fault(Vendor::Marketo, "POST", "/rest/v1/leads.json", 1, Action::AppliedButLost);
        world.add_in_salesforce(first, "Registered");
        running.faults_are_met().await;
        running.comes_to("salesforce_id", json!(first), "pending", json!("retrying")).await;
        assert_eq!(world.people("First"), 1);

        world.add_in_salesforce(second, "Attended");
        running.comes_to("salesforce_id", json!(second), "parked", json!("second_record")).await;
        running.comes_to("salesforce_id", json!(first), "in_sync", Value::Null).await;
        running.settle().await;
        assert_eq!(world.in_marketo()["First"], ["Registered"]);
        assert_eq!((world.people("First"), world.people("Second")), (1, 0));
    }
}
