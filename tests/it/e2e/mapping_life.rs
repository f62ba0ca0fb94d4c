//! The life of a mapping after it was made: what is provisioned, what changes on either side, what is changed here, what
//! vanishes, and what is taken back.

use campaign_sync::sandbox::marketo::{NewProgram, ProgressionStatus};
use campaign_sync::sandbox::salesforce::{Cell, Id, Object};
use serde_json::{Value, json};

use crate::support::{Api, eventually, on_both};

use super::running::Running;
use super::webhooks::deliver;
use super::world::{KEY, SOON, World, address};

impl World {
    /// Labels of a campaign's statuses in their order, with what is special of them.
    pub fn statuses_of(&self, campaign: Id) -> Vec<String> {
        self.emulators.salesforce.with(|org| {
            let flag = |row: &campaign_sync::sandbox::salesforce::Row, name, text| {
                if *row.get(name) == Cell::Bool(true) { text } else { "" }
            };
            let shown = |row: &campaign_sync::sandbox::salesforce::Row| {
                let label = row.text_of("Label");
                format!("{label}{}{}", flag(row, "IsDefault", " default"), flag(row, "HasResponded", " responded"))
            };
            org.statuses(campaign).into_iter().map(shown).collect()
        })
    }

    pub fn status_id(&self, label: &str) -> Id {
        self.emulators
            .salesforce
            .with(|org| org.statuses(self.campaign).into_iter().find(|row| row.text_of("Label") == label).unwrap().id)
    }

    pub fn rename_campaign_status(&self, from: &str, to: &str) {
        let id = self.status_id(from);
        self.emulators.salesforce.with(|org| org.rename_status(id, to).unwrap());
    }

    /// An administrator gives the channel these statuses: name, step, success.
    pub fn set_channel(&self, statuses: &[(&str, i64, bool)]) {
        let status = |&(name, step, success): &(&str, i64, bool)| ProgressionStatus {
            id: 0,
            name: name.to_owned(),
            step,
            success,
            hidden: false,
        };
        self.emulators.marketo.with(|world| {
            let id = *world.channels.iter().find(|(_, channel)| channel.name == "Webinar").unwrap().0;
            world.set_channel_statuses(id, statuses.iter().map(status).collect()).unwrap();
        });
    }
}

impl Running {
    pub async fn shown(&self) -> Value {
        self.api.get(&format!("mappings/{}", self.mapping)).await.expect(200).json()
    }

    async fn is_in_state(&self, state: &str) {
        eventually(state, SOON, async || (self.shown().await["state"] == state).then_some(())).await;
    }

    pub async fn has_state(&self, name: &str, state: &str, reason: &str) {
        let wanted = (state.to_owned(), reason.to_owned());
        let email = address(name);
        eventually(&format!("{name} to be {wanted:?}"), SOON, async || {
            let members = self.members().await;
            let there = members["data"].as_array().unwrap().iter().any(|m| m["person"]["email"] == email.as_str());
            (there && self.state_of(&email).await == wanted).then_some(())
        })
        .await;
    }

    /// Changes the mapping, and waits for everybody to be decided anew.
    async fn patch(&self, patch: &Value) -> Value {
        let answer = self.api.patch(&format!("mappings/{}", self.mapping), patch).await.expect(200).json();
        assert!(answer["run_id"].is_string(), "{answer:#}");
        self.runs_end().await;
        self.settle().await;
        answer
    }

    pub async fn joins_from_marketo(&self, name: &str, status: &str) {
        self.world.marketo_person(name);
        self.world.set_in_marketo(name, status);
        self.both_have(name, Some(status)).await;
    }

    pub async fn joins_from_salesforce(&self, name: &str, status: &str) {
        self.world.add_in_salesforce(self.world.lead(name), status);
        self.both_have(name, Some(status)).await;
    }
}

fn row(program: &str, campaign: &str, direction: &str) -> Value {
    json!({"program_status": program, "campaign_status": campaign, "direction": direction})
}

