//! The sender of webhooks.
//!
//! Owns the posts: signatures of the Apex kind, which is sent at most once, and the repetitions of outbound messages until the
//! exact acknowledgement comes or their age is too great. Waits are real time, as the configuration of the hook says.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::objects::Object;
use super::outbox::{Delivery, JsonHook, Notification, OutboundMessageHook, Outbox};
use super::{Salesforce, envelope, locked};

/// How long Salesforce waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Sends until it is aborted.
pub async fn run(salesforce: Arc<Salesforce>) {
    let client = Client::builder().timeout(TIMEOUT).build().unwrap_or_default();
    tokio::join!(pump_json(&salesforce, &client), pump_messages(&salesforce, &client));
}

/// A place among the posts under way; with one place deliveries keep their order.
async fn place(slots: Arc<Semaphore>) -> Option<Arc<OwnedSemaphorePermit>> {
    slots.acquire_owned().await.ok().map(Arc::new)
}

async fn pump_json(salesforce: &Arc<Salesforce>, client: &Client) {
    loop {
        let slots = locked(&salesforce.outbox).json_slots.clone();
        let place = place(slots).await;
        let Some((hook, delivery, fate)) = next_json(&mut locked(&salesforce.outbox)) else {
            drop(place);
            salesforce.json_ready.notified().await;
            continue;
        };
        for _ in 0..fate.copies {
            let held = place.clone().filter(|_| fate.delay_millis == 0);
            let (salesforce, client) = (salesforce.clone(), client.clone());
            let (hook, delivery) = (hook.clone(), delivery.clone());
            tokio::spawn(async move {
                pause(fate.delay_millis).await;
                let result = post_json(&salesforce, &client, &hook, &delivery).await;
                note(&salesforce, &result);
                locked(&salesforce.outbox).ended();
                drop(held);
            });
        }
    }
}

fn next_json(outbox: &mut Outbox) -> Option<(JsonHook, Delivery, super::outbox::Fate)> {
    let hook = outbox.webhooks.json.clone()?;
    let (delivery, fate) = outbox.next_delivery()?;
    Some((hook, delivery, fate))
}

async fn post_json(
    salesforce: &Salesforce,
    client: &Client,
    hook: &JsonHook,
    delivery: &Delivery,
) -> Result<(), String> {
    let time = locked(&salesforce.world).now().as_second();
    let signature = sign(&hook.secret, &delivery.id, time, &delivery.body);
    let request = client
        .post(&hook.url)
        .header("content-type", "application/json")
        .header("webhook-id", &delivery.id)
        .header("webhook-timestamp", time.to_string())
        .header("webhook-signature", signature)
        .body(delivery.body.clone());
    let status = request.send().await.map_err(|e| e.to_string())?.status();
    if status.is_success() { Ok(()) } else { Err(format!("{} answered {status}", hook.url)) }
}

/// `v1,` and the HMAC-SHA256 of `{id}.{timestamp}.{body}` under the secret behind `whsec_` (Standard Webhooks).
#[must_use]
pub fn sign(secret: &str, id: &str, time: i64, body: &str) -> String {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap_or_else(|_| secret.as_bytes().to_vec());
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    format!("v1,{}", STANDARD.encode(hmac::sign(&key, format!("{id}.{time}.{body}").as_bytes())))
}

async fn pump_messages(salesforce: &Arc<Salesforce>, client: &Client) {
    loop {
        let slots = locked(&salesforce.outbox).message_slots.clone();
        let place = place(slots).await;
        let next = {
            let mut outbox = locked(&salesforce.outbox);
            let hook = outbox.webhooks.outbound_message.clone();
            hook.and_then(|hook| outbox.next_message().map(|(object, batch, fate)| (hook, object, batch, fate)))
        };
        let Some((hook, object, batch, fate)) = next else {
            drop(place);
            salesforce.message_ready.notified().await;
            continue;
        };
        for _ in 0..fate.copies {
            let held = place.clone().filter(|_| fate.delay_millis == 0);
            let (salesforce, client, hook, batch) = (salesforce.clone(), client.clone(), hook.clone(), batch.clone());
            tokio::spawn(async move {
                pause(fate.delay_millis).await;
                deliver(&salesforce, &client, &hook, object, &batch, held).await;
            });
        }
    }
}

/// Repeats one message until it is acknowledged. Only the first try keeps others waiting.
async fn deliver(
    salesforce: &Salesforce,
    client: &Client,
    hook: &OutboundMessageHook,
    object: Object,
    batch: &[Notification],
    held: Option<Arc<OwnedSemaphorePermit>>,
) {
    let mut held = held;
    let (mut wait, mut age) = (hook.retry_base_millis.max(1), 0_u64);
    loop {
        let result = post_message(salesforce, client, hook, object, batch).await;
        note(salesforce, &result);
        drop(held.take());
        if result.is_ok() {
            return;
        }
        if age.saturating_add(wait) > hook.give_up_millis {
            locked(&salesforce.outbox).sent.given_up += 1;
            return;
        }
        pause(wait).await;
        age = age.saturating_add(wait);
        wait = wait.saturating_mul(2).min(hook.retry_cap_millis.max(1));
    }
}

async fn post_message(
    salesforce: &Salesforce,
    client: &Client,
    hook: &OutboundMessageHook,
    object: Object,
    batch: &[Notification],
) -> Result<(), String> {
    let body = {
        let world = locked(&salesforce.world);
        let rows: Vec<_> = batch.iter().filter_map(|n| Some((n.id, world.live(n.record)?))).collect();
        if rows.is_empty() {
            return Ok(());
        }
        envelope::message(&world, object, &rows)
    };
    let request = client.post(&hook.url).header("content-type", "text/xml; charset=utf-8").header("SOAPAction", "\"\"");
    let response = request.body(body).send().await.map_err(|e| e.to_string())?;
    let status = response.status();
    let is_xml =
        response.headers().get("content-type").and_then(|v| v.to_str().ok()).is_some_and(|t| t.starts_with("text/xml"));
    let answer = response.text().await.map_err(|e| e.to_string())?;
    if status.as_u16() == 200 && is_xml && envelope::is_ack(&answer) {
        return Ok(());
    }
    Err(format!("{} answered {status} without the acknowledgement", hook.url))
}

fn note(salesforce: &Salesforce, result: &Result<(), String>) {
    let sent = &mut locked(&salesforce.outbox).sent;
    sent.posts += 1;
    match result {
        Ok(()) => sent.accepted += 1,
        Err(error) => {
            sent.failed += 1;
            sent.last_error = Some(error.clone());
        }
    }
}

async fn pause(millis: u64) {
    if millis > 0 {
        #[expect(clippy::disallowed_methods, reason = "the network outside is emulated in real time")]
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
}
