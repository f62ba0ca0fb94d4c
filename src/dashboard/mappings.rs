//! Mappings: the list, one of them, and what can be done with it.

use askama::Template;
use axum::extract::Path;
use axum::http::Method;
use futures_util::future::join4;
use serde_json::json;

use super::listing::{Asked, Choice, Pager, Sorted, choices};
use super::names::Names;
use super::view::{View, thousands};
use super::visitor::{Flash, Submitted, Visitor};
use super::words::POLICIES;
use super::{Frame, Page};

const STATES: [&str; 4] = ["active", "paused", "failed", "removing"];

#[derive(Template)]
#[template(path = "mappings.html")]
struct List {
    frame: Frame,
    list: View,
    pager: Pager,
    q: String,
    states: Vec<Choice>,
    filtered: bool,
    sorted: Sorted,
    sort: String,
}

const FILTERS: [&str; 4] = ["state", "q", "program_id", "campaign_id"];

pub(super) async fn list(visitor: Visitor, asked: Asked) -> Page {
    let filter = asked.query(&FILTERS);
    let asked_for = asked.query(&[&FILTERS[..], &["sort", "cursor"]].concat());
    let list = visitor.get(&format!("/mappings?{asked_for}")).await?;
    let page = List {
        frame: visitor.frame("Mappings", "mappings"),
        pager: Pager::of(&list, "/mappings", &asked.query(&[&FILTERS[..], &["sort"]].concat()), &asked),
        sorted: Sorted::of("/mappings", &filter, &asked, "created_at"),
        sort: asked.get("sort").to_owned(),
        q: asked.get("q").to_owned(),
        states: choices(STATES, asked.get("state")),
        filtered: !filter.is_empty(),
        list,
    };
    visitor.page(&page)
}

/// A row of the bridge.
pub(super) struct Gap {
    place: &'static str,
    reason: String,
    count: i64,
    sentence: String,
    href: String,
}

/// A part of the bar above the bridge: where it begins and how long it is, in percent.
pub(super) struct Part {
    tone: &'static str,
    label: &'static str,
    count: i64,
    x: f64,
    width: f64,
}

/// A policy as it is, in words.
pub(super) struct Shown {
    title: &'static str,
    value: &'static str,
    sentence: &'static str,
}

#[derive(Template)]
#[template(path = "mapping.html")]
struct Detail {
    frame: Frame,
    mapping: View,
    gaps: Vec<Gap>,
    parts: Vec<Part>,
    policies: Vec<Shown>,
    runs: View,
    running: Option<View>,
    progress: Option<Progress>,
    guards: Vec<View>,
    members: View,
    can_plan: bool,
    names: Names,
}

/// How far a run is.
pub(super) struct Progress {
    /// None while nobody can tell.
    percent: Option<i64>,
    text: String,
}

impl Progress {
    /// Reading either side and deciding are a third each.
    fn of(run: &View) -> Self {
        let of = |path: &str| run.number(&format!("progress.{path}"));
        let expected = |path: &str| run.has(&format!("progress.{path}")).then(|| of(path));
        let (done, all, stage, what) = match run.text("stage").as_str() {
            "salesforce" => (of("salesforce_read"), expected("salesforce_expected"), 0, "read in Salesforce"),
            "marketo" => (of("marketo_read"), expected("marketo_expected"), 1, "read in Marketo"),
            "decide" => (of("decided"), expected("remaining").map(|left| left + of("decided")), 2, "decided"),
            "check" => {
                return Self { percent: None, text: "Looking whether the rows of the plan still hold.".to_owned() };
            }
            _ => return Self { percent: None, text: "Taking back what was added.".to_owned() },
        };
        let share = |all: i64| if all > 0 { (done * 100 / all).clamp(0, 100) } else { 0 };
        let text = match all {
            Some(all) => format!("{} of {} {what}.", thousands(done), thousands(all.max(done))),
            None => format!("{} {what}.", thousands(done)),
        };
        Self { percent: all.map(|all| (stage * 100 + share(all)) / 3), text }
    }
}

pub(super) async fn show(visitor: Visitor, Path(id): Path<String>) -> Page {
    let base = format!("/mappings/{id}");
    let paths = [format!("{base}/runs?limit=6"), format!("{base}/guards?limit=50"), format!("{base}/members?limit=10")];
    let (mapping, runs, guards, members) =
        join4(visitor.get(&base), visitor.maybe(&paths[0]), visitor.maybe(&paths[1]), visitor.maybe(&paths[2])).await;
    let mapping = mapping?;
    let running = runs.each("data").into_iter().find(|run| run.is("state", "running"));
    let page = Detail {
        frame: visitor.live(mapping.text("program_name"), "mappings"),
        progress: running.as_ref().map(Progress::of),
        names: Names::default(),
        gaps: gaps(&mapping),
        parts: parts(&mapping),
        policies: policies(&mapping),
        running,
        guards: guards.each("data").into_iter().filter(|guard| guard.is("state", "waiting")).collect(),
        runs,
        members,
        can_plan: visitor.offers("POST /mappings/{id}/plan"),
        mapping,
    };
    visitor.page(&page)
}