on_both! {
    async fn two_requests_for_the_same_mapping_make_one(database: TestDatabase) {
        let world = World::new().await;
        let service = world.launch(&database).start().await;
        let api = Api::new(service.url()).with_key(KEY);
        let body = json!({"program_id": world.program, "campaign_id": world.campaign});
        let (a, b) = tokio::join!(api.post("mappings", &body), api.post("mappings", &body));
        let (made, refused) = if a.status.as_u16() == 201 { (a, b) } else { (b, a) };
        let (made, refused) = (made.expect(201).json(), refused.expect(409).json());
        assert_eq!((&refused["code"], &refused["mapping_id"]), (&json!("already-mapped"), &made["id"]));
        // Nor does either of them belong to a second mapping with another.
        let campaign = world.emulators.salesforce.with(|org| org.add_campaign("Another", "Webinar").unwrap());
        let program = world.emulators.marketo.with(|m| {
            let program = NewProgram { name: "Another".to_owned(), channel: "Webinar".to_owned(), ..NewProgram::default() };
            m.add_program(program).unwrap()
        });
        for body in [
            json!({"program_id": world.program, "campaign_id": campaign, "provision_statuses": true}),
            json!({"program_id": program, "campaign_id": world.campaign}),
            json!({"program_id": world.program, "create_campaign": {"name": "Yet another"}}),
        ] {
            let refused = api.post("mappings", &body).await.expect(409).json();
            assert_eq!((&refused["code"], &refused["mapping_id"]), (&json!("already-mapped"), &made["id"]), "{body}");
        }
        assert_eq!(campaigns(&world).len(), 2);
    }

    async fn missing_statuses_are_created_and_the_map_may_be_many_to_one(database: TestDatabase) {
        let mut world = World::new().await;
        let other = world.emulators.salesforce.with(|org| org.add_campaign("Autumn", "Webinar").unwrap());
        world.campaign = other;
        let service = world.launch(&database).start().await;
        let api = Api::new(service.url()).with_key(KEY);
        // `Sent` and `Responded` have no counterpart: nothing is created for a mapping that is refused.
        let body = json!({"program_id": world.program, "campaign_id": other, "provision_statuses": true});
        let refused = api.post("mappings", &body).await.expect(422).json();
        assert_eq!(refused["code"], "incompatible-statuses");
        let sides: Vec<_> = refused["differences"].as_array().unwrap().iter().map(|d| d["status"].clone()).collect();
        assert_eq!(sides, [json!("Sent"), json!("Responded")]);
        assert_eq!(world.statuses_of(other), ["Sent default", "Responded responded"]);
        drop(service);

        let map = json!([
            row("Invited", "Sent", "both"), row("Registered", "Signed up", "both"),
            row("Attended", "Attended", "both"), row("Attended", "Responded", "to_marketo"),
        ]);
        let running = Running::mapped(world, &database, &json!({"provision_statuses": true, "status_map": map})).await;
        assert_eq!(running.world.statuses_of(other), ["Sent default", "Responded responded", "Signed up", "Attended responded"]);
        running.world.marketo_person("Translated");
        running.world.set_in_marketo("Translated", "Registered");
        let held = |running: &Running, name: &str| running.world.in_salesforce().get(name).cloned();
        eventually("the translation", SOON, async || (held(&running, "Translated") == Some(vec!["Signed up".to_owned()])).then_some(())).await;
        running.world.change_in_salesforce("Translated", "Responded");
        eventually("the way back", SOON, async || (running.world.in_marketo()["Translated"] == ["Attended"]).then_some(())).await;
        running.settle().await;
        assert_eq!(held(&running, "Translated"), Some(vec!["Responded".to_owned()]), "many to one is no difference");
        assert_eq!(running.state_of(&address("Translated")).await.0, "in_sync");
        let coerced = running.world.emulators.salesforce.with(|org| org.counters.misuse.coerced_statuses);
        assert_eq!(coerced, 0);
    }

    async fn a_status_that_the_channel_gains_is_provisioned_and_followed(database: TestDatabase) {
        let running = Running::mapped(World::new().await, &database, &json!({"provision_statuses": true})).await;
        running.world.set_channel(&[("Invited", 10, false), ("Registered", 20, false), ("Missed", 30, false), ("Attended", 30, true)]);
        running.program_changed().await;
        eventually("the status", SOON, async || {
            running.world.statuses_of(running.world.campaign).contains(&"Missed".to_owned()).then_some(())
        })
        .await;
        running.settle().await;
        running.joins_from_marketo("Absent", "Missed").await;
        assert!(running.warnings().await.is_empty());
        running.at_rest().await;
    }

    async fn statuses_added_on_both_sides_are_followed_and_on_one_side_warned_of(database: TestDatabase) {
        let running = Running::new(&database).await;
        running.world.emulators.salesforce.with(|org| org.add_status(running.world.campaign, "Missed", false).unwrap());
        let told = json!({
            "object": "CampaignMemberStatus", "operation": "insert", "orgId": running.world.emulators.salesforce_org_id,
            "records": [{"Id": running.world.status_id("Missed"), "CampaignId": running.world.campaign}],
        });
        assert_eq!(deliver(&running, "a-new-status", &told).await, json!({"accepted": true, "events": 1, "ignored": 0}));
        running.warns_of(&["status-unmatched"]).await;
        running.world.add_in_salesforce(running.world.lead("Absent"), "Missed");
        running.has_state("Absent", "parked", "incompatible_status").await;
        assert!(!running.world.in_marketo().contains_key("Absent"));
        running.world.set_channel(&[("Invited", 10, false), ("Registered", 20, false), ("Missed", 30, false), ("Attended", 30, true)]);
        running.program_changed().await;
        running.both_have("Absent", Some("Missed")).await;
        running.warns_of(&[]).await;
        running.at_rest().await;
        assert_eq!(running.transitions_of("Absent").await, ["- Missed"]);
    }

    async fn a_renamed_campaign_status_parks_its_members_until_it_matches_again(database: TestDatabase) {
        let running = Running::new(&database).await;
        running.joins_from_marketo("Renamed", "Attended").await;
        running.settle().await;
        // Salesforce moves its members with the label, and no trigger sees it.
        running.world.rename_campaign_status("Attended", "Was there");
        let writes = running.world.writes();
        // Another member's pass reads the statuses, and sees it.
        running.world.set_in_marketo("Bystander0", "Attended");
        running.has_state("Bystander0", "parked", "incompatible_status").await;
        running.warns_of(&["status-unmatched", "status-unmatched"]).await;
        running.has_state("Renamed", "parked", "incompatible_status").await;
        running.settle().await;
        assert_eq!(running.world.writes(), writes, "written though nothing matches");
        assert_eq!(running.world.in_salesforce()["Renamed"], ["Was there"]);
        running.world.rename_campaign_status("Was there", "Attended");
        running.reconcile().await;
        running.both_have("Renamed", Some("Attended")).await;
        running.both_have("Bystander0", Some("Attended")).await;
        running.warns_of(&[]).await;
        running.at_rest().await;
        let coerced = running.world.emulators.salesforce.with(|org| org.counters.misuse.coerced_statuses);
        assert_eq!(coerced, 0);
    }

    async fn a_renamed_program_status_parks_who_holds_the_old_name(database: TestDatabase) {
        let running = Running::new(&database).await;
        running.joins_from_marketo("Old", "Attended").await;
        running.world.set_channel(&[("Invited", 10, false), ("Registered", 20, false), ("Participated", 30, true)]);
        running.program_changed().await;
        running.warns_of(&["status-unmatched", "status-unmatched"]).await;
        running.has_state("Old", "parked", "incompatible_status").await;
        assert_eq!(running.world.in_salesforce()["Old"], ["Attended"]);
        // A map says what is meant.
        let map = json!([
            row("Invited", "Invited", "both"), row("Registered", "Registered", "both"),
            row("Participated", "Attended", "both"),
        ]);
        running.patch(&json!({"status_map": map})).await;
        running.warns_of(&[]).await;
        running.world.set_in_marketo("Bystander0", "Participated");
        eventually("the new name", SOON, async || (running.world.in_salesforce()["Bystander0"] == ["Attended"]).then_some(())).await;
    }

    async fn an_observed_mapping_writes_nothing_until_it_is_told_to(database: TestDatabase) {
        let world = World::new().await;
        world.emulators.marketo.with(|m| m.programs.get_mut(&world.program).unwrap().sfdc_id = Some(world.campaign.to_string()));
        let observe = json!({"policies": {"direction": "observe"}});
        let running = Running::mapped(world, &database, &observe).await;
        running.world.marketo_person("Watched");
        running.world.set_in_marketo("Watched", "Registered");
        running.has_state("Watched", "diverged", "observe").await;
        running.world.add_in_salesforce(running.world.lead("Seen"), "Invited");
        running.has_state("Seen", "diverged", "observe").await;
        assert_eq!(running.world.writes(), (0, 0));
        assert_eq!(running.transitions_of("Seen").await, ["- Invited"]);
        // Marketo's own sync has the program: not both ways, unless that is allowed.
        let path = format!("mappings/{}", running.mapping);
        let both = json!({"policies": {"direction": "both"}});
        let refused = running.api.patch(&path, &both).await.expect(409).json();
        assert_eq!(refused["code"], "native-sync-active");
        running.world.emulators.marketo.with(|m| m.programs.get_mut(&running.world.program).unwrap().sfdc_id = None);
        running.patch(&both).await;
        running.both_have("Watched", Some("Registered")).await;
        running.both_have("Seen", Some("Invited")).await;
        running.at_rest().await;
        // A new mapping is refused as well, unless that is allowed by name.
        running.api.delete(&path).await.expect(204);
        running.world.emulators.marketo.with(|m| m.programs.get_mut(&running.world.program).unwrap().sfdc_id = Some(running.world.campaign.to_string()));
        let body = |allow: bool| json!({"program_id": running.world.program, "campaign_id": running.world.campaign, "allow_native_sync": allow});
        assert_eq!(running.api.post("mappings", &body(false)).await.expect(409).json()["code"], "native-sync-active");
        running.api.post("mappings", &body(true)).await.expect(201);
    }

    async fn gate_and_direction_are_decided_anew_when_they_change(database: TestDatabase) {
        let running = Running::mapped(World::new().await, &database, &json!({"policies": {"gate": ["Attended"]}})).await;
        running.world.marketo_person("Early");
        running.world.set_in_marketo("Early", "Invited");
        running.has_state("Early", "gated", "below_gate").await;
        assert!(running.world.in_salesforce().is_empty());
        running.world.marketo_person("Late");
        running.world.set_in_marketo("Late", "Attended");
        running.has_state("Late", "in_sync", "").await;
        assert_eq!(running.world.in_salesforce().keys().collect::<Vec<_>>(), ["Late"]);
        running.patch(&json!({"policies": {"gate": ["Invited", "Attended"]}})).await;
        running.both_have("Early", Some("Invited")).await;
        // Raising it again removes nobody.
        running.patch(&json!({"policies": {"gate": ["Attended"]}})).await;
        assert!(running.world.in_salesforce().contains_key("Early"));

        running.patch(&json!({"policies": {"direction": "marketo_to_salesforce", "gate": null}})).await;
        running.world.add_in_salesforce(running.world.lead("Target"), "Invited");
        running.has_state("Target", "diverged", "one_way").await;
        running.world.change_in_salesforce("Early", "Attended");
        running.has_state("Early", "diverged", "one_way").await;
        running.world.marketo_person("Source");
        running.world.set_in_marketo("Source", "Registered");
        running.has_state("Source", "in_sync", "").await;
        assert!(!running.world.in_marketo().contains_key("Target"));
        assert_eq!(running.world.in_marketo()["Early"], ["Invited"]);
        running.patch(&json!({"policies": {"direction": "both"}})).await;
        running.both_have("Target", Some("Invited")).await;
        running.both_have("Early", Some("Attended")).await;
        running.at_rest().await;
    }

    async fn a_new_map_drops_the_bases_that_it_does_not_hold(database: TestDatabase) {
        let running = Running::new(&database).await;
        running.joins_from_marketo("Based", "Registered").await;
        running.settle().await;
        // `Registered` means two things from here on. Read as a change by a person it would be forwarded; it is none, so
        // that the conflict policy decides: the further of the two.
        let map = json!([
            row("Invited", "Invited", "both"), row("Registered", "Attended", "to_salesforce"),
            row("Attended", "Attended", "both"), row("Invited", "Registered", "to_marketo"),
        ]);
        running.patch(&json!({"status_map": map})).await;
        eventually("the decision", SOON, async || (running.world.in_salesforce()["Based"] == ["Attended"]).then_some(())).await;
        assert_eq!(running.world.in_marketo()["Based"], ["Registered"]);
        assert_eq!(running.transitions_of("Based").await, ["- Registered", "Registered Attended"]);
        let members = running.members().await;
        let based = members["data"].as_array().unwrap().iter().find(|m| m["person"]["email"] == address("Based")).unwrap().clone();
        let member = running.api.get(&format!("members/{}/explain", based["id"].as_str().unwrap())).await.expect(200).json();
        assert_eq!(member["base"], json!({"marketo": "Registered", "salesforce": "Attended"}), "{member:#}");
        // What changes nothing starts nothing.
        let same = running.api.patch(&format!("mappings/{}", running.mapping), &json!({"policies": {}})).await.expect(200).json();
        assert_eq!(same["run_id"], Value::Null);
    }

    async fn a_campaign_that_vanishes_decides_nobody_and_comes_back(database: TestDatabase) {
        let running = Running::new(&database).await;
        running.joins_from_marketo("Steady", "Registered").await;
        running.settle().await;
        let campaign = running.world.campaign;
        let before = running.world.in_marketo();
        running.world.emulators.salesforce.with(|org| {
            let person = org.as_person();
            org.atomically(|org| org.delete(&person, campaign)).unwrap();
        });
        // Whether or not a webhook tells of it.
        running.world.set_in_marketo("Steady", "Attended");
        running.is_in_state("failed").await;
        let shown = running.shown().await;
        assert_eq!(shown["reason"], "campaign_gone");
        assert!(shown["remedy"].as_str().unwrap().contains("undelete"), "{shown:#}");
        assert_eq!(running.world.in_marketo().len(), before.len(), "somebody was removed");
        // Resumed too early it fails again, and still nobody is decided.
        running.api.post(&format!("mappings/{}/resume", running.mapping), &json!({})).await.expect(200);
        running.is_in_state("failed").await;
        assert_eq!(running.world.in_marketo().len(), before.len());
        running.world.emulators.salesforce.with(|org| {
            let person = org.as_person();
            org.undelete(&person, campaign).unwrap();
        });
        running.api.post(&format!("mappings/{}/resume", running.mapping), &json!({})).await.expect(200);
        running.both_have("Steady", Some("Attended")).await;
        running.at_rest().await;
        assert_eq!(running.shown().await["state"], "active");
        assert_eq!(running.transitions_of("Steady").await, ["- Registered", "Registered Attended"]);
    }

    async fn a_program_that_vanishes_removes_nobody(database: TestDatabase) {
        let running = Running::new(&database).await;
        let before = running.world.in_salesforce();
        running.world.emulators.marketo.with(|world| world.delete_program(running.world.program));
        running.world.change_in_salesforce("Bystander0", "Attended");
        running.is_in_state("failed").await;
        let shown = running.shown().await;
        assert_eq!(shown["reason"], "program_gone");
        assert!(shown["remedy"].as_str().unwrap().contains("program"), "{shown:#}");
        running.api.post(&format!("mappings/{}/resume", running.mapping), &json!({})).await.expect(200);
        running.is_in_state("failed").await;
        assert_eq!((running.world.in_salesforce().len(), running.world.writes()), (before.len(), (0, 0)));
    }
}

/// The living campaigns, by name.
pub fn campaigns(world: &World) -> Vec<(String, Id)> {
    world.emulators.salesforce.with(|org| {
        let living = org.rows(Object::Campaign).filter(|row| !row.deleted);
        living.map(|row| (row.text_of("Name").to_owned(), row.id)).collect()
    })
}
