//! Members of a mapping, and one of them: how it stands, why, what comes next, and what happened.

use askama::Template;
use axum::extract::Path;
use axum::http::Method;
use futures_util::future::join3;
use serde_json::json;

use super::listing::{Asked, Choice, Pager, choices};
use super::names::Names;
use super::timeline::Event;
use super::view::View;
use super::visitor::{Submitted, Visitor};
use super::{Frame, Page};
use crate::domain::merge::{Reason, SyncState};

const FILTERS: [&str; 4] = ["sync_state", "reason", "status", "q"];

#[derive(Template)]
#[template(path = "members.html")]
struct List {
    frame: Frame,
    mapping: View,
    list: View,
    pager: Pager,
    q: String,
    states: Vec<Choice>,
    reasons: Vec<Choice>,
    statuses: Vec<Choice>,
    csv: String,
    filtered: bool,
    names: Names,
}

pub(super) async fn list(visitor: Visitor, Path(id): Path<String>, asked: Asked) -> Page {
    let base = format!("/mappings/{id}");
    let (filter, mapping) = (asked.query(&FILTERS), visitor.get(&base).await?);
    let names: Vec<&str> = FILTERS.into_iter().chain(["cursor"]).collect();
    let list = visitor.get(&format!("{base}/members?{}", asked.query(&names))).await?;
    let held = |side: &'static str| mapping.each("status_map").into_iter().map(move |row| row.text(side));
    let mut statuses: Vec<String> = held("program_status").chain(held("campaign_status")).collect();
    statuses.dedup();
    let mut seen = std::collections::BTreeSet::new();
    statuses.retain(|status| seen.insert(status.clone()));
    let chosen = asked.get("status");
    let statuses =
        statuses.into_iter().map(|status| Choice { chosen: status == chosen, label: status.clone(), value: status });
    let page = List {
        frame: visitor.live(format!("Members of {}", mapping.text("program_name")), "mappings"),
        pager: Pager::of(&list, &format!("{base}/members"), &filter, &asked),
        q: asked.get("q").to_owned(),
        states: choices(SyncState::ALL.iter().map(ToString::to_string), asked.get("sync_state")),
        reasons: choices(Reason::ALL.iter().map(ToString::to_string), asked.get("reason")),
        statuses: statuses.collect(),
        csv: format!("{base}/members.csv?{filter}"),
        filtered: !filter.is_empty(),
        names: Names::default(),
        mapping,
        list,
    };
    visitor.page(&page)
}

pub(super) async fn csv(visitor: Visitor, Path(id): Path<String>, asked: Asked) -> Page {
    visitor.csv("members", &format!("/mappings/{id}/members?limit=500&{}", asked.query(&FILTERS))).await
}

#[derive(Template)]
#[template(path = "member.html")]
struct Detail {
    frame: Frame,
    member: View,
    explained: View,
    cause: String,
    events: Vec<Event>,
    more: Option<String>,
    can_resolve: bool,
    names: Names,
}

pub(super) async fn show(visitor: Visitor, Path(id): Path<String>, asked: Asked) -> Page {
    let base = format!("/members/{id}");
    let paths = [format!("{base}/explain"), format!("{base}/history?limit=100&{}", asked.query(&["cursor"]))];
    let (member, explained, history) =
        join3(visitor.get(&base), visitor.maybe(&paths[0]), visitor.maybe(&paths[1])).await;
    let member = member?;
    let names = Names::of(&visitor, std::slice::from_ref(&member)).await;
    let events = history.each("data").iter().map(Event::of).collect();
    let diverged = matches!(member.text("sync_state").as_str(), "diverged" | "parked");
    let page = Detail {
        frame: visitor.live(who(&member), "mappings"),
        cause: super::words::cause(&explained.text("reason")),
        events,
        more: Pager::of(&history, &format!("/members/{id}"), "", &asked).next,
        can_resolve: diverged && visitor.offers("POST /members/{id}/resolve"),
        names,
        member,
        explained,
    };
    visitor.page(&page)
}

/// By what a person is called: the address, else an id.
pub(super) fn who(member: &View) -> String {
    let named = ["person.email", "person.salesforce_id", "person.marketo_id"].into_iter().find(|path| member.has(path));
    named.map_or_else(|| "Member".to_owned(), |path| member.text(path))
}

pub(super) async fn resolve(Path(id): Path<String>, Submitted { visitor, fields }: Submitted) -> Page {
    let body = json!({"winner": fields.get("winner")});
    let answer = visitor.ask(Method::POST, &format!("/members/{id}/resolve"), Some(&body)).await;
    let done = format!("{} wins. The other side is brought in line.", super::words::label(fields.get("winner")));
    visitor.told(&format!("/members/{id}"), &answer, done)
}
