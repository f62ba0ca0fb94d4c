//! The first page: whether both systems agree, and if not, why.

use std::collections::BTreeMap;

use askama::Template;
use futures_util::future::{join, join_all, join4};

use super::vendors::resumption;
use super::view::{View, thousands};
use super::visitor::Visitor;
use super::{Frame, Page};

/// A figure of the strip on top.
pub(super) struct Tile {
    label: &'static str,
    value: String,
    detail: String,
    tone: &'static str,
    href: &'static str,
}

/// A chart, and the table that it is drawn from.
pub(super) struct Chart {
    pub title: &'static str,
    pub about: &'static str,
    pub unit: &'static str,
    pub lines: Vec<String>,
    /// Time, and a value for each line.
    pub rows: Vec<(View, Vec<View>)>,
    /// Nothing but zeros and gaps: there is nothing to draw.
    pub empty: bool,
    /// How far back it goes, in words.
    pub span: &'static str,
}

/// Title, sentence, unit, lines: metric and name.
type Drawn = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

/// What can be drawn; a line is left out where the API has no such series.
const CHARTS: &[Drawn] = &[
    (
        "Received and applied",
        "Records, by direction",
        "",
        &[("received", "Received"), ("applied_to_salesforce", "To Salesforce"), ("applied_to_marketo", "To Marketo")],
    ),
    (
        "Latency",
        "From acceptance to the end of the opposite write",
        "ms",
        &[("latency_p50_ms", "Median"), ("latency_p95_ms", "95 %")],
    ),
    (
        "Where the time goes",
        "Of an applied change, on average: until it is stored, until it is taken up, reading and writing",
        "ms",
        &[("receive_avg_ms", "Receive"), ("queue_avg_ms", "Queue"), ("call_avg_ms", "Call")],
    ),
    ("Backlog", "Changes that wait to be worked off", "", &[("backlog_depth", "Waiting")]),
    (
        "Outcomes",
        "What became of records",
        "",
        &[("no_op", "No change needed"), ("superseded", "Superseded"), ("held", "Held"), ("failed", "Failed")],
    ),
    ("Calls", "Calls made to the vendors", "", &[("marketo_calls", "Marketo"), ("salesforce_calls", "Salesforce")]),
    ("Age of the backlog", "How long the oldest of them has waited", "s", &[("backlog_age_seconds", "Oldest")]),
    (
        "Events",
        "Told of members, and taken by receivers",
        "",
        &[("trigger_events", "Happened"), ("deliveries", "Delivered"), ("deliveries_failed", "Given up")],
    ),
    ("Drift", "Differences that were found by comparing", "", &[("drift", "Found different")]),
];

/// Changes with one cause.
pub(super) struct Cause {
    reason: String,
    error: String,
    count: usize,
    mappings: usize,
    sentence: String,
    remedy: String,
    href: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    stats: View,
    tiles: Vec<Tile>,
    charts: Vec<Chart>,
    causes: Vec<Cause>,
    more_causes: bool,
    troubled: Vec<View>,
    mappings: View,
    waiting: View,
    /// Events of comparisons that wait to be told.
    catch_ups: View,
}

/// Rows of the API that causes are grouped from.
const LOOKED_AT: &str = "/changes?state=parked&state=retryable&limit=500";

pub(super) async fn show(visitor: Visitor) -> Page {
    let stats = visitor.get("/stats").await?;
    let paths = ["/mappings?limit=8", "/mappings?state=failed&limit=10", "/mappings?state=paused&limit=10", LOOKED_AT];
    let lists = join_all(paths.map(|path| visitor.maybe(path)));
    let waiting = async {
        match visitor.offers("GET /guards") {
            true => visitor.maybe("/guards?state=waiting&limit=20").await,
            false => visitor.maybe("/mappings?limit=0").await,
        }
    };
    let catch_ups = visitor.maybe("/catch-ups?state=waiting&limit=20");
    let (lists, waiting, charts, catch_ups) = join4(lists, waiting, charts(&visitor, "1h"), catch_ups).await;
    let [mappings, failed, paused, open] =
        lists.try_into().unwrap_or_else(|_| std::array::from_fn(|_| stats.at("none")));
    let troubled = [failed.each("data"), paused.each("data")].concat();
    let page = Overview {
        frame: visitor.live("Overview", "overview"),
        tiles: tiles(&stats, &waiting, &catch_ups),
        charts,
        causes: causes(&open),
        more_causes: open.has("next_cursor"),
        troubled,
        mappings,
        waiting,
        catch_ups,
        stats,
    };
    visitor.page(&page)
}

