//! Changes: the outbox, one of them, and decisions about one or many.

use askama::Template;
use axum::extract::Path;
use axum::http::Method;
use serde_json::{Map, Value, json};

use super::listing::{Asked, Choice, Pager, Sorted, choices};
use super::names::Names;
use super::view::{View, thousands};
use super::visitor::{Fields, Flash, Submitted, Visitor};
use super::words::label;
use super::{Frame, Page};

const STATES: [&str; 6] = ["available", "running", "retryable", "parked", "completed", "discarded"];
const KINDS: [&str; 2] = ["hint", "flow_action"];
const FILTERS: [&str; 3] = ["state", "kind", "mapping_id"];

#[derive(Template)]
#[template(path = "changes.html")]
struct List {
    frame: Frame,
    list: View,
    pager: Pager,
    states: Vec<Choice>,
    kinds: Vec<Choice>,
    mapping_id: String,
    /// Of the mapping that is filtered by.
    mapping: String,
    filter: String,
    filtered: bool,
    names: Names,
    sorted: Sorted,
    sort: String,
}

pub(super) async fn list(visitor: Visitor, asked: Asked) -> Page {
    let filter = asked.query(&FILTERS);
    let list = visitor.get(&format!("/changes?{}", asked.query(&[&FILTERS[..], &["sort", "cursor"]].concat()))).await?;
    let of_one = visitor.dashboard.api.view(json!({"mapping_id": asked.get("mapping_id")}));
    let names = Names::of(&visitor, &[list.each("data"), vec![of_one.clone()]].concat()).await;
    let page = List {
        frame: visitor.live("Changes", "changes"),
        pager: Pager::of(&list, "/changes", &asked.query(&[&FILTERS[..], &["sort"]].concat()), &asked),
        sorted: Sorted::of("/changes", &filter, &asked, "created_at"),
        sort: asked.get("sort").to_owned(),
        states: choices(STATES, asked.get("state")),
        kinds: choices(KINDS, asked.get("kind")),
        mapping_id: asked.get("mapping_id").to_owned(),
        mapping: names.name(&of_one),
        names,
        filtered: !filter.is_empty(),
        filter,
        list,
    };
    visitor.page(&page)
}

pub(super) async fn csv(visitor: Visitor, asked: Asked) -> Page {
    visitor.csv("changes", &format!("/changes?limit=500&{}", asked.query(&FILTERS))).await
}

#[derive(Template)]
#[template(path = "change.html")]
struct Detail {
    frame: Frame,
    change: View,
    cause: String,
    remedy: String,
    can_retry: bool,
    can_discard: bool,
    names: Names,
}

pub(super) async fn show(visitor: Visitor, Path(id): Path<String>) -> Page {
    let change = visitor.get(&format!("/changes/{id}")).await?;
    let state = change.text("state");
    let page = Detail {
        frame: visitor.live("Change", "changes"),
        cause: super::words::cause(&change.text("reason")),
        remedy: super::words::remedy(&change.text("reason")),
        can_retry: matches!(state.as_str(), "parked" | "discarded" | "retryable"),
        can_discard: matches!(state.as_str(), "parked" | "retryable" | "available"),
        names: Names::of(&visitor, std::slice::from_ref(&change)).await,
        change,
    };
    visitor.page(&page)
}

pub(super) async fn decide(Path(id): Path<String>, Submitted { visitor, fields }: Submitted) -> Page {
    let (action, done) = match fields.get("action") {
        "discard" => ("discard", "Given up. It stays listed as discarded."),
        _ => ("retry", "It is tried again now."),
    };
    let answer = visitor.ask(Method::POST, &format!("/changes/{id}/{action}"), None).await;
    visitor.told(&format!("/changes/{id}"), &answer, done)
}

#[derive(Template)]
#[template(path = "bulk.html")]
struct Bulk {
    frame: Frame,
    action: String,
    count: i64,
    filter: Vec<(&'static str, String)>,
    /// The same in words.
    shown: Vec<(&'static str, String)>,
    back: String,
}

/// What a bulk decision is about, as the API takes it.
fn decision(fields: &Fields, dry_run: bool) -> Value {
    let given = FILTERS.into_iter().filter(|name| !fields.get(name).is_empty());
    let filter: Map<String, Value> = given.map(|name| (name.to_owned(), json!(fields.get(name)))).collect();
    let action = if fields.get("action") == "discard" { "discard" } else { "retry" };
    json!({"filter": filter, "action": action, "dry_run": dry_run})
}

/// Counts first: how many it would be, and a button.
pub(super) async fn count(visitor: Visitor, asked: Asked) -> Page {
    let counting = decision(&asked.0, true);
    let answer = visitor.ask(Method::POST, "/changes/bulk", Some(&counting)).await;
    let count = visitor.got(answer)?.number("count");
    let of_one = visitor.dashboard.api.view(json!({"mapping_id": asked.get("mapping_id")}));
    let names = Names::of(&visitor, std::slice::from_ref(&of_one)).await;
    let mapping = if of_one.has("mapping_id") { names.name(&of_one) } else { String::new() };
    let page = Bulk {
        shown: vec![("State", label(asked.get("state"))), ("Kind", label(asked.get("kind"))), ("Mapping", mapping)],
        frame: visitor.frame("Many changes at once", "changes"),
        action: counting["action"].as_str().unwrap_or_default().to_owned(),
        count,
        filter: FILTERS.map(|name| (name, asked.get(name).to_owned())).into(),
        back: format!("/changes?{}", asked.query(&FILTERS)),
    };
    visitor.page(&page)
}

pub(super) async fn bulk(Submitted { visitor, fields }: Submitted) -> Page {
    let answer = visitor.ask(Method::POST, "/changes/bulk", Some(&decision(&fields, false))).await;
    let count = thousands(answer.body.number("count"));
    let done = match fields.get("action") {
        "discard" => format!("{count} given up."),
        _ => format!("{count} are tried again."),
    };
    match answer.status.is_success() {
        true => visitor.back("/changes", &Flash::good(done)),
        false => visitor.back("/changes", &Flash::refused(&answer.body)),
    }
}