const PLACES: [(&str, &str); 3] =
    [("only_marketo", "Only in Marketo"), ("only_salesforce", "Only in Salesforce"), ("different", "Different status")];

fn gaps(mapping: &View) -> Vec<Gap> {
    let id = mapping.text("id");
    let of_place = |(path, place): (&str, &'static str)| {
        let reasons = mapping.pairs(&format!("bridge.{path}")).into_iter();
        let gap = |(reason, count): (String, View)| Gap {
            place,
            count: count.number(""),
            sentence: super::words::cause(&reason),
            href: format!("/mappings/{id}/members?reason={reason}"),
            reason,
        };
        reasons.map(gap).collect::<Vec<_>>()
    };
    PLACES.into_iter().flat_map(of_place).collect()
}

fn parts(mapping: &View) -> Vec<Part> {
    let counts = [
        ("good", "In sync", mapping.number("bridge.in_sync")),
        ("warn", "Different status", mapping.sum("bridge.different")),
        ("marketo", "Only in Marketo", mapping.sum("bridge.only_marketo")),
        ("salesforce", "Only in Salesforce", mapping.sum("bridge.only_salesforce")),
    ];
    let total = counts.iter().map(|(.., count)| count).sum::<i64>();
    let mut x = 0.0;
    let mut parts = Vec::new();
    for (tone, label, count) in counts.into_iter().filter(|(.., count)| *count > 0) {
        #[expect(clippy::cast_precision_loss, reason = "a length of some hundred points")]
        let width = count as f64 / total as f64 * 100.0;
        parts.push(Part { tone, label, count, x, width });
        x += width;
    }
    parts
}

fn policies(mapping: &View) -> Vec<Shown> {
    let shown = POLICIES.iter().filter_map(|policy| {
        let current = mapping.text(&format!("policies.{}", policy.name));
        let (_, value, sentence) = policy.values.iter().find(|(value, ..)| *value == current)?;
        Some(Shown { title: policy.title, value, sentence })
    });
    shown.collect()
}

/// Pause, resume, reconcile, plan.
pub(super) async fn act(Path(id): Path<String>, Submitted { visitor, fields }: Submitted) -> Page {
    let here = format!("/mappings/{id}");
    let action = fields.get("action");
    let done = match action {
        "pause" => "Paused. Changes are received and kept, and applied when it is resumed.",
        "resume" => "Active again.",
        "reconcile" => "Comparing both sides. What differs is mended as the policies say.",
        "plan" => "",
        _ => return visitor.back(&here, &Flash { good: false, text: "There is no such action.".to_owned() }),
    };
    let answer = visitor.ask(Method::POST, &format!("{here}/{action}"), None).await;
    if action == "plan" && answer.status.is_success() {
        return visitor.back(
            &format!("/plans/{}", answer.body.text("id")),
            &Flash::good("This is the plan. Nothing has been written."),
        );
    }
    visitor.told(&here, &answer, done)
}

#[derive(Template)]
#[template(path = "remove_mapping.html")]
struct Removal {
    frame: Frame,
    mapping: View,
}

pub(super) async fn confirm_removal(visitor: Visitor, Path(id): Path<String>) -> Page {
    let mapping = visitor.get(&format!("/mappings/{id}")).await?;
    visitor.page(&Removal { frame: visitor.frame("Remove mapping", "mappings"), mapping })
}

pub(super) async fn remove(Path(id): Path<String>, Submitted { visitor, fields }: Submitted) -> Page {
    let undo = fields.get("how") == "undo";
    let answer = visitor.ask(Method::DELETE, &format!("/mappings/{id}?undo={undo}"), Some(&json!({}))).await;
    let (next, done) = match undo {
        true => (format!("/mappings/{id}"), "What this service has added is being taken back."),
        false => ("/mappings".to_owned(), "The mapping is removed. The members stay on both sides."),
    };
    match answer.status.is_success() {
        true => visitor.back(&next, &Flash::good(done)),
        false => visitor.back(&format!("/mappings/{id}"), &Flash::refused(&answer.body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_third_for_each_stage_and_unknown_where_nobody_says_how_many() {
        let of = |stage: &str, progress: serde_json::Value| {
            let run = json!({"stage": stage, "progress": progress});
            let progress = Progress::of(&View::new(run, "2026-11-23T20:05:01Z".parse().unwrap()));
            (progress.percent, progress.text)
        };
        let reading = json!({"salesforce_read": 500, "salesforce_expected": 1000});
        assert_eq!(of("salesforce", reading), (Some(16), "500 of 1,000 read in Salesforce.".to_owned()));
        let reading = json!({"marketo_read": 300, "marketo_expected": null});
        assert_eq!(of("marketo", reading), (None, "300 read in Marketo.".to_owned()));
        assert_eq!(of("decide", json!({"decided": 3, "remaining": 1})), (Some(91), "3 of 4 decided.".to_owned()));
        assert_eq!(of("decide", json!({"decided": 0, "remaining": 0})).0, Some(66));
        assert_eq!(of("undo", json!({})).0, None);
    }
}
