//! Second records of one human in Salesforce: what they may take from the first, and what becomes of them.
//!
//! How the first of two records is chosen is `identity`'s, merges that make one person of two are `merge_people`'s.

use campaign_sync::sandbox::salesforce::Webhooks;
use serde_json::json;

use crate::support::{eventually, on_both};

use super::running::Running;
use super::world::{SOON, World};

on_both! {
    async fn who_is_led_to_a_record_past_another_does_not_take_their_place(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        world.agreed(&[("Stays", "Invited"), ("Goes", "Registered")]);
        let running = Running::start(world, &database).await;
        let world = &running.world;
        world.remove_in_salesforce("Goes");
        running.both_have("Goes", None).await;
        running.settle().await;

        // Nobody tells of the merge and the conversion; the one who went is looked at first.
        world.emulators.salesforce.set_webhooks(Webhooks::default());
        let (stays, goes) = (world.marketo_id("Stays"), world.marketo_id("Goes"));
        let lead = world.lead_named("Stays");
        world.merge_leads("Stays", "Goes");
        world.emulators.salesforce.with(|org| org.convert_lead(lead).unwrap());
        world.set_in_marketo("Goes", "Attended");
        let parked = async || (running.member("Goes").await["reason"] == "second_record").then_some(());
        eventually("the second record", SOON, parked).await;

        running.comes_to_rest().await;
        let (first, second) = (running.member("Stays").await, running.member("Goes").await);
        assert_eq!((&first["person"]["marketo_id"], &first["person"]["salesforce_type"]), (&json!(stays), &json!("Contact")));
        assert_eq!((&first["sync_state"], &second["reason"]), (&json!("in_sync"), &json!("second_record")));
        // It is shown what Marketo says of it.
        assert_eq!((&second["person"]["marketo_id"], &second["marketo_status"]), (&json!(goes), &json!("Attended")), "{second:#}");
        assert_eq!(running.transitions_of("Goes").await, ["Registered -"]);
        assert_eq!(running.transitions_of("Stays").await, [""; 0]);
    }

    async fn a_second_record_is_followed_when_it_is_merged_in_marketo(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        world.agreed(&[("First", "Invited"), ("Second", "Registered")]);
        world.marketo_person("Third");
        let running = Running::start(world, &database).await;
        let world = &running.world;
        world.merge_leads("First", "Second");
        running.comes_to_rest().await;
        assert_eq!(running.member("Second").await["reason"], "second_record");

        let third = world.marketo_id("Third");
        world.merge_in_marketo("Third", "Second");
        running.comes_to_rest().await;
        let members = running.members().await;
        let found = members["data"].as_array().unwrap().iter().find(|m| m["person"]["marketo_id"] == json!(third));
        let found = found.unwrap_or_else(|| panic!("who the second record is in Marketo now is not known: {members:#}"));
        assert_eq!(found["reason"], "second_record");
        assert!(world.in_marketo().contains_key("Third") && world.leads("Third") == 0);
        running.ledger_balances().await;
    }
}
