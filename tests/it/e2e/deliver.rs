//! Events delivered: signed, once for each transition, to whoever wants them; replayed, and into smart campaigns.

use std::collections::BTreeSet;

use campaign_sync::sandbox::marketo::{CampaignRequest, SmartCampaign, Trigger};
use serde_json::{Value, json};

use super::running::Running;
use super::storm::calm_only;
use super::subscriber::{is_cloud_event, received, running, verified};
use super::world::SOON;
use crate::support::{Receiver, eventually, on_both};

/// What CloudEvents 1.0 asks of an event in JSON beyond its JSON schema, to which the official SDK holds it.
fn assert_is_cloud_event(event: &Value) {
    let object = event.as_object().unwrap();
    let text = |name: &str| {
        object[name].as_str().filter(|text| !text.is_empty()).unwrap_or_else(|| panic!("{name}: {event:#}"))
    };
    assert_eq!(text("specversion"), "1.0");
    for name in ["id", "source", "type"] {
        text(name);
    }
    assert!(text("source").starts_with('/') && !text("source").contains(' '), "a URI reference");
    text("time").parse::<jiff::Timestamp>().unwrap();
    assert_eq!(text("datacontenttype"), "application/json");
    assert!(object.get("subject").is_none_or(|subject| subject.as_str().is_some_and(|text| !text.is_empty())));
    assert!(object["data"].is_object() && !object.contains_key("data_base64"));
    for (name, value) in object.iter().filter(|(name, _)| *name != "data") {
        assert!(name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) && name.len() <= 20, "{name}");
        assert!(value.is_string() || value.is_boolean() || value.is_i64(), "{name} is of no type of CloudEvents");
    }
}

/// Tokens by name.
fn tokens(request: &CampaignRequest) -> std::collections::BTreeMap<String, String> {
    request.tokens.iter().cloned().collect()
}

fn smart_campaign(running: &Running) -> i64 {
    running.world.emulators.marketo.with(|world| {
        world.add_campaign(SmartCampaign {
            id: 0,
            name: "Told by Salesforce".to_owned(),
            program_id: None,
            trigger: Some(Trigger::Requested),
            active: true,
            webhook: None,
        })
    })
}

