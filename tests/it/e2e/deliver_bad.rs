//! Receivers that fail, hang, redirect, reset, lie, are gone or are private; and that none of them is anybody else's trouble.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use campaign_sync::sandbox::fault::{Action, Fault, Vendor};
use serde_json::{Value, json};

use super::running::Running;
use super::subscriber::{launch, received};
use super::world::{SOON, World};
use crate::support::{Receiver, Reply, TestDatabase, eventually, on_both};

/// The service with receivers that have little time.
async fn impatient(database: &TestDatabase, settings: &[(&str, &str)]) -> Running {
    let world = World::new().await;
    world.bystanders(8);
    let launch = settings.iter().fold(launch(&world, database), |launch, (key, value)| launch.set(key, value));
    Running::launch(world, launch).await
}

/// The first attempt of the one delivery of a subscription.
async fn first_attempt(running: &Running, id: &str) -> Value {
    eventually("an attempt", SOON, async || {
        let deliveries = running.deliveries(id).await;
        let made = |d: &&Value| d["attempts"].as_array().is_some_and(|a| !a.is_empty()) && d["state"] != "pending";
        deliveries.first().filter(made).cloned()
    })
    .await
}

/// Milliseconds from one time to another, as the API writes them.
fn between(from: &Value, to: &Value) -> i64 {
    let at = |time: &Value| time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    at(to) - at(from)
}