fn tile(label: &'static str, value: String, detail: String, tone: &'static str, href: &'static str) -> Tile {
    Tile { label, value, detail, tone, href }
}

fn tiles(stats: &View, waiting: &View, catch_ups: &View) -> Vec<Tile> {
    let of = |path: &str| stats.number(path);
    let (live, paused, failed) = (of("mappings.active"), of("mappings.paused"), of("mappings.failed"));
    let members = stats.sum("members");
    let agree = of("members.in_sync") + of("members.gated");
    #[expect(clippy::cast_precision_loss, reason = "a share with one digit")]
    let share = if members == 0 { "–".to_owned() } else { format!("{:.1} %", floor(agree as f64 / members as f64)) };
    let oldest = of("outbox.oldest_age_seconds");
    let held = of("outbox.parked");
    let (diverged, lost) = (of("members.diverged") + of("members.parked"), of("members.failed"));
    let mut tiles = vec![
        tile(
            "Mappings live",
            thousands(live),
            format!("{} paused, {} broken", thousands(paused), thousands(failed)),
            if failed > 0 { "bad" } else { "" },
            "/mappings",
        ),
        tile(
            "Members in agreement",
            share,
            format!("{} of {}", thousands(agree), thousands(members)),
            if diverged + lost > 0 { "warn" } else { "good" },
            "/mappings",
        ),
        match stats.has("today.applied") {
            true => tile(
                "Applied today",
                stats.count("today.applied"),
                format!("{} received", stats.count("today.received")),
                "",
                "/changes?state=completed",
            ),
            false => tile(
                "Applied",
                stats.count("ledger.applied"),
                format!("{} received", stats.count("ledger.received")),
                "",
                "/changes?state=completed",
            ),
        },
        tile(
            "Latency, 95 %",
            stats.millis("latency_ms.p95"),
            format!("median {}, last hour", stats.millis("latency_ms.p50")),
            "",
            "/changes",
        ),
        tile(
            "Oldest unapplied",
            stats.seconds("outbox.oldest_age_seconds"),
            format!("{} waiting", thousands(of("outbox.available") + of("outbox.running") + of("outbox.retryable"))),
            if oldest > 300 { "bad" } else { "" },
            "/changes?state=available",
        ),
        tile(
            "Held and failed",
            thousands(held + lost),
            super::words::counted(diverged, "member differs", "members differ"),
            if held + lost > 0 { "bad" } else { "good" },
            "/changes?state=parked",
        ),
    ];
    tiles.push(tile(
        "Drift at the last check",
        stats.count("drift.members"),
        if stats.has("drift") { "members found different".to_owned() } else { "not compared yet".to_owned() },
        if of("drift.members") > 0 { "warn" } else { "" },
        "/mappings",
    ));
    let count = |list: &View| i64::try_from(list.each("data").len()).unwrap_or(i64::MAX);
    let (removals, events) = (count(waiting), count(catch_ups));
    let detail = match (removals, events) {
        (_, 0) => "removals held back",
        (0, _) => "events held back",
        _ => "removals and events held back",
    };
    if removals + events > 0 {
        let waiting = thousands(removals + events);
        tiles.push(tile("Waiting for approval", waiting, detail.to_owned(), "warn", "/approvals"));
    }
    for (vendor, name) in [("marketo", "Marketo calls today"), ("salesforce", "Salesforce calls today")] {
        let vendor = stats.at(&format!("vendors.{vendor}"));
        let detail =
            if vendor.has("limit") { format!("of {}", vendor.count("limit")) } else { "no limit known".to_owned() };
        let (detail, tone) = match (vendor.is("circuit", "open"), resumption(&vendor)) {
            (true, _) => ("not answering".to_owned(), "bad"),
            (_, Some(at)) => (format!("used up; again {at}"), "warn"),
            (_, None) => (detail, ""),
        };
        tiles.push(tile(name, vendor.count("calls_today"), detail, tone, "/vendors"));
    }
    tiles
}

/// A share in percent, cut and not rounded: 99.96 % is not all of them.
fn floor(share: f64) -> f64 {
    (share * 1000.0).floor() / 10.0
}

