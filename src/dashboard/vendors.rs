//! Both vendors: whether they answer, what is left of their calls, and everything that the sync needs of them.

use askama::Template;
use jiff::Timestamp;

use super::overview::{self, Chart, two};
use super::view::View;
use super::visitor::Visitor;
use super::{Frame, Page};

/// A vendor's figures.
pub(super) struct Vendor {
    name: &'static str,
    figures: View,
    /// Of the day's calls, in percent; none without a limit.
    used: Option<i64>,
    tone: &'static str,
    /// When calls are made again; none while they are.
    resumes: Option<String>,
}

#[derive(Template)]
#[template(path = "vendors.html")]
struct Vendors {
    frame: Frame,
    vendors: Vec<Vendor>,
    charts: Vec<Chart>,
}

/// When calls are made again, where the day's are used up.
pub(super) fn resumption(figures: &View) -> Option<String> {
    let at: Timestamp = figures.text("resumes_at").parse().ok()?;
    Some(at.strftime("on %-d %B at %H:%M UTC").to_string())
}

pub(super) async fn show(visitor: Visitor) -> Page {
    let (stats, charts) = two(visitor.get("/stats"), overview::charts(&visitor, "24h")).await;
    let stats = stats?;
    let vendors = [("marketo", "Marketo"), ("salesforce", "Salesforce")].map(|(code, name)| {
        let figures = stats.at(&format!("vendors.{code}"));
        let limit = figures.number("limit");
        let used =
            (limit > 0 && figures.has("calls_today")).then(|| (figures.number("calls_today") * 100 / limit).min(100));
        let tone = if used.is_some_and(|used| used >= 90) { "bad" } else { "good" };
        let resumes = resumption(&figures);
        Vendor { name, figures, used, tone, resumes }
    });
    let page = Vendors { frame: visitor.live("Vendors and quota", "vendors"), vendors: vendors.into(), charts };
    visitor.page(&page)
}

#[derive(Template)]
#[template(path = "checklist.html")]
struct Checklist {
    frame: Frame,
    items: Vec<View>,
    failed: usize,
    warned: usize,
}

pub(super) async fn checklist(visitor: Visitor) -> Page {
    let mut items = visitor.get("/diagnostics").await?.each("items");
    let count = |state: &str| items.iter().filter(|item| item.is("state", state)).count();
    let (failed, warned) = (count("fail"), count("warn"));
    // What is to be mended comes first; the order is kept otherwise.
    let rank = |item: &View| ["fail", "warn", "ok", "skip"].iter().position(|state| item.is("state", state));
    items.sort_by_key(rank);
    visitor.page(&Checklist { frame: visitor.frame("Checklist", "checklist"), items, failed, warned })
}
