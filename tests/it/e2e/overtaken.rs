//! Edits that come between our read and our write: nothing of what people do is lost without a word.

use campaign_sync::sandbox::fault::{Action, Fault, Vendor};
use serde_json::{Value, json};

use crate::support::{TestDatabase, eventually, on_both};

use super::running::Running;
use super::world::{SOON, World, address};

/// How long a call is held; far more than it takes to act meanwhile, and less than a call may take.
const HELD: u64 = 4_000;

impl Running {
    /// With leases that outlast a call that is held.
    async fn slowly(world: World, database: &TestDatabase, more: &Value) -> Self {
        let launch = world.launch(database).set("sync.lease", "30s");
        Self::launch_mapped(world, launch, more).await
    }

    /// Holds the next such call before it is carried out, and acts meanwhile.
    async fn meanwhile(&self, vendor: Vendor, method: &str, path: &str, cause: impl FnOnce(), act: impl FnOnce()) {
        let fault = Fault { method: Some(method.to_owned()), ..Fault::next(vendor, path, Action::Delay { ms: HELD }) };
        self.world.emulators.faults.add(fault);
        // Salesforce's times have a resolution of a second.
        self.world.emulators.clock.advance(2);
        cause();
        let is_met = async || self.world.emulators.faults.waiting().is_empty().then_some(());
        eventually("the call to be held", SOON, is_met).await;
        act();
    }
}

on_both! {
    async fn an_edit_that_our_write_overtook_is_decided_as_if_it_had_been_read(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        world.agreed(&[("Further", "Invited"), ("Nearer", "Invited"), ("Removed", "Invited")]);
        let running = Running::slowly(world, &database, &json!({})).await;
        let world = &running.world;
        let edits = |name: &'static str, status: &'static str| move || world.change_in_salesforce(name, status);
        running.meanwhile(Vendor::Salesforce, "PATCH", "/composite/sobjects", || world.set_in_marketo("Further", "Registered"), edits("Further", "Attended")).await;
        running.both_have("Further", Some("Attended")).await;
        running.meanwhile(Vendor::Salesforce, "PATCH", "/composite/sobjects", || world.set_in_marketo("Nearer", "Attended"), edits("Nearer", "Registered")).await;
        running.both_have("Nearer", Some("Attended")).await;
        running.meanwhile(Vendor::Salesforce, "DELETE", "/composite/sobjects", || world.set_in_marketo("Removed", "Not in Program"), edits("Removed", "Registered")).await;
        running.both_have("Removed", Some("Registered")).await;
        running.at_rest().await;
        for (name, status, now, brought_back) in [("Further", "Attended", json!("Registered"), true), ("Nearer", "Registered", json!("Attended"), false), ("Removed", "Registered", Value::Null, true)] {
            eventually("the note", SOON, async || (!running.noted(name, "overwritten").await.is_empty()).then_some(())).await;
            let notes = running.noted(name, "overwritten").await;
            assert_eq!(notes.len(), 1, "{notes:#?}");
            assert_eq!((&notes[0]["status"], &notes[0]["brought_back"]), (&json!(status), &json!(brought_back)), "{name}");
            assert!(brought_back || notes[0]["now"] == now, "{notes:#?}");
            assert!(notes[0]["by"].as_str().unwrap().starts_with("005"));
            assert_eq!(running.member(name).await["sync_state"], "in_sync", "{name}");
        }
        assert_eq!(running.transitions_of("Nearer").await, ["Invited Attended"]);
        assert_eq!(running.transitions_of("Further").await, ["Invited Registered", "Registered Attended"]);
        running.ledger_balances().await;
    }

    async fn who_is_a_member_already_or_further_already_is_read_again(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        // Somebody is faster between our read and our write.
        world.excused.add(&["duplicate_members"]);
        world.agreed(&[("Past", "Invited")]);
        world.marketo_person("There");
        let lead = world.lead("There");
        let running = Running::slowly(world, &database, &json!({})).await;
        let world = &running.world;
        let duplicates = || world.emulators.salesforce.with(|org| org.counters.errors.get("DUPLICATE_VALUE").copied());
        running.meanwhile(Vendor::Salesforce, "POST", "/composite/sobjects", || world.set_in_marketo("There", "Registered"), || _ = world.add_in_salesforce(lead, "Attended")).await;
        running.both_have("There", Some("Attended")).await;
        assert_eq!(duplicates(), Some(1));
        let past = || world.emulators.marketo.with(|world| world.police.skipped_by_code.get("1037").copied());
        assert_eq!(past(), None);
        running.meanwhile(Vendor::Marketo, "POST", "/members/status.json", || world.change_in_salesforce("Past", "Registered"), || world.set_in_marketo("Past", "Attended")).await;
        running.both_have("Past", Some("Attended")).await;
        assert_eq!(past(), Some(1));
        running.at_rest().await;
        assert_eq!(running.transitions_of("There").await, ["- Attended"]);
        assert_eq!(running.transitions_of("Past").await, ["Invited Registered", "Registered Attended"]);
    }

    async fn a_status_that_salesforce_put_in_place_of_ours_is_found_and_not_fought(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        // The status is taken away between our read and our write.
        world.excused.add(&["coerced_statuses"]);
        world.marketo_person("Coerced");
        world.lead("Coerced");
        let running = Running::slowly(world, &database, &json!({})).await;
        let world = &running.world;
        let take_away = || world.rename_campaign_status("Attended", "Was there");
        running.meanwhile(Vendor::Salesforce, "POST", "/composite/sobjects", || world.set_in_marketo("Coerced", "Attended"), take_away).await;
        let held = async || (running.member("Coerced").await["reason"] == "incompatible_status").then_some(());
        eventually("the member to be parked", SOON, held).await;
        running.settle().await;
        let coerced = || world.emulators.salesforce.with(|org| org.counters.misuse.coerced_statuses);
        assert_eq!(coerced(), 1);
        // Recorded as it is, told as it is, and left so.
        let member = running.member("Coerced").await;
        assert_eq!((&member["marketo_status"], &member["salesforce_status"]), (&json!("Attended"), &json!("Invited")), "{}", address("Coerced"));
        assert_eq!(running.transitions_of("Coerced").await, ["- Invited"]);
        running.reconcile().await;
        running.reconcile().await;
        assert_eq!((coerced(), &*world.in_marketo()["Coerced"]), (1, &["Attended".to_owned()][..]));
    }
}
