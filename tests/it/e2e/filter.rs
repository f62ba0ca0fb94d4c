//! The filter "Member of SFDC Campaign", in campaigns with and without a mapping.

use serde_json::{Value, json};

use crate::support::{Api, eventually, on_both};

use super::flow_actions::Fair;
use super::running::Running;
use super::world::{SOON, TOKEN};

/// Everybody whom a filter finds, page by page: last name and status, sorted.
async fn found(running: &Running, filter: &str, limit: u32) -> Vec<String> {
    let (mut found, mut path) = (Vec::new(), format!("campaign-members?{filter}&limit={limit}"));
    loop {
        let page = running.api.get(&path).await.expect(200).json();
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= limit as usize);
        found.extend(data.iter().map(|row| {
            let person = row["person"]["salesforce_id"].as_str().unwrap_or_default();
            assert_eq!(row["member"], !row["campaign_id"].is_null(), "{row:#}");
            format!("{} {}", running.world.name_of(person), row["status"].as_str().unwrap_or("-"))
        }));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("campaign-members?{filter}&limit={limit}&cursor={cursor}"),
            None => break,
        }
    }
    found.sort();
    found
}

on_both! {
    async fn campaigns_and_statuses_mean_any_of_them_and_can_be_turned_round(database: TestDatabase) {
        let fair = Fair::new(&database).await;
        let (running, world) = (&fair.running, &fair.running.world);
        let other = Fair::campaign(running, "Unnamed");
        let names = ["Ann", "Bob", "Cid"];
        let leads = names.map(|name| world.lead(name));
        fair.add_before(leads[0], "Sent");
        let people = json!([{"salesforce_id": leads[1]}, {"salesforce_id": leads[2]}]);
        assert_eq!(fair.act("add-to-campaign", Some("Visited"), people).await, ["applied", "applied"]);
        assert_eq!(fair.act("change-status", Some("Responded"), json!([{"salesforce_id": leads[2]}])).await, ["applied"]);
        let (named, mapped) = (format!("campaign_id={}", fair.campaign), format!("campaign_id={}", world.campaign));
        eventually("the first read", SOON, async || {
            (running.api.get(&format!("campaign-members?{named}")).await.expect(200).json()["complete"] == true).then_some(())
        })
        .await;

        assert_eq!(found(running, &named, 2).await, ["Ann Sent", "Bob Visited", "Cid Responded"]);
        assert_eq!(found(running, &format!("{named}&status=Sent&status=Visited"), 1).await, ["Ann Sent", "Bob Visited"]);
        assert_eq!(found(running, &format!("{named}&status=Sent&status=Visited&member=false"), 3).await.len(), 9);
        let everybody = found(running, &format!("{named}&{mapped}"), 4).await;
        assert_eq!(everybody.len(), 11, "{everybody:?}");
        assert_eq!(found(running, "member=true", 500).await, everybody);
        let outside = found(running, &format!("{named}&member=false"), 3).await;
        assert_eq!(outside, (0..8).map(|n| format!("Bystander{n} -")).collect::<Vec<_>>());
        assert!(found(running, &format!("{named}&{mapped}&member=false"), 3).await.is_empty());

        let refused = running.api.get(&format!("campaign-members?{named}&campaign_id={other}")).await.expect(404).json();
        assert_eq!((&refused["code"], &refused["campaign_ids"]), (&json!("not-tracked"), &json!([other])));

        // Who was removed is no member any more.
        fair.act("remove-from-campaign", None, json!([{"salesforce_id": leads[1]}])).await;
        assert_eq!(found(running, &named, 50).await, ["Ann Sent", "Cid Responded"]);
    }

    async fn whom_nobody_knows_is_not_among_those_who_are_in_none(database: TestDatabase) {
        let fair = Fair::new(&database).await;
        let (running, world) = (&fair.running, &fair.running.world);
        // Ids that were named, and that Marketo does not have: by a webhook, and in a flow action.
        let hook = Api::new(running.service.url()).with_key(TOKEN);
        let stranger = json!({"v": 1, "event": "program_member.changed", "leadId": 987_654_321, "programId": world.program});
        assert_eq!(hook.post("/webhooks/marketo", &stranger).await.expect(200).json()["accepted"], true);
        assert_eq!(fair.act("change-status", Some("Visited"), json!([{"marketo_id": 987_654_322}])).await, ["failed person_unknown"]);
        // Somebody who is there, without an address, and in no campaign any more.
        let nameless = world.marketo_person_with("Nameless", "");
        world.set_in_marketo("Nameless", "Registered");
        running.both_have("Nameless", Some("Registered")).await;
        world.set_in_marketo("Nameless", "Not in Program");
        running.both_have("Nameless", None).await;
        running.settle().await;
        let named = format!("campaign-members?campaign_id={}&member=false&limit=500", fair.campaign);
        let rows = running.api.get(&named).await.expect(200).json();
        let mut ids: Vec<_> = rows["data"].as_array().unwrap().iter().map(|row| row["person"]["marketo_id"].as_i64().unwrap()).collect();
        let mut expected: Vec<_> = (0..8).map(|n| world.marketo_id(&format!("Bystander{n}")).unwrap()).chain([nameless]).collect();
        ids.sort_unstable();
        expected.sort_unstable();
        assert_eq!(ids, expected, "{rows:#}");
    }

    async fn it_is_a_table_too_in_which_no_text_is_a_formula(database: TestDatabase) {
        let fair = Fair::new(&database).await;
        let lead = fair.running.world.lead_with("Sum", "=sum@people.example");
        fair.act("add-to-campaign", Some("Visited"), json!([{"salesforce_id": lead}])).await;
        let api = fair.running.api.with_header("accept", "text/csv");
        let csv = eventually("the address", SOON, async || {
            let csv = api.get(&format!("campaign-members?campaign_id={}", fair.campaign)).await.expect(200);
            (csv.header("x-complete") == "true" && csv.text.contains("sum@")).then_some(csv)
        })
        .await;
        let lines: Vec<_> = csv.text.split_terminator("\r\n").collect();
        assert_eq!(lines[0], "id,member,campaign_id,campaign_member_id,status,mapping_id,program_id,person.marketo_id,person.salesforce_id,person.salesforce_type,person.email,updated_at");
        assert_eq!(lines.len(), 2);
        assert!(lines[1].contains(",Visited,,,,") && lines[1].contains(",Lead,'=sum@people.example,"), "{}", lines[1]);
    }

    async fn a_person_has_the_campaigns_that_it_is_in(database: TestDatabase) {
        let fair = Fair::new(&database).await;
        let running = &fair.running;
        let id = running.world.marketo_id("Bystander3").unwrap();
        fair.act("add-to-campaign", Some("Visited"), json!([{"marketo_id": id}])).await;
        let campaigns = async || {
            let rows = running.api.get(&format!("people/{id}/campaigns")).await.expect(200).json();
            let mut rows: Vec<(String, String)> = rows["data"].as_array().unwrap().iter().map(|row| {
                assert_eq!((&row["person"]["marketo_id"], &row["member"]), (&json!(id), &Value::Bool(true)));
                (row["campaign_id"].as_str().unwrap().to_owned(), row["status"].as_str().unwrap().to_owned())
            }).collect();
            rows.sort();
            rows
        };
        let mut expected = vec![(running.world.campaign.to_string(), "Registered".to_owned()), (fair.campaign.to_string(), "Visited".to_owned())];
        expected.sort();
        assert_eq!(campaigns().await, expected);
        fair.act("remove-from-campaign", None, json!([{"marketo_id": id}])).await;
        assert_eq!(campaigns().await, [(running.world.campaign.to_string(), "Registered".to_owned())]);
        running.api.get("people/987654321/campaigns").await.expect(404);
        running.api.get("people/ada/campaigns").await.expect(404);
    }
}
