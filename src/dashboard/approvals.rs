//! What waits for a person: removals that were held back, members on which the two sides do not agree, and plans.

use askama::Template;
use axum::extract::Path;
use axum::http::Method;
use futures_util::future::join3;
use serde_json::json;

use super::listing::{Asked, Choice, Pager, choices};
use super::names::Names;
use super::view::View;
use super::visitor::{Flash, Submitted, Visitor};
use super::{Frame, Page};

#[derive(Template)]
#[template(path = "approvals.html")]
struct Approvals {
    frame: Frame,
    guards: View,
    /// Events that wait to be told.
    catch_ups: View,
    held: View,
    pager: Pager,
    states: Vec<Choice>,
    /// Of those that are listed.
    state: String,
    names: Names,
}

/// States in which a member waits for a person.
const STATES: [&str; 3] = ["diverged", "parked", "failed"];

fn state_of(asked: &Asked) -> &str {
    STATES.into_iter().find(|state| *state == asked.get("sync_state")).unwrap_or(STATES[0])
}

pub(super) async fn list(visitor: Visitor, asked: Asked) -> Page {
    let state = state_of(&asked);
    let held = format!("/members?sync_state={state}&limit=50&{}", asked.query(&["cursor"]));
    let catch_ups = visitor.maybe("/catch-ups?state=waiting&limit=50");
    let (guards, held, catch_ups) =
        join3(visitor.get("/guards?state=waiting&limit=50"), visitor.get(&held), catch_ups).await;
    let (guards, held) = (guards?, held?);
    let rows = [guards.each("data"), catch_ups.each("data"), held.each("data")].concat();
    let names = Names::of(&visitor, &rows).await;
    let frame = visitor.live("Approvals and conflicts", "approvals");
    let pager = Pager::of(&held, "/approvals", &format!("sync_state={state}"), &asked);
    let (states, state) = (choices(STATES, state), state.to_owned());
    visitor.page(&Approvals { frame, guards, catch_ups, held, pager, states, state, names })
}

pub(super) async fn csv(visitor: Visitor, asked: Asked) -> Page {
    visitor.csv("waiting", &format!("/members?sync_state={}&limit=500", state_of(&asked))).await
}

/// Tells receivers of many old events, or does not.
pub(super) async fn tell(Path(id): Path<String>, Submitted { visitor, fields }: Submitted) -> Page {
    let (action, done) = match fields.get("action") {
        "approve" => ("approve", "The receivers are told now."),
        _ => ("discard", "Nobody is told. The events stay in the log, and can be replayed to one receiver."),
    };
    let answer = visitor.ask(Method::POST, &format!("/catch-ups/{id}/{action}"), None).await;
    visitor.told("/approvals", &answer, done)
}

/// Approve, keep apart, restore.
pub(super) async fn decide(Path(id): Path<String>, Submitted { visitor, fields }: Submitted) -> Page {
    let (action, body, done) = match fields.get("action") {
        "approve" => ("approve", json!({}), "Approved. The listed members are removed."),
        "restore" => {
            ("discard", json!({"restore": true}), "Discarded. The members are added again where they were removed.")
        }
        _ => ("discard", json!({"restore": false}), "Discarded. The members stay, and the two sides are kept apart."),
    };
    let body = (action == "discard").then_some(body);
    let answer = visitor.ask(Method::POST, &format!("/guards/{id}/{action}"), body.as_ref()).await;
    let back = fields.get("back");
    visitor.told(if back.is_empty() { "/approvals" } else { back }, &answer, done)
}

#[derive(Template)]
#[template(path = "plan.html")]
struct Plan {
    frame: Frame,
    plan: View,
    counts: Vec<(String, View)>,
    rows: View,
    pager: Pager,
    /// Nothing would be written.
    empty: bool,
    computing: bool,
    names: Names,
}

pub(super) async fn plan(visitor: Visitor, Path(id): Path<String>, asked: Asked) -> Page {
    let path = format!("/plans/{id}");
    let rows_path = format!("{path}/rows?limit=50&{}", asked.query(&["cursor"]));
    let plan = visitor.get(&path).await?;
    let rows = visitor.maybe(&rows_path).await;
    let counts = plan.pairs("counts");
    let computing = plan.is("state", "computing");
    let frame = visitor.live("Plan", "mappings");
    let page = Plan {
        frame,
        empty: !computing && counts.iter().all(|(_, count)| count.number("") == 0),
        counts,
        pager: Pager::of(&rows, &path, "", &asked),
        computing,
        names: Names::of(&visitor, std::slice::from_ref(&plan)).await,
        rows,
        plan,
    };
    visitor.page(&page)
}

pub(super) async fn plan_csv(visitor: Visitor, Path(id): Path<String>) -> Page {
    visitor.csv("plan", &format!("/plans/{id}/rows?limit=500")).await
}

pub(super) async fn apply_plan(Path(id): Path<String>, Submitted { visitor, fields }: Submitted) -> Page {
    let answer = visitor.ask(Method::POST, &format!("/plans/{id}/apply"), None).await;
    if !answer.status.is_success() {
        return visitor.back(&format!("/plans/{id}"), &Flash::refused(&answer.body));
    }
    let drifted = answer.body.each("drifted").len();
    let done = match drifted {
        0 => "The plan is being applied.".to_owned(),
        count => format!("The plan is being applied. {count} of its rows no longer hold, and are decided anew."),
    };
    visitor.back(&format!("/mappings/{}", fields.get("mapping_id")), &Flash::good(done))
}