on_both! {
    async fn events_arrive_signed_as_they_are_listed_and_the_secret_is_shown_once(database: TestDatabase) {
        let running = running(&database).await;
        let receiver = Receiver::good().await;
        let (id, secret) = running.subscribe(&receiver, json!({"description": "all"})).await;
        running.told_of("Lovelace", &["Invited", "Attended"]).await;
        let got = received(&receiver, 2).await;
        let listed = running.all_events().await;
        assert_eq!(got.iter().map(|r| r.json()).collect::<Vec<_>>(), listed);
        for (got, event) in got.iter().zip(&listed) {
            assert_is_cloud_event(event);
            assert_eq!((got.header("webhook-id"), got.path.as_str()), (event["id"].as_str().unwrap(), "/hook"));
            assert_eq!(got.header("content-type"), "application/cloudevents+json; charset=utf-8");
            if let Some(by) = verified(&secret, got) {
                assert_eq!(by, [true, true], "{got:?}");
            }
        }
        assert!(got.iter().all(|got| is_cloud_event(got).is_none_or(|is| is)), "{got:?}");
        for (good, bad) in [("\"source\"", "\"sourcx\""), ("\"1.0\"", "\"0.3\""), ("\"time\":\"", "\"time\":\"not ")] {
            let mut spoiled = got[0].clone();
            spoiled.body = spoiled.body.replacen(good, bad, 1);
            assert_ne!(spoiled.body, got[0].body);
            assert!(is_cloud_event(&spoiled).is_none_or(|is| !is), "{bad} is no CloudEvent");
        }
        let mut changed = got[0].clone();
        changed.body = changed.body.replace("Invited", "Attended");
        assert!(verified(&secret, &changed).is_none_or(|by| by == [false, false]));
        let deliveries = running.all_deliveries_are(&id, 2, &["delivered"]).await;
        let attempt = &deliveries[0]["attempts"][0];
        assert_eq!((attempt["code"].as_i64(), attempt["body"].as_str()), (Some(200), Some("thanks")), "{attempt:#}");
        assert_eq!(deliveries[0]["next_attempt_at"], Value::Null);

        let series = running.api.get("stats/timeseries?metric=deliveries").await.expect(200).json();
        let counts = series["points"].as_array().unwrap().iter().filter_map(|point| point[1].as_i64());
        assert_eq!(counts.sum::<i64>(), 2, "{series:#}");

        // Whoever looks sees no secret, and neither does whoever reads the log.
        let shown = [running.subscription(&id).await, json!(running.api.get("subscriptions").await.json()), json!(deliveries)];
        assert!(!json!(shown).to_string().contains(&secret[6..]) && !running.service.stderr().contains(&secret[6..]));
        assert!(shown[0]["last_success_at"].is_string() && shown[0].get("secret").is_none());
    }

    async fn each_hears_what_it_asked_for(database: TestDatabase) {
        let running = running(&database).await;
        let receiver = Receiver::good().await;
        let (campaign, program) = (running.world.campaign.to_string(), running.world.program);
        let cases = [
            (json!({}), 3),
            (json!({"types": ["campaign.member.added"]}), 1),
            (json!({"campaign_ids": [&campaign[..15]], "program_ids": [program]}), 3),
            (json!({"campaign_ids": ["7015g0000000001AAA"]}), 0),
            (json!({"program_ids": [program + 1]}), 0),
            (json!({"statuses": ["Attended"]}), 2),
            (json!({"old_statuses": ["Invited"], "new_statuses": ["Attended"]}), 1),
            (json!({"types": ["sync.mapping.failed"]}), 0),
            (json!({"enabled": false}), 0),
        ];
        let mut subscribed = Vec::new();
        for (more, count) in cases {
            subscribed.push((running.subscribe(&receiver, more.clone()).await.0, more, count));
        }
        running.told_of("Lovelace", &["Invited", "Attended"]).await;
        running.world.remove_in_salesforce("Lovelace");
        eventually("the removal to be told", SOON, async || (running.all_events().await.len() == 3).then_some(())).await;
        for (id, more, count) in subscribed {
            let deliveries = running.all_deliveries_are(&id, count, &["delivered"]).await;
            assert_eq!(deliveries.len(), count, "{more}");
        }
        assert_eq!(receiver.received().len(), 10);
    }

    async fn a_test_arrives_and_a_secret_is_replaced_with_overlap(database: TestDatabase) {
        let running = running(&database).await;
        let receiver = Receiver::good().await;
        let (id, first) = running.subscribe(&receiver, json!({})).await;
        let rotate = async |body: Value| {
            let rotated = running.api.post(&format!("subscriptions/{id}/rotate-secret"), &body).await.expect(200).json();
            rotated["secret"].as_str().unwrap().to_owned()
        };
        let test = async |n: usize| {
            let made = running.api.post(&format!("subscriptions/{id}/test"), &json!({})).await.expect(202).json();
            assert_eq!(made["type"], "sync.subscription.test");
            let got = received(&receiver, n).await.pop().unwrap();
            assert_eq!(got.header("webhook-id"), made["event_id"].as_str().unwrap());
            assert_is_cloud_event(&got.json());
            assert!(is_cloud_event(&got).is_none_or(|is| is), "{got:?}");
            got
        };
        let taken = |secret: &str, got| verified(secret, got).is_none_or(|by| by == [true, true]);
        let refused = |secret: &str, got| verified(secret, got).is_none_or(|by| by == [false, false]);
        assert_eq!(test(1).await.header("webhook-signature").matches("v1,").count(), 1);
        let second = rotate(json!({"overlap": "1h"})).await;
        let both = test(2).await;
        assert_eq!(both.header("webhook-signature").matches("v1,").count(), 2);
        assert!(taken(&first, &both) && taken(&second, &both));
        let third = rotate(json!({"overlap": "0s"})).await;
        let one = test(3).await;
        assert_eq!(one.header("webhook-signature").matches("v1,").count(), 1);
        assert!(refused(&first, &one) && refused(&second, &one) && taken(&third, &one));
    }

    async fn while_stopped_events_stay_to_be_replayed(database: TestDatabase) {
        let running = running(&database).await;
        let receiver = Receiver::good().await;
        let (id, _) = running.subscribe(&receiver, json!({})).await;
        let path = format!("subscriptions/{id}");
        running.told_of("Before", &["Invited"]).await;
        received(&receiver, 1).await;
        running.api.patch(&path, &json!({"enabled": false})).await.expect(200);
        running.told_of("Meanwhile", &["Invited", "Registered", "Attended"]).await;
        running.api.patch(&path, &json!({"enabled": true})).await.expect(200);
        running.told_of("After", &["Invited"]).await;
        received(&receiver, 2).await;
        let listed: Vec<String> = running.all_events().await.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
        running.all_deliveries_are(&id, 2, &["delivered"]).await;
        assert_eq!(receiver.ids(), [&*listed[0], &*listed[4]], "what was missed is not sent unasked");

        let since = running.subscription(&id).await["stopped_position"].as_i64().unwrap();
        let begun = running.api.post(&format!("{path}/replay"), &json!({"since": since})).await.expect(202).json();
        assert_eq!((begun["after_position"].as_i64(), begun["until_position"].as_i64()), (Some(1), Some(5)));
        running.all_deliveries_are(&id, 5, &["delivered"]).await;
        let ids = receiver.ids();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>(), listed.iter().collect(), "{ids:?}");
        assert_eq!(ids.len(), 6, "the one after was told before, and is told again");
        assert!(running.subscription(&id).await["stopped_position"].is_null());

        // All from a time, however far back.
        running.api.post(&format!("{path}/replay"), &json!({"since": "2000-01-01T00:00:00Z"})).await.expect(202);
        assert_eq!(received(&receiver, 11).await.len(), 11);
        // And one alone.
        let one = running.deliveries(&id).await[0]["id"].as_str().unwrap().to_owned();
        running.api.post(&format!("deliveries/{one}/retry"), &json!({})).await.expect(202);
        assert_eq!(received(&receiver, 12).await.last().unwrap().header("webhook-id"), listed[0]);
        running.api.delete(&path).await.expect(204);
        running.api.get(&path).await.expect(404);
    }

    async fn a_smart_campaign_is_requested_with_campaign_and_statuses(database: TestDatabase) {
        calm_only!("counts requests, of which one whose answer is lost is made again");
        let running = running(&database).await;
        let wanted = smart_campaign(&running);
        let body = json!({"marketo_smart_campaign_id": wanted, "new_statuses": ["Invited", "Attended"]});
        let made = running.api.post("subscriptions", &body).await.expect(201).json();
        assert!(made["secret"].is_null());
        let id = made["id"].as_str().unwrap();
        let requests = || running.world.emulators.marketo.with(|world| world.requests.clone());

        // Many at once, who are all in Marketo: as few requests as there are hundreds.
        let names: Vec<String> = (0..130).map(|n| format!("Guest{n}")).collect();
        for name in &names {
            running.world.marketo_person(name);
        }
        running.api.patch(&format!("subscriptions/{id}"), &json!({"enabled": false})).await.expect(200);
        names.iter().for_each(|name| running.world.set_in_marketo(name, "Invited"));
        eventually("all to be told of", SOON, async || (running.all_events().await.len() == 130).then_some(())).await;
        running.api.patch(&format!("subscriptions/{id}"), &json!({"enabled": true})).await.expect(200);
        running.api.post(&format!("subscriptions/{id}/replay"), &json!({"since": 0})).await.expect(202);
        running.all_deliveries_are(id, 130, &["delivered"]).await;
        let made = requests();
        assert_eq!(made.iter().map(|r| r.lead_ids.len()).collect::<Vec<_>>(), [100, 30]);
        let told: BTreeSet<i64> = made.iter().flat_map(|r| r.lead_ids.clone()).collect();
        assert_eq!(told, names.iter().map(|name| running.world.marketo_id(name).unwrap()).collect());
        let of_one = tokens(&made[0]);
        assert_eq!(of_one["{{my.SFDC Campaign Id}}"], running.world.campaign.to_string());
        assert_eq!((&*of_one["{{my.SFDC Event}}"], &*of_one["{{my.SFDC New Status}}"]), ("added", "Invited"));
        assert!(!of_one.contains_key("{{my.SFDC Old Status}}"));

        // Each transition of one person is a request, with its own tokens.
        running.world.set_in_marketo("Guest7", "Attended");
        running.all_deliveries_are(id, 131, &["delivered"]).await;
        let last = requests().pop().unwrap();
        assert_eq!(last.lead_ids, [running.world.marketo_id("Guest7").unwrap()]);
        let of_one = tokens(&last);
        assert_eq!((&*of_one["{{my.SFDC Old Status}}"], &*of_one["{{my.SFDC New Status}}"]), ("Invited", "Attended"));

        // A test is for somebody; one whom Marketo has not is passed over, and the others of the call are not.
        let test = format!("subscriptions/{id}/test");
        running.api.post(&test, &json!({})).await.expect(422);
        for person in [running.world.marketo_id("Guest1").unwrap(), 999_999] {
            running.api.post(&test, &json!({"marketo_id": person})).await.expect(202);
        }
        let deliveries = running.all_deliveries_are(id, 133, &["delivered", "skipped"]).await;
        let skipped: Vec<_> = deliveries.iter().filter(|d| d["state"] == "skipped").map(|d| d["reason"].clone()).collect();
        assert_eq!(skipped, ["person_not_in_marketo"]);
        // Whoever is in Salesforce alone has no flow to pass.
        running.world.emulators.marketo.with(|world| world.campaigns.get_mut(&wanted).unwrap().active = false);
        running.api.post(&test, &json!({"marketo_id": running.world.marketo_id("Guest2").unwrap()})).await.expect(202);
        let refused = running.all_deliveries_are(id, 134, &["delivered", "skipped", "retrying"]).await.pop().unwrap();
        assert!(refused["attempts"][0]["error"].as_str().unwrap().contains("not active"), "{refused:#}");
    }
}