/// The charts of the series that there are.
pub(super) async fn charts(visitor: &Visitor, from: &str) -> Vec<Chart> {
    let api = &visitor.dashboard.api;
    let now = visitor.dashboard.clock.now();
    let (back, step, span) = if from == "1h" { (3600, "1m", "last hour") } else { (86_400, "15m", "last day") };
    let since = now - jiff::SignedDuration::from_secs(back);
    let charts = CHARTS.iter().map(async |(title, about, unit, lines)| {
        let lines: Vec<_> = lines.iter().filter(|(metric, _)| api.has_series(metric)).collect();
        let asked = lines.iter().map(async |(metric, _)| {
            let path = format!("/stats/timeseries?metric={metric}&from={since}&to={now}&step={step}");
            visitor.maybe(&path).await.each("points")
        });
        let points = join_all(asked).await;
        let times = points.first().map_or(0, Vec::len);
        let row = |at: usize| {
            let of =
                |line: &Vec<View>, part: usize| line.get(at).and_then(|point| point.each("").into_iter().nth(part));
            let time = of(&points[0], 0)?;
            Some((time, points.iter().filter_map(|line| of(line, 1)).collect::<Vec<_>>()))
        };
        let rows: Vec<_> = (0..times).filter_map(row).filter(|(_, values)| values.len() == points.len()).collect();
        let empty = rows.iter().flat_map(|(_, values)| values).all(|value: &View| value.number("") == 0);
        let lines = lines.iter().map(|(_, name)| (*name).to_owned()).collect();
        Chart { title, about, unit, lines, rows, empty, span }
    });
    let errors = format!("/stats/errors?from={since}&to={now}&step={step}");
    let (charts, errors) = join(join_all(charts), visitor.maybe(&errors)).await;
    let errors = errors_by_code(&errors.each("codes"), span);
    charts.into_iter().filter(|chart| !chart.rows.is_empty()).chain([errors]).collect()
}

/// What vendors said to attempts, a line for each code.
fn errors_by_code(codes: &[View], span: &'static str) -> Chart {
    let name = |code: &View| [code.text("vendor"), code.text("code")].join(" ").trim().to_owned();
    let points: Vec<Vec<View>> = codes.iter().map(|code| code.each("points")).collect();
    let row = |at: usize| {
        let of = |line: &Vec<View>, part: usize| line.get(at).and_then(|point| point.each("").into_iter().nth(part));
        Some((of(points.first()?, 0)?, points.iter().filter_map(|line| of(line, 1)).collect()))
    };
    Chart {
        title: "Errors by code",
        about: "What the vendors said to attempts, also to those that went well later",
        unit: "",
        lines: codes.iter().map(name).collect(),
        rows: (0..points.first().map_or(0, Vec::len)).filter_map(row).collect(),
        empty: codes.is_empty(),
        span,
    }
}

/// What is open, by reason and what the vendor said.
fn causes(open: &View) -> Vec<Cause> {
    let mut groups: BTreeMap<(String, String), Vec<View>> = BTreeMap::new();
    for change in open.each("data") {
        groups.entry((change.text("reason"), change.text("error.code"))).or_default().push(change);
    }
    let mut causes: Vec<_> = groups
        .into_iter()
        .map(|((reason, code), changes)| {
            let mappings: std::collections::BTreeSet<_> =
                changes.iter().map(|change| change.text("mapping_id")).collect();
            let error = changes.first().map(|change| change.text("error.message")).unwrap_or_default();
            let state = changes.first().map(|change| change.text("state")).unwrap_or_default();
            Cause {
                sentence: super::words::cause(&reason),
                remedy: super::words::remedy(&reason),
                error: [code, error].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": "),
                count: changes.len(),
                mappings: mappings.len(),
                href: format!("/changes?state={state}"),
                reason: if reason.is_empty() { "retrying".to_owned() } else { reason },
            }
        })
        .collect();
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.count));
    causes
}

/// Both at once, for pages with two parts.
pub(super) async fn two<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    join(one, other).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_share_is_never_rounded_up_to_all() {
        assert!((floor(0.9996) - 99.9).abs() < 1e-9 && (floor(1.0) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn open_changes_are_grouped_by_cause_and_the_most_come_first() {
        let change = |reason: &str, mapping: &str| json!({"reason": reason, "mapping_id": mapping, "state": "parked", "error": null});
        let list =
            json!({"data": [change("quota", "a"), change("vendor_rejected", "a"), change("vendor_rejected", "b")]});
        let causes = causes(&View::new(list, "2026-11-23T20:05:01Z".parse().unwrap()));
        let found: Vec<_> = causes.iter().map(|cause| (cause.reason.as_str(), cause.count, cause.mappings)).collect();
        assert_eq!(found, [("vendor_rejected", 2, 2), ("quota", 1, 1)]);
        assert!(!causes[0].sentence.is_empty() && !causes[0].remedy.is_empty());
    }
}
