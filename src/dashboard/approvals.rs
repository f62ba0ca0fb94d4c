//! What waits for a person: removals that were held back, members on which the two sides do not agree, and plans.

use askama::Template;
use axum::extract::Path;
use axum::http::Method;
use serde_json::json;

use super::listing::{Asked, Pager};
use super::overview::two;
use super::view::View;
use super::visitor::{Flash, Submitted, Visitor};
use super::{Frame, Page};

#[derive(Template)]
#[template(path = "approvals.html")]
struct Approvals {
    frame: Frame,
    guards: View,
    held: View,
    pager: Pager,
    lists_held: bool,
}

pub(super) async fn list(visitor: Visitor, asked: Asked) -> Page {
    let lists_held = visitor.offers("GET /members");
    let held = format!("/members?sync_state=diverged&limit=50&{}", asked.query(&["cursor"]));
    let held = async { if lists_held { visitor.get(&held).await } else { Ok(visitor.maybe("/none").await) } };
    let (guards, held) = two(visitor.get("/guards?state=waiting&limit=50"), held).await;
    let (guards, held) = (guards?, held?);
    let frame = visitor.live("Approvals and conflicts", "approvals");
    let pager = Pager::of(&held, "/approvals", "", &asked);
    visitor.page(&Approvals { frame, guards, held, pager, lists_held })
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
