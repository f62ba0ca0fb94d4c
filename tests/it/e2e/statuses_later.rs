//! What a program turns out to be: one that sends mail, one whose statuses are hidden or deleted after it was mapped.

use campaign_sync::sandbox::marketo::ProgressionStatus;
use serde_json::{Value, json};

use crate::support::{Api, eventually, on_both};

use super::running::Running;
use super::world::{KEY, SOON, World};

impl World {
    /// The channel with one more status, between the others, hidden or not.
    fn set_missed(&self, hidden: bool) {
        let status = |name: &str, step, success, hidden| ProgressionStatus {
            id: 0,
            name: name.to_owned(),
            step,
            success,
            hidden,
        };
        let statuses = vec![
            status("Invited", 10, false, false),
            status("Registered", 20, false, false),
            status("Missed", 25, false, hidden),
            status("Attended", 30, true, false),
        ];
        self.emulators.marketo.with(|world| {
            let id = *world.channels.iter().find(|(_, channel)| channel.name == "Webinar").unwrap().0;
            world.set_channel_statuses(id, statuses).unwrap();
        });
    }
}

impl Running {
    /// Waits until the map of the mapping translates this status, or does not.
    async fn translates(&self, status: &str, expected: bool) {
        let row = |row: &Value| row["program_status"] == status;
        let does = async || {
            let shown = self.shown().await;
            (shown["status_map"].as_array().unwrap().iter().any(row) == expected).then_some(())
        };
        eventually(&format!("{status} {expected}"), SOON, does).await;
    }
}

on_both! {
    async fn statuses_hidden_and_deleted_later_are_followed(database: TestDatabase) {
        let running = Running::new(&database).await;
        let world = &running.world;
        world.emulators.salesforce.with(|org| org.add_status(world.campaign, "Missed", false).unwrap());
        world.set_missed(false);
        running.program_changed().await;
        running.translates("Missed", true).await;
        running.joins_from_marketo("Missing", "Missed").await;
        running.settle().await;

        // Hidden: who holds it keeps it, and it still means the same.
        world.set_missed(true);
        running.program_changed().await;
        running.settle().await;
        running.warns_of(&[]).await;
        running.at_rest().await;
        assert_eq!(running.member("Missing").await["sync_state"], "in_sync");

        // Deleted in Salesforce once nobody holds it there: a hidden one lacks nothing, one that is given again does.
        world.change_in_salesforce("Missing", "Attended");
        running.both_have("Missing", Some("Attended")).await;
        running.settle().await;
        let missed = world.status_id("Missed");
        world.emulators.salesforce.with(|org| org.atomically(|org| org.delete(&org.as_person(), missed)).unwrap());
        running.program_changed().await;
        running.translates("Missed", false).await;
        running.warns_of(&[]).await;
        world.set_missed(false);
        running.program_changed().await;
        running.warns_of(&["status-unmatched"]).await;
        world.marketo_person("Late");
        world.set_in_marketo("Late", "Missed");
        running.has_state("Late", "parked", "incompatible_status").await;
        assert_eq!(world.in_salesforce().get("Late"), None);

        // Deleted in Marketo, too: whoever is moved on goes on.
        world.set_channel(&[("Invited", 10, false), ("Registered", 20, false), ("Attended", 30, true)]);
        running.program_changed().await;
        running.warns_of(&[]).await;
        world.set_in_marketo("Late", "Attended");
        running.both_have("Late", Some("Attended")).await;
        running.at_rest().await;
        assert_eq!(world.emulators.salesforce.with(|org| org.counters.misuse.coerced_statuses), 0);
    }

    async fn programs_whose_membership_sends_mail_are_refused_unless_allowed(database: TestDatabase) {
        let world = World::new().await;
        world.bystanders(8);
        let service = world.launch(&database).start().await;
        world.send_webhooks_to(service.url());
        let api = Api::new(service.url()).with_key(KEY);
        let body = json!({"program_id": world.program, "campaign_id": world.campaign});
        for kind in ["Email", "Engagement"] {
            world.emulators.marketo.with(|m| m.programs.get_mut(&world.program).unwrap().kind = kind.to_owned());
            let refused = api.post("mappings", &body).await.expect(422).json();
            assert_eq!(refused["code"], "unsupported-program-type", "{kind}");
        }
        assert_eq!(world.writes(), (0, 0));
        let allowed = json!({"program_id": world.program, "campaign_id": world.campaign, "allow_program_type": true});
        let mapping = api.post("mappings", &allowed).await.expect(201).json()["id"].as_str().unwrap().to_owned();
        let running = Running { world, service, api, mapping };
        running.runs_end().await;
        running.joins_from_marketo("Nurtured", "Registered").await;
        running.at_rest().await;
    }

    async fn programs_and_campaigns_are_found_by_a_part_of_their_names(database: TestDatabase) {
        let running = Running::new(&database).await;
        let world = &running.world;
        let names = ["50%_off", "5000 off", "O'Brien \\ Sons", "Summer"];
        let made = names.map(|name| world.emulators.salesforce.with(|org| org.add_campaign(name, "Webinar").unwrap()));
        let found = async |path: &str| {
            let list = running.api.get(path).await.expect(200).json();
            list["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found("campaigns?q=0%25_").await, ["50%_off"], "what LIKE reads as a pattern is a text here");
        assert_eq!(found("campaigns?q=o%27brien%20%5C").await, ["O'Brien \\ Sons"]);
        assert_eq!(found("campaigns?q=OFF").await, ["5000 off", "50%_off"]);
        assert_eq!(found("campaigns?q=nowhere").await, [""; 0]);
        let first = running.api.get("campaigns?limit=2").await.expect(200).json();
        let cursor = first["next_cursor"].as_str().unwrap();
        assert_eq!(found(&format!("campaigns?limit=2&cursor={cursor}")).await, ["5000 off", "50%_off"]);
        let spring = running.api.get(&format!("campaigns/{}", world.campaign)).await.expect(200).json();
        assert_eq!((&spring["mapping"]["id"], &spring["statuses"][0]["status"]), (&json!(running.mapping), &json!("Invited")));
        assert_eq!(running.api.get(&format!("campaigns/{}", made[0])).await.expect(200).json()["mapping"], Value::Null);
        let programs = running.api.get("programs?q=spr").await.expect(200).json();
        assert_eq!((&programs["data"][0]["id"], &programs["data"][0]["mapping"]["id"]), (&json!(world.program), &json!(running.mapping)));
        assert_eq!(programs["next_cursor"], Value::Null);
        let program = running.api.get(&format!("programs/{}", world.program)).await.expect(200).json();
        assert_eq!((&program["type"], &program["statuses"][2]["status"]), (&json!("default"), &json!("Attended")));
        world.emulators.salesforce.with(|org| {
            let hidden = campaign_sync::sandbox::salesforce::Options { hidden_objects: vec!["Campaign".to_owned()], ..org.options.clone() };
            org.set_options(hidden);
        });
        running.api.get("campaigns").await.expect(502);
    }
}
