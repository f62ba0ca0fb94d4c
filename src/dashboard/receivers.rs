//! Subscriptions: who is told of trigger events, and how that goes.

use askama::Template;
use axum::extract::Path;
use axum::http::Method;
use serde_json::{Map, Value, json};

use super::listing::{Asked, Choice, Pager, choices};
use super::overview::two;
use super::view::{View, duration};
use super::visitor::{Fields, Flash, Submitted, Visitor};
use super::words::EVENTS;
use super::{Frame, Page};

/// Events that are shown beside the receivers.
const NEWEST: usize = 20;

#[derive(Template)]
#[template(path = "subscriptions.html")]
struct List {
    frame: Frame,
    list: View,
    pager: Pager,
    events: Vec<View>,
    offered: bool,
    types: [(&'static str, &'static str, &'static str); 8],
}

pub(super) async fn list(visitor: Visitor, asked: Asked) -> Page {
    let offered = visitor.offers("GET /subscriptions");
    let list = format!("/subscriptions?{}", asked.query(&["cursor"]));
    let list = async { if offered { visitor.get(&list).await } else { Ok(visitor.maybe("/none").await) } };
    let (list, events) = two(list, newest(&visitor)).await;
    let list = list?;
    let page = List {
        frame: visitor.live("Subscriptions", "subscriptions"),
        pager: Pager::of(&list, "/subscriptions", "", &asked),
        events,
        offered,
        types: EVENTS,
        list,
    };
    visitor.page(&page)
}

/// The newest events, the last first. The API lists them as they happened, so that they are asked for from ever further back.
async fn newest(visitor: &Visitor) -> Vec<View> {
    let mut events = Vec::new();
    for seconds in [60, 600, 3600] {
        let since = visitor.now() - jiff::SignedDuration::from_secs(seconds);
        events = visitor.maybe(&format!("/trigger-events?limit=500&since={since}")).await.each("data");
        if events.len() >= NEWEST {
            break;
        }
    }
    events.reverse();
    events.truncate(NEWEST);
    events
}

pub(super) async fn create(Submitted { visitor, fields }: Submitted) -> Page {
    let mut body = Map::new();
    match fields.get("marketo_smart_campaign_id").parse::<i64>() {
        Ok(id) => body.insert("marketo_smart_campaign_id".to_owned(), json!(id)),
        Err(_) => body.insert("url".to_owned(), json!(fields.get("url"))),
    };
    body.insert("types".to_owned(), json!(fields.all("types")));
    let given = |name: &str| -> Vec<String> {
        fields.get(name).split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    for name in ["campaign_ids", "new_statuses"] {
        body.insert(name.to_owned(), json!(given(name)));
    }
    let answer = visitor.ask(Method::POST, "/subscriptions", Some(&Value::Object(body))).await;
    if !answer.status.is_success() {
        return visitor.told("/subscriptions", &answer, "");
    }
    let secret = answer.body.text("secret");
    let done = format!("Made. Its secret is shown this once: {secret}");
    // Shown in this answer and nowhere else: not in a cookie, not in an address.
    list(visitor.saying(Flash::good(done)), Asked(Fields(Vec::new()))).await
}

#[derive(Template)]
#[template(path = "subscription.html")]
struct Detail {
    frame: Frame,
    subscription: View,
    deliveries: View,
    pager: Pager,
    states: Vec<Choice>,
    filtered: bool,
    health: Option<Health>,
}

const STATES: [&str; 5] = ["delivered", "retrying", "pending", "failed", "skipped"];

/// How the deliveries of a page went.
struct Health {
    shown: usize,
    delivered: usize,
    /// At a delivery that was made, on average.
    attempts: String,
    /// Of the last attempts, the middle one.
    latency: String,
}

impl Health {
    fn of(deliveries: &[View]) -> Option<Self> {
        let attempts: Vec<Vec<View>> = deliveries.iter().map(|delivery| delivery.each("attempts")).collect();
        let mut latencies: Vec<i64> =
            attempts.iter().filter_map(|all| Some(all.last()?.number("latency_ms"))).collect();
        latencies.sort_unstable();
        let made = attempts.iter().filter(|all| !all.is_empty()).count();
        let total: usize = attempts.iter().map(Vec::len).sum();
        // In tenths, rounded.
        let tenths = (total * 20 + made).checked_div(made * 2)?;
        Some(Self {
            shown: deliveries.len(),
            delivered: deliveries.iter().filter(|delivery| delivery.is("state", "delivered")).count(),
            attempts: format!("{}.{}", tenths / 10, tenths % 10),
            latency: duration(latencies[latencies.len() / 2]),
        })
    }
}

pub(super) async fn show(visitor: Visitor, Path(id): Path<String>, asked: Asked) -> Page {
    let base = format!("/subscriptions/{id}");
    let deliveries = format!("{base}/deliveries?{}", asked.query(&["cursor", "state"]));
    let (subscription, deliveries) = two(visitor.get(&base), visitor.maybe(&deliveries)).await;
    let page = Detail {
        frame: visitor.live("Subscription", "subscriptions"),
        subscription: subscription?,
        states: choices(STATES, asked.get("state")),
        filtered: !asked.get("state").is_empty(),
        health: Health::of(&deliveries.each("data")),
        pager: Pager::of(&deliveries, &base, &asked.query(&["state"]), &asked),
        deliveries,
    };
    visitor.page(&page)
}

/// Test, enable, disable, rotate, replay, retry a delivery, remove.
pub(super) async fn act(Path(id): Path<String>, Submitted { visitor, fields }: Submitted) -> Page {
    let here = format!("/subscriptions/{id}");
    let (method, path, body) = match fields.get("action") {
        "enable" => (Method::PATCH, here.clone(), Some(json!({"enabled": true}))),
        "disable" => (Method::PATCH, here.clone(), Some(json!({"enabled": false}))),
        "rotate" => (Method::POST, format!("{here}/rotate-secret"), None),
        "replay" => (Method::POST, format!("{here}/replay"), Some(json!({"since": fields.get("since")}))),
        "retry_failed" => (Method::POST, format!("{here}/retry"), Some(json!({}))),
        "retry" => (Method::POST, format!("/deliveries/{}/retry", fields.get("delivery")), None),
        "remove" => (Method::DELETE, here.clone(), None),
        "test" if !fields.get("marketo_id").is_empty() => {
            let person = fields.get("marketo_id").parse::<i64>().unwrap_or(0);
            (Method::POST, format!("{here}/test"), Some(json!({"marketo_id": person})))
        }
        _ => (Method::POST, format!("{here}/test"), None),
    };
    let removed = method == Method::DELETE;
    let answer = visitor.ask(method, &path, body.as_ref()).await;
    if removed && answer.status.is_success() {
        return visitor.back("/subscriptions", &Flash::good("Removed."));
    }
    let secret = answer.body.text("secret");
    if !secret.is_empty() {
        let done = Flash::good(format!("The new secret is shown this once: {secret}"));
        return show(visitor.saying(done), Path(id), Asked(Fields(Vec::new()))).await;
    }
    let done = match fields.get("action") {
        "enable" => "Enabled. What waited is sent now; what was missed meanwhile can be replayed.".to_owned(),
        "disable" => "Disabled. Events stay in the log, and can be replayed.".to_owned(),
        "replay" => "Everything from there on is told again.".to_owned(),
        "retry_failed" => format!("{} deliveries are tried again.", answer.body.count("count")),
        "retry" => "It is tried again now.".to_owned(),
        _ => "A test event is on its way; it is listed below.".to_owned(),
    };
    visitor.told(&here, &answer, done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_of_what_was_made() {
        let view = |value| View::new(value, "2026-11-23T20:05:01Z".parse().unwrap());
        assert!(Health::of(&[]).is_none() && Health::of(&[view(json!({"attempts": []}))]).is_none());
        let made = |state: &str, latencies: &[i64]| {
            let attempts: Vec<_> = latencies.iter().map(|ms| json!({"latency_ms": ms})).collect();
            view(json!({"state": state, "attempts": attempts}))
        };
        let health =
            Health::of(&[made("delivered", &[900, 12]), made("delivered", &[20]), made("pending", &[])]).unwrap();
        assert_eq!((health.shown, health.delivered), (3, 2));
        assert_eq!((health.attempts.as_str(), health.latency.as_str()), ("1.5", "20 ms"));
    }
}
