//! From two sets of statuses that differ to a mapping: compared, refused with what helps, mapped with what was proposed.

use campaign_sync::sandbox::salesforce::{Cell, Object};
use serde_json::{Value, json};

use crate::support::{Api, eventually, on_both};

use super::running::Running;
use super::world::{KEY, SOON, World};

impl World {
    /// Gives a campaign status another name, as an administrator does; its members keep it.
    fn rename_in_salesforce(&self, from: &str, to: &str) {
        self.emulators.salesforce.with(|org| {
            let of_campaign = org.find(Object::CampaignMemberStatus, "CampaignId", &Cell::Id(self.campaign));
            let ids: Vec<_> = of_campaign.filter(|row| row.text_of("Label") == from).map(|row| row.id).collect();
            ids.into_iter().for_each(|id| org.rename_status(id, to).unwrap());
        });
    }
}

fn member_counts(side: &Value) -> Vec<(String, Option<u64>)> {
    let count = |status: &Value| (status["status"].as_str().unwrap().to_owned(), status["members"].as_u64());
    side.as_array().unwrap().iter().map(count).collect()
}

on_both! {
    async fn statuses_that_differ_are_matched_and_then_translated(database: TestDatabase) {
        let world = World::new().await;
        for (from, to) in [("Invited", "1 - invited"), ("Registered", "RSVP'd"), ("Attended", "Showed up")] {
            world.rename_in_salesforce(from, to);
        }
        for (n, (marketo, salesforce)) in
            [("Invited", "1 - invited"), ("Registered", "RSVP'd"), ("Registered", "RSVP'd"), ("Attended", "Showed up")].into_iter().enumerate()
        {
            let name = format!("Member{n}");
            world.marketo_person(&name);
            world.set_in_marketo(&name, marketo);
            world.add_in_salesforce(world.lead(&name), salesforce);
        }
        let service = world.launch(&database).start().await;
        world.send_webhooks_to(service.url());
        let api = Api::new(service.url()).with_key(KEY);

        let path = format!("programs/{}/status-match?campaign_id={}", world.program, world.campaign);
        let shown = api.get(&path).await.expect(200).json();
        let counted = |names: [&str; 3]| names.into_iter().zip([1, 2, 1]).map(|(name, n)| (name.to_owned(), Some(n))).collect::<Vec<_>>();
        assert_eq!(member_counts(&shown["program_statuses"]), counted(["Invited", "Registered", "Attended"]));
        let mut labels = member_counts(&shown["campaign_statuses"]);
        labels.sort();
        assert_eq!(labels, counted(["1 - invited", "RSVP'd", "Showed up"]));
        assert_eq!((&shown["compatible"], &shown["warnings"]), (&json!(false), &json!([])), "{shown:#}");
        let gone = api.get(&format!("programs/999999/status-match?campaign_id={}", world.campaign)).await.expect(404);
        assert_eq!(gone.json()["code"], "not-found");
        let gone = api.get(&format!("programs/{}/status-match?campaign_id=701000000000000AAA", world.program)).await.expect(422);
        assert_eq!(gone.json()["code"], "unknown-campaign", "{:#}", gone.json());

        let (before, writes) = ((world.in_marketo(), world.in_salesforce()), world.writes());
        let mut body = json!({"program_id": world.program, "campaign_id": world.campaign});
        let refused = api.post("mappings", &body).await.expect(422).json();
        assert_eq!(refused["code"], "incompatible-statuses");
        let told: Vec<_> = refused["differences"].as_array().unwrap().iter().map(|found| {
            let text = |name: &str| found[name].as_str().unwrap_or("-").to_owned();
            format!("{} {} {} {}", text("side"), text("status"), found["members"], text("suggestion"))
        }).collect();
        assert_eq!(told[..3], ["marketo Invited 1 1 - invited", "marketo Registered 2 RSVP'd", "marketo Attended 1 Showed up"]);
        assert_eq!(told.len(), 6, "{told:?}");
        assert_eq!(((world.in_marketo(), world.in_salesforce()), world.writes()), (before, writes));
        assert_eq!(api.get("mappings").await.expect(200).json()["data"], json!([]));

        // What was proposed is a map as it stands.
        let proposed = shown["pairs"].as_array().unwrap().iter();
        let rows: Vec<Value> = proposed.map(|pair| json!({"program_status": pair["program_status"], "campaign_status": pair["campaign_status"]})).collect();
        body["status_map"] = json!(rows);
        let made = api.post("mappings", &body).await.expect(201).json();
        assert_eq!(made["warnings"], json!([]));
        let running = Running { world, service, api, mapping: made["id"].as_str().unwrap().to_owned() };
        running.runs_end().await;
        running.settle().await;
        assert_eq!(running.world.writes(), writes, "the first sync found everybody agreeing");
        running.world.set_in_marketo("Member0", "Attended");
        running.world.change_in_salesforce("Member1", "Showed up");
        eventually("the changes to be translated", SOON, async || {
            let (marketo, salesforce) = (running.world.in_marketo(), running.world.in_salesforce());
            (salesforce["Member0"] == ["Showed up"] && marketo["Member1"] == ["Attended"]).then_some(())
        })
        .await;
    }

    async fn a_large_status_is_not_counted_and_a_success_that_is_no_response_is_told(database: TestDatabase) {
        let world = World::new().await;
        world.emulators.marketo.with(|marketo| {
            for n in 0..601 {
                let person = campaign_sync::sandbox::marketo::NewPerson { id: None, fields: [("lastName".to_owned(), json!(format!("P{n}")))].into() };
                let id = marketo.add_person(person);
                marketo.set_status(world.program, id, "Invited").unwrap();
            }
        });
        world.rename_in_salesforce("Attended", "Came by");
        world.emulators.salesforce.with(|org| org.add_status(world.campaign, "Attended", false).unwrap());
        let service = world.launch(&database).start().await;
        let api = Api::new(service.url()).with_key(KEY);
        let shown = api.get(&format!("programs/{}/status-match?campaign_id={}", world.program, world.campaign)).await.expect(200).json();
        let counts = member_counts(&shown["program_statuses"]);
        assert_eq!(counts, [("Invited".to_owned(), None), ("Registered".to_owned(), Some(0)), ("Attended".to_owned(), Some(0))]);
        let warnings: Vec<_> = shown["warnings"].as_array().unwrap().iter().map(|warning| &warning["code"]).collect();
        assert_eq!(warnings, ["success-without-response"], "{shown:#}");
        // A mapping towards Salesforce does not translate the campaign's own further status.
        let body = json!({"program_id": world.program, "campaign_id": world.campaign, "paused": true,
            "policies": {"direction": "marketo_to_salesforce"}});
        let made = api.post("mappings", &body).await.expect(201).json();
        assert_eq!(made["warnings"][0]["code"], "success-without-response");
    }
}
