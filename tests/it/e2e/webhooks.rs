//! Webhooks as networks deliver them: lost, twice, late, out of order; and answered the same when they come again.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use campaign_sync::domain::clock::Clock;
use campaign_sync::sandbox::marketo::Mishaps;
use campaign_sync::sandbox::salesforce::Noise;
use serde_json::{Value, json};

use crate::support::{Api, Tables, on_both};

use super::running::Running;
use super::world::{SECRET, TOKEN};

/// A delivery signed as Salesforce's sender does.
pub async fn deliver(running: &Running, id: &str, body: &Value) -> Value {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap());
    let now = Clock::system().now().as_second();
    let body = body.to_string();
    let signature = STANDARD.encode(hmac::sign(&key, format!("{id}.{now}.{body}").as_bytes()));
    let api = Api::new(running.service.url())
        .with_header("webhook-id", id)
        .with_header("webhook-timestamp", &now.to_string())
        .with_header("webhook-signature", &format!("v1,{signature}"));
    api.post_bytes("/webhooks/salesforce", body, "application/json").await.expect(200).json()
}

on_both! {
    async fn whatever_became_of_the_webhooks_comparing_mends_it(database: TestDatabase) {
        let running = Running::new(&database).await;
        let noise = Noise { drop: 0.3, duplicate: 0.3, delay: 0.3, delay_millis: 200, reorder: 0.3 };
        let mishaps = Mishaps {
            drop_per_mille: 300,
            duplicate_per_mille: 300,
            delay_per_mille: 300,
            delay_ms: 200,
            reorder_per_mille: 300,
        };
        running.world.make_noise(running.service.url(), noise, mishaps);
        let names: Vec<String> = (0..12).map(|n| format!("Noisy{n}")).collect();
        for (n, name) in names.iter().enumerate() {
            if n % 2 == 0 {
                running.world.marketo_person(name);
                running.world.set_in_marketo(name, "Invited");
            } else {
                running.world.add_in_salesforce(running.world.lead(name), "Invited");
            }
        }
        running.settle().await;
        for (n, name) in names.iter().enumerate() {
            match n % 4 {
                0 => running.world.set_in_marketo(name, "Attended"),
                1 => running.world.change_in_salesforce(name, "Attended"),
                2 => running.world.set_in_marketo(name, "Not in Program"),
                _ => running.world.remove_in_salesforce(name),
            }
        }
        running.settle().await;
        running.world.send_webhooks_to(running.service.url());
        running.reconcile().await;
        running.at_rest().await;
        let side = running.world.in_marketo();
        for (n, name) in names.iter().enumerate() {
            let wanted = (n % 4 < 2).then(|| vec!["Attended".to_owned()]);
            assert_eq!(side.get(name), wanted.as_ref(), "{name}");
            assert!(running.world.leads(name) <= 1 && running.world.people(name) <= 1, "{name}");
            // What was never heard of is not told of; what is told of follows from what was told before.
            let told = running.transitions_of(name).await;
            let ends: Vec<(&str, &str)> = told.iter().map(|told| told.split_once(' ').unwrap()).collect();
            assert!(ends.windows(2).all(|pair| pair[0].1 == pair[1].0), "{name}: {told:?}");
            let last = ends.last().map_or("-", |(_, new)| *new);
            assert_eq!(last, if n % 4 < 2 { "Attended" } else { "-" }, "{name}: {told:?}");
        }
    }

    async fn a_delivery_that_comes_again_gets_its_answer_again(database: TestDatabase) {
        let running = Running::new(&database).await;
        let tables = Tables::open(&database.url).await;
        let (member, campaign) = running.world.member_named("Bystander1");
        let record = |campaign: &str| json!([{"Id": member, "CampaignId": campaign, "Status": "Attended"}]);
        let org = &running.world.emulators.salesforce_org_id;
        let known = json!({"object": "CampaignMember", "operation": "update", "orgId": org, "records": record(&campaign)});
        let first = deliver(&running, "msg_again", &known).await;
        assert_eq!(first, json!({"accepted": true, "events": 1, "ignored": 0}));
        running.settle().await;
        assert_eq!(deliver(&running, "msg_again", &known).await, first);
        running.settle().await;
        let rows = "SELECT CAST(COUNT(*) AS TEXT) FROM inbox WHERE delivery_id = 'msg_again'";
        assert_eq!(tables.texts(rows).await, ["1"]);

        let unknown = json!({"object": "CampaignMember", "operation": "update", "orgId": org, "records": record("701000000000999AAA")});
        for _ in 0..2 {
            assert_eq!(deliver(&running, "msg_other", &unknown).await, json!({"accepted": true, "events": 0, "ignored": 1}));
        }
        let marketo = Api::new(running.service.url()).with_header("x-webhook-token", TOKEN);
        let body = json!({"v": 1, "event": "program_member.changed", "leadId": 7, "programId": 999_999});
        let answer = marketo.post_bytes("/webhooks/marketo", body.to_string(), "text/plain").await.expect(200).json();
        assert_eq!(answer, json!({"accepted": false, "reason": "unmapped"}));
        running.at_rest().await;
        assert!(running.all_events().await.is_empty(), "a payload was believed");
    }
}
