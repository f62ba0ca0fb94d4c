//! What a vendor shows of one record cannot be read, or asking for one spoils the call: nobody else stands still for it, and nobody is
//! taken to be absent.

use campaign_sync::sandbox::fault::{Action, Fault, Vendor};
use serde_json::{Value, json};

use crate::support::{Between, Mischief, eventually, on_both};

use super::flow_actions::Fair;
use super::running::Running;
use super::storm::calm_only;
use super::world::{SOON, World, address};

on_both! {
    async fn a_row_of_a_listing_that_cannot_be_read_stops_nobody_else(database: TestDatabase) {
        calm_only!("one fault at a time");
        let world = World::new().await;
        world.bystanders(4);
        world.agreed(&[("Bent", "Registered"), ("Moved", "Registered")]);
        let door = Between::start(&world.emulators.salesforce_url, |_| Mischief::Pass).await;
        let launch = world.launch(&database).set("salesforce.login_url", &door.url).set("salesforce.instance_url", &door.url);
        let running = Running::launch(world, launch.set("sync.max_attempts", "3")).await;
        let world = &running.world;
        running.deaf();
        let (id, _) = world.member_named("Bent");
        let id = id.to_string();
        // The last three characters of an id belong to the others.
        let last = if id.ends_with('A') { 'B' } else { 'A' };
        door.bend(Some((&id, &format!("{}{last}", &id[..17]))));
        world.change_in_salesforce("Moved", "Attended");
        let run = running.begin_run().await;
        let run = running.completes(&run).await;
        assert_eq!(run["counts"]["salesforce_unreadable"], 1, "{run:#}");
        running.both_have("Moved", Some("Attended")).await;
        let held = [world.in_marketo().get("Bent").cloned(), world.in_salesforce().get("Bent").cloned()];
        assert!(held.iter().all(|held| held.as_deref() == Some(&["Registered".to_owned()])), "{held:?}");
        // Once it can be read again, it is as any other.
        door.bend(None);
        world.change_in_salesforce("Bent", "Attended");
        running.reconcile().await;
        running.both_have("Bent", Some("Attended")).await;
        running.reconcile().await;
        running.at_rest().await;
    }

    async fn an_address_that_spoils_the_look_up_keeps_no_other_from_being_carried_out(database: TestDatabase) {
        calm_only!("one fault at a time");
        let fair = Fair::new(&database).await;
        let names: Vec<String> = (0..12).map(|n| if n == 7 { "Spoiler".to_owned() } else { format!("Fine{n}") }).collect();
        names.iter().for_each(|name| _ = fair.running.world.marketo_person(name));
        let no = json!({"requestId": "1#1", "success": false, "errors": [{"code": "1003", "message": "no"}]}).to_string();
        let refused = Action::Answer { status: 200, content_type: "application/json".to_owned(), body: no };
        let part = address("Spoiler").split('@').next().unwrap().to_owned();
        fair.running.world.emulators.faults.add(Fault { times: u32::MAX, ..Fault::next(Vendor::Marketo, &part, refused) });
        let people: Value = names.iter().map(|name| json!({"email": address(name)})).collect();
        let came_to = fair.act("add-to-campaign", Some("Visited"), people).await;
        let expected: Vec<&str> = (0..12).map(|n| if n == 7 { "failed vendor_rejected" } else { "applied" }).collect();
        assert_eq!(came_to, expected);
        fair.running.world.emulators.faults.clear();
        let held = eventually("the others to be there", SOON, async || Some(fair.held()).filter(|held| held.len() == 11)).await;
        assert!(!held.contains_key("Spoiler"));
    }
}
