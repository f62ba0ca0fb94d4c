//! Subscriptions: who is told of trigger events, and how that goes.

use askama::Template;
use axum::extract::Path;
use axum::http::Method;
use serde_json::{Map, Value, json};

use super::listing::{Asked, Pager};
use super::overview::two;
use super::view::View;
use super::visitor::{Fields, Flash, Submitted, Visitor};
use super::{Frame, Page};

const TYPES: [&str; 8] = [
    "campaign.member.added",
    "campaign.member.removed",
    "campaign.member.status_changed",
    "sync.mapping.failed",
    "sync.removals.waiting",
    "sync.source.silent",
    "sync.quota.exhausted",
    "sync.subscription.disabled",
];

#[derive(Template)]
#[template(path = "subscriptions.html")]
struct List {
    frame: Frame,
    list: View,
    pager: Pager,
    events: View,
    offered: bool,
    types: [&'static str; 8],
}

pub(super) async fn list(visitor: Visitor, asked: Asked) -> Page {
    let offered = visitor.offers("GET /subscriptions");
    let list = format!("/subscriptions?{}", asked.query(&["cursor"]));
    let list = async { if offered { visitor.get(&list).await } else { Ok(visitor.maybe("/none").await) } };
    let since = visitor.dashboard.clock.now() - jiff::SignedDuration::from_secs(3600);
    let events = format!("/trigger-events?limit=20&since={since}");
    let (list, events) = two(list, visitor.maybe(&events)).await;
    let list = list?;
    let page = List {
        frame: visitor.live("Subscriptions", "subscriptions"),
        pager: Pager::of(&list, "/subscriptions", "", &asked),
        events,
        offered,
        types: TYPES,
        list,
    };
    visitor.page(&page)
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
}

pub(super) async fn show(visitor: Visitor, Path(id): Path<String>, asked: Asked) -> Page {
    let base = format!("/subscriptions/{id}");
    let deliveries = format!("{base}/deliveries?{}", asked.query(&["cursor", "state"]));
    let (subscription, deliveries) = two(visitor.get(&base), visitor.maybe(&deliveries)).await;
    let page = Detail {
        frame: visitor.live("Subscription", "subscriptions"),
        subscription: subscription?,
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
        "retry" => (Method::POST, format!("/deliveries/{}/retry", fields.get("delivery")), None),
        "remove" => (Method::DELETE, here.clone(), None),
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
    visitor.told(&here, &answer, "Done.")
}