on_both! {
    async fn each_failure_is_told_and_tried_again(database: TestDatabase) {
        let running = impatient(&database, &[("delivery.timeout", "5s")]).await;
        let elsewhere = Receiver::good().await;
        let redirect: &'static str = format!("location: {}\r\n", elsewhere.url).leak();
        let answer = |status, headers| move |_: usize, _: &_| Reply::Answer(status, headers, "no <html>");
        let cases = [
            (Receiver::that(answer(500, "")).await, "retrying", Some(500), ""),
            (Receiver::that(answer(404, "")).await, "retrying", Some(404), ""),
            (Receiver::that(answer(302, redirect)).await, "retrying", Some(302), "redirect"),
            (Receiver::that(answer(308, redirect)).await, "retrying", Some(308), "redirect"),
            (Receiver::that(|_, _| Reply::Reset).await, "retrying", None, "cut_off"),
            (Receiver::that(|_, _| Reply::Lie).await, "delivered", Some(200), ""),
            (Receiver::that(|_, _| Reply::Endless).await, "delivered", Some(200), ""),
            (Receiver::that(|_, _| Reply::Answer(204, "", "")).await, "delivered", Some(204), ""),
            (Receiver::closed().await, "retrying", None, "no_connection"),
            // Last, since others are tried again before its time is up.
            (Receiver::that(|_, _| Reply::Hang).await, "retrying", None, "timeout"),
        ];
        let mut subscribed = Vec::new();
        for (receiver, ..) in &cases {
            subscribed.push(running.subscribe(receiver, json!({})).await.0);
        }
        running.told_of("Lovelace", &["Invited"]).await;
        for (id, (receiver, state, code, error)) in subscribed.iter().zip(&cases) {
            let delivery = first_attempt(&running, id).await;
            let attempt = &delivery["attempts"][0];
            let said = attempt["error"].as_str().unwrap_or_default();
            assert_eq!((delivery["state"].as_str(), attempt["code"].as_i64()), (Some(*state), *code), "{delivery:#}");
            assert!(said.starts_with(error) && said.is_empty() == error.is_empty(), "{error}: {delivery:#}");
            assert!(attempt["body"].as_str().is_none_or(|body| body.chars().count() <= 1000));
            if *state == "retrying" {
                // Counted from the end of the attempt.
                let pause = between(&attempt["at"], &delivery["next_attempt_at"]) - attempt["latency_ms"].as_i64().unwrap();
                assert!((4_900..=30_000).contains(&pause), "{}: {pause}", receiver.url);
            }
        }
        assert!(elsewhere.received().is_empty(), "a redirect was followed");
    }

    async fn it_is_tried_again_with_the_same_id_until_it_is_taken(database: TestDatabase) {
        let running = impatient(&database, &[]).await;
        let recovers = Receiver::that(|before, _| match before {
            0 => Reply::Answer(500, "", "not now"),
            1 => Reply::Answer(503, "retry-after: 2\r\n", "soon"),
            _ => Reply::Answer(200, "", ""),
        }).await;
        let (id, _) = running.subscribe(&recovers, json!({})).await;
        running.told_of("Lovelace", &["Invited"]).await;
        let delivery = running.all_deliveries_are(&id, 1, &["delivered"]).await.remove(0);
        let attempts = delivery["attempts"].as_array().unwrap();
        assert_eq!(attempts.iter().map(|a| a["code"].clone()).collect::<Vec<_>>(), [500, 503, 200]);
        assert!(between(&attempts[0]["at"], &attempts[1]["at"]) < 30_000, "{delivery:#}");
        // As long as it asked for, and not as long as a third attempt would wait.
        let asked = between(&attempts[1]["at"], &attempts[2]["at"]);
        assert!((2_000..10_000).contains(&asked), "{delivery:#}");
        let got = recovers.received();
        assert!(got.iter().all(|r| r.header("webhook-id") == got[0].header("webhook-id") && r.body == got[0].body));
        assert!(running.subscription(&id).await["failing_since"].is_null());
    }

    async fn what_a_receiver_asks_for_is_heeded_within_bounds(database: TestDatabase) {
        let running = impatient(&database, &[]).await;
        let asks = |headers: &'static str| move |_: usize, _: &_| Reply::Answer(429, headers, "");
        let cases = [
            (Receiver::that(asks("retry-after: 120\r\n")).await, 115_000..=125_000),
            // Not for ever.
            (Receiver::that(asks("retry-after: 864000\r\n")).await, 3_595_000..=3_605_000),
            (Receiver::that(asks("retry-after: Fri, 31 Dec 2100 23:59:59 GMT\r\n")).await, 3_595_000..=3_605_000),
            // What is no time is none.
            (Receiver::that(asks("retry-after: soon\r\n")).await, 4_900..=30_000),
        ];
        let mut subscribed = Vec::new();
        for (receiver, _) in &cases {
            subscribed.push(running.subscribe(receiver, json!({})).await.0);
        }
        running.told_of("Lovelace", &["Invited"]).await;
        for (id, (_, bounds)) in subscribed.iter().zip(&cases) {
            let delivery = first_attempt(&running, id).await;
            let pause = between(&delivery["attempts"][0]["at"], &delivery["next_attempt_at"]);
            assert!(bounds.contains(&pause), "{pause} is not within {bounds:?}: {delivery:#}");
        }
        // It speaks of all that would follow, but not to whom a person wants it told now.
        running.told_of("Hopper", &["Invited"]).await;
        let (asked_much, much) = (&cases[1].0, &subscribed[1]);
        running.api.post(&format!("subscriptions/{much}/test"), &json!({})).await.expect(202);
        let got = received(asked_much, 2).await;
        assert!(got.len() >= 2, "{got:?}");
    }

    async fn who_is_gone_is_disabled_at_once_and_others_are_told(database: TestDatabase) {
        let running = impatient(&database, &[]).await;
        let gone = Receiver::that(|_, _| Reply::Answer(410, "", "moved away")).await;
        let operator = Receiver::good().await;
        let (id, _) = running.subscribe(&gone, json!({})).await;
        running.subscribe(&operator, json!({"types": ["sync.subscription.disabled"]})).await;
        running.told_of("Lovelace", &["Invited"]).await;
        let told = received(&operator, 1).await.remove(0).json();
        assert_eq!((told["type"].as_str(), told["data"]["subscription_id"].as_str(), told["data"]["reason"].as_str()),
            (Some("sync.subscription.disabled"), Some(&*id), Some("gone")), "{told:#}");
        let subscription = running.subscription(&id).await;
        assert_eq!((&subscription["state"], &subscription["reason"], &subscription["enabled"]), (&json!("disabled"), &json!("gone"), &json!(false)));
        assert_eq!(running.deliveries(&id).await[0]["state"], "failed");
        running.told_of("Hopper", &["Invited"]).await;
        running.api.post(&format!("subscriptions/{id}/test"), &json!({})).await.expect(409);
        assert_eq!((gone.received().len(), running.deliveries(&id).await.len()), (1, 1), "it was left alone");
        assert_eq!(running.subscription(&id).await["stopped_position"], 1);
    }

    async fn who_fails_for_as_long_as_is_tried_is_disabled_and_misses_nothing(database: TestDatabase) {
        let running = impatient(&database, &[("delivery.max_age", "3s")]).await;
        let well = Arc::new(AtomicBool::new(false));
        let mended = Arc::clone(&well);
        let failing = Receiver::that(move |_, _| match mended.load(Ordering::SeqCst) {
            true => Reply::Answer(200, "", ""),
            false => Reply::Answer(500, "retry-after: 1\r\n", ""),
        }).await;
        let operator = Receiver::good().await;
        let (id, _) = running.subscribe(&failing, json!({})).await;
        running.subscribe(&operator, json!({"types": ["sync.subscription.disabled"]})).await;
        running.told_of("Lovelace", &["Invited"]).await;
        // The delivery ends after its time, and what follows it finds that nothing was taken for as long.
        running.all_deliveries_are(&id, 1, &["failed"]).await;
        assert_eq!(running.deliveries(&id).await[0]["reason"], "expired");
        running.told_of("Hopper", &["Invited"]).await;
        let told = received(&operator, 1).await.remove(0).json();
        assert_eq!((told["data"]["reason"].as_str(), told["data"]["failing_since"].is_string()), (Some("failing"), true), "{told:#}");
        running.told_of("Franklin", &["Invited"]).await;
        let subscription = running.subscription(&id).await;
        assert_eq!(subscription["state"], "disabled");

        // What it misses can be asked for while it is disabled, and waits with it.
        let path = format!("subscriptions/{id}");
        let since = &subscription["stopped_position"];
        running.api.post(&format!("{path}/replay"), &json!({"since": since})).await.expect(202);
        running.told_of("Noether", &["Invited"]).await;
        let (before, sent) = (running.deliveries(&id).await.len(), failing.received().len());
        well.store(true, Ordering::SeqCst);
        running.told_of("Hamilton", &["Invited"]).await;
        assert_eq!((running.deliveries(&id).await.len(), failing.received().len()), (before, sent), "it is left alone");
        running.api.patch(&path, &json!({"enabled": true})).await.expect(200);
        running.api.post(&format!("{path}/retry"), &json!({})).await.expect(202);
        running.all_deliveries_are(&id, 3, &["delivered"]).await;
        // And what came after that was asked for.
        running.api.post(&format!("{path}/replay"), &json!({"since": 3})).await.expect(202);
        running.all_deliveries_are(&id, 5, &["delivered"]).await;
    }

    async fn the_operator_hears_of_a_mapping_that_stops(database: TestDatabase) {
        let running = impatient(&database, &[]).await;
        let operator = Receiver::good().await;
        running.subscribe(&operator, json!({"types": ["sync.mapping.failed"], "program_ids": [running.world.program]})).await;
        running.world.emulators.salesforce.with(|org| {
            let person = org.as_person();
            org.atomically(|org| org.delete(&person, running.world.campaign)).unwrap();
        });
        running.world.set_in_marketo("Bystander0", "Attended");
        let told = received(&operator, 1).await.remove(0).json();
        assert_eq!((&told["type"], &told["data"]["reason"]), (&json!("sync.mapping.failed"), &json!("campaign_gone")), "{told:#}");
        assert_eq!(told["source"], format!("/mappings/{}", running.mapping));
        assert!(told["data"]["message"].as_str().unwrap().contains("resumed"));
    }

    async fn the_operator_hears_once_of_a_quota_that_is_used_up(database: TestDatabase) {
        let running = impatient(&database, &[]).await;
        let operator = Receiver::good().await;
        let (id, _) = running.subscribe(&operator, json!({"types": ["sync.quota.exhausted"]})).await;
        let body = json!({"requestId": "a#1", "success": false, "errors": [{"code": "607", "message": "Daily quota reached"}]});
        let used_up = Action::Answer { status: 200, content_type: "application/json".to_owned(), body: body.to_string() };
        let fault = Fault { method: Some("POST".to_owned()), ..Fault::next(Vendor::Marketo, "/rest/v1/leads.json", used_up) };
        running.world.emulators.faults.add(fault);
        for name in ["Lovelace", "Hopper"] {
            running.world.add_in_salesforce(running.world.lead(name), "Invited");
        }
        let told = received(&operator, 1).await.remove(0).json();
        assert_eq!((&told["type"], &told["data"]["vendor"]), (&json!("sync.quota.exhausted"), &json!("marketo")), "{told:#}");
        // Each that meets it afterwards is not told anew.
        running.world.add_in_salesforce(running.world.lead("Franklin"), "Invited");
        let waits = format!("mappings/{}/members?reason=quota", running.mapping);
        eventually("three to wait for it", SOON, async || {
            let waiting = running.api.get(&waits).await.expect(200).json();
            (waiting["data"].as_array().unwrap().len() == 3).then_some(())
        }).await;
        assert_eq!(running.deliveries(&id).await.len(), 1);
    }

    async fn the_dead_delay_nobody(database: TestDatabase) {
        // Nobody gives up on the dead while this goes on.
        let running = impatient(&database, &[("delivery.timeout", "10m")]).await;
        let (dead, live) = (Receiver::that(|_, _| Reply::Hang).await, Receiver::good().await);
        for _ in 0..5 {
            running.subscribe(&dead, json!({})).await;
        }
        let mut ids = Vec::new();
        for _ in 0..5 {
            ids.push(running.subscribe(&live, json!({})).await.0);
        }
        for n in 0..30 {
            running.world.add_in_salesforce(running.world.lead(&format!("Guest{n}")), "Invited");
        }
        for id in &ids {
            running.all_deliveries_are(id, 30, &["delivered"]).await;
        }
        assert_eq!(received(&live, 150).await.len(), 150);
        // As many as one receiver is sent at the same time, and no more.
        assert_eq!(received(&dead, 100).await.len(), 100);
        // What comes later is not behind them either.
        running.told_of("Late", &["Invited"]).await;
        received(&live, 155).await;
    }

    async fn a_private_address_is_not_called_when_that_is_not_allowed(database: TestDatabase) {
        let running = impatient(&database, &[]).await;
        let receiver = Receiver::good().await;
        let (id, _) = running.subscribe(&receiver, json!({})).await;
        // As one whose name leads here only after it was subscribed.
        let port = receiver.url.rsplit(':').next().unwrap().trim_end_matches("/hook").to_owned();
        let named = json!({"url": format!("https://localhost:{port}/hook")});
        let named = running.api.post("subscriptions", &named).await.expect(201).json()["id"].as_str().unwrap().to_owned();
        let Running { world, service, mapping, .. } = running;
        let (_, launch) = service.terminate().await;
        let service = launch.set("limits.allow_private_targets", "false").start().await;
        let api = crate::support::Api::new(service.url()).with_key(super::world::KEY);
        let running = Running { world, service, api, mapping }.again();
        running.told_of("Lovelace", &["Invited"]).await;
        for (id, error) in [(&id, "address_refused"), (&named, "address_refused")] {
            let delivery = first_attempt(&running, id).await;
            let said = delivery["attempts"][0]["error"].as_str().unwrap_or_default();
            assert!(said.starts_with(error), "{delivery:#}");
        }
        assert!(receiver.received().is_empty());
        for url in [&*receiver.url, "https://localhost/x", "https://10.1.2.3/", "https://[::ffff:127.0.0.1]/", "http://example.com/"] {
            running.api.post("subscriptions", &json!({"url": url})).await.expect(422);
        }
    }
}
